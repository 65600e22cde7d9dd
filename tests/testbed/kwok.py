"""Simulated nodes and pods: kwok's configuration, in which healthy pods run at once and Jobs complete.

What a failing pod looks like is written into its status by `Cluster.set_pod_status`; kwok leaves pods that run alone,
and pods and nodes with the annotation `HELD` as they are.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ANNOTATION = "kwok.x-k8s.io/node"
HELD = "testbed.example/held"
GROUP = "kwok.x-k8s.io"
_VERSION = f"{GROUP}/v1alpha1"

_NODE_STATUS = """\
{{ $now := Now }}
conditions:
{{ range NodeConditions }}
- {type: {{ .type | Quote }}, status: {{ .status | Quote }}, reason: {{ .reason | Quote }},
   message: {{ .message | Quote }}, lastHeartbeatTime: {{ $now | Quote }}, lastTransitionTime: {{ $now | Quote }}}
{{ end }}
addresses: [{type: InternalIP, address: {{ NodeIP | Quote }}}, {type: Hostname, address: {{ NodeName | Quote }}}]
daemonEndpoints: {kubeletEndpoint: {Port: {{ NodePort }}}}
"""

_RUNNING_STATUS = """\
{{ $now := Now }}
phase: Running
startTime: {{ $now | Quote }}
hostIP: {{ NodeIPWith .spec.nodeName | Quote }}
podIP: {{ PodIPWith .spec.nodeName false .metadata.uid .metadata.name .metadata.namespace | Quote }}
conditions:
{{ range (list "Initialized" "Ready" "ContainersReady") }}
- {type: {{ . }}, status: "True", lastTransitionTime: {{ $now | Quote }}}
{{ end }}
containerStatuses:
{{ range .spec.containers }}
- {name: {{ .name | Quote }}, image: {{ .image | Quote }}, imageID: "", ready: true, started: true, restartCount: 0,
   state: {running: {startedAt: {{ $now | Quote }}}}}
{{ end }}
"""

_COMPLETED_STATUS = """\
{{ $now := Now }}
phase: Succeeded
containerStatuses:
{{ range .spec.containers }}
- {name: {{ .name | Quote }}, image: {{ .image | Quote }}, imageID: "", ready: false, started: false, restartCount: 0,
   state: {terminated: {exitCode: 0, reason: Completed, startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }}}}}
{{ end }}
"""

_NOT_DELETED = {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"}
_NOT_HELD = {"key": f'.metadata.annotations["{HELD}"]', "operator": "DoesNotExist"}

_USAGE = {"cpu": ("usage-cpu", "5m"), "memory": ("usage-memory", "20Mi")}
"""For each resource the annotation (kwok.x-k8s.io/...) with what a pod uses of it, and what others use."""
_SERIES = (
    ("container_start_time_seconds", "container", "gauge", "pod.SinceSecond()"),
    ("container_cpu_usage_seconds_total", "container", "counter", 'pod.CumulativeUsage("cpu", container.name)'),
    ("container_memory_working_set_bytes", "container", "gauge", 'pod.Usage("memory", container.name)'),
    ("node_cpu_usage_seconds_total", "node", "counter", 'node.CumulativeUsage("cpu")'),
    ("node_memory_working_set_bytes", "node", "gauge", 'node.Usage("memory")'),
)
"""What metrics-server reads of a kubelet: name, what it is about, type, and the value as kwok's expression."""


