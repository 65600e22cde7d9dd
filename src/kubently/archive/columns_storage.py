"""Volumes, claims and storage drivers as rows."""

from __future__ import annotations

from datetime import datetime

from kubently.archive import cells
from kubently.archive.cells import AGE, NAME, NONE, UNSET, Cell, Column, Layout
from kubently.kube import objects

_MODES = (("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP"))
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


def _modes(item: objects.KubeObject, *path: str) -> str:
    found = objects.strings(item, *path)
    return ",".join(short for mode, short in _MODES if mode in found)


def _phase(item: objects.KubeObject) -> str:
    if objects.at(item, "metadata", "deletionTimestamp") is not None:
        return "Terminating"
    return objects.text(item, "status", "phase")


def _class(item: objects.KubeObject) -> str:
    annotations = objects.mapping(item, "metadata", "annotations")
    if _CLASS_ANNOTATION in annotations:
        return objects.text(annotations, _CLASS_ANNOTATION)
    return objects.text(item, "spec", "storageClassName")


def _volume(item: objects.KubeObject, now: datetime) -> list[Cell]:
    claim = objects.mapping(item, "spec", "claimRef")
    return [
        objects.name(item),
        cells.plain(objects.at(item, "spec", "capacity", "storage"), "0"),
        _modes(item, "spec", "accessModes"),
        objects.text(item, "spec", "persistentVolumeReclaimPolicy"),
        _phase(item),
        f"{objects.text(claim, 'namespace')}/{objects.text(claim, 'name')}" if claim else "",
        _class(item),
        objects.text(item, "spec", "volumeAttributesClassName") or UNSET,
        objects.text(item, "status", "reason"),
        cells.age(item, now),
        objects.text(item, "spec", "volumeMode") or UNSET,
    ]


def _claim(item: objects.KubeObject, now: datetime) -> list[Cell]:
    volume = objects.text(item, "spec", "volumeName")
    return [
        objects.name(item),
        _phase(item),
        volume,
        cells.plain(objects.at(item, "status", "capacity", "storage"), "0") if volume else "",
        _modes(item, "status", "accessModes") if volume else "",
        _class(item),
        objects.text(item, "spec", "volumeAttributesClassName") or UNSET,
        cells.age(item, now),
        objects.text(item, "spec", "volumeMode") or UNSET,
    ]


_DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")


def _storage_class(item: objects.KubeObject, now: datetime) -> list[Cell]:
    is_default = any(objects.annotation(item, key) == "true" for key in _DEFAULT_CLASS)
    return [
        objects.name(item) + (" (default)" if is_default else ""),
        objects.text(item, "provisioner"),
        objects.text(item, "reclaimPolicy") or "Delete",
        objects.text(item, "volumeBindingMode") or "Immediate",
        objects.flag(item, "allowVolumeExpansion"),
        cells.age(item, now),
    ]


def _attachment(item: objects.KubeObject, now: datetime) -> list[Cell]:
    return [
        objects.name(item),
        objects.text(item, "spec", "attacher"),
        objects.text(item, "spec", "source", "persistentVolumeName"),
        objects.text(item, "spec", "nodeName"),
        objects.flag(item, "status", "attached"),
        cells.age(item, now),
    ]


def _driver(item: objects.KubeObject, now: datetime) -> list[Cell]:
    spec = objects.mapping(item, "spec")
    audiences = [objects.text(request, "audience") for request in objects.mappings(spec, "tokenRequests")]
    return [
        objects.name(item),
        objects.flag(spec, "attachRequired", default=True),
        objects.flag(spec, "podInfoOnMount"),
        objects.flag(spec, "storageCapacity"),
        ",".join(audiences) if "tokenRequests" in spec else UNSET,
        objects.flag(spec, "requiresRepublish"),
        ",".join(objects.strings(spec, "volumeLifecycleModes")) or NONE,
        cells.age(item, now),
    ]


def _node_drivers(item: objects.KubeObject, now: datetime) -> list[Cell]:
    return [objects.name(item), len(objects.mappings(item, "spec", "drivers")), cells.age(item, now)]


def _flag(name: str) -> Column:
    return Column(name, "boolean")


_VOLUME_MODE = Column("VolumeMode", wide=True)
_CLASSES = (Column("StorageClass"), Column("VolumeAttributesClass"))

LAYOUTS = (
    Layout(
        "",
        "persistentvolumes",
        (
            NAME,
            *map(Column, ("Capacity", "Access Modes", "Reclaim Policy", "Status", "Claim")),
            *_CLASSES,
            Column("Reason"),
            AGE,
            _VOLUME_MODE,
        ),
        _volume,
    ),
    Layout(
        "",
        "persistentvolumeclaims",
        (NAME, *map(Column, ("Status", "Volume", "Capacity", "Access Modes")), *_CLASSES, AGE, _VOLUME_MODE),
        _claim,
    ),
    Layout(
        "storage.k8s.io",
        "storageclasses",
        (
            NAME,
            *map(Column, ("Provisioner", "ReclaimPolicy", "VolumeBindingMode", "AllowVolumeExpansion")),
            AGE,
        ),
        _storage_class,
    ),
    Layout(
        "storage.k8s.io",
        "volumeattachments",
        (NAME, Column("Attacher", format="name"), Column("PV"), Column("Node"), _flag("Attached"), AGE),
        _attachment,
    ),
    Layout(
        "storage.k8s.io",
        "csidrivers",
        (
            NAME,
            *map(_flag, ("AttachRequired", "PodInfoOnMount", "StorageCapacity")),
            Column("TokenRequests"),
            _flag("RequiresRepublish"),
            Column("Modes"),
            AGE,
        ),
        _driver,
    ),
    Layout("storage.k8s.io", "csinodes", (NAME, Column("Drivers", "integer"), AGE), _node_drivers),
)
