"""What the clusters of the end-to-end tests hold."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.testbed.cluster import Cluster

NAMESPACE = "shop"
MARKER = "planted-e2e-secret-value"
"""The planted Secret's value: no answer of Kubently may hold it."""
FORMS = (MARKER.encode(), base64.b64encode(MARKER.encode()))
"""How the value would look in text, protobuf and JSON."""

EXECUTOR = "kubently:executor"
"""The user of the executors, and of everything that the audit proof is about."""
DIRECT = "direct"
"""A user with the same rights, who asks without Kubently."""

KINDS = "kinds"
"""The namespace of what `fill_kinds` makes."""

READER = "everything-reader"
"""The ClusterRole of both."""


def fill(cluster: Cluster) -> None:
    """Make users and workloads, and wait until they run. Tests may set the logs of the pod diary, of no other."""
    for user in (EXECUTOR, DIRECT):
        cluster.kubeconfig(user)
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, *_access())
    cluster.apply(*_workloads())
    for name in ("deployment/web", "deployment/api", "statefulset/queue"):
        cluster.kubectl("rollout", "status", name, "-n", NAMESPACE, "--timeout=60s", timeout=90)
    cluster.kubectl("wait", "--for=condition=Complete", "job/report", "-n", NAMESPACE, "--timeout=60s", timeout=90)
    cluster.set_logs(NAMESPACE, "queue-0", "first line\nsecond line\nthird line\n", previous="the container before\n")
    _break(cluster)


def fill_kinds(cluster: Cluster) -> None:
    """Make an object of every kind, and wait until the controllers have done their part."""
    objects = list(yaml.safe_load_all(Path(__file__).with_name("kinds.yaml").read_text()))
    definitions = [item for item in objects if item["kind"] in ("Namespace", "CustomResourceDefinition")]
    cluster.create(*definitions)
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    cluster.create(*(item for item in objects if item not in definitions))
    for name in ("deployment/web", "statefulset/queue", "daemonset/agent"):
        cluster.kubectl("rollout", "status", name, "-n", KINDS, "--timeout=60s", timeout=90)
    cluster.kubectl("wait", "--for=condition=Complete", "job/report", "-n", KINDS, "--timeout=60s", timeout=90)
    for what in ("pvc/data", "pv/disk"):
        cluster.kubectl("wait", "--for=jsonpath={.status.phase}=Bound", what, "-n", KINDS, "--timeout=60s", timeout=90)
    cluster.set_logs(KINDS, "solo", "alpha\nbeta\n\ngamma ünïcödé\n", previous="before\n")


def _access() -> tuple[Mapping[str, Any], ...]:
    # All of the API may be read, Secrets too, and two things that are more than reading: so that it is Kubently, and
    # not the cluster's own RBAC, which refuses them.
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}
    more = {"apiGroups": [""], "resources": ["serviceaccounts/token", "pods/exec"], "verbs": ["create"]}
    paths = {"nonResourceURLs": ["*"], "verbs": ["get"]}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": READER},
        "rules": [everything, more, paths],
    }
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": n} for n in (EXECUTOR, DIRECT)]
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": READER},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": READER},
        "subjects": subjects,
    }
    return role, binding


def _workloads() -> tuple[Mapping[str, Any], ...]:
    labels = {"app": "web"}
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    broken = _pod_spec("broken")
    return (
        _object("v1", "ConfigMap", "settings", data={"mode": "fast", "colour": "blue"}),
        _object("v1", "Secret", "db", stringData={"password": MARKER}, type="Opaque"),
        _object("v1", "ServiceAccount", "robot"),
        _object("v1", "Service", "web", spec={"selector": labels, "ports": ports}),
        _object("apps/v1", "Deployment", "web", spec={"replicas": 2, **_template("web")}),
        _object("apps/v1", "Deployment", "api", spec={"replicas": 1, **_template("api")}),
        _object("apps/v1", "StatefulSet", "queue", spec={"replicas": 1, "serviceName": "queue", **_template("queue")}),
        _object("batch/v1", "Job", "report", spec={"template": {"spec": {**_pod_spec("report"), **_ONCE}}}),
        _object("v1", "Pod", "broken", spec=broken, labels={"app": "broken"}),
        _object("v1", "Pod", "diary", spec=_pod_spec("diary"), labels={"app": "diary"}),
        _object("v1", "Pod", "homeless", spec=_pod_spec("homeless") | {"nodeSelector": {"disk": "none-has-this"}}),
    )


_ONCE = {"restartPolicy": "Never"}


def _template(app: str) -> dict[str, Any]:
    labels = {"app": app}
    return {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": _pod_spec(app)},
    }


def _pod_spec(name: str) -> dict[str, Any]:
    container = {"name": name, "image": f"registry.example/{name}:1.0", "ports": [{"containerPort": 8080}]}
    return {"containers": [container]}


def _object(api_version: str, kind: str, name: str, *, labels: Mapping[str, str] | None = None, **rest: Any) -> Any:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": dict(labels or {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def _break(cluster: Cluster) -> None:
    cluster.kubectl("wait", "--for=condition=Ready", "pod/broken", "pod/diary", "-n", NAMESPACE, "--timeout=30s")
    status = {
        "name": "broken",
        "image": "registry.example/broken:1.0",
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": 7,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}},
    }
    conditions = [
        {"type": kind, "status": "False", "reason": "ContainersNotReady"} for kind in ("Ready", "ContainersReady")
    ]
    cluster.set_pod_status(NAMESPACE, "broken", {"containerStatuses": [status], "conditions": conditions})
    cluster.set_logs(NAMESPACE, "broken", "starting\n", previous="starting\npanic: no route to the database\n")
