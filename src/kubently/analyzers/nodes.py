"""Nodes that cannot run pods, or soon cannot."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from kubently.analyzers import cases, containers
from kubently.analyzers.base import GRACE, Analyzer, Condition, analyzer, clean, finding, quote
from kubently.analyzers.cases import Case
from kubently.analyzers.resources import NODES, PODS
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Finding, ResourceRef, Severity

NOT_READY = Condition(
    "node/not-ready",
    Severity.DEGRADED,
    "The node's kubelet reports that it cannot run pods, or does not report any more.",
    "See whether the machine runs and reaches the API server; then its kubelet, container runtime and network plug-in.",
)
PRESSURE = Condition(
    "node/pressure",
    Severity.DEGRADED,
    "The node is short of memory, disk or process ids: it takes no more pods and evicts some.",
    "See what uses it on the node; give the pods requests that say what they use.",
    symptom_of=("pod/starves-node",),
)
NETWORK_UNAVAILABLE = Condition(
    "node/network-unavailable",
    Severity.DEGRADED,
    "The node's network is not set up, so no pod of the pod network runs there.",
    "See the network plug-in's pod on that node, and the cloud's routes.",
    symptom_of=("node/not-ready",),
)
PROBLEM = Condition(
    "node/problem",
    Severity.RISK,
    "A program that looks after nodes, such as the node problem detector, reports a problem of this one.",
    "Read its words; cordon the node until it is mended.",
    symptom_of=("node/not-ready",),
)
CORDONED = Condition(
    "node/cordoned",
    Severity.RISK,
    "The node was taken out of scheduling more than a day ago, and its share of the cluster is missing since.",
    "Uncordon it, or remove it.",
)
NODE_GONE = Condition(
    "pod/node-gone",
    Severity.OUTAGE,
    "The pod is bound to a node that does not exist any more.",
    "Delete the pod by force if its machine is surely off; its controller makes another.",
)
CONDITIONS = (NOT_READY, PRESSURE, NETWORK_UNAVAILABLE, PROBLEM, CORDONED, NODE_GONE)

_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure")
_CORDON = "node.kubernetes.io/unschedulable"
_FORGOTTEN = timedelta(days=1)


@analyzer("nodes", needs=(NODES, PODS), conditions=CONDITIONS)
def nodes(snapshot: Snapshot) -> Iterator[Finding]:
    """Report nodes by what their kubelet and the node controller say of them."""
    for node in snapshot.members(NODES):
        if objects.deleted_at(node) is None and snapshot.age(objects.created_at(node)) >= GRACE:
            yield from _conditions(snapshot, node)
            yield from _cordon(snapshot, node)


@analyzer("pods-of-lost-nodes", needs=(NODES, *cases.NEEDS), conditions=(NODE_GONE,))
def pods_of_lost_nodes(snapshot: Snapshot) -> Iterator[Finding]:
    """Report pods whose node was deleted under them."""
    if snapshot.is_complete(NODES) and snapshot.members(NODES):
        yield from cases.findings(snapshot, _gone(snapshot))


def _conditions(snapshot: Snapshot, node: KubeObject) -> Iterator[Finding]:
    for condition in objects.conditions(node):
        age = snapshot.age(condition.changed_at)
        if condition.type == "Ready" and not condition.is_true and age >= GRACE:
            yield _finding(snapshot, node, NOT_READY, condition, "is not ready")
        elif condition.type in _PRESSURES and condition.is_true:
            short_of = condition.type.removesuffix("Pressure").lower().replace("pid", "process ids")
            yield _finding(snapshot, node, PRESSURE, condition, f"is short of {short_of}")
        elif condition.type == "NetworkUnavailable" and condition.is_true and age >= GRACE:
            yield _finding(snapshot, node, NETWORK_UNAVAILABLE, condition, "has no network")
        elif _is_problem(condition) and age >= GRACE:
            yield _problem(snapshot, node, condition)


def _is_problem(condition: objects.Condition) -> bool:
    """Say whether a condition that is not the kubelet's tells of a problem: some are named after what should be."""
    if condition.type in (*_PRESSURES, "Ready", "NetworkUnavailable"):
        return False
    return condition.is_false if condition.type.endswith("Ready") else condition.is_true


