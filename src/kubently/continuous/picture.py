"""What is known of one cluster now: objects as lists and watches told of them, bounded, and what could not be read.

It is fed by one watcher a resource and read by the analysis, all in one event loop. Members are replaced and never
changed, so that a snapshot of them can be analysed in a thread while the picture goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum

import anyio

from kubently.analyzers import Resource, Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.kubeclient import Change, Listing
from kubently.kubeclient.watch import BOOKMARK, DELETED
from kubently.schema.findings import Blind

MAX_OBJECTS = 50_000
"""Objects kept of one cluster; what comes beyond is not kept, and its resource counts as not read in full."""


class State(Enum):
    """How well a resource is known."""

    WAITING = "waiting"
    """Not yet, or it was and its watch is broken: what is kept may be old."""
    LIVE = "live"
    """Its watch stands."""
    BLIND = "blind"
    """It cannot be read; nothing of it is kept."""


@dataclass(slots=True)
class _Kept:
    state: State = State.WAITING
    members: dict[tuple[str, str], KubeObject] = field(default_factory=dict)
    blind: str = ""
    """Why it was not read, or not in full."""
    whole_in: frozenset[str] | None = None
    """Of an archived cluster's resource that is not whole: the namespaces of which it has everything."""


class Picture:
    """The objects of one cluster. ``now`` gives the wall clock, from which the cluster's own is told."""

    def __init__(
        self, resources: Iterable[Resource], *, now: datetime | None = None, max_objects: int = MAX_OBJECTS
    ) -> None:
        self._kept = {resource: _Kept() for resource in resources}
        self._max_objects = max_objects
        self._ahead = timedelta()
        self._news = anyio.Event()
        self.objects = 0
        self.changes = 0
        """Changes that were taken in."""
        if now is not None:
            self.clock_seen(now, now)

    # ------------------------------------------------------------------ told by watchers

    def add(self, resource: Resource) -> None:
        """Wait for one more resource."""
        self._kept.setdefault(resource, _Kept())

    def replace(self, resource: Resource, listing: Listing) -> None:
        """Take the whole of a resource."""
        kept = self._kept[resource]
        self.objects -= len(kept.members)
        room = max(0, self._max_objects - self.objects)
        fresh: dict[tuple[str, str], KubeObject] = {_key(member): member for member in listing.members[:room]}
        kept.members = fresh
        self.objects += len(fresh)
        kept.blind = ""
        kept.whole_in = None
        if listing.lacks is not None:
            kept.blind = listing.lacks.words
            kept.whole_in = listing.lacks.namespaces
        if not listing.is_complete or len(listing.members) > room:
            kept.blind, kept.whole_in = self._over(fresh), None
        self._changed()

    def apply(self, resource: Resource, change: Change) -> None:
        """Take one change in."""
        if change.kind == BOOKMARK:
            return
        kept = self._kept[resource]
        key = _key(change.member)
        if change.kind == DELETED:
            self.objects -= kept.members.pop(key, None) is not None
        elif key in kept.members:
            kept.members[key] = change.member
        elif self.objects < self._max_objects:
            kept.members[key] = change.member
            self.objects += 1
        else:
            kept.blind, kept.whole_in = self._over(kept.members), None
        self._changed()

    def live(self, resource: Resource) -> None:
        """Its watch stands."""
        kept = self._kept[resource]
        if kept.state is not State.LIVE:
            kept.state = State.LIVE
            self._changed()

    def broken(self, resource: Resource) -> None:
        """Its watch does not stand: what is kept may be old."""
        if self._kept[resource].state is State.LIVE:
            self._kept[resource].state = State.WAITING

    def blind(self, resource: Resource, reason: str) -> None:
        """It cannot be read: forget what was known of it."""
        kept = self._kept[resource]
        if (kept.state, kept.blind) == (State.BLIND, reason):
            return
        self.objects -= len(kept.members)
        self._kept[resource] = _Kept(State.BLIND, {}, reason)
        self._changed()

    def clock_seen(self, served_at: datetime | None, now: datetime) -> None:
        """The cluster's clock, as an answer told it at *now*."""
        if served_at is not None:
            self._ahead = served_at - now

    # ------------------------------------------------------------------ asked by the analysis

    @property
    def is_settled(self) -> bool:
        """Whether every resource is live or known not to be readable: only then an absence means anything."""
        return all(kept.state is not State.WAITING for kept in self._kept.values())

    def states(self) -> Mapping[Resource, State]:
        """How well each resource is known."""
        return {resource: kept.state for resource, kept in self._kept.items()}

    async def news(self) -> None:
        """Wait until anything changes after this call."""
        await self._news.wait()

    def snapshot(self, now: datetime | None = None) -> Snapshot:
        """What is known now, as analyzers read it."""
        known = {resource: kept for resource, kept in self._kept.items() if kept.state is not State.BLIND}
        return Snapshot(
            resources={resource: tuple(kept.members.values()) for resource, kept in known.items()},
            read_at=(now or datetime.now(UTC)) + self._ahead,
            blind=tuple(
                Blind(resource=str(resource), reason=kept.blind) for resource, kept in self._kept.items() if kept.blind
            ),
            whole_in={resource: kept.whole_in for resource, kept in known.items() if kept.whole_in is not None},
        )

    def _over(self, members: Mapping[tuple[str, str], KubeObject]) -> str:
        return f"only {len(members)} are kept: the limit is {self._max_objects} objects in all"

    def _changed(self) -> None:
        self.changes += 1
        news, self._news = self._news, anyio.Event()
        news.set()


def _key(member: KubeObject) -> tuple[str, str]:
    return objects.namespace(member), objects.name(member)
