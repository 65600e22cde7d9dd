"""Nodes that fail."""

from __future__ import annotations

from typing import Any

from tests.eval.app import App, ago, scenario
from tests.eval.scenarios.scheduling import pool
from tests.testbed import kwok


def _daemon(app: App, **pod: Any) -> None:
    selector = {"matchLabels": {"app": "agent"}}
    app.add("apps/v1", "DaemonSet", "agent", spec={"selector": selector, "template": app.template("agent", **pod)})


def _condition(app: App, node: str, kind: str, status: str, reason: str, message: str) -> None:
    app.after("annotate", "node", app.own(node), f"{kwok.HELD}=true")
    condition = {"type": kind, "status": status, "reason": reason, "message": message}
    times = f'"lastHeartbeatTime":"{ago(120)}","lastTransitionTime":"{ago(120)}"'
    body = ",".join(f'"{key}":"{value}"' for key, value in condition.items())
    app.after(
        "patch",
        "node",
        app.own(node),
        "--subresource=status",
        "--type=strategic",
        "-p",
        f'{{"status":{{"conditions":[{{{body},{times}}}]}}}}',
    )


@scenario("node-down", "node/not-ready", "Node {ns}-0", "Ready")
def node_down(app: App) -> None:
    """A node's kubelet says that its container runtime is down; its pods serve no more."""
    app.deployment("web", pod=pool(app, 1))
    app.service("web")
    _condition(app, "0", "Ready", "False", "KubeletNotReady", "container runtime is down")
    app.report("web", state={"running": {"startedAt": "2026-01-01T00:00:00Z"}})


@scenario("disk-pressure", "node/pressure", "Node {ns}-0", "disk")
def disk_pressure(app: App) -> None:
    """A node's disk is full: its pods were evicted and none is let on."""
    app.deployment("web", pod=pool(app, 1))
    _condition(app, "0", "DiskPressure", "True", "KubeletHasDiskPressure", "kubelet has disk pressure")


@scenario("node-network", "node/network-unavailable", "Node {ns}-0", "route")
def node_network(app: App) -> None:
    """A node's network was never set up."""
    _daemon(app, **pool(app, 1))
    _condition(app, "0", "NetworkUnavailable", "True", "NoRouteCreated", "node has no route")


@scenario("evicted", "pod/evicted", "Pod {ns}/cache", "ephemeral-storage")
def evicted(app: App) -> None:
    """A pod was ended because the node ran short of disk."""
    spec = {"containers": [app.container("cache")]}
    app.add("v1", "Pod", "cache", labels={"app": "cache"}, spec=spec)
    message = "The node was low on resource: ephemeral-storage. Threshold quantity: 10Gi, available: 8Gi. "
    app.report("cache", status={"phase": "Failed", "reason": "Evicted", "message": message})
