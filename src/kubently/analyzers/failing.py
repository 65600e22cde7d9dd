"""Which containers fail now, and what they said."""

from __future__ import annotations

from datetime import timedelta

from kubently.analyzers import evidence
from kubently.analyzers.containers import Container, Termination
from kubently.analyzers.snapshot import Snapshot

_FLAPPING = timedelta(minutes=10)
"""A container that ended twice, last within this time, and runs for less than it, is still in its loop: the longest
back-off of the kubelet is five minutes."""


def is_failing(snapshot: Snapshot, container: Container) -> bool:
    """Say whether a container ends again and again, or runs and is not ready, as init containers never are."""
    ended = container.last_termination
    if ended is not None and ended.exit_code != 0 and is_looping(snapshot, container, ended):
        return True
    return container.is_running and not container.is_ready and not container.is_init


def is_looping(snapshot: Snapshot, container: Container, ended: Termination) -> bool:
    """Say whether a container is in a restart loop now, be it waiting, just ended or just started again."""
    if container.waiting_reason == "CrashLoopBackOff":
        return True
    if container.termination is not None:
        return container.restarts >= 1 and container.is_restarted_after(ended.exit_code)
    if not container.is_running or container.restarts < 2 or ended.finished_at is None:
        return False
    return snapshot.age(ended.finished_at) < _FLAPPING and snapshot.age(container.running_since) < _FLAPPING


def last_log(snapshot: Snapshot, container: Container) -> tuple[str, str]:
    """Return where the log of the run that ended last stands, and its text; both empty if there is none."""
    wanted = container.termination is None
    keys = snapshot.logs_like(container.pod, container.name)
    for key in sorted(keys, key=lambda key: key.previous is not wanted):
        if snapshot.logs[key]:
            return evidence.log_source(key), snapshot.logs[key]
    return "", ""
