"""PersistentVolumeClaims that do not get a volume, and why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kubently.analyzers import cases, containers, relations
from kubently.analyzers.base import GRACE, Analyzer, Condition, analyzer, clean, finding, quote
from kubently.analyzers.events import Event
from kubently.analyzers.resources import (
    EVENTS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    STORAGE_CLASSES,
)
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Evidence, Finding, Severity

CLASS_MISSING = Condition(
    "pvc/class-missing",
    Severity.OUTAGE,
    "The claim names a StorageClass that does not exist.",
    "Create the class, or make the claim again with one that exists: the field cannot be changed.",
)
NO_DEFAULT_CLASS = Condition(
    "pvc/no-default-class",
    Severity.OUTAGE,
    "The claim names no StorageClass and the cluster has no default one.",
    "Mark one class as the default, or name one in the claim.",
)
NO_MATCHING_VOLUME = Condition(
    "pvc/no-matching-volume",
    Severity.OUTAGE,
    "The claim can only be bound to an existing volume, and none fits.",
    "Compare class, size, access modes and selector of the claim with the volumes that are available.",
)
PROVISIONER_SILENT = Condition(
    "pvc/provisioner-silent",
    Severity.OUTAGE,
    "The claim waits for its class's provisioner, which does not take it up.",
    "See whether the storage driver's controller is installed and runs.",
    confidence=Confidence.LIKELY,
)
PROVISIONING_FAILED = Condition(
    "pvc/provisioning-failed",
    Severity.OUTAGE,
    "The provisioner cannot make the volume.",
    "Read the quoted answer of the storage driver: limits, permissions and parameters of the class are usual causes.",
)
WAITS_FOR_POD = Condition(
    "pvc/waits-for-pod",
    Severity.DEGRADED,
    "The claim gets its volume when its pod has a node, and the pod gets none.",
    "See why the pod cannot be scheduled.",
    symptom_of=("pod/unschedulable", "pod/claim-missing"),
)
PENDING = Condition(
    "pvc/pending",
    Severity.OUTAGE,
    "The claim is not bound, and nothing says why.",
    "See whether the controller-manager and the storage driver run.",
    confidence=Confidence.POSSIBLE,
)
LOST = Condition(
    "pvc/lost",
    Severity.OUTAGE,
    "The claim was bound to a volume that does not exist any more.",
    "Restore the PersistentVolume, or the data from a backup into a new claim.",
)
CONDITIONS = (
    CLASS_MISSING,
    NO_DEFAULT_CLASS,
    NO_MATCHING_VOLUME,
    PROVISIONER_SILENT,
    PROVISIONING_FAILED,
    WAITS_FOR_POD,
    PENDING,
    LOST,
)

_DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
_STATIC = "kubernetes.io/no-provisioner"


@dataclass(frozen=True, slots=True)
class _Verdict:
    condition: Condition
    what: str
    evidence: tuple[Evidence, ...] = ()


@analyzer(
    "storage-claims",
    needs=(PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES, PODS, EVENTS),
    conditions=CONDITIONS,
)
def storage_claims(snapshot: Snapshot) -> Iterator[Finding]:
    """Explain claims that are not bound."""
    users = _users(snapshot)
    for claim in snapshot.members(PERSISTENT_VOLUME_CLAIMS):
        verdict = _verdict(snapshot, claim, users.get(_key(claim), []))
        if verdict is not None:
            yield _finding(snapshot, claim, verdict, users.get(_key(claim), []))


def _users(snapshot: Snapshot) -> dict[tuple[str, str], list[KubeObject]]:
    """Map each claim to the pods that mount it."""
    users: dict[tuple[str, str], list[KubeObject]] = {}
    for pod in snapshot.members(PODS):
        if containers.is_finished(pod):
            continue
        for name in relations.claims_of(pod):
            users.setdefault((objects.namespace(pod), name), []).append(pod)
    return users


def _key(claim: KubeObject) -> tuple[str, str]:
    return objects.namespace(claim), objects.name(claim)


def _verdict(snapshot: Snapshot, claim: KubeObject, users: list[KubeObject]) -> _Verdict | None:
    phase = objects.text(claim, "status", "phase")
    if objects.deleted_at(claim) is not None or snapshot.age(objects.created_at(claim)) < GRACE:
        return None
    if phase == "Lost":
        return _Verdict(LOST, "has lost its volume " + clean(objects.text(claim, "spec", "volumeName"), limit=253))
    if phase != "Pending":
        return None
    named = objects.at(claim, "spec", "storageClassName")
    if isinstance(named, str) and named:
        return _with_class(snapshot, claim, named, users)
    if named == "" or objects.text(claim, "spec", "volumeName"):
        return _without_volume(snapshot, claim, "")
    return _without_class(snapshot, claim)


# ---- why


def _without_class(snapshot: Snapshot, claim: KubeObject) -> _Verdict | None:
    if not snapshot.is_complete(STORAGE_CLASSES):
        return _by_events(snapshot, claim)
    classes = snapshot.members(STORAGE_CLASSES)
    if any(is_default(item) for item in classes):
        return _by_events(snapshot, claim)
    names = ", ".join(sorted(objects.name(item) for item in classes)) or "none"
    what = "names no storage class, and the cluster has no default one"
    return _Verdict(NO_DEFAULT_CLASS, what, (quote("storageclasses", names),))


def is_default(storage_class: KubeObject) -> bool:
    """Say whether claims that name no class get this one."""
    annotations = objects.string_map(storage_class, "metadata", "annotations")
    return any(annotations.get(key) == "true" for key in _DEFAULT_CLASS)


def _with_class(snapshot: Snapshot, claim: KubeObject, name: str, users: list[KubeObject]) -> _Verdict | None:
    storage_class = snapshot.get(STORAGE_CLASSES, "", name)
    if storage_class is None:
        if not snapshot.is_complete(STORAGE_CLASSES):
            return _by_events(snapshot, claim)
        # Volumes made by hand often share a class name that no StorageClass has.
        if any(
            objects.text(volume, "spec", "storageClassName") == name for volume in snapshot.members(PERSISTENT_VOLUMES)
        ):
            return _without_volume(snapshot, claim, name)
        known = ", ".join(sorted(objects.name(item) for item in snapshot.members(STORAGE_CLASSES))) or "none"
        return _Verdict(
            CLASS_MISSING, f'names storage class "{name}", which does not exist', (quote("storageclasses", known),)
        )
    if objects.text(storage_class, "volumeBindingMode") == "WaitForFirstConsumer" and not _has_node(claim):
        return _waiting(users)
    if objects.text(storage_class, "provisioner") == _STATIC:
        return _without_volume(snapshot, claim, name)
    return _by_events(snapshot, claim, objects.text(storage_class, "provisioner"))


def _has_node(claim: KubeObject) -> bool:
    return "volume.kubernetes.io/selected-node" in objects.mapping(claim, "metadata", "annotations")


def _waiting(users: list[KubeObject]) -> _Verdict | None:
    """Judge a claim that is bound when its pod is scheduled; without a pod that is as it should be."""
    homeless = [pod for pod in users if not objects.text(pod, "spec", "nodeName")]
    if not homeless:
        return None
    pod = cases.display(objects.ref(homeless[0]))
    evidence = quote(f"{pod} spec.nodeName", "not set")
    return _Verdict(WAITS_FOR_POD, f"waits until {pod} has a node", (evidence,))


def _by_events(snapshot: Snapshot, claim: KubeObject, provisioner: str = "") -> _Verdict:
    events = snapshot.events(claim)
    failed = next((event for event in events if event.reason == "ProvisioningFailed"), None)
    if failed is not None:
        words = _essence(failed.message)
        return _Verdict(PROVISIONING_FAILED, f"cannot be provisioned: {words}", (_said(claim, failed),))
    taken_up = any(event.reason == "Provisioning" for event in events)
    waiting = next((event for event in events if event.reason == "ExternalProvisioning"), None)
    if waiting is not None and not taken_up:
        what = f'waits for provisioner "{provisioner or _provisioner(waiting.message)}", which does not take it up'
        return _Verdict(PROVISIONER_SILENT, what, (_said(claim, waiting),))
    return _Verdict(PENDING, "is not bound", tuple(_said(claim, event) for event in events[:3]))


def _essence(message: str) -> str:
    return clean(message.rpartition(" desc = ")[2] or message, limit=160)


def _provisioner(message: str) -> str:
    match = re.search(r"provisioner ['\"]([^'\"]{1,253})['\"]", message)
    return match.group(1) if match else "unknown"


def _said(claim: KubeObject, event: Event) -> Evidence:
    return quote(cases.event_source(objects.ref(claim), event.reason), event.message)


# ---- static volumes


def _without_volume(snapshot: Snapshot, claim: KubeObject, class_name: str) -> _Verdict:
    """Say for each volume of the class why the claim does not get it."""
    volumes = [
        volume
        for volume in snapshot.members(PERSISTENT_VOLUMES)
        if objects.text(volume, "spec", "storageClassName") == class_name
    ]
    nearest = sorted(volumes, key=lambda volume: _distance(claim, volume))
    reasons = [(objects.name(volume), _misfit(claim, volume)) for volume in nearest[:20]]
    evidence = tuple(quote(f"persistentvolume {name}", reason) for name, reason in reasons)
    of_class = f' of class "{class_name}"' if class_name else " without a class"
    if not volumes:
        return _Verdict(NO_MATCHING_VOLUME, f"needs a volume{of_class}, and there is none")
    first = f"{reasons[0][0]} {reasons[0][1]}"
    return _Verdict(NO_MATCHING_VOLUME, f"fits no volume{of_class}: {first}", evidence[:5])


def _distance(claim: KubeObject, volume: KubeObject) -> tuple[bool, bool, bool, bool]:
    """Sort volumes by how likely each one was meant: by its name, by its claimRef, by its labels, by being free."""
    wanted = objects.text(claim, "spec", "volumeName")
    taken = (objects.text(volume, "spec", "claimRef", "namespace"), objects.text(volume, "spec", "claimRef", "name"))
    selector = objects.at(claim, "spec", "selector")
    selected = selector is not None and objects.selects(selector, objects.labels(volume))
    return objects.name(volume) != wanted, taken != _key(claim), not selected, bool(taken[1])


def _misfit(claim: KubeObject, volume: KubeObject) -> str:
    wanted = objects.text(claim, "spec", "volumeName")
    if wanted and wanted != objects.name(volume):
        return f"is not {clean(wanted, limit=253)}, which the claim names"
    taken = objects.text(volume, "spec", "claimRef", "name")
    if taken and (objects.text(volume, "spec", "claimRef", "namespace"), taken) != _key(claim):
        return f"is taken by claim {clean(taken, limit=253)}"
    modes = set(objects.strings(claim, "spec", "accessModes")) - set(objects.strings(volume, "spec", "accessModes"))
    if modes:
        return f"does not offer access mode {clean(', '.join(sorted(modes)), limit=100)}"
    size, offered = (
        objects.quantity(claim, "spec", "resources", "requests", "storage"),
        objects.quantity(volume, "spec", "capacity", "storage"),
    )
    if size is not None and offered is not None and size > offered:
        return (
            f"is too small: {objects.text(volume, 'spec', 'capacity', 'storage')} for"
            f" {objects.text(claim, 'spec', 'resources', 'requests', 'storage')}"
        )
    return _misfit_of_kind(claim, volume)


def _misfit_of_kind(claim: KubeObject, volume: KubeObject) -> str:
    modes = [objects.text(item, "spec", "volumeMode", default="Filesystem") for item in (claim, volume)]
    if modes[0] != modes[1]:
        return f"is of volume mode {clean(modes[1], limit=40)}, not {clean(modes[0], limit=40)}"
    selector = objects.at(claim, "spec", "selector")
    if selector is not None and not objects.selects(selector, objects.labels(volume)):
        return "does not carry the labels that the claim selects"
    return f"is {objects.text(volume, 'status', 'phase') or 'of unknown phase'}"


# ---- wording


def _finding(snapshot: Snapshot, claim: KubeObject, verdict: _Verdict, users: list[KubeObject]) -> Finding:
    ref = objects.ref(claim)
    workloads = list(dict.fromkeys(snapshot.workload_of(pod) for pod in users))
    fields = {
        "class": objects.text(claim, "spec", "storageClassName") or "none",
        "size": objects.text(claim, "spec", "resources", "requests", "storage") or "unknown",
        "access modes": " ".join(objects.strings(claim, "spec", "accessModes")) or "none",
    }
    described = ", ".join(f"{name} {value}" for name, value in fields.items())
    phase = objects.text(claim, "status", "phase")
    return finding(
        verdict.condition,
        title=f"{cases.display(ref)} {verdict.what}",
        objects=(ref, *workloads, *(objects.ref(pod) for pod in users[:20])),
        evidence=(quote(f"{cases.display(ref)}", f"phase {phase}; {described}"), *verdict.evidence),
        next_checks=(
            f"describe persistentvolumeclaim {ref.name} -n {ref.namespace}",
            "get storageclasses,persistentvolumes",
        ),
        severity=_severity(snapshot, verdict.condition, users),
    )


def _severity(snapshot: Snapshot, condition: Condition, users: list[KubeObject]) -> Severity:
    """Return a risk for a claim that nothing mounts, else what its workloads lose."""
    if condition is WAITS_FOR_POD:
        return condition.severity
    if not users:
        return Severity.DEGRADED if condition is LOST else Severity.RISK
    losses = [cases.severity_of_loss(snapshot, snapshot.workload_of(pod)) for pod in users]
    return min(losses, key=lambda severity: severity.rank)


ANALYZERS: tuple[Analyzer, ...] = (storage_claims,)
