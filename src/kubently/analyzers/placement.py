"""Which nodes a pod asks for, and which let it on: node selector, required node affinity, taints."""

from __future__ import annotations

from collections.abc import Iterator

from kubently.kube import objects
from kubently.kube.objects import KubeObject

_ZONE = "topology.kubernetes.io/zone"
_KEEP_OFF = ("NoSchedule", "NoExecute")
_KNOWN = frozenset({"In", "NotIn", "Exists", "DoesNotExist"})


def is_selected(node: KubeObject, pod: KubeObject) -> bool:
    """Say whether a pod's selector and required affinity admit a node; what cannot be judged here admits it."""
    wanted = objects.string_map(pod, "spec", "nodeSelector")
    if any(objects.labels(node).get(key) != value for key, value in wanted.items()):
        return False
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    return _is_admitted(node, objects.mappings(pod, "spec", "affinity", "nodeAffinity", required, "nodeSelectorTerms"))


def takes(node: KubeObject, pod: KubeObject) -> bool:
    """Say whether selector, required affinity and taints let a pod on a node."""
    return is_selected(node, pod) and not any(untolerated(node, pod))


def reaches(volume: KubeObject, node: KubeObject) -> bool:
    """Say whether a PersistentVolume can be used on a node; what cannot be judged here can.

    A zone that a driver tells under a name of its own is taken for the node's, where the node does not tell that name.
    """
    terms, labels = (
        objects.mappings(volume, "spec", "nodeAffinity", "required", "nodeSelectorTerms"),
        objects.labels(node),
    )
    keys = {objects.text(item, "key") for term in terms for item in objects.mappings(term, "matchExpressions")}
    zones = {key: labels[_ZONE] for key in keys if key.endswith("/zone") and _ZONE in labels}
    return not terms or any(_admits(term, {**zones, **labels}) for term in terms)


def _is_admitted(node: KubeObject, terms: list[KubeObject]) -> bool:
    return not terms or any(_admits(term, objects.labels(node)) for term in terms)


def _admits(term: KubeObject, labels: dict[str, str]) -> bool:
    expressions = [
        item for item in objects.mappings(term, "matchExpressions") if objects.text(item, "operator") in _KNOWN
    ]
    return objects.selects({"matchExpressions": expressions}, labels)


def untolerated(node: KubeObject, pod: KubeObject) -> Iterator[KubeObject]:
    """Yield the taints that keep a pod off a node."""
    tolerations = objects.mappings(pod, "spec", "tolerations")
    for taint in objects.mappings(node, "spec", "taints"):
        if objects.text(taint, "effect") in _KEEP_OFF and not any(_tolerates(item, taint) for item in tolerations):
            yield taint


def _tolerates(toleration: KubeObject, taint: KubeObject) -> bool:
    key, effect = objects.text(toleration, "key"), objects.text(toleration, "effect")
    if effect and effect != objects.text(taint, "effect"):
        return False
    if objects.text(toleration, "operator") == "Exists":
        return key in ("", objects.text(taint, "key"))
    return key == objects.text(taint, "key") and objects.text(toleration, "value") == objects.text(taint, "value")
