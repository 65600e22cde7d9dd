"""Which logs a diagnosis reads."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from kubently.analyzers import callers, containers, destinations, environment, networkpolicies, paths, ports, services
from kubently.analyzers.base import GRACE
from kubently.analyzers.containers import Container
from kubently.analyzers.resources import PODS
from kubently.analyzers.snapshot import LogKey, Snapshot
from kubently.kube import objects

_NOW = timedelta(minutes=15)
# What looks for faults that callers feel; it needs no logs for a first look.
_LOOKS = (
    *services.ANALYZERS,
    *ports.ANALYZERS,
    *networkpolicies.ANALYZERS,
    *paths.ANALYZERS,
    *destinations.ANALYZERS,
    *environment.ANALYZERS,
)


def logs_wanted(snapshot: Snapshot, *, limit: int) -> tuple[tuple[LogKey, ...], ...]:
    """Return for at most *limit* containers the logs to read, the most telling first in each group.

    They are the containers that fail, and then those that call something at which, by the objects alone, something
    looks wrong.
    """
    wanted: dict[tuple[object, str], tuple[LogKey, ...]] = {}
    for pod in snapshot.members(PODS):
        if containers.is_finished(pod):
            continue
        for container in containers.containers_of(pod):
            runs = tuple(_runs(snapshot, container))
            if runs:
                keys = tuple(_key(container, previous=previous) for previous in runs)
                wanted.setdefault((snapshot.workload_of(pod), container.name), keys)
    found = [item for look in _LOOKS for item in look.run(snapshot)]
    for pod in callers.of(snapshot, callers.suspects(found), callers.without_dns(found)):
        if len(wanted) < limit:
            for container in containers.containers_of(pod):
                if container.is_running:
                    own = snapshot.workload_of(pod), container.name
                    wanted.setdefault(own, (_key(container, previous=False),))
    return tuple(wanted.values())[:limit]


def since_seconds(snapshot: Snapshot, key: LogKey) -> int | None:
    """Return how far back a log is to be read, or None: of a container that runs well only what it says now counts."""
    pod = snapshot.get(PODS, key.namespace, key.pod)
    for container in containers.containers_of(pod or {}):
        if container.name == key.container and container.is_ready and container.last_termination is None:
            return int(_NOW.total_seconds())
    return None


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
