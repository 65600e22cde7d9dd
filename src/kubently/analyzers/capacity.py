"""What will be refused next, or was taken away: quotas, preemption, priority of requests, kubelets left behind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

from kubently.analyzers import cases
from kubently.analyzers.base import Analyzer, Condition, analyzer, finding, quote
from kubently.analyzers.resources import EVENTS, FLOW_SCHEMAS, NODES, PODS, REPLICA_SETS, RESOURCE_QUOTAS
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Finding, ResourceRef, Severity

QUOTA_USED_UP = Condition(
    "quota/used-up",
    Severity.RISK,
    "A ResourceQuota is used up: the next pod, claim or rollout of the namespace will be refused.",
    "Raise it before the next rollout, which needs room for a pod more.",
)
PREEMPTED = Condition(
    "pod/preempted",
    Severity.RISK,
    "The scheduler ended a pod within the last hour to make room for a more important one.",
    "Add room, or see who gave the other pod its priority; a PriorityClass that is the default gives it to all.",
)
DANGLING = Condition(
    "flowschema/dangling",
    Severity.RISK,
    "A FlowSchema names a priority level that does not exist: its requests are served with the lowest priority.",
    "Create the PriorityLevelConfiguration, or correct the name.",
)
VERSION_SKEW = Condition(
    "node/version-skew",
    Severity.RISK,
    "A kubelet is more than three minor versions behind the newest one: the API server need not support it any more.",
    "Upgrade the node's kubelet, or replace the node.",
)

_RECENT = timedelta(hours=1)
_MOST_SKEW = 3
_VERSION = re.compile(r"v1\.(\d{1,3})\b")


@analyzer("quotas", needs=(RESOURCE_QUOTAS, REPLICA_SETS), conditions=(QUOTA_USED_UP,))
def quotas(snapshot: Snapshot) -> Iterator[Finding]:
    """Report quotas with nothing left, where nobody was refused yet."""
    for quota in snapshot.members(RESOURCE_QUOTAS):
        full = sorted(name for name in map(str, objects.mapping(quota, "status", "hard")) if _is_full(quota, name))
        # Where somebody is refused already, that is the finding.
        if full and not any(map(_is_short, snapshot.members(REPLICA_SETS, objects.namespace(quota)))):
            ref = objects.ref(quota)
            amounts = ((name, _amount(quota, "used", name), _amount(quota, "hard", name)) for name in full)
            said = ", ".join(f"{name} {used} of {hard}" for name, used, hard in amounts)
            yield finding(
                QUOTA_USED_UP,
                title=f"{cases.display(ref)} is used up: {said}",
                objects=(ref,),
                evidence=(quote(f"{cases.display(ref)} status", said),),
                next_checks=(f"describe resourcequota {ref.name} -n {ref.namespace}",),
            )


def _is_short(replica_set: KubeObject) -> bool:
    return objects.integer(replica_set, "status", "replicas") < objects.integer(replica_set, "spec", "replicas")


def _is_full(quota: KubeObject, name: str) -> bool:
    used, hard = (objects.quantity(quota, "status", field, name) for field in ("used", "hard"))
    return used is not None and hard is not None and 0 < hard <= used


def _amount(quota: KubeObject, field: str, name: str) -> str:
    return str(objects.at(quota, "status", field, name))


@analyzer("preemption", needs=(*cases.NEEDS,), conditions=(PREEMPTED,))
def preemption(snapshot: Snapshot) -> Iterator[Finding]:
    """Report pods that had to go for more important ones."""
    told: set[ResourceRef] = set()
    for event in snapshot.all_events("Preempted"):
        if event.kind != "Pod" or snapshot.age(event.last_at) > _RECENT:
            continue
        pod = ResourceRef(kind="Pod", namespace=event.namespace, name=event.name)
        workload = _workload_of(snapshot, pod)
        if workload in told:
            continue
        told.add(workload)
        pods = snapshot.pods_of(workload)
        is_whole = bool(pods) and all(objects.text(member, "spec", "nodeName") for member in pods)
        yield finding(
            PREEMPTED,
            title=f"{cases.display(workload)}: a pod was ended to make room for a more important one",
            objects=(workload, pod),
            evidence=(quote(cases.event_source(pod, event.reason), event.message),),
            next_checks=("get priorityclasses", f"get events -n {pod.namespace} --field-selector reason=Preempted"),
            severity=Severity.RISK if is_whole else cases.severity_of_loss(snapshot, workload),
        )


def _workload_of(snapshot: Snapshot, pod: ResourceRef) -> ResourceRef:
    """The workload of a pod that is gone: that of a sibling, by the name that a ReplicaSet gives its pods."""
    found = snapshot.get(PODS, pod.namespace, pod.name)
    if found is not None:
        return snapshot.workload_of(found)
    owner = snapshot.get(REPLICA_SETS, pod.namespace, pod.name.rpartition("-")[0])
    return snapshot.root_of(owner) if owner is not None else pod


@analyzer("flow-schemas", needs=(FLOW_SCHEMAS,), conditions=(DANGLING,))
def flow_schemas(snapshot: Snapshot) -> Iterator[Finding]:
    """Report flow schemas without a priority level."""
    for schema in snapshot.members(FLOW_SCHEMAS):
        dangling = objects.condition(schema, "Dangling")
        if dangling is not None and dangling.is_true:
            ref = objects.ref(schema)
            level = objects.text(schema, "spec", "priorityLevelConfiguration", "name")
            yield finding(
                DANGLING,
                title=f"{cases.display(ref)} names priority level {level}, which does not exist",
                objects=(ref,),
                evidence=(quote(f"{cases.display(ref)} condition Dangling", dangling.message),),
                next_checks=("get prioritylevelconfigurations",),
            )


@analyzer("kubelet-versions", needs=(NODES, EVENTS), conditions=(VERSION_SKEW,))
def kubelet_versions(snapshot: Snapshot) -> Iterator[Finding]:
    """Report nodes that upgrades forgot."""
    minors = {objects.name(node): _minor(node) for node in snapshot.members(NODES)}
    newest = max((minor for minor in minors.values() if minor is not None), default=0)
    for node in snapshot.members(NODES):
        minor = minors[objects.name(node)]
        if minor is not None and newest - minor > _MOST_SKEW:
            ref = objects.ref(node)
            version = objects.text(node, "status", "nodeInfo", "kubeletVersion")
            yield finding(
                VERSION_SKEW,
                title=f"{cases.display(ref)} runs kubelet {version}, {newest - minor} minor versions behind others",
                objects=(ref,),
                evidence=(quote(f"{cases.display(ref)} status.nodeInfo.kubeletVersion", version),),
                next_checks=("get nodes -o wide",),
            )


def _minor(node: KubeObject) -> int | None:
    match = _VERSION.match(objects.text(node, "status", "nodeInfo", "kubeletVersion"))
    return int(match[1]) if match else None


ANALYZERS: tuple[Analyzer, ...] = (quotas, preemption, flow_schemas, kubelet_versions)
