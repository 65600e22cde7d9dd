"""Why a finding is as severe as it is, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from kubently.analyzers import cases, containers
from kubently.analyzers.resources import WORKLOADS
from kubently.analyzers.snapshot import Snapshot
from kubently.schema.findings import Finding, ResourceRef, Severity

_MEANING = {
    Severity.OUTAGE: "what depends on it is not served",
    Severity.DEGRADED: "it serves less than it should, or a change cannot complete",
    Severity.RISK: "it serves now; a restart, the loss of a node or a date would break it",
    Severity.HYGIENE: "nothing is wrong today",
}
_KINDS = frozenset(resource.kind for resource in WORKLOADS)


def of(snapshot: Snapshot, finding: Finding, own: Severity, symptoms: Sequence[Finding]) -> str:
    """Say why: what it brought with it, how much of the workload is left, or what the severity means.

    *own* is the severity that the finding had before *symptoms* were folded into it.
    """
    if finding.severity.rank < own.rank:
        worst = min(symptoms, key=lambda symptom: symptom.severity.rank)
        return f"as severe as its worst symptom: {worst.title}"
    left = _left(snapshot, finding.objects[0]) if finding.severity.rank <= Severity.DEGRADED.rank else ""
    if finding.affects:
        needing = ", ".join(map(cases.display, finding.affects[:3])) + (" and others" if finding.affects[3:] else "")
        return f"{left or _MEANING[finding.severity]}; needed by {needing}"
    return left or _MEANING[finding.severity]


def _left(snapshot: Snapshot, workload: ResourceRef) -> str:
    if workload.kind not in _KINDS and workload.kind != "Pod":
        return ""
    pods = [pod for pod in snapshot.pods_of(workload) if not containers.is_finished(pod)]
    ready = sum(map(containers.is_ready, pods))
    return f"{ready} of {len(pods)} pods of {cases.display(workload)} are ready" if pods else "it has no pods"
