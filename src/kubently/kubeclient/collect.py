"""Reads a bounded snapshot of a cluster: only what the chosen analyzers need, and a record of what could not be read.

First all resources are listed side by side, then, if an analyzer reads logs, the tails of those that `logs_wanted`
names. A list that is refused, fails or does not end in time is a `Blind` entry, not an error: a diagnosis of the rest
is worth having.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

import anyio
import anyio.to_thread
import httpx

from kubently.analyzers import Analyzer, LogKey, LogsWanted, Resource, Snapshot, logs_wanted
from kubently.errors import KubeError, KubentlyError
from kubently.kube import objects
from kubently.kube.partial import Partial
from kubently.kubeclient.client import KubeClient, Listing, status_code
from kubently.schema.findings import Blind

PARALLEL = 8
"""Requests in flight for one cluster: a well-behaved client takes no more of the apiserver's seats."""

LOG_CONTAINERS = 50
"""Containers whose logs are read."""

LOG_BYTES = 64 * 1024
"""Bytes kept of one log."""

_NAMED = 5
"""Namespaces named in a sentence."""

_Thing = TypeVar("_Thing")

_FORBIDDEN = 403
_NOT_FOUND = 404


async def collect(
    client: KubeClient,
    *,
    analyzers: Iterable[Analyzer],
    now: datetime,
    namespaces: Iterable[str] | None = None,
    max_objects: int = 50_000,
    log_lines: int = 200,
    timeout: float = 30.0,
) -> Snapshot:
    """Read what *analyzers* need of some namespaces or (None) of all.

    *now* is the snapshot's time only if the apiserver sends no Date. *timeout* in seconds bounds the whole reading;
    *max_objects* is exceeded by at most one page for each request in flight. Raises what the transport raises if the
    cluster cannot be reached at all.
    """
    chosen = tuple(analyzers)
    collector = _Collector(client, namespaces, max_objects, log_lines, timeout)
    bare = None
    with anyio.move_on_after(timeout):
        await collector.read_resources(_needed(chosen))
        if any(item.needs_logs for item in chosen):
            bare = collector.snapshot(now)
            await collector.read_logs(bare)
    collector.raise_if_unreachable()
    whole = collector.snapshot(now)
    return whole if bare is None else bare.with_logs(whole.logs, whole.blind)


def _needed(analyzers: Sequence[Analyzer]) -> list[Resource]:
    """Return the resources to list; events, often the most, come last, so that a full budget costs them first."""
    resources = {resource for item in analyzers for resource in item.needs}
    return sorted(resources, key=lambda resource: (resource.plural == "events", str(resource)))


