"""Which logs are worth reading: those of containers that fail, one pod for each workload and container; and in them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubently.analyzers import containers
from kubently.analyzers.base import GRACE, quote
from kubently.analyzers.containers import Container
from kubently.analyzers.resources import PODS
from kubently.analyzers.snapshot import LogKey, Snapshot
from kubently.kube import objects
from kubently.schema.findings import Evidence, ResourceRef

_UNRESOLVED = re.compile(
    r"EAI_AGAIN|ENOTFOUND|no such host|name resolution|could not resolve|Name or service not known|"
    r"UnknownHostException|nodename nor servname|i/o timeout.{0,80}:53\b|server misbehaving",
    re.IGNORECASE,
)


def logs_wanted(snapshot: Snapshot, *, limit: int) -> tuple[tuple[LogKey, ...], ...]:
    """Return for at most *limit* failing containers the logs to read, the most telling first in each group."""
    wanted: dict[tuple[object, str], tuple[LogKey, ...]] = {}
    for pod in snapshot.members(PODS):
        if containers.is_finished(pod):
            continue
        for container in containers.containers_of(pod):
            runs = tuple(_runs(snapshot, container))
            if runs:
                keys = tuple(_key(container, previous=previous) for previous in runs)
                wanted.setdefault((snapshot.workload_of(pod), container.name), keys)
    return tuple(wanted.values())[:limit]


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


def unresolved(snapshot: Snapshot, workload: ResourceRef) -> Evidence | None:
    """Return the last line of a log in which a workload's pods complain that a name does not resolve."""
    for pod in snapshot.pods_of(workload):
        for container in containers.containers_of(pod):
            for key in snapshot.logs_like(pod, container.name):
                for line in reversed(snapshot.logs[key][-64_000:].splitlines()):
                    if _UNRESOLVED.search(line[:2000]):
                        return quote(f"log of container {key.container} of pod {key.namespace}/{key.pod}", line)
    return None
