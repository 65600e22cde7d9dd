"""Reads a support bundle of replicatedhq/troubleshoot.

::

    version.yaml
    cluster-info/cluster_version.json
    cluster-resources/<kind>.json                       cluster-scoped, and namespaces
    cluster-resources/<kind>/<namespace>.json
    cluster-resources/<kind>-errors.json                why some could not be collected
    cluster-resources/custom-resources/<definition>.json
    cluster-resources/custom-resources/<definition>/<namespace>.json
    cluster-resources/pods/logs/<namespace>/<pod>/<container>.log, <container>-previous.log

Older ones hold bare arrays, and custom resources as YAML.
"""

from __future__ import annotations

from kubently.archive import format
from kubently.archive.foreign.picture import Key, Picture
from kubently.archive.foreign.source import Source
from kubently.kube import objects

LAYOUT = "support bundle"
_RESOURCES = "cluster-resources"
_ERRORS = "-errors.json"
_DEFINITIONS: Key = ("apiextensions.k8s.io", "customresourcedefinitions")

_NAMESPACED: dict[str, Key] = {
    "configmaps": ("", "configmaps"),
    "cronjobs": ("batch", "cronjobs"),
    "daemonsets": ("apps", "daemonsets"),
    "deployments": ("apps", "deployments"),
    "endpoints": ("", "endpoints"),
    "endpointslices": ("discovery.k8s.io", "endpointslices"),
    "events": ("", "events"),
    "ingress": ("networking.k8s.io", "ingresses"),
    "jobs": ("batch", "jobs"),
    "leases": ("coordination.k8s.io", "leases"),
    "limitranges": ("", "limitranges"),
    "network-policy": ("networking.k8s.io", "networkpolicies"),
    "pod-disruption-budgets": ("policy", "poddisruptionbudgets"),
    "pods": ("", "pods"),
    "pvcs": ("", "persistentvolumeclaims"),
    "replicasets": ("apps", "replicasets"),
    "resource-quota": ("", "resourcequotas"),
    "rolebindings": ("rbac.authorization.k8s.io", "rolebindings"),
    "roles": ("rbac.authorization.k8s.io", "roles"),
    "serviceaccounts": ("", "serviceaccounts"),
    "services": ("", "services"),
    "statefulsets": ("apps", "statefulsets"),
}
_OF_THE_CLUSTER: dict[str, Key] = {
    "certificatesigningrequests": ("certificates.k8s.io", "certificatesigningrequests"),
    "clusterrolebindings": ("rbac.authorization.k8s.io", "clusterrolebindings"),
    "clusterroles": ("rbac.authorization.k8s.io", "clusterroles"),
    "custom-resource-definitions": _DEFINITIONS,
    "ingress-classes": ("networking.k8s.io", "ingressclasses"),
    "mutating-webhook-configurations": ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    "nodes": ("", "nodes"),
    "priorityclasses": ("scheduling.k8s.io", "priorityclasses"),
    "pvs": ("", "persistentvolumes"),
    "storage-classes": ("storage.k8s.io", "storageclasses"),
    "validating-webhook-configurations": ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    "volumeattachments": ("storage.k8s.io", "volumeattachments"),
}


def top(names: frozenset[str]) -> str | None:
    """Return the folder in which a bundle's own files are, ending in a slash unless empty; None if it is no bundle."""
    marks = (f"{_RESOURCES}/nodes.json", f"{_RESOURCES}/namespaces.json", f"{_RESOURCES}/pods/")
    found = {name[: name.index(mark)] for name in names for mark in marks if mark in name}
    tops = [prefix for prefix in found if not prefix or prefix.endswith("/")]
    return min(tops, key=lambda prefix: (prefix.count("/"), prefix), default=None)


