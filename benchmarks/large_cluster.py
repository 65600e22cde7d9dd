"""A large cluster on a real Kubernetes API server: the objects that a diagnosis reads, without what makes them.

No controller, no scheduler and no node runs: statuses are written as those would have left them, so that thousands of
pods are there within seconds and stay as they are.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any

import httpx
from tests.testbed.cluster import Cluster

Object = Mapping[str, Any]
PODS_EACH = 10
"""Pods of one Deployment."""
NAMESPACES = 50
_AT = "2026-01-01T00:00:00Z"
_PARALLEL = 32


async def fill(cluster: Cluster, *, pods: int) -> int:
    """Put *pods* pods and some four objects for ten of them into a cluster; returns how many objects were made."""
    async with client(cluster) as http:
        await _each([_namespace(number) for number in range(NAMESPACES)], lambda item: _create(http, item))
        await _each([_account(number) for number in range(NAMESPACES)], lambda item: _create(http, item))
        await _each([_node(number) for number in range(max(pods // 100, 1))], lambda item: _create(http, item))
        applications = [list(_application(number)) for number in range(pods // PODS_EACH)]
        await _each(applications, lambda items: _in_turn(http, items))
    return 2 * NAMESPACES + max(pods // 100, 1) + sum(map(len, applications))


def client(cluster: Cluster) -> httpx.AsyncClient:
    """A client of the API server as its administrator."""
    config = json.loads(cluster.kubeconfig("admin").read_text())
    return httpx.AsyncClient(base_url=cluster.server, verify=_context(config), timeout=60, trust_env=False)


def _context(config: Mapping[str, Any]) -> ssl.SSLContext:
    entry, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(entry["certificate-authority-data"]).decode())
    with tempfile.NamedTemporaryFile() as pair:
        pair.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
        pair.flush()
        context.load_cert_chain(pair.name)
    return context


async def _each(things: Sequence[Any], act: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    slots = asyncio.Semaphore(_PARALLEL)

    async def one(thing: Any) -> None:
        async with slots:
            await act(thing)

    await asyncio.gather(*map(one, things))


async def _in_turn(http: httpx.AsyncClient, items: Sequence[Object]) -> None:
    """Make an application's objects, owners first: their ids are the server's."""
    uids: dict[str, str] = {}
    for item in items:
        metadata = item["metadata"]
        for owner in metadata.get("ownerReferences", ()):
            owner["uid"] = uids[owner["name"]]
        uids[metadata["name"]] = await _create(http, item)


async def _create(http: httpx.AsyncClient, item: Object) -> str:
    version = item["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    namespace = item["metadata"].get("namespace")
    place = f"{root}/namespaces/{namespace}" if namespace else root
    path = f"{place}/{item['kind'].lower()}{'es' if item['kind'].endswith('ss') else 's'}"
    answer = await http.post(path, json=item)
    answer.raise_for_status()
    made: dict[str, Any] = answer.json()
    if "status" in item:
        body = {"status": item["status"]}
        headers = {"Content-Type": "application/merge-patch+json"}
        (await http.patch(f"{path}/{item['metadata']['name']}/status", json=body, headers=headers)).raise_for_status()
    uid: str = made["metadata"]["uid"]
    return uid


# ---- objects


def _namespace(number: int) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"team-{number}"}}


def _account(number: int) -> Object:
    # Otherwise a controller's work, and no pod is admitted without it.
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": f"team-{number}"},
    }


def _node(number: int) -> Object:
    size = {"cpu": "64", "memory": "256Gi", "pods": "250"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastTransitionTime": _AT}
    system = dict.fromkeys(("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "kubeProxyVersion"), "x")
    system |= {"kubeletVersion": "v1.36.3", "operatingSystem": "linux", "architecture": "amd64"}
    system |= {"containerRuntimeVersion": "containerd://2.2.0"}
    status = {"capacity": size, "allocatable": size, "conditions": [ready], "nodeInfo": system}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"node-{number}"}, "status": status}


def _application(number: int) -> Iterator[Object]:
    """A Deployment, its ReplicaSet, its pods, a Service and a ConfigMap; every fiftieth is broken."""
    name, namespace = f"app-{number}", f"team-{number % NAMESPACES}"
    broken = number % 50 == 0
    labels = {"app": name, "app.kubernetes.io/part-of": namespace, "pod-template-hash": f"{number:x}"}
    template = {"metadata": {"labels": labels}, "spec": _pod_spec(name)}
    selector = {"matchLabels": {"app": name}}
    ready = 0 if broken else PODS_EACH
    counts = {"replicas": PODS_EACH, "readyReplicas": ready, "availableReplicas": ready}
    yield _object("v1", "ConfigMap", name, namespace, data={"settings.yaml": "mode: fast\n" * 20})
    yield _object(
        "apps/v1",
        "Deployment",
        name,
        namespace,
        spec={"replicas": PODS_EACH, "selector": selector, "template": template},
        status={**counts, "observedGeneration": 1, "updatedReplicas": PODS_EACH},
    )
    yield _object(
        "apps/v1",
        "ReplicaSet",
        f"{name}-{number:x}",
        namespace,
        owner=("Deployment", name),
        spec={"replicas": PODS_EACH, "selector": selector, "template": template},
        status={**counts, "observedGeneration": 1},
    )
    yield _object(
        "v1", "Service", name, namespace, spec={"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}
    )
    for index in range(PODS_EACH):
        yield _pod(f"{name}-{number:x}-{index}", name, namespace, number, labels, broken=broken)


def _pod(name: str, app: str, namespace: str, number: int, labels: Mapping[str, str], *, broken: bool) -> Object:
    spec = {**_pod_spec(app), "nodeName": f"node-{number % 50}"}
    made = _object("v1", "Pod", name, namespace, owner=("ReplicaSet", f"{app}-{number:x}"), spec=spec)
    kinds = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    bad = ("ContainersReady", "Ready") if broken else ()
    conditions = [
        {"type": kind, "status": "False" if kind in bad else "True", "lastTransitionTime": _AT} for kind in kinds
    ]
    image = f"registry.example/{app}:1.4.2"
    state = {"name": app, "image": image, "imageID": f"{image}@sha256:{'0' * 64}", "ready": not broken}
    if broken:
        state |= {"restartCount": 12, "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}}}
        state |= {"lastState": {"terminated": {"exitCode": 1, "reason": "Error", "startedAt": _AT, "finishedAt": _AT}}}
    else:
        state |= {"restartCount": 0, "started": True, "state": {"running": {"startedAt": _AT}}}
    addresses = {"hostIP": "192.0.2.1", "podIP": "192.0.2.2", "startTime": _AT, "qosClass": "Burstable"}
    status = {"phase": "Running", "conditions": conditions, "containerStatuses": [state], **addresses}
    return {**made, "metadata": {**made["metadata"], "labels": dict(labels)}, "status": status}


def _pod_spec(name: str) -> dict[str, Any]:
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10}
    container = {
        "name": name,
        "image": f"registry.example/{name}:1.4.2",
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [{"name": f"SETTING_{index}", "value": f"value {index}"} for index in range(8)],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "readinessProbe": probe,
        "livenessProbe": probe,
        "volumeMounts": [{"name": "settings", "mountPath": "/etc/settings"}],
    }
    volumes = [{"name": "settings", "configMap": {"name": name}}]
    return {"containers": [container], "volumes": volumes, "automountServiceAccountToken": False}


def _object(
    version: str, kind: str, name: str, namespace: str, *, owner: tuple[str, str] | None = None, **body: Any
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "labels": {"app": name}}
    if owner is not None:
        reference = {"apiVersion": "apps/v1", "kind": owner[0], "name": owner[1], "controller": True}
        metadata["ownerReferences"] = [reference]
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **body}
