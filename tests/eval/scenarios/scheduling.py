"""Pods that no node takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.eval.app import App, scenario

_POOL = "pool"


def pool(
    app: App, count: int, *, labels: dict[str, str] | None = None, taints: Sequence[Any] = (), **spec: Any
) -> dict[str, Any]:
    """Nodes of the application's own, and the fields by which its pods ask for them and are let onto them."""
    name = app.own(_POOL)
    taint = {"key": "dedicated", "value": name, "effect": "NoSchedule"}
    for index in range(count):
        own = {_POOL: name, **(labels or {})}
        app.add_to_cluster("v1", "Node", f"{index}", labels=own, spec={"taints": [taint, *taints], **spec})
    toleration = {"key": "dedicated", "operator": "Equal", "value": name, "effect": "NoSchedule"}
    return {"nodeSelector": {_POOL: name}, "tolerations": [toleration]}


@scenario("selector-absent", "pod/unschedulable", "Deployment.apps {ns}/web", "disktype")
def selector_absent(app: App) -> None:
    """A node selector asks for a label value that no node has."""
    app.deployment("web", pod={"nodeSelector": app.pick({"disktype": "nvme"}, {"kubernetes.io/os": "linux"})})


@scenario("affinity-impossible", "pod/unschedulable", "Deployment.apps {ns}/web", "affinity")
def affinity_impossible(app: App) -> None:
    """A required node affinity names a zone that does not exist."""
    zone = app.pick("moon-1a", "simulated")
    term = {"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": [zone]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    app.deployment("web", pod={"affinity": {"nodeAffinity": required}})


@scenario("taint-not-tolerated", "pod/unschedulable", "Deployment.apps {ns}/train", "gpu-only")
def taint_not_tolerated(app: App) -> None:
    """The pods tolerate another key than the taint of the only nodes that they select."""
    asked = pool(app, 2, taints=[{"key": "gpu-only", "value": "yes", "effect": "NoSchedule"}])
    key = app.pick("gpu", "gpu-only")
    tolerations = [*asked["tolerations"], {"key": key, "operator": "Exists", "effect": "NoSchedule"}]
    app.deployment("train", pod={**asked, "tolerations": tolerations})


@scenario("all-cordoned", "pod/unschedulable", "Deployment.apps {ns}/web", "cordon")
def all_cordoned(app: App) -> None:
    """All nodes that the pods may use are cordoned."""
    app.deployment("web", pod=pool(app, 2, unschedulable=app.broken))


@scenario("cpu-too-large", "pod/unschedulable", "Deployment.apps {ns}/web", "cpu")
def cpu_too_large(app: App) -> None:
    """A request is larger than any node."""
    cpu = app.pick("64", "100m")
    app.deployment("web", containers=[app.container("web", resources={"requests": {"cpu": cpu}})])


@scenario("memory-too-large", "pod/unschedulable", "Deployment.apps {ns}/web", "memory")
def memory_too_large(app: App) -> None:
    """A request of memory was written in the wrong unit."""
    memory = app.pick("512Gi", "512Mi")
    app.deployment("web", containers=[app.container("web", resources={"requests": {"memory": memory}})])


@scenario("gpu-absent", "pod/unschedulable", "Deployment.apps {ns}/train", "nvidia.com/gpu")
def gpu_absent(app: App) -> None:
    """An extended resource is asked for that no node offers."""
    limits = {"limits": {"nvidia.com/gpu": "1"}} if app.broken else {}
    app.deployment("train", containers=[app.container("train", resources=limits)])


@scenario("anti-affinity", "pod/unschedulable", "Deployment.apps {ns}/web", "anti-affinity")
def anti_affinity(app: App) -> None:
    """Three replicas that must not share a node have two nodes."""
    asked = pool(app, app.pick(2, 3))
    term = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}
    required = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    app.deployment("web", replicas=3, pod={**asked, "affinity": required})


@scenario("spread", "pod/unschedulable", "Deployment.apps {ns}/web", "topology spread")
def spread(app: App) -> None:
    """Pods must be spread over two zones, and their nodes lie in one."""
    asked = pool(app, 2, labels={"topology.kubernetes.io/zone": "one"})
    constraint = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
        "minDomains": app.pick(2, 1),
    }
    app.deployment("web", pod={**asked, "topologySpreadConstraints": [constraint]})


@scenario("host-port", "pod/unschedulable", "Deployment.apps {ns}/proxy", "port")
def host_port(app: App) -> None:
    """Two pods want the same port of the one node."""
    ports = [{"containerPort": 8080, "hostPort": 18080}]
    app.deployment("proxy", replicas=app.pick(2, 1), pod=pool(app, 1), containers=[app.container("proxy", ports=ports)])


@scenario("no-scheduler", "pod/no-scheduler", "Deployment.apps {ns}/web", "batch-scheduler")
def no_scheduler(app: App) -> None:
    """The pods name a scheduler that does not run."""
    app.deployment("web", pod={"schedulerName": app.pick("batch-scheduler", "default-scheduler")})


@scenario("gated", "pod/scheduling-gated", "Deployment.apps {ns}/web", "quota.example.com/hold")
def gated(app: App) -> None:
    """A scheduling gate that nobody removes."""
    app.deployment("web", pod={"schedulingGates": [{"name": "quota.example.com/hold"}]} if app.broken else {})
