"""Reading Kubernetes objects that were parsed from JSON.

Objects come from clusters and are not trusted to have the shape that their kind promises: every reader here takes an
object as it is and answers a default (empty text, None, an empty sequence) where something is missing or of another
type. Only the functions named ``parse_*`` raise, and only ValueError. Nothing here changes an object.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kubently.kube._fields import KubeObject, at, flag, integer, mapping, mappings, string_map, strings, text
from kubently.kube._selectors import (
    Operator,
    Requirement,
    Selector,
    map_selects,
    parse_label_selector,
    parse_selector,
    selects,
)
from kubently.kube._values import instant, parse_instant, parse_quantity, quantity
from kubently.schema.findings import ResourceRef

__all__ = [
    "Condition",
    "KubeObject",
    "Operator",
    "OwnerReference",
    "Requirement",
    "Selector",
    "all_containers",
    "annotation",
    "at",
    "condition",
    "conditions",
    "container",
    "container_statuses",
    "containers",
    "controller",
    "created_at",
    "deleted_at",
    "flag",
    "group",
    "group_of",
    "init_container_statuses",
    "init_containers",
    "instant",
    "integer",
    "kind",
    "labels",
    "map_selects",
    "mapping",
    "mappings",
    "members",
    "name",
    "namespace",
    "owners",
    "parse_instant",
    "parse_label_selector",
    "parse_quantity",
    "parse_selector",
    "pod_labels",
    "pod_spec",
    "quantity",
    "ref",
    "selects",
    "string_map",
    "strings",
    "text",
    "uid",
]

# ---- metadata


def kind(obj: object) -> str:
    """Return the kind, or an empty string (members of a list carry none, see `members`)."""
    return text(obj, "kind")


def group(obj: object) -> str:
    """Return the API group, empty for core."""
    return group_of(text(obj, "apiVersion"))


def group_of(api_version: str) -> str:
    """Return the group in an apiVersion: "apps/v1" gives "apps", "v1" gives an empty string."""
    return api_version.rpartition("/")[0]


def name(obj: object) -> str:
    """Return metadata.name."""
    return text(obj, "metadata", "name")


def namespace(obj: object) -> str:
    """Return metadata.namespace, empty for cluster-scoped objects."""
    return text(obj, "metadata", "namespace")


def uid(obj: object) -> str:
    """Return metadata.uid."""
    return text(obj, "metadata", "uid")


def labels(obj: object) -> dict[str, str]:
    """Return metadata.labels."""
    return string_map(obj, "metadata", "labels")


def annotation(obj: object, key: str) -> str:
    """Return one of metadata.annotations, or an empty string."""
    return text(obj, "metadata", "annotations", key)


def created_at(obj: object) -> datetime | None:
    """Return metadata.creationTimestamp."""
    return instant(obj, "metadata", "creationTimestamp")


def deleted_at(obj: object) -> datetime | None:
    """Return metadata.deletionTimestamp: set while the object is terminating."""
    return instant(obj, "metadata", "deletionTimestamp")


def ref(obj: object) -> ResourceRef:
    """Name *obj*; the kind is "Unknown" where the object does not say it."""
    return ResourceRef(group=group(obj), kind=kind(obj) or "Unknown", namespace=namespace(obj), name=name(obj))


def members(collection: KubeObject) -> Iterator[dict[str, Any]]:
    """Yield the objects of a list, each with the kind and apiVersion that the apiserver leaves out of list members."""
    list_kind = kind(collection)
    member_kind = list_kind.removesuffix("List") if list_kind != "List" else ""
    defaults = {"apiVersion": text(collection, "apiVersion"), "kind": member_kind} if member_kind else {}
    for item in mappings(collection, "items"):
        yield {**defaults, **item}


# ---- owners and conditions


@dataclass(frozen=True, slots=True)
class OwnerReference:
    """One entry of metadata.ownerReferences; owners live in the namespace of what they own, or in none."""

    group: str
    kind: str
    name: str
    uid: str
    is_controller: bool


def owners(obj: object) -> tuple[OwnerReference, ...]:
    """Return the owner references."""
    return tuple(
        OwnerReference(
            group=group(item),
            kind=kind(item),
            name=text(item, "name"),
            uid=text(item, "uid"),
            is_controller=flag(item, "controller"),
        )
        for item in mappings(obj, "metadata", "ownerReferences")
    )


def controller(obj: object) -> OwnerReference | None:
    """Return the owner that controls *obj*, if any."""
    return next((owner for owner in owners(obj) if owner.is_controller), None)


@dataclass(frozen=True, slots=True)
class Condition:
    """One entry of status.conditions."""

    type: str
    status: str
    """"True", "False" or "Unknown"; empty if the object does not say."""
    reason: str
    message: str
    changed_at: datetime | None
    """lastTransitionTime."""

    @property
    def is_true(self) -> bool:
        """Whether the status is "True"."""
        return self.status == "True"

    @property
    def is_false(self) -> bool:
        """Whether the status is "False"; Unknown is neither."""
        return self.status == "False"


def conditions(obj: object) -> tuple[Condition, ...]:
    """Return status.conditions."""
    return tuple(map(_condition, mappings(obj, "status", "conditions")))


def condition(obj: object, condition_type: str) -> Condition | None:
    """Return the condition of this type, or None."""
    found = (item for item in mappings(obj, "status", "conditions") if text(item, "type") == condition_type)
    return next(map(_condition, found), None)


def _condition(item: KubeObject) -> Condition:
    return Condition(
        type=text(item, "type"),
        status=text(item, "status"),
        reason=text(item, "reason"),
        message=text(item, "message"),
        changed_at=instant(item, "lastTransitionTime"),
    )


# ---- pods


def pod_spec(obj: object) -> KubeObject:
    """Return the pod spec of a Pod, PodTemplate, workload or CronJob, or an empty mapping."""
    if kind(obj) == "Pod":
        return mapping(obj, "spec")
    for path in (
        ("spec", "template", "spec"),
        ("spec", "jobTemplate", "spec", "template", "spec"),
        ("template", "spec"),
    ):
        if spec := mapping(obj, *path):
            return spec
    # A member of a PodList may come without its kind.
    return mapping(obj, "spec") if isinstance(at(obj, "spec", "containers"), list) else {}


def pod_labels(obj: object) -> dict[str, str]:
    """Return the labels that the pods of a workload get, or the labels of a Pod."""
    for path in (("spec", "template"), ("spec", "jobTemplate", "spec", "template"), ("template",)):
        if template := mapping(obj, *path):
            return labels(template)
    return labels(obj)


def containers(obj: object) -> list[KubeObject]:
    """Return the ordinary containers of a Pod or of a workload's template."""
    return mappings(pod_spec(obj), "containers")


def init_containers(obj: object) -> list[KubeObject]:
    """Return the init containers; those with restartPolicy Always are sidecars."""
    return mappings(pod_spec(obj), "initContainers")


def all_containers(obj: object) -> list[KubeObject]:
    """Return init, ordinary and ephemeral containers."""
    spec = pod_spec(obj)
    return [*mappings(spec, "initContainers"), *mappings(spec, "containers"), *mappings(spec, "ephemeralContainers")]


def container_statuses(pod: object) -> list[KubeObject]:
    """Return the statuses of the ordinary containers of a Pod."""
    return mappings(pod, "status", "containerStatuses")


def init_container_statuses(pod: object) -> list[KubeObject]:
    """Return the statuses of the init containers of a Pod."""
    return mappings(pod, "status", "initContainerStatuses")


def container(obj: object, container_name: str) -> KubeObject | None:
    """Return the container of this name, of whatever sort."""
    return next((item for item in all_containers(obj) if text(item, "name") == container_name), None)
