"""Writes a cluster as other programs would write it: a support bundle, a must-gather, a cluster-info dump."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from kubently.analyzers import LogKey
from kubently.analyzers.resources import RESOURCES, Resource, resource_of
from kubently.kube import objects
from kubently.kube.objects import parse_instant

SCENARIOS = Path(__file__).parents[2] / "scenarios"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Item = dict[str, Any]

BUNDLE_NAMESPACED = {
    "configmaps": "configmaps",
    "cronjobs": "cronjobs.batch",
    "daemonsets": "daemonsets.apps",
    "deployments": "deployments.apps",
    "events": "events",
    "ingress": "ingresses.networking.k8s.io",
    "jobs": "jobs.batch",
    "network-policy": "networkpolicies.networking.k8s.io",
    "pod-disruption-budgets": "poddisruptionbudgets.policy",
    "pods": "pods",
    "pvcs": "persistentvolumeclaims",
    "replicasets": "replicasets.apps",
    "resource-quota": "resourcequotas",
    "services": "services",
    "statefulsets": "statefulsets.apps",
}
BUNDLE_CLUSTER = {
    "ingress-classes": "ingressclasses.networking.k8s.io",
    "mutating-webhook-configurations": "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "namespaces": "namespaces",
    "nodes": "nodes",
    "pvs": "persistentvolumes",
    "storage-classes": "storageclasses.storage.k8s.io",
    "validating-webhook-configurations": "validatingwebhookconfigurations.admissionregistration.k8s.io",
}
GATHERED = (
    "configmaps",
    "cronjobs.batch",
    "daemonsets.apps",
    "deployments.apps",
    "events",
    "horizontalpodautoscalers.autoscaling",
    "jobs.batch",
    "persistentvolumeclaims",
    "poddisruptionbudgets.policy",
    "pods",
    "replicasets.apps",
    "services",
    "statefulsets.apps",
)
GATHERED_CLUSTER = (
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "nodes",
    "persistentvolumes",
    "storageclasses.storage.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
)
DUMPED = ("daemonsets.apps", "deployments.apps", "events", "pods", "replicasets.apps", "services")
BY_NAME = {str(resource): resource for resource in RESOURCES}


@dataclass(frozen=True)
class Cluster:
    """What there was."""

    read_at: datetime
    items: list[Item]
    logs: Mapping[LogKey, str] = field(default_factory=dict)

    @property
    def namespaces(self) -> list[str]:
        """All there are."""
        return sorted(objects.name(item) for item in self.items if objects.kind(item) == "Namespace")

    def of(self, name: str, namespace: str = "") -> list[Item]:
        """The objects of a resource, of one namespace or in none."""
        return [item for item in self.all_of(BY_NAME[name]) if objects.namespace(item) == namespace]

    def all_of(self, resource: Resource) -> list[Item]:
        """The objects of a resource."""
        return [item for item in self.items if resource_of(objects.group(item), objects.kind(item)) == resource]

    @property
    def present_logs(self) -> dict[LogKey, str]:
        """What nodes give of a container: of one that waits to start again, the log of its last run."""
        return {key: text for key, text in self.logs.items() if not key.previous or self._waits(key)}

    def _waits(self, key: LogKey) -> bool:
        return any(
            "waiting" in objects.mapping(status, "state")
            for pod in self.of("pods", key.namespace)
            for status in objects.container_statuses(pod)
            if (objects.name(pod), objects.text(status, "name")) == (key.pod, key.container)
        )

    @property
    def addons(self) -> list[Resource]:
        """The resources that definitions make."""
        return [resource for resource in RESOURCES if resource.is_addon and self.all_of(resource)]


def scenario(slug: str) -> Cluster:
    """A cluster of tests/scenarios, with its namespaces, a definition for each add-on, and a sign of its clock."""
    folder = SCENARIOS / slug
    read_at = yaml.load((folder / "expected.yaml").read_text(), LOADER)["read_at"]
    items = [item for item in yaml.load_all((folder / "objects.yaml").read_text(), LOADER) if item]
    names = {objects.namespace(item) for item in items} | {"kube-system"}
    known = {objects.name(item) for item in items if objects.kind(item) == "Namespace"}
    items += [thing("v1", "Namespace", name) for name in sorted(names - known - {""})]
    about = {"apiVersion": "v1", "kind": "ConfigMap", "namespace": "kube-system", "name": "leader"}
    said = {"reason": "LeaderElection", "type": "Normal", "involvedObject": about, "lastTimestamp": read_at}
    items.append({**thing("v1", "Event", "leader.1", "kube-system"), **said})
    logs = {}
    for path in folder.glob("logs/*.log"):
        name = path.name.removesuffix(".log")
        namespace, pod, container = name.removesuffix(".previous").split("_")
        logs[LogKey(namespace, pod, container, name.endswith(".previous"))] = path.read_text()
    return Cluster(parse_instant(read_at), items, logs)


def thing(api_version: str, kind: str, name: str, namespace: str = "", **rest: Any) -> Item:
    """An object."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def definition(resource: Resource) -> Item:
    """The definition of an add-on's resource."""
    names = {"kind": resource.kind, "plural": resource.plural, "singular": resource.kind.lower()}
    scope = "Namespaced" if resource.is_namespaced else "Cluster"
    version = {"name": resource.version, "served": True, "storage": True}
    spec = {"group": resource.group, "names": names, "scope": scope, "versions": [version]}
    return thing("apiextensions.k8s.io/v1", "CustomResourceDefinition", str(resource), spec=spec)


