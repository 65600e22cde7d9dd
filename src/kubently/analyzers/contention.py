"""Who takes what others need: a server that has no room for more clients, a row or table that stays locked.

Those who complain are seldom those at fault. Who shares the server with them, as both are told of one Service or read
one Secret, and was changed or started before the complaints began, is the first suspect.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from kubently.analyzers import addresses, cases, changes, containers, evidence, loglines, recent
from kubently.analyzers.base import Analyzer, Condition, analyzer, clean, finding, quote
from kubently.analyzers.recent import Recent
from kubently.analyzers.resources import PODS, SERVICES
from kubently.analyzers.snapshot import LogKey, Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Finding, ResourceRef, Severity

CONTENDS = Condition(
    "change/contends",
    Severity.DEGRADED,
    "Programs find no room at a server or wait for its locks, since another of its clients was changed or started.",
    "Look at what that client takes: the size of its pool, its number of pods, a transaction that stays open.",
    confidence=Confidence.LIKELY,
)

_SHOWN = 3
_ENOUGH = 3
_CONTENTION = re.compile(
    r"too many (?:clients|connections)|remaining connection slots|max(?:imum)? number of (?:clients|connections)|"
    r"(?:connection|client) limit (?:\w+ )?(?:exceeded|reached)|lock ?(?:wait )?timeout|LockNotAvailable|"
    r"could not obtain lock|deadlock detected|Deadlock found|database is locked",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Complaint:
    """What one workload says of it."""

    pod: KubeObject
    workload: ResourceRef
    key: LogKey
    line: str
    """The newest."""
    first_at: datetime | None
    is_pressing: bool
    """Whether it is more than a busy server's ordinary day."""


@analyzer("contention", needs=(*cases.NEEDS, *recent.NEEDS), conditions=(CONTENDS,), needs_logs=True)
def contention(snapshot: Snapshot) -> Iterator[Finding]:
    """Name the client of a shared server that was changed before others found no room there."""
    complaints = list(_complaints(snapshot))
    if not complaints:
        return
    changed = {ref: change for found in recent.changed(snapshot).values() for ref, change in found.items()}
    groups: dict[ResourceRef, list[_Complaint]] = {}
    for complaint in complaints:
        for shared in _shared_by(complaint.pod, snapshot):
            groups.setdefault(shared, []).append(complaint)
    told: dict[ResourceRef, Finding] = {}
    for shared, members in groups.items():
        if not any(item.is_pressing for item in members):
            continue
        found = _suspect(snapshot, shared, members, changed.values())
        if found is not None:
            told.setdefault(found.objects[0], found)
    yield from told.values()


def _complaints(snapshot: Snapshot) -> Iterator[_Complaint]:
    for key in sorted(snapshot.logs):
        pod = snapshot.get(PODS, key.namespace, key.pod)
        lines = [line for line in loglines.lines(snapshot.logs[key]) if _CONTENTION.search(line)] if pod else []
        if pod is not None and lines:
            first_at = next((at for line in lines if (at := loglines.time_of(line)) is not None), None)
            pressing = _is_pressing(snapshot, pod, lines)
            yield _Complaint(pod, snapshot.workload_of(pod), key, lines[-1], first_at, pressing)


def _is_pressing(snapshot: Snapshot, pod: KubeObject, lines: Sequence[str]) -> bool:
    """Say whether it is said now and often, or by who is not ready."""
    if not containers.is_ready(pod):
        return True
    return len(lines) >= _ENOUGH and loglines.is_of_now(snapshot, lines[-1])


def _shared_by(pod: KubeObject, snapshot: Snapshot) -> list[ResourceRef]:
    """What tells of a server: the Services that a pod is told of or stands behind, and the Secrets that it reads.

    Operators name the Secrets of a server's users after it.
    """
    services = snapshot.members(SERVICES, objects.namespace(pod))
    told = (address.service for address in addresses.addresses_of(snapshot, pod))
    own = (
        objects.ref(service)
        for service in services
        if objects.map_selects(objects.at(service, "spec", "selector"), objects.labels(pod))
    )
    secrets = [ref for ref in changes.named_by(pod) if ref.kind == "Secret"]
    named_after = (
        max(
            (ref for ref in map(objects.ref, services) if secret.name.startswith(f"{ref.name}-")),
            key=_length,
            default=secret,
        )
        for secret in secrets
    )
    return list(dict.fromkeys((*named_after, *secrets, *told, *own)))


def _length(ref: ResourceRef) -> int:
    return len(ref.name)


def _suspect(
    snapshot: Snapshot, shared: ResourceRef, members: Sequence[_Complaint], changed: Iterable[Recent]
) -> Finding | None:
    """Return the last change of a client before the first complaint, but for what they share itself."""
    began = min((item.first_at for item in members if item.first_at is not None), default=None)
    before = [item for item in changed if item.ref != shared and (began is None or item.at <= began + recent.SKEW)]
    if not before:
        return None
    clients = {
        snapshot.workload_of(pod): pod
        for pod in snapshot.members(PODS, shared.namespace)
        if not containers.is_finished(pod) and shared in _shared_by(pod, snapshot)
    }
    parts = {ref: workload for workload, pod in clients.items() for ref in recent.parts_of(snapshot, pod)}
    theirs = [item for item in before if item.ref in parts]
    if not theirs:
        return None
    last = max(theirs, key=lambda item: (item.at, str(item.ref)))
    return _finding(last, parts[last.ref], shared, [item for item in members if item.is_pressing])


def _finding(change: Recent, client: ResourceRef, shared: ResourceRef, members: Sequence[_Complaint]) -> Finding:
    workloads = tuple(dict.fromkeys(item.workload for item in members))
    who = cases.display(workloads[0]) + (f" and {len(workloads) - 1} more" if workloads[1:] else "")
    reads = "" if change.ref == client else f" for {cases.display(client)}"
    how = f"{cases.display(change.ref)} was {change.told.quote}{reads}"
    line = clean(loglines.message_of(members[0].line), limit=120)
    shown = [quote(evidence.log_source(item.key), item.line) for item in members[:_SHOWN]]
    return finding(
        CONTENDS,
        title=f"{how}; it shares {cases.display(shared)} with {who}, who since says: {line}",
        objects=(change.ref, client, *workloads, shared),
        evidence=(change.told, *shown),
        next_checks=(f"how many connections and open transactions {cases.display(client)} holds",),
    )


ANALYZERS: tuple[Analyzer, ...] = (contention,)
