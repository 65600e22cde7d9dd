"""Controllers of workloads: those that do not act, and what they cannot complete though no pod says why."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from kubently.analyzers import cases, refusals
from kubently.analyzers.base import Analyzer, Condition, analyzer, clean, finding, quote
from kubently.analyzers.resources import DAEMON_SETS, DEPLOYMENTS, PODS, REPLICA_SETS, SERVICES, STATEFUL_SETS
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Finding, ResourceRef, Severity

NOT_RECONCILED = Condition(
    "workload/not-reconciled",
    Severity.DEGRADED,
    "The object was changed minutes ago and its controller has not looked at it.",
    "See whether kube-controller-manager runs and reaches the API server.",
)
INCOMPLETE = Condition(
    "workload/incomplete",
    Severity.DEGRADED,
    "A StatefulSet or DaemonSet has fewer ready pods than it should have.",
    "See its pods and events; a StatefulSet makes its pods one after another.",
    symptom_of=("pod/*", "pvc/*", "node/not-ready", *(condition.code for condition in refusals.CONDITIONS)),
)
GOVERNING_SERVICE = Condition(
    "workload/governing-service-missing",
    Severity.RISK,
    "The StatefulSet's serviceName names no Service, so its pods have no names of their own in DNS.",
    "Create the headless Service.",
)
PAUSED = Condition(
    "workload/rollout-paused",
    Severity.RISK,
    "A Deployment was paused in the middle of a rollout more than an hour ago: two versions run side by side.",
    "Resume the rollout, or undo it.",
)
CONDITIONS = (NOT_RECONCILED, INCOMPLETE, GOVERNING_SERVICE, PAUSED)

_RECONCILED = (DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, DAEMON_SETS)
_PATIENCE = timedelta(minutes=2)
_SETTLED = timedelta(minutes=10)
_HOUR = timedelta(hours=1)


@analyzer("controllers", needs=(*_RECONCILED, PODS, SERVICES), conditions=CONDITIONS)
def controllers(snapshot: Snapshot) -> Iterator[Finding]:
    """Report what controllers left undone."""
    for resource in _RECONCILED:
        for member in snapshot.members(resource):
            if objects.deleted_at(member) is None:
                yield from _not_reconciled(snapshot, member)
    for member in snapshot.members(STATEFUL_SETS):
        wanted = objects.integer(member, "spec", "replicas", default=1)
        yield from _incomplete(snapshot, member, wanted, objects.integer(member, "status", "readyReplicas"))
        yield from _governing_service(snapshot, member)
    for member in snapshot.members(DAEMON_SETS):
        wanted = objects.integer(member, "status", "desiredNumberScheduled")
        yield from _incomplete(snapshot, member, wanted, objects.integer(member, "status", "numberReady"))
    for member in snapshot.members(DEPLOYMENTS):
        yield from _paused(snapshot, member)


def _not_reconciled(snapshot: Snapshot, member: KubeObject) -> Iterator[Finding]:
    generation = objects.integer(member, "metadata", "generation")
    observed = objects.integer(member, "status", "observedGeneration", default=generation)
    changed = changed_at(member)
    if observed >= generation or changed is None or snapshot.age(changed) < _PATIENCE:
        return
    ref = objects.ref(member)
    yield finding(
        NOT_RECONCILED,
        title=f"{cases.display(ref)} was changed and its controller has not acted on it",
        objects=(ref,),
        evidence=(
            quote(cases.display(ref), f"metadata.generation {generation}, status.observedGeneration {observed}"),
            quote(f"{cases.display(ref)} metadata.managedFields", f"changed {changed.isoformat()}"),
        ),
        next_checks=("get pods -n kube-system", "get leases -n kube-system"),
    )


def changed_at(member: KubeObject) -> datetime | None:
    """Return when anybody last changed the object itself, its status left out."""
    times = [
        objects.instant(entry, "time")
        for entry in objects.mappings(member, "metadata", "managedFields")
        if not objects.text(entry, "subresource")
    ]
    return max((time for time in times if time is not None), default=None)


def _incomplete(snapshot: Snapshot, member: KubeObject, wanted: int, ready: int) -> Iterator[Finding]:
    pods = snapshot.pods_of(objects.ref(member))
    newest = max((created for pod in pods if (created := objects.created_at(pod)) is not None), default=None)
    if ready >= wanted or snapshot.age(newest or objects.created_at(member)) < _SETTLED:
        return
    ref = objects.ref(member)
    yield finding(
        INCOMPLETE,
        title=f"{cases.display(ref)}: {ready} of {wanted} pods are ready, and {len(pods)} exist",
        objects=(ref, *(objects.ref(pod) for pod in pods[:20])),
        evidence=(quote(f"{cases.display(ref)} status", f"wanted {wanted}, ready {ready}"),),
        next_checks=(f"describe {ref.kind.lower()} {ref.name} -n {ref.namespace}",),
        severity=Severity.DEGRADED if ready else Severity.OUTAGE,
    )


def _governing_service(snapshot: Snapshot, member: KubeObject) -> Iterator[Finding]:
    ref = objects.ref(member)
    name = objects.text(member, "spec", "serviceName")
    if not name or not snapshot.is_complete(SERVICES, ref.namespace) or snapshot.get(SERVICES, ref.namespace, name):
        return
    yield finding(
        GOVERNING_SERVICE,
        title=f"{cases.display(ref)} names the governing Service {clean(name, limit=253)}, which does not exist",
        objects=(ref, ResourceRef(kind="Service", namespace=ref.namespace, name=clean(name, limit=253))),
        evidence=(quote(f"{cases.display(ref)} spec.serviceName", name),),
        next_checks=(f"get services -n {ref.namespace}",),
    )


def _paused(snapshot: Snapshot, member: KubeObject) -> Iterator[Finding]:
    ref = objects.ref(member)
    updated, replicas = (objects.integer(member, "status", name) for name in ("updatedReplicas", "replicas"))
    progressing = objects.condition(member, "Progressing")
    since = progressing.changed_at if progressing is not None else None
    if not objects.flag(member, "spec", "paused") or updated >= replicas or snapshot.age(since) < _HOUR:
        return
    yield finding(
        PAUSED,
        title=f"{cases.display(ref)} is paused with {updated} of {replicas} pods of the new version",
        objects=(ref,),
        evidence=(quote(cases.display(ref), f"spec.paused true; replicas {replicas}, updated {updated}"),),
        next_checks=(f"rollout status deployment {ref.name} -n {ref.namespace}",),
    )


ANALYZERS: tuple[Analyzer, ...] = (controllers,)
