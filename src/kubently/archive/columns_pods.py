"""Pods as rows: what `kubectl get pods` shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kubently.archive import cells
from kubently.archive.cells import AGE, NAME, NONE, Cell, Column
from kubently.kube import objects

_COLUMNS = (
    NAME,
    Column("Ready"),
    Column("Status"),
    Column("Restarts"),
    AGE,
    Column("IP", wide=True),
    Column("Node", wide=True),
    Column("Nominated Node", wide=True),
    Column("Readiness Gates", wide=True),
)


@dataclass(slots=True)
class _Count:
    """Restarts so far and when the last one was."""

    restarts: int = 0
    last_at: datetime | None = None

    def add(self, status: objects.KubeObject) -> None:
        self.restarts += objects.integer(status, "restartCount")
        ended_at = objects.instant(status, "lastState", "terminated", "finishedAt")
        if ended_at is not None and (self.last_at is None or self.last_at < ended_at):
            self.last_at = ended_at


@dataclass(slots=True)
class _Summary:
    """What the containers of a pod add up to."""

    reason: str
    total: int
    ready: int = 0
    count: _Count | None = None
    initializing: bool = False


def row_conditions(pod: objects.KubeObject) -> list[dict[str, str]]:
    """Return the conditions of a pod's row: Completed for pods that have ended."""
    messages = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}
    phase = objects.text(pod, "status", "phase")
    if phase not in messages:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": messages[phase]}]


def _pod(pod: objects.KubeObject, now: datetime) -> list[Cell]:
    summary = _summarize(pod)
    count = summary.count or _Count()
    restarts = str(count.restarts)
    if count.restarts and count.last_at is not None:
        restarts = f"{count.restarts} ({cells.since(count.last_at, now)} ago)"
    return [
        objects.name(pod),
        f"{summary.ready}/{summary.total}",
        _with_deletion(pod, summary.reason),
        restarts,
        cells.age(pod, now),
        objects.text(pod, "status", "podIPs", 0, "ip") or NONE,
        objects.text(pod, "spec", "nodeName") or NONE,
        objects.text(pod, "status", "nominatedNodeName") or NONE,
        _readiness_gates(pod),
    ]


def _summarize(pod: objects.KubeObject) -> _Summary:
    sidecars = {objects.text(item, "name") for item in objects.init_containers(pod) if _is_sidecar(item)}
    total = len(objects.containers(pod)) + len(sidecars)
    summary = _Summary(_phase_reason(pod), total)
    sidecar_count = _add_init_containers(pod, summary, sidecars)
    if not summary.initializing or _has_condition(pod, "Initialized"):
        summary.count = sidecar_count
        _add_containers(pod, summary, sidecar_count)
    return summary


def _phase_reason(pod: objects.KubeObject) -> str:
    gated = any(item.type == "PodScheduled" and item.reason == "SchedulingGated" for item in objects.conditions(pod))
    if gated:
        return "SchedulingGated"
    return objects.text(pod, "status", "reason") or objects.text(pod, "status", "phase")


def _is_sidecar(container: objects.KubeObject) -> bool:
    return objects.text(container, "restartPolicy") == "Always"


def _has_condition(pod: objects.KubeObject, name: str) -> bool:
    found = objects.condition(pod, name)
    return found is not None and found.is_true


def _add_init_containers(pod: objects.KubeObject, summary: _Summary, sidecars: set[str]) -> _Count:
    """Go through the init containers up to the first that is not done; return the sidecars' restarts."""
    everything, of_sidecars = _Count(), _Count()
    summary.count = everything
    specified = len(objects.init_containers(pod))
    for index, status in enumerate(objects.init_container_statuses(pod)):
        everything.add(status)
        is_sidecar = objects.text(status, "name") in sidecars
        if is_sidecar:
            of_sidecars.add(status)
        if _ended_well(status):
            continue
        if is_sidecar and objects.flag(status, "started"):
            summary.ready += objects.flag(status, "ready")
            continue
        summary.reason = _init_reason(status, index, specified)
        summary.initializing = True
        break
    return of_sidecars


def _ended_well(status: objects.KubeObject) -> bool:
    terminated = objects.at(status, "state", "terminated")
    return terminated is not None and objects.integer(terminated, "exitCode") == 0


def _init_reason(status: objects.KubeObject, index: int, specified: int) -> str:
    if objects.at(status, "state", "terminated") is not None:
        return "Init:" + _ended_reason(objects.mapping(status, "state", "terminated"))
    waiting = objects.text(status, "state", "waiting", "reason")
    if waiting and waiting != "PodInitializing":
        return f"Init:{waiting}"
    return f"Init:{index}/{specified}"


def _ended_reason(terminated: objects.KubeObject) -> str:
    if reason := objects.text(terminated, "reason"):
        return reason
    if signal := objects.integer(terminated, "signal"):
        return f"Signal:{signal}"
    return f"ExitCode:{objects.integer(terminated, 'exitCode')}"


def _add_containers(pod: objects.KubeObject, summary: _Summary, count: _Count) -> None:
    """Let the first container that waits or has ended give the reason."""
    running, failed = False, ""
    for status in reversed(objects.container_statuses(pod)):
        count.add(status)
        terminated = objects.at(status, "state", "terminated")
        if waiting := objects.text(status, "state", "waiting", "reason"):
            summary.reason = waiting
        elif terminated is not None:
            summary.reason = _ended_reason(terminated)
            failed = summary.reason if objects.integer(terminated, "exitCode") else failed
        elif objects.flag(status, "ready") and objects.at(status, "state", "running") is not None:
            running = True
            summary.ready += 1
    if summary.reason == "Completed":
        summary.reason = _reason_of_mixed(pod, failed, running=running)


def _reason_of_mixed(pod: objects.KubeObject, failed: str, *, running: bool) -> str:
    """Return the reason of a pod some of whose containers are done."""
    if running and _has_condition(pod, "Ready"):
        return "Running"
    if failed:
        return failed
    return "NotReady" if running else "Completed"


def _with_deletion(pod: objects.KubeObject, reason: str) -> str:
    if objects.at(pod, "metadata", "deletionTimestamp") is None:
        return reason
    if objects.text(pod, "status", "reason") == "NodeLost":
        return "Unknown"
    ended = objects.text(pod, "status", "phase") in ("Succeeded", "Failed")
    return reason if ended else "Terminating"


def _readiness_gates(pod: objects.KubeObject) -> str:
    gates = objects.mappings(pod, "spec", "readinessGates")
    if not gates:
        return NONE
    passed = sum(_has_condition(pod, objects.text(gate, "conditionType")) for gate in gates)
    return f"{passed}/{len(gates)}"


LAYOUTS = (cells.Layout("", "pods", _COLUMNS, _pod),)
