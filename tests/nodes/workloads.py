"""What runs in the cluster that is looked at: something that counts, and something that crashes."""

from __future__ import annotations

from typing import Any

from tests.testbed.images import nodes

NAMESPACE = "shop"
COUNTER, CRASHING = "counter", "checkout"
LAST_WORDS = "cannot read /etc/checkout/prices.yaml: no such file"


def objects() -> list[dict[str, Any]]:
    """All of them. The counter prints a number five times a second."""
    count = "n=0; while true; do n=$((n+1)); echo line $n; busybox sleep 0.2; done"
    crash = f"echo starting; echo '{LAST_WORDS}' >&2; exit 3"
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        _deployment(COUNTER, count),
        _deployment(CRASHING, crash),
    ]


def crashed() -> dict[str, Any]:
    """The status of a crashing pod, where pods are simulated."""
    ended = {
        "exitCode": 3,
        "reason": "Error",
        "finishedAt": "2026-01-01T00:00:01Z",
        "startedAt": "2026-01-01T00:00:00Z",
    }
    container = {
        "name": CRASHING,
        "image": nodes.SHELL,
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": 4,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 1m20s restarting failed container"}},
        "lastState": {"terminated": ended},
    }
    conditions = [
        {"type": kind, "status": "False", "reason": "ContainersNotReady"} for kind in ("Ready", "ContainersReady")
    ]
    return {"phase": "Running", "containerStatuses": [container], "conditions": conditions}


def _deployment(name: str, script: str) -> dict[str, Any]:
    labels = {"app": name}
    container = {"name": name, "image": nodes.SHELL, "args": ["-c", script]}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    }
