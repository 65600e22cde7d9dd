"""Puts applications into a cluster of the test bed and brings them to the state that a kubelet would report."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tests.eval.app import App, Kubelet, Object, ago
from tests.testbed import kwok
from tests.testbed.build import KUBERNETES_VERSION
from tests.testbed.cluster import Cluster
from tests.testbed.processes import until

_CLASSES = {"nginx": "k8s.io/ingress-nginx"}
LATER = 7
"""Seconds between the creation and what is changed afterwards: a diagnosis tells them apart where they differ by 5."""
Pods = Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]
"""Pods by namespace and label app."""


def inject(cluster: Cluster, apps: Sequence[App]) -> None:
    """Create everything, wait until the controllers have done their part, then report what kubelets would."""
    cluster.create(*_surroundings(apps))
    until(lambda: _accounts(cluster) >= len(apps), "service accounts of all namespaces", timeout=60, every=0.5)
    cluster.create(*(_held(item, app) for app in apps for item in app.objects))
    until(lambda: not _missing(cluster, apps), "pods of all applications", timeout=120, every=1)
    found = _pods(cluster)
    if any(app.afterwards for app in apps):
        time.sleep(LATER)
    for app in apps:
        for report in app.reports:
            _report(cluster, app, report, found)
    for app in apps:
        for command in app.afterwards:
            cluster.kubectl(*command)


def _surroundings(apps: Iterable[App]) -> Iterator[Object]:
    for name, controller in _CLASSES.items():
        spec = {"controller": controller}
        yield {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": name}, "spec": spec}
    for app in apps:
        metadata = {"name": app.namespace, "labels": app.namespace_labels}
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        for item in app.cluster_objects:
            yield _node(item) if item["kind"] == "Node" else item


def _node(wanted: Object) -> Object:
    """A simulated node with the labels and the spec of *wanted*."""
    made = kwok.node(wanted["metadata"]["name"], wanted["metadata"]["labels"], KUBERNETES_VERSION)
    return {**made, "spec": wanted["spec"]}


def _held(item: Object, app: App) -> Object:
    """*item*, and if its pods are held, so that they say it."""
    template = item.get("spec", {}).get("template", item)
    metadata = template.get("metadata", {})
    if metadata.get("labels", {}).get("app") in app.held:
        metadata.setdefault("annotations", {})[kwok.HELD] = "true"
    return item


def _accounts(cluster: Cluster) -> int:
    names = cluster.kubectl("get", "serviceaccounts", "-A", "--field-selector=metadata.name=default", "-o", "name")
    return len(names.stdout.split()) - 4  # default, and the three namespaces of Kubernetes itself


def _missing(cluster: Cluster, apps: Sequence[App]) -> list[str]:
    """Workloads whose pods are not there, or not yet assigned though they could be."""
    found = _pods(cluster)
    wanted = ((app, label) for app in apps for label in {report.app for report in app.reports})
    return [f"{app.namespace}/{label}" for app, label in wanted if not _settled(found.get((app.namespace, label), ()))]


def _settled(pods: Sequence[Mapping[str, Any]]) -> bool:
    return bool(pods) and all(_is_settled(pod) for pod in pods)


def _is_settled(pod: Mapping[str, Any]) -> bool:
    is_held = kwok.HELD in pod["metadata"].get("annotations", {})
    return bool(pod["spec"].get("nodeName")) and (is_held or pod["status"].get("phase") in ("Running", "Succeeded"))


def _pods(cluster: Cluster) -> Pods:
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for pod in json.loads(cluster.kubectl("get", "pods", "-A", "-o", "json").stdout)["items"]:
        metadata = pod["metadata"]
        found.setdefault((metadata["namespace"], metadata.get("labels", {}).get("app", "")), []).append(pod)
    return found


def _report(cluster: Cluster, app: App, report: Kubelet, found: Pods) -> None:
    pods = found[app.namespace, report.app]
    for pod in pods:
        name = pod["metadata"]["name"]
        if report.state or report.status:
            cluster.set_pod_status(app.namespace, name, _status(pod, report))
        if report.log:
            cluster.set_logs(app.namespace, name, report.log, previous=report.previous_log)
        events = [_event(app.namespace, pod, number, *words) for number, words in enumerate(report.events)]
        if events:
            cluster.create(*events)


def _status(pod: Mapping[str, Any], report: Kubelet) -> dict[str, Any]:
    """The pod's status with what *report* says of one container; an init container holds up all others."""
    spec = pod["spec"]
    names = [container["name"] for container in spec["containers"]]
    at_fault = report.container or names[0]
    told = _container(at_fault, report)
    others = {"ready": True, "started": True, "restartCount": 0, "state": {"running": {"startedAt": ago(100)}}}
    held_up = {"ready": False, "restartCount": 0, "state": {"waiting": {"reason": "PodInitializing"}}}
    status: dict[str, Any] = {"conditions": _conditions(report), **report.status}
    if not report.state:
        return status
    if report.init:
        status["initContainerStatuses"] = [told]
    status["containerStatuses"] = [
        told if name == at_fault else {"name": name, "image": "", "imageID": "", **(held_up if report.init else others)}
        for name in names
    ]
    if report.init or ("waiting" in report.state and not report.last):
        status["phase"] = report.status.get("phase", "Pending")
    return status


def _container(name: str, report: Kubelet) -> dict[str, Any]:
    made = {"name": name, "image": "", "imageID": "", "ready": report.ready, "restartCount": report.restarts}
    return {**made, "started": "running" in report.state, "state": dict(report.state), "lastState": dict(report.last)}


def _conditions(report: Kubelet) -> list[dict[str, str]]:
    unready = {"status": "False", "reason": "ContainersNotReady", "lastTransitionTime": ago(100)}
    kinds = ("Initialized", "Ready", "ContainersReady") if report.init else ("Ready", "ContainersReady")
    rest = [] if report.init else [{"type": "Initialized", "status": "True", "lastTransitionTime": ago(110)}]
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": ago(120)}
    return [scheduled, *rest, *({"type": kind, **unready} for kind in kinds)]


def _event(namespace: str, pod: Mapping[str, Any], number: int, reason: str, message: str) -> Object:
    name, metadata = f"{pod['metadata']['name']}.{number}", pod["metadata"]
    involved = {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": namespace,
        "name": metadata["name"],
        "uid": metadata["uid"],
    }
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": involved,
        "reason": reason,
        "message": message,
        "type": "Warning",
        "count": 8,
        "firstTimestamp": ago(100),
        "lastTimestamp": ago(1),
        "source": {"component": "kubelet", "host": pod["spec"].get("nodeName", "")},
    }