def read(source: Source, prefix: str) -> Picture:
    """Read the bundle below *prefix*."""
    picture = Picture(LAYOUT, source)
    custom: dict[str, list[str]] = {}
    failed: set[str] = set()
    for name in sorted(source.names()):
        match name.removeprefix(prefix).split("/") if name.startswith(prefix) else []:
            case ["version.yaml"]:
                source.taken.add(name)  # the program's version, not the cluster's
            case ["cluster-info", "cluster_version.json"]:
                _version(picture, name)
            case [folder, "pods", "logs", namespace, pod, log] if folder == _RESOURCES:
                _log(picture, name, namespace, pod, log)
            case [folder, *_, last] if folder == _RESOURCES and last.endswith(_ERRORS):
                failed |= _errors(picture, name)
            case [folder, "namespaces.json"] if folder == _RESOURCES:
                _namespaces(picture, name)
            case [folder, "custom-resources", definition, *_] if folder == _RESOURCES:
                custom.setdefault(_stem(definition), []).append(name)
            case [folder, kind] if folder == _RESOURCES and _stem(kind) in _OF_THE_CLUSTER:
                _list(picture, name, _OF_THE_CLUSTER[_stem(kind)], "")
            case [folder, kind, file] if folder == _RESOURCES and kind in _NAMESPACED:
                _list(picture, name, _NAMESPACED[kind], _stem(file))
    _custom(picture, custom, failed)
    return picture


def _stem(name: str) -> str:
    """A name without what says how it is written; names of definitions hold dots."""
    return name.removesuffix(".json").removesuffix(".yaml")


def _version(picture: Picture, name: str) -> None:
    for document in picture.documents(name):
        picture.version = objects.text(document, "info", "gitVersion") or objects.text(document, "string")


def _list(picture: Picture, name: str, key: Key, namespace: str) -> None:
    found = picture.take(key, name, namespace)
    if found is not None and found.is_whole:
        picture.hold(key, namespace)
    if namespace:
        picture.namespaces.add(namespace)


def _namespaces(picture: Picture, name: str) -> None:
    """Take the namespaces: all, if it is a list of the API; a bare array may hold those that somebody chose."""
    found = picture.take(("", "namespaces"), name, "")
    if found is None:
        return
    picture.namespaces |= {objects.name(member) for member in found.items if objects.name(member)}
    if found.kind == "NamespaceList":
        picture.knows_namespaces = True
        picture.hold(("", "namespaces"))


def _errors(picture: Picture, name: str) -> set[str]:
    """Note what the bundle's collector says that it could not read, and return the names of it."""
    failed: set[str] = set()
    for document in picture.documents(name):
        said = document if isinstance(document, dict) else {"": document}
        for what, why in said.items():
            picture.source.left_out.add(f"{name} {what}".rstrip(), f"the bundle's collector says: {why}")
        failed |= said.keys()
    return failed


def _log(picture: Picture, name: str, namespace: str, pod: str, log: str) -> None:
    if log.endswith("-logs-errors.log"):
        said = (picture.source.read(name) or b"").decode("utf-8", "replace")
        picture.source.left_out.add(name, f"the bundle's collector says: {said}")
        return
    content = picture.source.read(name) if log.endswith(".log") else None
    if content is None:
        return
    previous = log.endswith("-previous.log")
    container = log.removesuffix("-previous.log" if previous else ".log")
    picture.logs[format.LogKey(namespace, pod, container, previous)] = content


def _custom(picture: Picture, files: dict[str, list[str]], failed: set[str]) -> None:
    """Take custom resources. A definition without files has no objects, if custom resources were collected at all."""
    for definition, names in files.items():
        plural, _, group = definition.partition(".")
        for name in names:
            inner = _stem(name.rpartition("/")[2])
            picture.take((group, plural), name, "" if inner == definition else inner)
    if not files or "crdList" in failed:
        return
    asked = picture.whole_in.get(("", "pods"), set())
    for claim in [claim for claim in picture.claims if claim.key == _DEFINITIONS]:
        key = (objects.text(claim.item, "spec", "group"), objects.text(claim.item, "spec", "names", "plural"))
        if objects.name(claim.item) in failed:
            continue
        for namespace in asked if objects.text(claim.item, "spec", "scope") == "Namespaced" else {""}:
            picture.hold(key, namespace)