def _problem(snapshot: Snapshot, node: KubeObject, condition: objects.Condition) -> Finding:
    """A problem, with the workloads of which pods fail there and nowhere else."""
    found = _finding(snapshot, node, PROBLEM, condition, f"has the problem {clean(condition.type, limit=80)}")
    ref = objects.ref(node)
    here = {
        snapshot.workload_of(pod)
        for pod in snapshot.members(PODS)
        if objects.text(pod, "spec", "nodeName") == ref.name and _fails(pod)
    }
    only = sorted((workload for workload in here if _fails_only_on(snapshot, workload, ref.name)), key=str)
    if not only:
        return found
    refs = tuple(dict.fromkeys((ref, *only, *found.objects)))
    return found.model_copy(update={"severity": Severity.DEGRADED, "confidence": Confidence.LIKELY, "objects": refs})


def _fails(pod: KubeObject) -> bool:
    return not containers.is_ready(pod) and not containers.is_finished(pod) and objects.deleted_at(pod) is None


def _fails_only_on(snapshot: Snapshot, workload: ResourceRef, node: str) -> bool:
    failing = [pod for pod in snapshot.pods_of(workload) if _fails(pod)]
    return all(objects.text(pod, "spec", "nodeName") == node for pod in failing)


def _finding(
    snapshot: Snapshot, node: KubeObject, what: Condition, condition: objects.Condition, words: str
) -> Finding:
    ref = objects.ref(node)
    on_it = [pod for pod in snapshot.members(PODS) if objects.text(pod, "spec", "nodeName") == ref.name]
    pods = [pod for pod in on_it if not containers.is_finished(pod)]
    evicted = [snapshot.workload_of(pod) for pod in on_it if objects.text(pod, "status", "reason") == "Evicted"]
    said = clean(condition.message, limit=160)
    return finding(
        what,
        title=f"{cases.display(ref)} {words}, with {len(pods)} pods on it" + (f": {said}" if said else ""),
        objects=(ref, *(objects.ref(pod) for pod in pods[:20]), *evicted[:20]),
        evidence=(
            quote(
                f"{cases.display(ref)} condition {condition.type}",
                f"{condition.status} {condition.reason}: {condition.message}",
            ),
        ),
        next_checks=(f"describe node {ref.name}", f"get pods -A --field-selector spec.nodeName={ref.name}"),
        key=condition.type,
    )


def _cordon(snapshot: Snapshot, node: KubeObject) -> Iterator[Finding]:
    if not objects.flag(node, "spec", "unschedulable"):
        return
    taint = next((t for t in objects.mappings(node, "spec", "taints") if objects.text(t, "key") == _CORDON), {})
    added = objects.instant(taint, "timeAdded")
    if added is None or snapshot.age(added) < _FORGOTTEN:
        return
    ref = objects.ref(node)
    yield finding(
        CORDONED,
        title=f"{cases.display(ref)} is cordoned for {snapshot.age(added).days} days",
        objects=(ref,),
        evidence=(quote(f"{cases.display(ref)} spec.taints", f"{_CORDON} since {added.isoformat()}"),),
        next_checks=(f"describe node {ref.name}",),
    )


def _gone(snapshot: Snapshot) -> Iterator[Case]:
    for pod in snapshot.members(PODS):
        name = objects.text(pod, "spec", "nodeName")
        if not name or containers.is_finished(pod) or objects.text(pod, "status", "phase") == "Failed":
            continue
        if snapshot.get(NODES, "", name) is None and not containers.is_young(
            snapshot, pod, seconds=GRACE.total_seconds()
        ):
            yield Case(
                NODE_GONE,
                pod,
                what=f"runs on node {clean(name, limit=253)}, which does not exist",
                evidence=(quote(cases.pod_source(pod, "spec.nodeName"), name),),
                next_checks=("get nodes",),
            )


ANALYZERS: tuple[Analyzer, ...] = (nodes, pods_of_lost_nodes)