def configuration(default_log: Path) -> str:
    """The content of kwok's configuration file; pods without logs of their own show *default_log*."""
    running = {"type": "Normal", "reason": "Started", "message": "Started container"}
    documents = (
        _stage(
            "node-ready",
            "Node",
            [_NOT_HELD, _is_not('.status.conditions.[] | select(.type == "Ready") | .status', "True")],
        )
        | {"next": {"statusTemplate": _NODE_STATUS}},
        _stage("pod-runs", "Pod", [_NOT_DELETED, _NOT_HELD, _is(".status.phase", "Pending")])
        | {"next": {"statusTemplate": _RUNNING_STATUS, "event": running}},
        _stage(
            "job-completes",
            "Pod",
            [_NOT_DELETED, _is(".status.phase", "Running"), _is(".metadata.ownerReferences.[].kind", "Job")],
        )
        | {"next": {"statusTemplate": _COMPLETED_STATUS}},
        _stage("pod-goes", "Pod", [{"key": ".metadata.deletionTimestamp", "operator": "Exists"}])
        | {"next": {"delete": True}},
    )
    objects = [_object("Stage", spec.pop("name"), spec) for spec in documents]
    objects.append(_object("ClusterLogs", "default", {"logs": [{"logsFile": str(default_log), "follow": True}]}))
    objects.append(_object("ClusterResourceUsage", "default", {"usages": [{"usage": _usage()}]}))
    objects.append(_object("Metric", "usage", {"path": _metrics_path("{nodeName}"), "metrics": _series()}))
    return yaml.safe_dump_all(objects)


def logs_object(namespace: str, pod: str, log: Path, previous: Path | None) -> dict[str, Any]:
    """What gives one pod its own logs."""
    files: dict[str, Any] = {"logsFile": str(log), "follow": True}
    if previous is not None:
        files["previousLogsFile"] = str(previous)
    made = _object("Logs", pod, {"logs": [files]})
    made["metadata"]["namespace"] = namespace
    return made


def logs_definition() -> dict[str, Any]:
    """The definition of the one kind that tests change while kwok runs; its schema is open."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1alpha1", "served": True, "storage": True, "subresources": {"status": {}}, "schema": schema}
    names = {"kind": "Logs", "listKind": "LogsList", "plural": "logs", "singular": "logs"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"logs.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def node(name: str, labels: Mapping[str, str], kubernetes_version: str) -> dict[str, Any]:
    """A simulated node."""
    size = {"cpu": "8", "memory": "16Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    system = {"kubeletVersion": f"v{kubernetes_version}", "osImage": "simulated", "operatingSystem": "linux"}
    system |= {"architecture": "amd64", "kernelVersion": "0", "containerRuntimeVersion": "none://0"}
    system |= {"machineID": name, "systemUUID": name, "bootID": name, "kubeProxyVersion": ""}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {ANNOTATION: "fake", "metrics.k8s.io/resource-metrics-path": _metrics_path(name)},
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", **labels},
        },
        "status": {"allocatable": size, "capacity": size, "nodeInfo": system},
    }


def cri_lines(text: str) -> str:
    """Text in the format of log files on a node, which kubelet and kwok read."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    return "".join(f"{stamp}.{i:09d}Z stdout F {line}\n" for i, line in enumerate(text.splitlines()))


def _metrics_path(node_name: str) -> str:
    return f"/metrics/nodes/{node_name}/metrics/resource"


def _usage() -> dict[str, Any]:
    """What each pod uses, as expressions."""
    made = {}
    for resource, (name, default) in _USAGE.items():
        annotation, annotations = f'"{GROUP}/{name}"', "pod.metadata.annotations"
        chosen = f'{annotation} in {annotations} ? Quantity({annotations}[{annotation}]) : Quantity("{default}")'
        made[resource] = {"expression": chosen}
    return made


def _series() -> list[dict[str, Any]]:
    """The metrics of one node."""
    expressions = {"container": "container.name", "namespace": "pod.metadata.namespace", "pod": "pod.metadata.name"}
    labels = [{"name": name, "value": value} for name, value in expressions.items()]
    return [
        {"name": name, "dimension": dimension, "kind": kind, "value": value}
        | ({"labels": labels} if dimension == "container" else {})
        for name, dimension, kind, value in _SERIES
    ]


def _stage(name: str, kind: str, conditions: list[dict[str, Any]]) -> dict[str, Any]:
    reference = {"apiGroup": "v1", "kind": kind}
    return {"name": name, "resourceRef": reference, "selector": {"matchExpressions": conditions}}


def _is(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "operator": "In", "values": [value]}


def _is_not(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "operator": "NotIn", "values": [value]}


def _object(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": _VERSION, "kind": kind, "metadata": {"name": name}, "spec": dict(spec)}
