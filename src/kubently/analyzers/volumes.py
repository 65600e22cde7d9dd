"""PersistentVolumes and StorageClasses."""

from __future__ import annotations

from collections.abc import Iterator

from kubently.analyzers import cases, storage
from kubently.analyzers.base import GRACE, Analyzer, Condition, analyzer, clean, finding, quote
from kubently.analyzers.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.schema.findings import Finding, Severity

FAILED = Condition(
    "pv/failed",
    Severity.RISK,
    "The volume was released and its storage could not be reclaimed; it stays, and may cost.",
    "Read the driver's words; delete the storage by hand where it is not needed.",
)
TWO_DEFAULTS = Condition(
    "storageclass/two-defaults",
    Severity.RISK,
    "Two StorageClasses are marked as the default; claims without a class get the younger one.",
    "Leave the mark on one.",
)


RESIZE_STUCK = Condition(
    "pvc/resize-stuck",
    Severity.RISK,
    "A claim was made larger and its volume did not grow: the driver cannot, or a pod must be restarted.",
    "Read the driver's words; where the file system is resized at the next mount, restart the pod.",
)

_RESIZING = ("ControllerResizeError", "NodeResizeError", "FileSystemResizePending", "ModifyVolumeError")


@analyzer("volumes", needs=(PERSISTENT_VOLUMES,), conditions=(FAILED,))
def volumes(snapshot: Snapshot) -> Iterator[Finding]:
    """Report volumes that could not be reclaimed."""
    for volume in snapshot.members(PERSISTENT_VOLUMES):
        if objects.text(volume, "status", "phase") == "Failed":
            ref = objects.ref(volume)
            message = objects.text(volume, "status", "message")
            yield finding(
                FAILED,
                title=f"{cases.display(ref)} could not be reclaimed: {clean(message, limit=160)}",
                objects=(ref,),
                evidence=(quote(f"{cases.display(ref)} status", f"Failed: {message}"),),
                next_checks=(f"describe persistentvolume {ref.name}",),
            )


@analyzer("storage-classes", needs=(STORAGE_CLASSES,), conditions=(TWO_DEFAULTS,))
def storage_classes(snapshot: Snapshot) -> Iterator[Finding]:
    """Report classes that compete for being the default."""
    defaults = [item for item in snapshot.members(STORAGE_CLASSES) if storage.is_default(item)]
    if len(defaults) < 2:
        return
    refs = sorted((objects.ref(item) for item in defaults), key=str)
    names = ", ".join(ref.name for ref in refs)
    yield finding(
        TWO_DEFAULTS,
        title=f"{len(refs)} StorageClasses are marked as the default: {names}",
        objects=refs,
        evidence=(quote("storageclasses that are the default", names),),
        next_checks=("get storageclasses",),
    )


@analyzer("volume-resizes", needs=(PERSISTENT_VOLUME_CLAIMS,), conditions=(RESIZE_STUCK,))
def volume_resizes(snapshot: Snapshot) -> Iterator[Finding]:
    """Report claims that wait for a larger volume."""
    for claim in snapshot.members(PERSISTENT_VOLUME_CLAIMS):
        told = [c for c in objects.conditions(claim) if c.type in _RESIZING and c.is_true]
        if not told or snapshot.age(told[0].changed_at) < GRACE:
            continue
        ref = objects.ref(claim)
        wanted = objects.text(claim, "spec", "resources", "requests", "storage")
        size = objects.text(claim, "status", "capacity", "storage")
        words = clean(told[0].message, limit=160) or told[0].type
        yield finding(
            RESIZE_STUCK,
            title=f"{cases.display(ref)} has {size} and waits for {wanted}: {words}",
            objects=(ref,),
            evidence=tuple(quote(f"{cases.display(ref)} condition {c.type}", c.message or "True") for c in told),
            next_checks=(f"describe persistentvolumeclaim {ref.name} -n {ref.namespace}",),
        )


ANALYZERS: tuple[Analyzer, ...] = (volumes, storage_classes, volume_resizes)