def support_bundle(root: Path, cluster: Cluster) -> Path:
    """Write a support bundle."""
    top = root / "support-bundle-2026-03-02T10_00_00"
    kinds = top / "cluster-resources"
    _json(top / "cluster-info" / "cluster_version.json", {"info": {"gitVersion": "v1.33.2"}, "string": "v1.33.2"})
    _text(top / "version.yaml", "apiVersion: troubleshoot.sh/v1beta2\nkind: SupportBundle\n")
    for file, name in BUNDLE_CLUSTER.items():
        _json(kinds / f"{file}.json", _list(BY_NAME[name], cluster.of(name)))
    for file, name in BUNDLE_NAMESPACED.items():
        for namespace in cluster.namespaces:
            _json(kinds / file / f"{namespace}.json", _list(BY_NAME[name], cluster.of(name, namespace)))
    definitions = [definition(resource) for resource in cluster.addons]
    _json(kinds / "custom-resource-definitions.json", definitions)
    for resource in cluster.addons:
        for namespace in {objects.namespace(item) for item in cluster.all_of(resource)}:
            _json(kinds / "custom-resources" / str(resource) / f"{namespace}.json", cluster.all_of(resource))
    for key, text in cluster.logs.items():
        suffix = "-previous.log" if key.previous else ".log"
        _text(kinds / "pods" / "logs" / key.namespace / key.pod / f"{key.container}{suffix}", text)
    return root


def must_gather(root: Path, cluster: Cluster) -> Path:
    """Write a must-gather of one image that looked into all namespaces."""
    top = root / "quay-io-openshift-release-dev-sha256-0a1b"
    _text(top / "timestamp", f"{cluster.read_at:%Y-%m-%d %H:%M:%S}.5 +0000 UTC m=+0.1\n2030-01-01 00:00:00 +0000 UTC\n")
    _text(root / "event-filter.html", "<html></html>")
    for namespace in cluster.namespaces:
        folder = top / "namespaces" / namespace
        _yaml(folder / f"{namespace}.yaml", thing("v1", "Namespace", namespace))
        for name in (*GATHERED, *map(str, cluster.addons)):
            resource = BY_NAME[name]
            _yaml(folder / _group(resource) / f"{resource.plural}.yaml", _list(resource, cluster.of(name, namespace)))
        for pod in cluster.of("pods", namespace):
            _yaml(folder / "pods" / objects.name(pod) / f"{objects.name(pod)}.yaml", pod)
    for item in (item for name in GATHERED_CLUSTER for item in cluster.of(name)):
        _gathered(top, BY_NAME[str(resource_of(objects.group(item), objects.kind(item)))], item)
    for item in map(definition, cluster.addons):
        folder = top / "cluster-scoped-resources" / "apiextensions.k8s.io" / "customresourcedefinitions"
        _yaml(folder / f"{objects.name(item)}.yaml", item)
    for key, text in cluster.logs.items():
        place = top / "namespaces" / key.namespace / "pods" / key.pod / key.container / key.container / "logs"
        _text(place / ("previous.log" if key.previous else "current.log"), text)
    return root


def _gathered(top: Path, resource: Resource, item: Item) -> None:
    _yaml(top / "cluster-scoped-resources" / _group(resource) / resource.plural / f"{objects.name(item)}.yaml", item)


def cluster_info(root: Path, cluster: Cluster) -> Path:
    """Write a cluster-info dump of all namespaces, which has only the present logs."""
    _json(root / "nodes.json", _list(BY_NAME["nodes"], cluster.of("nodes")))
    for namespace in cluster.namespaces:
        for name in DUMPED:
            resource = BY_NAME[name]
            _json(root / namespace / f"{resource.plural}.json", _list(resource, cluster.of(name, namespace)))
    for key, text in cluster.present_logs.items():
        words = f"logs for container {key.container} of pod {key.namespace}/{key.pod} ====\n"
        place = root / key.namespace / key.pod / "logs.txt"
        place.parent.mkdir(exist_ok=True)
        with place.open("a") as file:
            file.write(f"==== START {words}{text}==== END {words}")
    return root


def pack(folder: Path, into: Path) -> Path:
    """Pack a folder as a .tar.gz."""
    with tarfile.open(into, "w:gz", compresslevel=1) as tar:
        tar.add(folder, arcname=folder.name)
    return into


def _group(resource: Resource) -> str:
    return resource.group or "core"


def _list(resource: Resource, items: Iterable[Item]) -> Item:
    """A list as Go writes it: its members say neither kind nor apiVersion."""
    plain = [{key: value for key, value in item.items() if key not in ("kind", "apiVersion")} for item in items]
    return {"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": {}, "items": plain}


def _json(path: Path, value: object) -> None:
    _text(path, json.dumps(value))


def _yaml(path: Path, value: object) -> None:
    _text(path, yaml.dump(value, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)))


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
