"""Keeps one resource of a picture as the cluster has it: list once, then watch, and watch again from where that ended.

What is done is what a well-behaved informer does: one list in pages, one watch that asks for bookmarks, a new list only
where the apiserver has forgotten the version (410), and after failures a pause that doubles, with jitter.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import anyio
import httpx

from kubently import kubeclient
from kubently.analyzers import Resource
from kubently.continuous.picture import MAX_OBJECTS, Picture
from kubently.errors import KubeError, KubentlyError
from kubently.kubeclient import KubeClient

log = logging.getLogger(__name__)

_GONE, _FORBIDDEN, _NOT_FOUND, _NOT_ALLOWED = 410, 403, 404, 405
_REFUSALS = {_FORBIDDEN: "forbidden: ", _NOT_FOUND: "not served by this cluster: ", _NOT_ALLOWED: "not watched here: "}


@dataclass(frozen=True, slots=True)
class Pauses:
    """Seconds."""

    first: float = 0.8
    """Before what failed is tried again; doubled each time."""
    last: float = 30.0
    refused: float = 300.0
    """As `last`, after refusals: rights change by hand, but an apiserver that starts refuses for a moment, too."""
    steady: float = 10.0
    """A watch that lasted so long is followed by the next at once."""
    patience: float = 60.0
    """After which a resource that fails counts as not readable, and the others are analysed without it."""
    longest: tuple[int, int] = (900, 1800)
    """A watch asks for a time between these, so that not all end at once; informers ask for 5 to 10 minutes."""


class Watcher:
    """One resource of one cluster. ``slots`` bounds the lists at once, ``restarts`` counts why watches began again."""

    def __init__(
        self,
        client: KubeClient,
        resource: Resource,
        picture: Picture,
        slots: anyio.CapacityLimiter,
        restarts: Counter[str],
        *,
        clock: Callable[[], float],
        now: Callable[[], datetime],
        pauses: Pauses = Pauses(),
    ) -> None:
        self._client = client
        self._resource = resource
        self._picture = picture
        self._slots = slots
        self._restarts = restarts
        self._clock = clock
        self._now = now
        self._pauses = pauses
        self._version = ""
        self._failing_since: float | None = None
        self._stands_since: float | None = None
        self._standing = anyio.CancelScope()

    def move(self) -> None:
        """Give the watch that stands up for another one."""
        self._standing.cancel()

    async def run(self) -> None:
        """Keep it for ever."""
        pause = self._pauses.first
        while True:
            self._stands_since, longest = None, self._pauses.last
            try:
                if not self._version:
                    await self._list()
                with anyio.CancelScope() as self._standing:
                    await self._watch()
                self._restarts["ended"] += 1
            except KubeError as error:
                longest = self._refused(error)
            except (KubentlyError, httpx.TransportError, TimeoutError) as error:
                self._failed(error)
            if self._stands_since is not None and self._clock() - self._stands_since >= self._pauses.steady:
                pause = self._pauses.first
                continue
            await anyio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, longest)

    async def _list(self) -> None:
        read = 0

        def take(count: int) -> bool:
            nonlocal read
            read += count
            return read < MAX_OBJECTS

        async with self._slots:
            listing = await self._client.list(self._resource, take=take)
        self._picture.clock_seen(listing.served_at, self._now())
        self._picture.replace(self._resource, listing)
        self._version = listing.version or "0"

    async def _watch(self) -> None:
        seconds = random.randint(*self._pauses.longest)
        async with kubeclient.watching(self._client, self._resource, version=self._version, seconds=seconds) as changes:
            self._failing_since, self._stands_since = None, self._clock()
            self._picture.clock_seen(changes.served_at, self._now())
            self._picture.live(self._resource)
            async for change in changes:
                self._picture.apply(self._resource, change)
                self._version = change.version or self._version

    def _refused(self, error: KubeError) -> float:
        """Take a refusal in, and say how long the pause before the next attempt may grow."""
        code = kubeclient.status_code(error)
        if code == _GONE:
            self._restarts["expired"] += 1
            self._version = ""
            self._picture.broken(self._resource)
            return self._pauses.last
        if code not in _REFUSALS:
            self._failed(error)
            return self._pauses.last
        self._restarts["refused"] += 1
        self._version = ""
        self._picture.blind(self._resource, f"{_REFUSALS[code]}{error}"[:1000])
        return self._pauses.refused

    def _failed(self, error: Exception) -> None:
        self._restarts["failed"] += 1
        self._picture.broken(self._resource)
        if self._failing_since is None:
            self._failing_since = self._clock()
        log.debug("a watch broke off", extra={"resource": str(self._resource), "reason": str(error)})
        if self._clock() - self._failing_since >= self._pauses.patience:
            self._version = ""
            self._picture.blind(self._resource, (str(error) or type(error).__name__)[:1000])
