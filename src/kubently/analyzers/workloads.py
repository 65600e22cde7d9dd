"""Rollouts that do not end."""

from __future__ import annotations

from collections.abc import Iterator

from kubently.analyzers import cases
from kubently.analyzers.base import Analyzer, Condition, analyzer, finding, quote
from kubently.analyzers.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Finding, Severity

ROLLOUT_STUCK = Condition(
    "workload/rollout-stuck",
    Severity.DEGRADED,
    "A rollout made no progress within progressDeadlineSeconds.",
    "See what keeps the new pods from becoming available; roll back if the old version is still there.",
    symptom_of=(
        "pod/*",
        "pvc/*",
        "node/not-ready",
        "workload/quota-exceeded",
        "workload/quota-needs-resources",
        "workload/webhook-fails",
        "workload/webhook-denies",
        "workload/pod-security",
        "workload/service-account-missing",
        "workload/limit-range",
        "workload/replica-failure",
    ),
    confidence=Confidence.LIKELY,
)
CONDITIONS = (ROLLOUT_STUCK,)


@analyzer("workload-rollouts", needs=(DEPLOYMENTS, REPLICA_SETS, PODS), conditions=CONDITIONS)
def workload_rollouts(snapshot: Snapshot) -> Iterator[Finding]:
    """Report Deployments that passed their progress deadline."""
    for deployment in snapshot.members(DEPLOYMENTS):
        progressing = objects.condition(deployment, "Progressing")
        if progressing is None or not progressing.is_false or progressing.reason != "ProgressDeadlineExceeded":
            continue
        if objects.integer(deployment, "spec", "replicas", default=1) > 0 and objects.deleted_at(deployment) is None:
            yield _finding(snapshot, deployment, progressing)


def _finding(snapshot: Snapshot, deployment: KubeObject, progressing: objects.Condition) -> Finding:
    ref = objects.ref(deployment)
    wanted = objects.integer(deployment, "spec", "replicas", default=1)
    updated = objects.integer(deployment, "status", "updatedReplicas")
    ready = objects.integer(deployment, "status", "readyReplicas")
    state = f"{ready} of {wanted} pods are ready"
    return finding(
        ROLLOUT_STUCK,
        title=f"{cases.display(ref)}: the rollout made no progress before its deadline; {state}",
        objects=(ref,),
        evidence=(
            quote(f"{cases.display(ref)} condition Progressing", f"{progressing.reason}: {progressing.message}"),
            quote(f"{cases.display(ref)} status", f"replicas wanted {wanted}, updated {updated}, ready {ready}"),
        ),
        next_checks=(
            f"rollout status deployment {ref.name} -n {ref.namespace}",
            f"rollout history deployment {ref.name} -n {ref.namespace}",
            f"describe deployment {ref.name} -n {ref.namespace}",
        ),
        severity=Severity.DEGRADED if ready else Severity.OUTAGE,
    )


ANALYZERS: tuple[Analyzer, ...] = (workload_rollouts,)