class _Collector:
    """One reading in progress."""

    def __init__(
        self,
        client: KubeClient,
        namespaces: Iterable[str] | None,
        max_objects: int,
        log_lines: int,
        timeout: float,
    ) -> None:
        self._client = client
        self._namespaces = None if namespaces is None else sorted(namespaces)
        self._max_objects = max_objects
        self._log_lines = log_lines
        self._timeout = timeout
        self._slots = anyio.CapacityLimiter(PARALLEL)
        self._objects = 0
        self._unread: dict[str, None] = {}
        self._listings: dict[Resource, Listing] = {}
        self._logs: dict[LogKey, str] = {}
        self._blind: list[Blind] = []
        self._whole_in: dict[Resource, frozenset[str]] = {}
        self._failure: KubentlyError | httpx.TransportError | None = None

    async def read_resources(self, resources: Sequence[Resource]) -> None:
        """List all *resources* side by side, those of add-ons where the cluster has them."""
        there = [resource for resource in resources if not resource.is_addon]
        addons = [resource for resource in resources if resource.is_addon]
        self._unread.update(dict.fromkeys(map(str, there)))
        if addons:
            served = await self._served()
            there += [resource for resource in addons if resource.api_version in served]
        self._unread.update(dict.fromkeys(map(str, there)))
        await self._side_by_side(self._list, there)

    async def read_logs(self, snapshot: Snapshot) -> None:
        """Read the logs that analyzers want."""
        groups = await anyio.to_thread.run_sync(partial(logs_wanted, snapshot, limit=LOG_CONTAINERS))
        self._unread.update(dict.fromkeys(_log_name(group.keys[0]) for group in groups))
        await self._side_by_side(self._read_log, groups)

    def snapshot(self, now: datetime) -> Snapshot:
        """Return what was read so far."""
        dates = [listing.served_at for listing in self._listings.values() if listing.served_at is not None]
        late = (Blind(resource=name, reason=f"not read within {self._timeout:g} s") for name in self._unread)
        return Snapshot(
            resources={resource: listing.members for resource, listing in self._listings.items()},
            read_at=min(dates, default=now),
            logs=dict(self._logs),
            blind=(*self._blind, *late),
            namespaces=None if self._namespaces is None else frozenset(self._namespaces),
            whole_in=dict(self._whole_in),
        )

    def raise_if_unreachable(self) -> None:
        """Raise the first failure of the transport if nothing could be read."""
        if self._failure is not None and not self._listings:
            raise self._failure

    async def _side_by_side(self, read: Callable[[_Thing], Awaitable[None]], things: Sequence[_Thing]) -> None:
        async def read_in_turn(thing: _Thing) -> None:
            async with self._slots:
                await read(thing)

        async with anyio.create_task_group() as tasks:
            for thing in things:
                tasks.start_soon(read_in_turn, thing)

    async def _served(self) -> set[str]:
        """The API versions that the cluster serves, as group/version."""
        try:
            groups, lacks = await self._client.groups()
        except (KubentlyError, httpx.TransportError) as error:
            self._miss("apis", error)
            return set()
        if lacks is not None:
            self._blind.append(Blind(resource="apis", reason=lacks.words))
        return {
            objects.text(version, "groupVersion")
            for group in objects.mappings(groups, "groups")
            for version in objects.mappings(group, "versions")
        }

    async def _list(self, resource: Resource) -> None:
        name = str(resource)
        try:
            listing = await self._listing(resource)
        except (KubentlyError, httpx.TransportError) as error:
            self._miss(name, error)
            return
        self._unread.pop(name, None)
        self._listings[resource] = listing
        if listing.lacks is not None:
            self._blind.append(Blind(resource=name, reason=_gap(listing.lacks)))
            if self._namespaces is None and listing.is_complete:
                self._whole_in[resource] = listing.lacks.namespaces
        if not listing.is_complete:
            more = f", about {listing.remaining} more exist" if listing.remaining else ""
            read = f"only {len(listing.members)} were read{more}"
            self._blind.append(Blind(resource=name, reason=f"{read}: the limit is {self._max_objects} objects in all"))

    async def _listing(self, resource: Resource) -> Listing:
        if self._namespaces is None or not resource.is_namespaced:
            return await self._client.list(resource, take=self._take)
        parts: list[Listing] = []
        failures: dict[str, KubeError] = {}
        for name in self._namespaces:
            try:
                parts.append(await self._client.list(resource, namespace=name, take=self._take))
            except KubeError as error:
                failures[name] = error
        if failures and not parts:
            raise next(iter(failures.values()))
        gaps = {name: _reason(failure) for name, failure in failures.items()}
        self._blind += [Blind(resource=str(resource), reason=f"namespace {n}: {reason}") for n, reason in gaps.items()]
        return Listing.joined(parts)

    async def _read_log(self, group: LogsWanted) -> None:
        """Read the runs of one container; only if none can be read is that worth a word."""
        failure: KubentlyError | httpx.TransportError | None = None
        for key in group.keys:
            try:
                self._logs[key] = await self._client.logs(
                    key.namespace,
                    key.pod,
                    key.container,
                    previous=key.previous,
                    tail_lines=self._log_lines,
                    limit_bytes=LOG_BYTES,
                    since_seconds=group.since_seconds,
                )
            except (KubentlyError, httpx.TransportError) as error:
                failure = failure or error
        name = _log_name(group.keys[0])
        self._unread.pop(name, None)
        if failure is not None and not any(key in self._logs for key in group.keys):
            self._miss(name, failure)

    def _take(self, count: int) -> bool:
        self._objects += count
        return self._objects < self._max_objects

    def _miss(self, name: str, error: KubentlyError | httpx.TransportError) -> None:
        self._unread.pop(name, None)
        self._blind.append(Blind(resource=name, reason=_reason(error)))
        if not isinstance(error, KubeError):
            self._failure = self._failure or error


def _gap(lacks: Partial) -> str:
    """Say what an archive lacks; a must-gather names a hundred namespaces."""
    names = sorted(lacks.namespaces)
    if not names:
        return lacks.words
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{lacks.words} beyond the namespaces {', '.join(names[:_NAMED])}{more}"


def _log_name(key: LogKey) -> str:
    return f"logs {key.namespace}/{key.pod} {key.container}"


def _reason(error: KubentlyError | httpx.TransportError) -> str:
    code = status_code(error) if isinstance(error, KubeError) else 0
    prefix = {_FORBIDDEN: "forbidden: ", _NOT_FOUND: "not served by this cluster: "}.get(code, "")
    return f"{prefix}{error}"[:1000] or type(error).__name__
