"""Which logs a diagnosis reads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from kubently.analyzers import (
    aftermath,
    callers,
    changes,
    containers,
    destinations,
    dns,
    environment,
    loglines,
    networkpolicies,
    paths,
    ports,
    services,
    split,
)
from kubently.analyzers.base import GRACE
from kubently.analyzers.containers import Container
from kubently.analyzers.snapshot import LogKey, Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject

# What looks for faults that callers feel; it needs no logs for a first look.
_LOOKS = (
    *services.ANALYZERS,
    *ports.ANALYZERS,
    *networkpolicies.ANALYZERS,
    *paths.ANALYZERS,
    *destinations.ANALYZERS,
    *environment.ANALYZERS,
)


@dataclass(frozen=True, slots=True)
class LogsWanted:
    """The logs of one container."""

    keys: tuple[LogKey, ...]
    """The most telling first."""
    since: timedelta | None = None
    """How far back they are to be read, None for all: of what runs well only what it says now counts."""

    @property
    def since_seconds(self) -> int | None:
        """The same, as the API server takes it."""
        return None if self.since is None else math.ceil(self.since.total_seconds())


def logs_wanted(snapshot: Snapshot, *, limit: int) -> tuple[LogsWanted, ...]:
    """Return for at most *limit* containers the logs to read.

    They are the containers that fail, then those that call something at which, by the objects alone, something looks
    wrong, and last some that run well near what was changed lately.
    """
    wanted: dict[tuple[object, str], LogsWanted] = {}
    for container in containers.of_living_pods(snapshot):
        runs = tuple(_runs(snapshot, container))
        if runs:
            keys = tuple(_key(container, previous=previous) for previous in runs)
            wanted.setdefault((snapshot.workload_of(container.pod), container.name), LogsWanted(keys))
    if len(wanted) < limit:
        for pod, since in _running(snapshot, something_fails=bool(wanted)):
            for container in containers.containers_of(pod):
                if container.is_running:
                    own = snapshot.workload_of(pod), container.name
                    wanted.setdefault(own, LogsWanted((_key(container, previous=False),), since))
    return tuple(wanted.values())[:limit]


def _running(snapshot: Snapshot, *, something_fails: bool) -> Iterator[tuple[KubeObject, timedelta]]:
    """Yield the ready pods whose logs may tell something, with how far back."""
    if something_fails:
        yield from ((pod, loglines.NOW) for pod in dns.ready_pods(snapshot))
        yield from ((pod, loglines.NOW) for pod in split.pods_of_system(snapshot))
    found = [item for look in _LOOKS for item in look.run(snapshot)]
    for pod in callers.of(snapshot, callers.suspects(found), callers.without_dns(found)):
        yield pod, loglines.NOW
    # Whether something began with a change, only what was said before it can show.
    before = changes.RECENT + loglines.NOW
    yield from ((pod, before) for pod in aftermath.pods_near_changes(snapshot))


def _runs(snapshot: Snapshot, container: Container) -> Iterator[bool]:
    """Yield for each run worth reading whether it is the previous one."""
    ended = container.last_termination
    if container.termination is not None:
        if container.termination.exit_code != 0 or container.restarts > 0:
            yield False
    elif ended is not None and (ended.exit_code != 0 or container.waiting_reason == "CrashLoopBackOff"):
        yield True
        if container.is_running:
            yield False
    elif container.is_working_init:
        if snapshot.age(container.running_since) > GRACE:
            yield False
    elif container.is_running and not container.is_ready and not container.is_init:
        yield False


def _key(container: Container, *, previous: bool) -> LogKey:
    return LogKey(objects.namespace(container.pod), objects.name(container.pod), container.name, previous)
