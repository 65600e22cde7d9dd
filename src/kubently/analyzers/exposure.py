"""Services as they are reached: load balancers that do not come, traffic that must stay on a node."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from kubently.analyzers import cases, containers, services
from kubently.analyzers.base import Analyzer, Condition, analyzer, clean, finding, quote
from kubently.analyzers.resources import EVENTS, PODS, SERVICES
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Finding, Severity

LOAD_BALANCER_PENDING = Condition(
    "service/load-balancer-pending",
    Severity.DEGRADED,
    "A Service of type LoadBalancer has had no address for five minutes: nobody outside of the cluster reaches it.",
    "Read the event of the cloud's controller; without such a controller use an Ingress, a NodePort or MetalLB.",
)
LOCAL_WITHOUT_PODS = Condition(
    "service/local-without-pods",
    Severity.RISK,
    "A Service keeps traffic on the node where it begins, and nodes with other pods have none of its own.",
    "Run a pod of it on every node (a DaemonSet), or set internalTrafficPolicy Cluster.",
)

_REFUSED = ("SyncLoadBalancerFailed", "CreatingLoadBalancerFailed", "UnAvailableLoadBalancer")
_PATIENCE = timedelta(minutes=5)


@analyzer("load-balancers", needs=(SERVICES, EVENTS), conditions=(LOAD_BALANCER_PENDING,))
def load_balancers(snapshot: Snapshot) -> Iterator[Finding]:
    """Report Services that wait for their load balancer."""
    for service in snapshot.members(SERVICES):
        waits = objects.text(service, "spec", "type") == "LoadBalancer" and objects.deleted_at(service) is None
        has_one = bool(objects.mappings(service, "status", "loadBalancer", "ingress"))
        if not waits or has_one or snapshot.age(objects.created_at(service)) < _PATIENCE:
            continue
        ref = objects.ref(service)
        said = snapshot.events(service, *_REFUSED)
        words = clean(said[0].message, limit=160) if said else "no controller says anything about it"
        yield finding(
            LOAD_BALANCER_PENDING,
            title=f"{cases.display(ref)} waits for its load balancer: {words}",
            objects=(ref,),
            evidence=(
                quote(f"{cases.display(ref)} status.loadBalancer", "no address"),
                *(quote(cases.event_source(ref, event.reason), event.message) for event in said[:2]),
            ),
            next_checks=(f"describe service {ref.name} -n {ref.namespace}",),
        )


@analyzer("local-traffic", needs=(SERVICES, PODS), conditions=(LOCAL_WITHOUT_PODS,))
def local_traffic(snapshot: Snapshot) -> Iterator[Finding]:
    """Report Services whose local traffic ends nowhere on some nodes."""
    for service in snapshot.members(SERVICES):
        local = objects.text(service, "spec", "internalTrafficPolicy") == "Local"
        if not local or not services.has_selector(service):
            continue
        if not snapshot.is_complete(PODS, objects.namespace(service)):
            continue
        served = {_node(pod) for pod in services.live_pods(snapshot, service) if containers.is_ready(pod)}
        lacking = sorted(_nodes_in_use(snapshot) - served)
        if served and lacking:
            ref = objects.ref(service)
            yield finding(
                LOCAL_WITHOUT_PODS,
                title=f"{cases.display(ref)} reaches nothing from {len(lacking)} nodes: its traffic stays on the node",
                objects=(ref,),
                evidence=(
                    quote(f"{cases.display(ref)} spec.internalTrafficPolicy", "Local"),
                    quote("nodes with pods, but none of this Service", ", ".join(lacking[:20])),
                ),
                next_checks=(f"get pods -n {ref.namespace} -o wide",),
            )


def _node(pod: KubeObject) -> str:
    return objects.text(pod, "spec", "nodeName")


def _nodes_in_use(snapshot: Snapshot) -> set[str]:
    """Nodes that run pods of Deployments and the like: what a DaemonSet runs everywhere tells of no client."""
    return {
        _node(pod)
        for pod in snapshot.members(PODS)
        if _node(pod) and containers.is_ready(pod) and snapshot.workload_of(pod).kind not in ("DaemonSet", "Node")
    }


ANALYZERS: tuple[Analyzer, ...] = (load_balancers, local_traffic)
