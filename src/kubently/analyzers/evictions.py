"""Pods that the kubelet ended because their node ran short of something, and who used it up."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from kubently.analyzers import cases, containers
from kubently.analyzers.base import Analyzer, Condition, analyzer, clean, finding, quote
from kubently.analyzers.cases import Case
from kubently.analyzers.resources import PODS
from kubently.analyzers.snapshot import Snapshot, is_name
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Finding, ResourceRef, Severity

STARVES_NODE = Condition(
    "pod/starves-node",
    Severity.DEGRADED,
    "A pod used far more of its node than it had requested, so that others were evicted.",
    "Find out what it uses that much for; give it a limit, of ephemeral-storage or memory, and a request.",
    confidence=Confidence.LIKELY,
)
EVICTED = Condition(
    "pod/evicted",
    Severity.RISK,
    "The kubelet ended the pod within the last hour because its node ran short of something.",
    "Give the pod requests and limits for what it uses, or the node more of it.",
    symptom_of=("node/pressure", "pod/starves-node"),
)

_RECENT = timedelta(hours=1)
# The kubelet's words, pkg/kubelet/eviction: one sentence for each container that used more than it had requested.
_RESOURCE = re.compile(r"low on resource: ([a-z-]{1,40})")
_USE = re.compile(r"Container (\S{1,63}) was using ([0-9]{1,20}[A-Za-z]{0,2}), request is ([0-9]{1,20}[A-Za-z]{0,2})")
_SHARE = Decimal("0.6")
"""Of what all evicted pods of a node used, how much one must have used to be to blame."""


@dataclass(frozen=True, slots=True)
class _Eviction:
    pod: KubeObject
    workload: ResourceRef
    node: str
    message: str
    resource: str
    container: str
    """The one that used most; empty if the kubelet does not say."""
    used: Decimal
    words: str
    """What it used and had requested."""


@analyzer("evictions", needs=cases.NEEDS, conditions=(STARVES_NODE, EVICTED))
def evictions(snapshot: Snapshot) -> Iterator[Finding]:
    """Report pods that were evicted a short while ago, and who was to blame; older ones are history."""
    evicted = list(_evictions(snapshot))
    by_node: dict[tuple[str, str], list[_Eviction]] = {}
    for item in evicted:
        by_node.setdefault((item.node, item.resource), []).append(item)
    blamed: dict[str, ResourceRef] = {}
    for (node, _), group in by_node.items():
        if (most := _to_blame(group)) is not None:
            blamed[node] = most.workload
            yield _starves(snapshot, most, group)
    yield from cases.findings(snapshot, (_case(snapshot, item, blamed.get(item.node)) for item in evicted))


def _evictions(snapshot: Snapshot) -> Iterator[_Eviction]:
    for pod in snapshot.members(PODS):
        if objects.text(pod, "status", "reason") != "Evicted" or objects.deleted_at(pod) is not None:
            continue
        ready = objects.condition(pod, "Ready")
        since = ready.changed_at if ready is not None else objects.created_at(pod)
        if snapshot.age(since) <= _RECENT:
            yield _eviction(snapshot, pod)


def _eviction(snapshot: Snapshot, pod: KubeObject) -> _Eviction:
    message = objects.text(pod, "status", "message")
    said, resource = message[:4000], _RESOURCE.search(message[:4000])
    uses = [(objects.quantity({"used": match[2]}, "used") or Decimal(0), match) for match in _USE.finditer(said)]
    used, match = max(uses, key=lambda item: item[0], default=(Decimal(0), None))
    return _Eviction(
        pod,
        snapshot.workload_of(pod),
        objects.text(pod, "spec", "nodeName"),
        message,
        resource[1] if resource else "",
        clean(match[1]) if match else "",
        used,
        f"{match[2]}, request {match[3]}" if match else "",
    )


def _to_blame(group: Sequence[_Eviction]) -> _Eviction | None:
    """Return who used most by far, of at least two workloads."""
    most = max(group, key=lambda item: item.used)
    several = len({item.workload for item in group}) > 1
    return most if several and most.used and most.used >= _SHARE * sum(item.used for item in group) else None


def _starves(snapshot: Snapshot, most: _Eviction, group: Sequence[_Eviction]) -> Finding:
    others = dict.fromkeys(item.workload for item in group)
    return finding(
        STARVES_NODE,
        title=f"{cases.display(most.workload)}: container {most.container} used {most.words}, of the {most.resource} of"
        f" node {clean(most.node, limit=100)}, which ran short: {len(group)} pods were evicted",
        objects=(most.workload, objects.ref(most.pod), *_node(most), *others),
        evidence=tuple(
            quote(cases.pod_source(item.pod, "status.message"), item.message) for item in (most, *group)[:4]
        ),
        next_checks=(f"describe node {clean(most.node, limit=253)}",),
        severity=cases.severity_of_loss(snapshot, most.workload),
        key=most.container,
    )


def _node(item: _Eviction) -> tuple[ResourceRef, ...]:
    return (ResourceRef(kind="Node", name=item.node),) if is_name(item.node) else ()


def _case(snapshot: Snapshot, item: _Eviction, blamed: ResourceRef | None) -> Case:
    is_whole = any(map(containers.is_ready, snapshot.pods_of(item.workload)))
    return Case(
        EVICTED,
        item.pod,
        what=f"a pod was evicted: {clean(item.message, limit=160)}",
        evidence=(quote(cases.pod_source(item.pod, "status.message"), item.message or "Evicted"),),
        others=(*_node(item), *([blamed] if blamed is not None else [])),
        next_checks=tuple(f"describe node {ref.name}" for ref in _node(item)),
        severity=Severity.RISK if is_whole else None,
    )


ANALYZERS: tuple[Analyzer, ...] = (evictions,)
