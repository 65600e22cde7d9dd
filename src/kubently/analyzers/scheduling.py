"""Pods that no node takes, explained constraint by constraint from the scheduler's own count."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from kubently.analyzers import cases, containers, placement
from kubently.analyzers.base import GRACE, Analyzer, Condition, analyzer, clean, quote
from kubently.analyzers.cases import Case
from kubently.analyzers.resources import NODES, PODS
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Evidence, Finding, ResourceRef, Severity

UNSCHEDULABLE = Condition(
    "pod/unschedulable",
    Severity.OUTAGE,
    "No node satisfies what the pod asks for.",
    "Lower the request, add nodes, or correct selector, affinity, tolerations or spread; the finding counts the nodes"
    " for each constraint.",
    symptom_of=("pod/preempted", "pvc/node-gone", "node/taint-strands-volume", "storageclass/bound-too-early"),
)
CLAIM_MISSING = Condition(
    "pod/claim-missing",
    Severity.OUTAGE,
    "The pod mounts a PersistentVolumeClaim that does not exist.",
    "Create the claim or correct its name in the workload.",
)
WAITS_FOR_VOLUME = Condition(
    "pod/waits-for-volume",
    Severity.OUTAGE,
    "The pod waits for a PersistentVolumeClaim that is not bound.",
    "See why the claim is pending.",
    symptom_of=("pvc/*",),
)
CONDITIONS = (UNSCHEDULABLE, CLAIM_MISSING, WAITS_FOR_VOLUME)

_SCALING = timedelta(minutes=5)
"""How long a new node may take to come after the cluster autoscaler asked for it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One constraint and how many nodes fail it."""

    nodes: int
    reason: str
    """As the scheduler words it."""

    @property
    def words(self) -> str:
        """The constraint in the words of a title."""
        plain = self.reason.removesuffix("(s)").replace("Insufficient ", "not enough ")
        plain = plain.replace("had untolerated taint", "untolerated taint")
        return next((words for part, words in _WORDS if part in self.reason), clean(plain, limit=120))


_WORDS = (
    ("node affinity/selector", "node selector or affinity does not match"),
    ("didn't match node selector", "node selector does not match"),
    ("were unschedulable", "cordoned"),
    ("Too many pods", "at the limit of pods for a node"),
    ("existing pods anti-affinity", "anti-affinity of pods that run there"),
    ("anti-affinity", "anti-affinity of the pod"),
    ("pod affinity rules", "pod affinity not satisfied"),
    ("topology spread", "topology spread not satisfied"),
    ("free ports", "host port taken"),
    ("volume node affinity conflict", "volume is bound to other nodes"),
    ("available persistent volumes", "no persistent volume to bind"),
    ("max volume count", "limit of attached volumes"),
    ("requested node name", "not the node that the pod names"),
)

_CONTROL_PLANE = "taint {node-role.kubernetes.io/control-plane"

_SUMMARY = re.compile(r"0/(\d{1,6}) nodes are available: (.*)", re.DOTALL)
_REFUSAL = re.compile(r"(?:^|, )(\d{1,6}) (.*?)(?=, \d{1,6} |$)", re.DOTALL)
_NO_CLAIM = re.compile(r"persistentvolumeclaim \"([^\"\s]{1,253})\" not found", re.IGNORECASE)
_UNBOUND = re.compile(
    r"unbound immediate PersistentVolumeClaims|persistentvolumeclaim \S{1,255} bound to non-existent", re.IGNORECASE
)
_INSUFFICIENT = re.compile(r"Insufficient (\S{1,253})")


def parse_refusals(message: str) -> tuple[int, tuple[Refusal, ...]]:
    """Read "0/4 nodes are available: 1 ..., 3 ...": how many nodes there are, and the constraints.

    The commonest comes first, but what keeps ordinary pods off control-plane nodes, which is as it should be, last.
    """
    match = _SUMMARY.search(message[:4000])
    if match is None:
        return 0, ()
    # What follows the first sentence is about preemption, and in newer versions about resource claims.
    body = re.split(r"\.(?:\s|$)|\spreemption:", match.group(2), maxsplit=1)[0].strip()
    found = [Refusal(int(count), reason.removeprefix("node(s) ").strip()) for count, reason in _REFUSAL.findall(body)]
    return int(match.group(1)), tuple(
        sorted(found, key=lambda refusal: (_CONTROL_PLANE in refusal.reason, -refusal.nodes))
    )


@analyzer("pod-scheduling", needs=(*cases.NEEDS, NODES), conditions=CONDITIONS)
def pod_scheduling(snapshot: Snapshot) -> Iterator[Finding]:
    """Explain why pods have no node."""
    yield from cases.findings(snapshot, _cases(snapshot))


def _cases(snapshot: Snapshot) -> Iterator[Case]:
    for pod in snapshot.members(PODS):
        if containers.is_finished(pod) or objects.text(pod, "spec", "nodeName"):
            continue
        scheduled = objects.condition(pod, "PodScheduled")
        if scheduled is None or not scheduled.is_false or scheduled.reason != "Unschedulable":
            continue
        if not containers.is_young(snapshot, pod, seconds=GRACE.total_seconds()):
            yield _case(snapshot, pod, _message(snapshot, pod, scheduled.message))


def _message(snapshot: Snapshot, pod: KubeObject, said: str) -> str:
    events = snapshot.events(pod, "FailedScheduling")
    return said or (events[0].message if events else "")


def _case(snapshot: Snapshot, pod: KubeObject, message: str) -> Case:
    evidence = quote(cases.pod_source(pod, "condition PodScheduled"), message or "Unschedulable")
    namespace = objects.namespace(pod)
    checks = (f"describe pod {objects.name(pod)} -n {namespace}",)
    if match := _NO_CLAIM.search(message):
        claim = clean(match.group(1))
        return Case(
            CLAIM_MISSING,
            pod,
            what=f'mounts PersistentVolumeClaim "{claim}", which does not exist',
            evidence=(evidence,),
            key=claim,
            others=(ResourceRef(kind="PersistentVolumeClaim", namespace=namespace, name=claim),),
            next_checks=(f"get persistentvolumeclaims -n {namespace}", *checks),
        )
    if _UNBOUND.search(message):
        return Case(
            WAITS_FOR_VOLUME,
            pod,
            what="waits for a PersistentVolumeClaim that is not bound",
            evidence=(evidence,),
            next_checks=(f"get persistentvolumeclaims -n {namespace}", *checks),
        )
    return _unschedulable_case(snapshot, pod, message, evidence, checks)


def _unschedulable_case(
    snapshot: Snapshot, pod: KubeObject, message: str, evidence: Evidence, checks: tuple[str, ...]
) -> Case:
    total, refusals = parse_refusals(message)
    if _is_pinned(pod):
        refusals = tuple(item for item in refusals if "node affinity/selector" not in item.reason) or refusals
    refusals = _telling_first(snapshot, pod, refusals)
    counted = [f"{refusal.nodes} of {total} nodes: {refusal.words}" for refusal in refusals[:4]]
    waits_for_node = any(snapshot.age(event.last_at) < _SCALING for event in snapshot.events(pod, "TriggeredScaleUp"))
    reason = "; ".join(counted) or clean(message, limit=160) or "the scheduler gives no reason"
    return Case(
        UNSCHEDULABLE,
        pod,
        what=f"cannot be scheduled: {reason}",
        evidence=(evidence, *_wants(snapshot, pod, refusals)),
        others=tuple(_closed(snapshot, pod, refusals)),
        next_checks=(*checks, "get nodes -o wide", "describe nodes"),
        severity=Severity.RISK if waits_for_node else None,
    )


def _is_pinned(pod: KubeObject) -> bool:
    """Say whether the DaemonSet controller wants the pod on one node: that it fits no other says nothing."""
    owner = objects.controller(pod)
    return owner is not None and owner.kind == "DaemonSet"


# ---- which constraint it is


def _telling_first(snapshot: Snapshot, pod: KubeObject, refusals: tuple[Refusal, ...]) -> tuple[Refusal, ...]:
    """Order refusals by what would have to change: that nodes of other pools refuse the pod is as it should be.

    The first of selector, taints, cordons that leaves no node is the cause; where some are left it is what remains,
    room for instance.
    """
    asked = [node for node in snapshot.members(NODES) if placement.is_selected(node, pod)]
    let_on = [node for node in asked if not any(placement.untolerated(node, pod))]
    usable = [node for node in let_on if not objects.flag(node, "spec", "unschedulable")]

    def is_usual(refusal: Refusal) -> bool:
        if "node affinity/selector" in refusal.reason or "node selector" in refusal.reason:
            return bool(asked)
        if "untolerated taint" in refusal.reason:
            return bool(let_on) or not asked
        if "unschedulable" in refusal.reason:
            return bool(usable) or not let_on
        return not usable

    return tuple(sorted(refusals, key=is_usual))


_FEW = 3


def _closed(snapshot: Snapshot, pod: KubeObject, refusals: tuple[Refusal, ...]) -> Iterator[ResourceRef]:
    """Yield the nodes that the pod asks for and that keep it off, if they are few: one of them is to be looked at."""
    nodes = snapshot.members(NODES)
    asked = [node for node in nodes if placement.is_selected(node, pod)]
    reason = refusals[0].reason if refusals else ""
    if ("untolerated taint" in reason or "unschedulable" in reason) and len(asked) <= min(_FEW, len(nodes) - 1):
        yield from map(objects.ref, asked)


# ---- what the pod asks for, beside what there is


def _wants(snapshot: Snapshot, pod: KubeObject, refusals: tuple[Refusal, ...]) -> Iterator[Evidence]:
    for refusal in refusals[:4]:
        if match := _INSUFFICIENT.search(refusal.reason):
            yield from _request_evidence(snapshot, pod, match.group(1))
        elif "node affinity/selector" in refusal.reason or "node selector" in refusal.reason:
            yield from _selector_evidence(snapshot, pod)
        elif "taint" in refusal.reason:
            yield from _toleration_evidence(snapshot, pod)


def _request_evidence(snapshot: Snapshot, pod: KubeObject, resource: str) -> Iterator[Evidence]:
    wanted = _request(pod, resource)
    nodes = {
        objects.name(node): amount
        for node in snapshot.members(NODES)
        if (amount := objects.quantity(node, "status", "allocatable", resource)) is not None
    }
    if not wanted:
        return
    if not nodes:
        if snapshot.is_complete(NODES):
            yield quote("nodes status.allocatable", f"the pod requests {resource}, which no node offers")
        return
    largest = max(nodes, key=lambda name: nodes[name])
    verdict = "no node is that large" if wanted > nodes[largest] else "nodes of that size are taken by other pods"
    sizes = f"the pod requests {_size(wanted)} {resource}; the largest node, {largest}, offers {_size(nodes[largest])}"
    yield quote("pod requests and nodes status.allocatable", f"{sizes}: {verdict}")


def _request(pod: KubeObject, resource: str) -> Decimal:
    """Return what the scheduler counts: the sum of the containers, or the largest init container if that is more."""
    running = [*objects.containers(pod), *(item for item in objects.init_containers(pod) if _is_sidecar(item))]
    initial = [item for item in objects.init_containers(pod) if not _is_sidecar(item)]
    amounts = [objects.quantity(item, "resources", "requests", resource) or Decimal(0) for item in running]
    peaks = [objects.quantity(item, "resources", "requests", resource) or Decimal(0) for item in initial]
    return max(sum(amounts, Decimal(0)), *peaks, Decimal(0))


def _is_sidecar(container: KubeObject) -> bool:
    return objects.text(container, "restartPolicy") == "Always"


_UNITS = ((Decimal(2**40), "Ti"), (Decimal(2**30), "Gi"), (Decimal(2**20), "Mi"))


def _size(amount: Decimal) -> str:
    """Write a quantity for a person: bytes in binary units, small numbers as they are."""
    for factor, unit in _UNITS:
        if amount >= factor:
            return f"{amount / factor:.4g}{unit}"
    return f"{amount:.4g}"


def _selector_evidence(snapshot: Snapshot, pod: KubeObject) -> Iterator[Evidence]:
    for key, value in objects.string_map(pod, "spec", "nodeSelector").items():
        having = {objects.labels(node).get(key) for node in snapshot.members(NODES)} - {None}
        shown = ", ".join(sorted(str(item) for item in having)[:10]) or "none"
        yield quote(cases.pod_source(pod, "spec.nodeSelector"), f"{key}={value}; values of {key} on nodes: {shown}")
    terms = objects.mappings(
        pod,
        "spec",
        "affinity",
        "nodeAffinity",
        "requiredDuringSchedulingIgnoredDuringExecution",
        "nodeSelectorTerms",
    )
    for expression in (item for term in terms[:5] for item in objects.mappings(term, "matchExpressions")[:5]):
        values = ", ".join(objects.strings(expression, "values")[:10])
        words = f"{objects.text(expression, 'key')} {objects.text(expression, 'operator')} [{values}]"
        yield quote(cases.pod_source(pod, "spec.affinity.nodeAffinity"), words)


def _toleration_evidence(snapshot: Snapshot, pod: KubeObject) -> Iterator[Evidence]:
    """Show the taints beside what the pod tolerates: newer schedulers do not say which taint it is."""
    keys = [objects.text(item, "key", default="*") for item in objects.mappings(pod, "spec", "tolerations")]
    yield quote(cases.pod_source(pod, "spec.tolerations"), "tolerates " + (", ".join(keys[:20]) or "nothing"))
    tainted: dict[str, list[str]] = {}
    asked = [node for node in snapshot.members(NODES) if placement.is_selected(node, pod)]
    for node in asked or snapshot.members(NODES):
        for taint in placement.untolerated(node, pod):
            words = f"{objects.text(taint, 'key')}={objects.text(taint, 'value')}:{objects.text(taint, 'effect')}"
            tainted.setdefault(words, []).append(objects.name(node))
    for words, names in list(tainted.items())[:5]:
        yield quote("nodes spec.taints", f"{words} on {', '.join(names[:5])}" + (" and others" if names[5:] else ""))


ANALYZERS: tuple[Analyzer, ...] = (pod_scheduling,)
