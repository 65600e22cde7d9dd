"""Workloads whose pods fail on some nodes and run on others: then it is the nodes.

That one workload is split so may be chance. Where several are, along the same nodes and with pods of one revision on
both sides, what these nodes have in common is the cause, even if their kubelets say that all is well: a kernel without
a module, a rule of a firewall, a proxy that cannot write its rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

from kubently.analyzers import cases, containers, evidence, loglines
from kubently.analyzers.base import GRACE, Analyzer, Condition, analyzer, finding, quote
from kubently.analyzers.resources import NODES, PODS
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Evidence, Finding, ResourceRef, Severity

PODS_FAIL_HERE = Condition(
    "node/pods-fail-here",
    Severity.DEGRADED,
    "Pods of several workloads fail on some nodes, and pods like them run on others.",
    "Cordon these nodes; compare their kernel, system, network plug-in and proxy with the others'.",
    symptom_of=(
        "node/not-ready",
        "node/pressure",
        "node/network-unavailable",
        "pod/image-registry-unreachable",
        "pod/sandbox-failed",
        "pod/starves-node",
    ),
    confidence=Confidence.LIKELY,
)

_ENOUGH = 2
_SHOWN = 3
_INFO = ("kernelVersion", "osImage", "kubeletVersion", "containerRuntimeVersion", "kubeProxyVersion", "architecture")
_MOST_LOGS = 6


@dataclass(frozen=True, slots=True)
class _Split:
    workload: ResourceRef
    bad: frozenset[str]
    """Nodes on which its pods fail."""
    good: frozenset[str]
    pods: tuple[KubeObject, ...]
    """Those that fail."""


@dataclass(frozen=True, slots=True)
class _Side:
    """Nodes on which pods of several workloads fail."""

    nodes: frozenset[str]
    good: frozenset[str]
    splits: tuple[_Split, ...]


@analyzer("split-workloads", needs=(*cases.NEEDS, NODES), conditions=(PODS_FAIL_HERE,), needs_logs=True)
def split_workloads(snapshot: Snapshot) -> Iterator[Finding]:
    """Name the nodes on which pods fail that run elsewhere."""
    for side in _sides(snapshot):
        yield _finding(snapshot, side)


def pods_of_system(snapshot: Snapshot) -> Iterator[KubeObject]:
    """Yield pods of DaemonSets of the system on the nodes at which workloads are split: their logs may tell why."""
    nodes = {node for side in _sides(snapshot) for node in sorted(side.nodes)[:_SHOWN]}
    found = 0
    for pod in snapshot.members(PODS) if nodes else ():
        owner = objects.controller(pod)
        is_system = owner is not None and owner.kind == "DaemonSet" and objects.flag(pod, "spec", "hostNetwork")
        if is_system and objects.text(pod, "spec", "nodeName") in nodes and found < _MOST_LOGS:
            found += 1
            yield pod


def _sides(snapshot: Snapshot) -> list[_Side]:
    return snapshot.once("split", lambda: list(_worked_out(snapshot)))


def _worked_out(snapshot: Snapshot) -> Iterator[_Side]:
    splits = list(_splits(snapshot))
    good = frozenset(node for item in splits for node in item.good)
    told = [item for item in splits if item.bad.isdisjoint(good)]
    while told:
        nodes, members = set(told[0].bad), [told.pop(0)]
        while near := next((item for item in told if not nodes.isdisjoint(item.bad)), None):
            told.remove(near)
            members.append(near)
            nodes |= near.bad
        if len(members) >= _ENOUGH:
            yield _Side(frozenset(nodes), good, tuple(members))


def _splits(snapshot: Snapshot) -> Iterator[_Split]:
    owners: dict[tuple[str, str], list[KubeObject]] = {}
    for pod in snapshot.members(PODS):
        owner = objects.controller(pod)
        if owner is not None and owner.kind in ("ReplicaSet", "StatefulSet") and objects.text(pod, "spec", "nodeName"):
            owners.setdefault((objects.namespace(pod), owner.uid or owner.name), []).append(pod)
    for pods in owners.values():
        bad = [pod for pod in pods if _fails(snapshot, pod)]
        good = _nodes([pod for pod in pods if containers.is_ready(pod)])
        if bad and good and good.isdisjoint(_nodes(bad)):
            yield _Split(snapshot.workload_of(bad[0]), _nodes(bad), good, tuple(bad))


def _fails(snapshot: Snapshot, pod: KubeObject) -> bool:
    ready = objects.condition(pod, "Ready")
    is_over = containers.is_finished(pod) or objects.deleted_at(pod) is not None
    return not is_over and ready is not None and ready.is_false and snapshot.age(objects.created_at(pod)) > GRACE


def _nodes(pods: Sequence[KubeObject]) -> frozenset[str]:
    return frozenset(objects.text(pod, "spec", "nodeName") for pod in pods)


def _finding(snapshot: Snapshot, side: _Side) -> Finding:
    names = sorted(side.nodes)
    refs = [ResourceRef(kind=NODES.kind, namespace="", name=name) for name in names]
    workloads = sorted((item.workload for item in side.splits), key=str)
    alike = list(_alike(snapshot, side.nodes, side.good))
    where = " and ".join(names[:2]) + (f" and {len(names) - 2} more" if names[2:] else "")
    has = f"; only there {alike[0].quote}" if alike else ""
    return finding(
        PODS_FAIL_HERE,
        title=f"Node{'s' if names[1:] else ''} {where}: pods of {len(workloads)} workloads fail there and run on other "
        f"nodes{has}",
        objects=(*refs, *workloads, *(objects.ref(pod) for item in side.splits for pod in item.pods)),
        evidence=(
            *(_where(item) for item in side.splits[:_SHOWN]),
            *alike[:_SHOWN],
            *_said(snapshot, side.nodes),
        ),
        next_checks=(f"describe node {names[0]}", f"get pods -A -o wide --field-selector spec.nodeName={names[0]}"),
    )


def _where(item: _Split) -> Evidence:
    words = f"not ready on {', '.join(sorted(item.bad)[:5])}; ready on {', '.join(sorted(item.good)[:5])}"
    return quote(f"pods of {cases.display(item.workload)} spec.nodeName", words)


def _alike(snapshot: Snapshot, bad: Set[str], good: Set[str]) -> Iterator[Evidence]:
    """What all nodes of the one side have, and none of the other."""
    infos = {objects.name(node): objects.string_map(node, "status", "nodeInfo") for node in snapshot.members(NODES)}
    for field in _INFO:
        here = {infos.get(name, {}).get(field, "") for name in bad}
        there = {infos.get(name, {}).get(field, "") for name in good}
        if len(here) == 1 and "" not in here and here.isdisjoint(there):
            yield quote(f"nodes {', '.join(sorted(bad)[:5])} status.nodeInfo", f"{field} {here.pop()}")


def _said(snapshot: Snapshot, nodes: Set[str]) -> Iterator[Evidence]:
    """What the system's own pods on these nodes complain of."""
    for key in sorted(snapshot.logs):
        pod = snapshot.get(PODS, key.namespace, key.pod)
        owner = objects.controller(pod) if pod is not None else None
        if pod is None or owner is None or owner.kind != "DaemonSet":
            continue
        if objects.text(pod, "spec", "nodeName") in nodes and loglines.cause_line(snapshot.logs[key]):
            yield loglines.log_quote(evidence.log_source(key), loglines.excerpt(snapshot.logs[key]))
            return


ANALYZERS: tuple[Analyzer, ...] = (split_workloads,)
