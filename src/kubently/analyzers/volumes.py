"""PersistentVolumes and StorageClasses."""

from __future__ import annotations

from collections.abc import Iterator

from kubently.analyzers import cases, storage
from kubently.analyzers.base import Analyzer, Condition, analyzer, clean, finding, quote
from kubently.analyzers.resources import PERSISTENT_VOLUMES, STORAGE_CLASSES
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


ANALYZERS: tuple[Analyzer, ...] = (volumes, storage_classes)
