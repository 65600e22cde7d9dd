"""A lane keeps one session to the API: dials, waits, and replaces the session before it ends where it can.

A replacement stands before the old session is drained ("make before break"): when the API drains, when a session grows
old, when something on the way is known to cut at an age, and when a better URL or transport is back. Only a session
that was lost is dialled anew with backoff.
"""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from kubently.executor.dialling import Dialler
from kubently.executor.endpoints import REMEMBER, Endpoint, Endpoints
from kubently.executor.standing import Standing
from kubently.schema import Transport

log = logging.getLogger(__name__)

FIRST_DELAY, MAX_DELAY, EARLY_MAX_DELAY = 0.5, 30.0, 10.0
"""Seconds of backoff: full jitter up to a cap that doubles; lower in the first minute without a session."""
HEALTHY_AFTER = 25.0
"""A session that lived so many seconds resets the backoff."""
REFUSED_DELAY = 60.0
"""Cap where the API answered and said no (401, 403, 409): asking often does not help."""
APART = 4
"""Sessions that are given up because another one of this executor is at the same replica of the API."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds of what a lane does by itself; each is jittered."""

    stagger: float = 5.0
    """Between the beginnings of two lanes' sessions, so that a limit on age does not end them together."""
    max_age: float = 2 * 3600.0
    """After which a session is replaced."""
    retire: float = 45.0
    """For which a replaced session's streams may go on."""
    better: float = 45.0
    """Between two attempts to get to a better URL or transport."""
    measure: float = 300.0
    """Between two measurements of how far the URLs are."""


class Watch(Protocol):
    """What a lane tells, and asks of, its supervisor."""

    @property
    def is_stopping(self) -> bool:
        """Whether no more dials are wanted."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait, or until the executor stops."""
        ...

    async def wait_turn(self, number: int) -> None:
        """Wait until lane *number* may dial."""
        ...

    def stands(self, standing: Standing) -> None:
        """A session stands."""
        ...

    def is_crowded(self, standing: Standing, in_place_of: Standing | None) -> bool:
        """Whether a session is at the same replica as another one that stays, and there are more replicas."""
        ...

    async def failed(self, endpoint: Endpoint, error: Exception) -> bool:
        """A dial failed; says whether the API itself refused."""
        ...


def backoff(attempt: int, *, outage: float, refused: bool, rng: random.Random) -> float:
    """Seconds to wait before attempt number *attempt* (1 is the first retry), *outage* seconds into the outage."""
    cap = REFUSED_DELAY if refused else EARLY_MAX_DELAY if outage < 60 else MAX_DELAY
    return rng.uniform(0, min(cap, FIRST_DELAY * 2 ** min(attempt - 1, 16)))


