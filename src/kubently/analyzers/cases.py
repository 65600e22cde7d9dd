"""Twenty pods with one fault are one finding.

Rules about pods yield a `Case` for each pod that they find at fault; `findings` makes one finding of all cases that
have the condition, the workload and the key (usually the container) in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kubently.analyzers import containers
from kubently.analyzers.base import Condition, finding
from kubently.analyzers.resources import EVENTS, JOBS, PODS, REPLICA_SETS
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Evidence, Finding, ResourceRef, Severity

NEEDS = (PODS, EVENTS, REPLICA_SETS, JOBS)
"""What rules about pods read: ReplicaSets and Jobs lead from a pod to its workload."""

SHOWN_PODS = 3
"""Pods of one finding whose evidence is shown, as far as it differs; all are named."""


@dataclass(frozen=True, slots=True)
class Case:
    """One pod at fault."""

    condition: Condition
    pod: KubeObject
    what: str
    """What is wrong, as it follows the workload's name in a title."""
    evidence: tuple[Evidence, ...]
    key: str = ""
    """What tells this fault from others of its kind in the workload, usually the container."""
    others: tuple[ResourceRef, ...] = ()
    """Objects that the fault concerns beside the workload and its pods."""
    next_checks: tuple[str, ...] = ()
    severity: Severity | None = None
    """The severity, or None to take it from what is left of the workload."""


def findings(snapshot: Snapshot, cases: Iterable[Case]) -> Iterator[Finding]:
    """Make one finding of all cases with the same condition, workload and key."""
    groups: dict[tuple[str, ResourceRef, str], list[Case]] = {}
    for case in cases:
        workload = snapshot.workload_of(case.pod)
        groups.setdefault((case.condition.code, workload, case.key), []).append(case)
    for (_, workload, key), members in groups.items():
        yield _finding(snapshot, workload, key, members)


def _finding(snapshot: Snapshot, workload: ResourceRef, key: str, cases: Sequence[Case]) -> Finding:
    newest = max(cases, key=_birth)
    pods = sorted((objects.ref(case.pod) for case in cases), key=lambda ref: ref.name)
    total = len([pod for pod in snapshot.pods_of(workload) if not containers.is_finished(pod)])
    count = f" ({len(pods)} of {total} pods)" if total > 1 else ""
    ordered = [newest, *(case for case in cases if case is not newest)]
    return finding(
        newest.condition,
        title=f"{display(workload)}: {newest.what}{count}",
        objects=(workload, *newest.others, *pods),
        evidence=_evidence(ordered[:SHOWN_PODS]),
        next_checks=newest.next_checks,
        severity=newest.severity or severity_of_loss(snapshot, workload),
        key=key,
    )


def _evidence(cases: Sequence[Case]) -> list[Evidence]:
    """Return the evidence of some pods; what a second one says in the same words adds nothing."""
    said: dict[str, Evidence] = {}
    for case in cases:
        for item in case.evidence:
            said.setdefault(item.quote, item)
    return list(said.values())


def _birth(case: Case) -> tuple[str, str]:
    """Order pods by creation: the newest shows what a rollout brought."""
    return objects.text(case.pod, "metadata", "creationTimestamp"), objects.name(case.pod)


def severity_of_loss(snapshot: Snapshot, workload: ResourceRef) -> Severity:
    """Return how bad it is that pods of *workload* do not run: an outage only if none is ready and some should be."""
    if workload.kind in ("Job", "CronJob"):
        return Severity.DEGRADED
    return Severity.DEGRADED if any(map(containers.is_ready, snapshot.pods_of(workload))) else Severity.OUTAGE


def display(ref: ResourceRef) -> str:
    """Name an object for a person: "Deployment shop/web"."""
    return f"{ref.kind} {ref.namespace}/{ref.name}" if ref.namespace else f"{ref.kind} {ref.name}"


def pod_source(pod: KubeObject, field: str) -> str:
    """Name a field of a pod as the source of a quote."""
    return f"pod {objects.namespace(pod)}/{objects.name(pod)} {field}"


def event_source(ref: ResourceRef, reason: str) -> str:
    """Name an event as the source of a quote."""
    return f"event {reason} about {display(ref)}"
