"""Continuous diagnosis of one cluster: watchers keep its picture, and after changes it is analysed, but not too often.

An analysis takes a CPU, so it waits: for news to gather, for the interval that was set, and for ten times as long as
the last one took, whichever is longest. Without news it runs about once a minute, because ages count. While a watch is
broken nothing is concluded.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import anyio
import anyio.to_thread
import httpx
from anyio.abc import TaskGroup

from kubently import analyzers
from kubently.analyzers import Analyzer, Report, Resource
from kubently.continuous.histories import Histories, Stored
from kubently.continuous.history import Event, Rules, observe
from kubently.continuous.logs import Logs
from kubently.continuous.picture import Picture
from kubently.continuous.watching import Pauses, Watcher
from kubently.errors import KubeError, KubentlyError
from kubently.kube import objects
from kubently.kubeclient import KubeClient
from kubently.schema import Blind, ClusterId, Severity

log = logging.getLogger(__name__)

LISTS = 4
"""Lists of one cluster at once."""

DISCOVER_EVERY = 1800.0
"""Seconds between two looks at which add-ons the cluster has."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds between analyses."""

    interval: float = 10.0
    """At least, while there is news."""
    gather: float = 1.0
    """From the first news on: changes come in groups."""
    idle: float = 60.0
    """At most, without news."""
    share: float = 10.0
    """How many times as long as an analysis takes must lie between two."""


@dataclass(slots=True)
class Counts:
    """What a replica counts over all its clusters."""

    found: Counter[Severity] = field(default_factory=Counter)
    resolved: Counter[Severity] = field(default_factory=Counter)
    restarts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Means:
    """What all clusters of a replica share."""

    histories: Histories
    rules: Rules
    analyzers: tuple[Analyzer, ...]
    counts: Counts
    analysing: anyio.CapacityLimiter
    """Analyses at once: they take CPU that requests want."""
    starting: anyio.CapacityLimiter
    """Clusters that are listed at once."""
    tell: Callable[[Sequence[Event]], None]
    rhythm: Rhythm = field(default_factory=Rhythm)
    pauses: Pauses = field(default_factory=Pauses)
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class ClusterWatch:
    """One cluster while `run` runs."""

    def __init__(self, cluster: ClusterId, client: KubeClient, means: Means) -> None:
        self.cluster = cluster
        self._client = client
        self._means = means
        needed = {resource for item in means.analyzers for resource in item.needs}
        self._addons = {resource for resource in needed if resource.is_addon}
        self._needed = needed - self._addons
        self.picture = Picture(self._needed)
        self._logs = Logs(client, clock=means.clock)
        self._slots = anyio.CapacityLimiter(LISTS)
        self._watchers: list[Watcher] = []
        self._stored: Stored | None = None
        self._discovered = anyio.Event()
        self._unknown: tuple[Blind, ...] = ()
        """Why it is not known which add-ons there are."""
        self.seconds = 0.0
        """What the last analysis took, logs and thread included."""
        self._doubtful = False
        """Whether something is absent and not yet resolved."""
        self.open: Counter[Severity] = Counter()
        """Open findings by severity, symptoms left out."""

    def move(self) -> None:
        """Give all watches up for others: the session that carries them waits for their end."""
        for watcher in self._watchers:
            watcher.move()

    async def run(self) -> None:
        """Diagnose it for ever."""
        self._watchers.clear()
        async with anyio.create_task_group() as tasks:
            async with self._means.starting:
                tasks.start_soon(self._discover_in_turn, tasks)
                for resource in sorted(self._needed, key=str):
                    tasks.start_soon(self._watcher(resource).run)
                with anyio.move_on_after(self._means.pauses.patience):
                    await self._settled()
            await self._analyse_in_turn()

    def _watcher(self, resource: Resource) -> Watcher:
        means = self._means
        watcher = Watcher(
            self._client,
            resource,
            self.picture,
            self._slots,
            means.counts.restarts,
            clock=means.clock,
            now=means.now,
            pauses=means.pauses,
        )
        self._watchers.append(watcher)
        return watcher

    async def _discover_in_turn(self, tasks: TaskGroup) -> None:
        """Watch the add-ons that the cluster serves, also those that come later."""
        absent = set(self._addons)
        pause = self._means.pauses.first
        while absent:
            try:
                groups, lacks = await self._client.groups()
            except (KubentlyError, httpx.TransportError) as error:
                if isinstance(error, KubeError):
                    self._discovery_ended(str(error) or "refused")
                await anyio.sleep(pause)
                pause = min(2 * pause, self._means.pauses.refused)
                continue
            served = _versions(groups)
            for resource in sorted(absent, key=str):
                if resource.api_version in served:
                    absent.discard(resource)
                    self.picture.add(resource)
                    tasks.start_soon(self._watcher(resource).run)
            self._discovery_ended(lacks.words if lacks is not None else "")
            await anyio.sleep(DISCOVER_EVERY)

    def _discovery_ended(self, problem: str) -> None:
        self._unknown = (Blind(resource="apis", reason=problem[:1000]),) if problem else ()
        self._discovered.set()

    async def _settled(self) -> None:
        await self._discovered.wait()
        while not self.picture.is_settled:
            await self.picture.news()

    async def _analyse_in_turn(self) -> None:
        rhythm, clock = self._means.rhythm, self._means.clock
        while True:
            await self._settled()
            began, changes = clock(), self.picture.changes
            await self._analyse()
            self.seconds = clock() - began
            least = max(rhythm.interval, rhythm.share * self.seconds)
            if changes == self.picture.changes:
                absent = self._means.rules.resolve_after.total_seconds()
                idle = min(rhythm.idle, absent) if self._doubtful else rhythm.idle
                with anyio.move_on_after(max(idle, least)):
                    await self.picture.news()
            await anyio.sleep(max(rhythm.gather, began + least - clock()))

    async def _analyse(self) -> None:
        means = self._means
        snapshot = self.picture.snapshot(means.now())
        logs, unread = await self._logs.read(snapshot)
        snapshot = snapshot.with_logs(logs, (*snapshot.blind, *self._unknown, *unread))
        report = await anyio.to_thread.run_sync(analyzers.diagnose, snapshot, means.analyzers, limiter=means.analysing)
        try:
            await self._remember(report)
        except KubentlyError as error:
            log.warning("a history was not written", extra={"cluster": self.cluster, "reason": str(error)})

    async def _remember(self, report: Report) -> None:
        means = self._means
        before = self._stored or await means.histories.load(self.cluster)
        observed = observe(
            before.history, report, means.analyzers, cluster=self.cluster, at=means.now(), rules=means.rules
        )
        self._stored = await means.histories.save(observed.history, before)
        if self._stored is None:
            # Another replica wrote, or the store was emptied: the next analysis begins from what is there.
            log.info("a history was written by somebody else", extra={"cluster": self.cluster})
            return
        means.counts.found.update(observed.began)
        means.counts.resolved.update(observed.resolved)
        self.open = Counter(
            kept.severity for kept in observed.history.records if kept.is_open and not kept.explained_by
        )
        self._doubtful = any(kept.is_open and kept.absent_since for kept in observed.history.records)
        means.tell(observed.events)


def _versions(groups: dict[str, object]) -> set[str]:
    return {
        objects.text(version, "groupVersion")
        for group in objects.mappings(groups, "groups")
        for version in objects.mappings(group, "versions")
    }
