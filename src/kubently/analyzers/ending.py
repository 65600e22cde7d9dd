"""What should be gone and is not, and APIs that do not answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from kubently.analyzers import cases
from kubently.analyzers.base import Analyzer, Condition, analyzer, clean, finding, quote
from kubently.analyzers.cases import Case
from kubently.analyzers.resources import API_SERVICES, NAMESPACES, PODS
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Finding, ResourceRef, Severity

POD_TERMINATING = Condition(
    "pod/stuck-terminating",
    Severity.DEGRADED,
    "The pod was deleted and is still there, minutes after its time to end was over.",
    "A finalizer waits for its controller, or the pod's node does not answer.",
    symptom_of=("node/not-ready", "pod/node-gone"),
)
NAMESPACE_TERMINATING = Condition(
    "namespace/stuck-terminating",
    Severity.DEGRADED,
    "The namespace was deleted and cannot go: something in it is left, or cannot be known.",
    "Remove what the finalizers wait for, or mend the API that does not answer; leave the namespace's own finalizer.",
    symptom_of=("apiservice/unavailable",),
)
API_UNAVAILABLE = Condition(
    "apiservice/unavailable",
    Severity.DEGRADED,
    "An aggregated API does not answer: its kinds cannot be read, and no namespace can be deleted.",
    "See the Service and pods behind it; delete the APIService if it is not used any more.",
)

_PATIENCE = timedelta(minutes=5)


@analyzer(
    "deletions", needs=(*cases.NEEDS, NAMESPACES, API_SERVICES), conditions=(POD_TERMINATING, NAMESPACE_TERMINATING)
)
def deletions(snapshot: Snapshot) -> Iterator[Finding]:
    """Report pods and namespaces that were deleted and are still there."""
    yield from cases.findings(snapshot, _terminating(snapshot))
    for namespace in snapshot.members(NAMESPACES):
        if snapshot.age(objects.deleted_at(namespace)) > _PATIENCE:
            yield _namespace(snapshot, namespace)


@analyzer("api-services", needs=(API_SERVICES,), conditions=(API_UNAVAILABLE,))
def api_services(snapshot: Snapshot) -> Iterator[Finding]:
    """Report aggregated APIs that the API server cannot reach."""
    for member in snapshot.members(API_SERVICES):
        available = objects.condition(member, "Available")
        if available is not None and available.is_false and snapshot.age(available.changed_at) > timedelta(minutes=1):
            yield _unavailable(member, available)


# ---- deleted


def _terminating(snapshot: Snapshot) -> Iterator[Case]:
    for pod in snapshot.members(PODS):
        # A deletionTimestamp is when the time to end is over.
        if snapshot.age(objects.deleted_at(pod)) <= _PATIENCE:
            continue
        finalizers = objects.strings(pod, "metadata", "finalizers")
        node = objects.text(pod, "spec", "nodeName")
        why = f"finalizers {', '.join(finalizers)}" if finalizers else f"its node {node} does not end it"
        deleted = objects.text(pod, "metadata", "deletionTimestamp")
        yield Case(
            POD_TERMINATING,
            pod,
            what=f"a deleted pod is still there: {clean(why, limit=200)}",
            evidence=(
                quote(cases.pod_source(pod, "metadata"), f"deletionTimestamp {deleted}; finalizers {list(finalizers)}"),
                quote(cases.pod_source(pod, "spec.nodeName"), node or "none"),
            ),
            others=(ResourceRef(kind="Node", name=clean(node, limit=253)),) if node and not finalizers else (),
            severity=Severity.DEGRADED,
        )


def _namespace(snapshot: Snapshot, namespace: KubeObject) -> Finding:
    ref = objects.ref(namespace)
    told = [c for c in objects.conditions(namespace) if c.is_true]
    # Of what cannot be known the reason is an API that does not answer.
    dead = [
        objects.ref(api)
        for api in snapshot.members(API_SERVICES)
        if any(c.type == "NamespaceDeletionDiscoveryFailure" for c in told)
        and (found := objects.condition(api, "Available")) is not None
        and found.is_false
    ]
    said = clean(told[-1].message, limit=200) if told else "nothing says why"
    return finding(
        NAMESPACE_TERMINATING,
        title=f"{cases.display(ref)} was deleted and cannot go: {said}",
        objects=(ref, *dead),
        evidence=tuple(quote(f"{cases.display(ref)} condition {c.type}", c.message) for c in told)
        or (quote(f"{cases.display(ref)} metadata.deletionTimestamp", str(objects.deleted_at(namespace))),),
        next_checks=(f"get namespace {ref.name} -o yaml", "get apiservices"),
    )


# ---- APIs


def _unavailable(member: KubeObject, available: objects.Condition) -> Finding:
    ref = objects.ref(member)
    behind = objects.mapping(member, "spec", "service")
    service = f"{objects.text(behind, 'namespace')}/{objects.text(behind, 'name')}"
    return finding(
        API_UNAVAILABLE,
        title=f"{cases.display(ref)} is not available: {clean(available.message, limit=200)}",
        objects=(ref,),
        evidence=(
            quote(f"{cases.display(ref)} condition Available", f"{available.reason}: {available.message}"),
            quote(f"{cases.display(ref)} spec.service", service),
        ),
        next_checks=("get apiservices",),
    )


ANALYZERS: tuple[Analyzer, ...] = (deletions, api_services)
