"""PersistentVolumes and StorageClasses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kubently.analyzers import cases, containers, placement, relations, storage
from kubently.analyzers.base import GRACE, Analyzer, Condition, analyzer, clean, finding, quote
from kubently.analyzers.resources import NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES
from kubently.analyzers.snapshot import Snapshot, is_name
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Finding, ResourceRef, Severity

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

NODE_GONE = Condition(
    "pvc/node-gone",
    Severity.OUTAGE,
    "The claim's volume can only be used on nodes that do not exist, or take no pods.",
    "Bring the node back, or restore the data to a volume elsewhere and make the claim anew: a local volume stays where"
    " it is.",
    symptom_of=("node/not-ready", "node/cordoned"),
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


@analyzer(
    "volume-nodes", needs=(PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, NODES, *cases.NEEDS), conditions=(NODE_GONE,)
)
def volume_nodes(snapshot: Snapshot) -> Iterator[Finding]:
    """Report claims whose volumes no node can use any more."""
    if not snapshot.is_complete(NODES):
        return
    for ref, pods in homeless(snapshot).items():
        claim = snapshot.find(ref) or {}
        volume = snapshot.get(PERSISTENT_VOLUMES, "", objects.text(claim, "spec", "volumeName"))
        if volume is None or "nodeAffinity" not in objects.mapping(volume, "spec"):
            continue
        nodes = [node for node in snapshot.members(NODES) if placement.reaches(volume, node)]
        # A zone that no node at all tells is not the volume's fault.
        known = {key for node in snapshot.members(NODES) for key in objects.labels(node)}
        if known.issuperset(_keys(volume)) and not any(map(takes_pods, nodes)):
            yield _node_gone(snapshot, ref, volume, nodes, pods)


def homeless(snapshot: Snapshot) -> dict[ResourceRef, list[KubeObject]]:
    """Return the pods without a node, by the claims that they mount."""
    found: dict[ResourceRef, list[KubeObject]] = {}
    for pod in snapshot.members(PODS):
        if objects.text(pod, "spec", "nodeName") or containers.is_finished(pod):
            continue
        for name in relations.claims_of(pod):
            ref = ResourceRef(kind=PERSISTENT_VOLUME_CLAIMS.kind, namespace=objects.namespace(pod), name=name)
            found.setdefault(ref, []).append(pod)
    return found


def takes_pods(node: KubeObject) -> bool:
    """Say whether a node is ready and not cordoned."""
    ready = objects.condition(node, "Ready")
    return ready is not None and ready.is_true and not objects.flag(node, "spec", "unschedulable")


def _expressions(volume: KubeObject) -> list[KubeObject]:
    terms = objects.mappings(volume, "spec", "nodeAffinity", "required", "nodeSelectorTerms")
    return [item for term in terms[:5] for item in objects.mappings(term, "matchExpressions")[:5]]


def wanted_of(volume: KubeObject) -> str:
    """Return in words on which nodes a volume can be used."""
    return "; ".join(map(_expression, _expressions(volume)))


def _keys(volume: KubeObject) -> set[str]:
    return {objects.text(item, "key") for item in _expressions(volume)}


def _expression(item: KubeObject) -> str:
    values = ", ".join(objects.strings(item, "values")[:5])
    return f"{objects.text(item, 'key')} {objects.text(item, 'operator')} {values}"


def _node_gone(
    snapshot: Snapshot, ref: ResourceRef, volume: KubeObject, nodes: Sequence[KubeObject], pods: Sequence[KubeObject]
) -> Finding:
    bound = objects.ref(volume)
    wanted = _expressions(volume)
    told = wanted_of(volume)
    named = [value for item in wanted for value in objects.strings(item, "values")[:5] if is_name(value)]
    what = "that take no pods now" if nodes else "that do not exist"
    where = f"can only be used on nodes {what}: {clean(told, limit=160)}"
    there = ", ".join(sorted(objects.name(node) for node in snapshot.members(NODES))[:20])
    workloads = list(dict.fromkeys(snapshot.workload_of(pod) for pod in pods))
    losses = (cases.severity_of_loss(snapshot, workload) for workload in workloads)
    return finding(
        NODE_GONE,
        title=f"{cases.display(ref)}: its {cases.display(bound)} {where}",
        objects=(
            ref,
            bound,
            *(ResourceRef(kind="Node", namespace="", name=name) for name in named[:5] if not nodes),
            *map(objects.ref, nodes[:5]),
            *workloads,
            *map(objects.ref, pods[:20]),
        ),
        evidence=(
            quote(f"{cases.display(bound)} spec.nodeAffinity", told or "unreadable"),
            quote("nodes", there or "none"),
        ),
        next_checks=(f"describe persistentvolume {bound.name}", "get nodes --show-labels"),
        severity=min(losses, key=lambda item: item.rank),
    )


ANALYZERS: tuple[Analyzer, ...] = (volumes, storage_classes, volume_resizes, volume_nodes)