class Lane:
    """One of an executor's sessions, for ever."""

    def __init__(
        self, number: int, endpoints: Endpoints, dialler: Dialler, watch: Watch, tasks: TaskGroup, pace: Pace
    ) -> None:
        self._number = number
        self._endpoints = endpoints
        self._dialler = dialler
        self._watch = watch
        self._tasks = tasks
        self._pace = pace
        self._rng = random.Random()
        self._name = secrets.token_hex(4)

    async def run(self) -> None:
        """Keep a session until the executor stops."""
        attempt, lost_at = 0, time.monotonic()
        while not self._watch.is_stopping:
            await self._watch.wait_turn(self._number)
            refused, began = False, time.monotonic()
            # The name stays: should the API still believe in the session that was lost, it knows better now.
            standing, refused = await self._dial(self._endpoints.in_order())
            if standing is not None:
                await self._keep(standing)
                lost_at = time.monotonic()
                attempt = 0 if lost_at - began >= HEALTHY_AFTER else attempt
            if self._watch.is_stopping:
                return
            attempt += 1
            delay = backoff(attempt, outage=time.monotonic() - lost_at, refused=refused, rng=self._rng)
            log.info("dialling again", extra={"in_seconds": round(delay, 2), "attempt": attempt})
            await self._watch.sleep(delay)

    async def _dial(
        self,
        endpoints: Sequence[Endpoint],
        *,
        transports: tuple[Transport, ...] = (),
        in_place_of: Standing | None = None,
    ) -> tuple[Standing | None, bool]:
        """A session with the first that can be reached; and whether every one of them refused us."""
        refusals = []
        for endpoint in endpoints:
            if self._watch.is_stopping:
                break
            try:
                standing = await self._dial_apart(endpoint, transports, in_place_of)
            except Exception as error:  # whatever it is, the next attempt may fare better
                refusals.append(await self._watch.failed(endpoint, error))
            else:
                self._watch.stands(standing)
                return standing, False
        return None, bool(refusals) and all(refusals)

    async def _dial_apart(
        self, endpoint: Endpoint, transports: tuple[Transport, ...], in_place_of: Standing | None
    ) -> Standing:
        """A session with another replica of the API than the other lanes have, if a few attempts find one."""
        for _ in range(APART):
            standing = await self._dialler.dial(endpoint, self._name, self._tasks, transports=transports)
            if not self._watch.is_crowded(standing, in_place_of):
                return standing
            standing.session.close("another session of this executor is at that replica", code=1001)
            await self._watch.sleep(self._rng.uniform(0.05, 0.5))
        return await self._dialler.dial(endpoint, self._name, self._tasks, transports=transports)

    async def _keep(self, standing: Standing) -> None:
        """Look after a session, and after those that replace it, until one is lost before its replacement stands."""
        attempt, drain_known = 0, False
        due = self._due(standing)
        try:
            while not standing.session.is_closed and not self._watch.is_stopping:
                with anyio.move_on_after(max(0.0, due - time.monotonic())):
                    await self._until_drained(standing, known=drain_known)
                if standing.session.is_closed or self._watch.is_stopping:
                    return
                replacement = await self._replace(standing)
                if replacement is None:
                    attempt, drain_known = attempt + 1, standing.session.is_draining
                    due = time.monotonic() + self._again_after(standing, attempt)
                    continue
                old, standing, attempt, drain_known = standing, replacement, 0, False
                self._tasks.start_soon(old.retire, "another session stands in its place", self._pace.retire)
                due = self._due(standing)
        finally:
            if not standing.is_leaving:  # who stops the executor has not seen it
                standing.session.close("the executor stopped", code=1001)  # does nothing to one that is closed

    async def _until_drained(self, standing: Standing, *, known: bool) -> None:
        """Wait until the session closes or, where that is not *known* yet, is asked to drain."""
        while not standing.session.is_closed and not self._watch.is_stopping:
            if standing.session.is_draining and not known:
                return
            await standing.changed.wait()

    async def _replace(self, standing: Standing) -> Standing | None:
        """A session to take the place of one that still stands, under another name: both are wanted for a while."""
        endpoints, transports = self._wanted(standing)
        if not endpoints:
            return None
        before, self._name = self._name, secrets.token_hex(4)
        replacement, _ = await self._dial(endpoints, transports=transports, in_place_of=standing)
        if replacement is None:
            self._name = before
        return replacement

    def _wanted(self, standing: Standing) -> tuple[Sequence[Endpoint], tuple[Transport, ...]]:
        """Where a replacement may go: anywhere when the session must end, else only to what is better."""
        if standing.session.is_draining or time.monotonic() >= self._end(standing):
            return self._endpoints.in_order(), ()
        if better := self._endpoints.better_than(standing.endpoint):
            return better, ()
        if self._may_upgrade(standing):
            standing.endpoint.remember(Transport.LONG_POLL, time.monotonic())  # not again for a while
            return [standing.endpoint], (Transport.WEBSOCKET,)
        return (), ()

    def _may_upgrade(self, standing: Standing) -> bool:
        return (
            standing.transport is Transport.LONG_POLL
            and Transport.WEBSOCKET in self._dialler.transports(standing.endpoint)
            and not standing.endpoint.prefers_polls(time.monotonic())
        )

    def _end(self, standing: Standing) -> float:
        """When the session should have been replaced."""
        known = standing.endpoint.cuts.max_age
        # At half of its age, so that what began just before it has as long again.
        return standing.began + (self._pace.max_age * 0.9 if known is None else known * 0.45)

    def _due(self, standing: Standing) -> float:
        """When to look for a replacement, with jitter: a fleet must not move at once."""
        end = self._end(standing)
        end += (end - standing.began) * self._rng.uniform(0, 0.2)
        look = min(end, time.monotonic() + self._pace.better * self._rng.uniform(0.7, 1.3))
        has_better = bool(self._endpoints.better_than(standing.endpoint)) or self._endpoints.by_distance
        if has_better:
            return look
        if standing.transport is Transport.LONG_POLL:
            return min(end, time.monotonic() + REMEMBER * self._rng.uniform(1.01, 1.2))
        return end

    def _again_after(self, standing: Standing, attempt: int) -> float:
        if standing.session.is_draining:
            return backoff(attempt, outage=0, refused=False, rng=self._rng)
        if time.monotonic() >= self._end(standing):
            return max(1.0, backoff(attempt, outage=0, refused=False, rng=self._rng))
        return max(0.05, self._due(standing) - time.monotonic())
