"""Pods whose volume is where no node takes them: by a taint that was left behind, or because it was made too early."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kubently.analyzers import cases, containers, placement, volumes
from kubently.analyzers.base import GRACE, Analyzer, Condition, analyzer, finding, quote
from kubently.analyzers.resources import NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Evidence, Finding, ResourceRef, Severity

TAINT_STRANDS = Condition(
    "node/taint-strands-volume",
    Severity.DEGRADED,
    "The only nodes that reach a pod's volume have a taint that the pod does not tolerate.",
    "Remove the taint if it was left behind after maintenance; or let the pod tolerate it.",
)
BOUND_TOO_EARLY = Condition(
    "storageclass/bound-too-early",
    Severity.DEGRADED,
    "A volume was made where its pod cannot run: its StorageClass binds claims before the pod has a node.",
    "Make a StorageClass with volumeBindingMode WaitForFirstConsumer, and the claim anew once its data is saved.",
)
CONDITIONS = (TAINT_STRANDS, BOUND_TOO_EARLY)

_FEW = 3
_OF_KUBERNETES = "node.kubernetes.io/"


@analyzer(
    "stranded-volumes",
    needs=(PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES, NODES, *cases.NEEDS),
    conditions=CONDITIONS,
)
def stranded_volumes(snapshot: Snapshot) -> Iterator[Finding]:
    """Report why no node that reaches a volume takes the pod that mounts it."""
    if not snapshot.is_complete(NODES):
        return
    for ref, pods in volumes.homeless(snapshot).items():
        claim = snapshot.find(ref) or {}
        volume = snapshot.get(PERSISTENT_VOLUMES, "", objects.text(claim, "spec", "volumeName"))
        if volume is None or "nodeAffinity" not in objects.mapping(volume, "spec"):
            continue
        nodes = [node for node in snapshot.members(NODES) if placement.reaches(volume, node)]
        if not nodes or not any(map(volumes.takes_pods, nodes)):
            continue  # another rule's
        if any(containers.is_young(snapshot, pod, seconds=GRACE.total_seconds()) for pod in pods):
            continue
        yield from _stranded(snapshot, ref, volume, nodes, pods)


def _stranded(
    snapshot: Snapshot, claim: ResourceRef, volume: KubeObject, nodes: Sequence[KubeObject], pods: Sequence[KubeObject]
) -> Iterator[Finding]:
    pod = pods[0]
    fitting = [node for node in snapshot.members(NODES) if placement.takes(node, pod)]
    if any(node in fitting for node in nodes):
        return
    storage_class = _class_of(snapshot, volume)
    binds_at_once = objects.text(storage_class, "volumeBindingMode", default="Immediate") == "Immediate"
    tail = (claim, objects.ref(volume), *dict.fromkeys(map(snapshot.workload_of, pods)), *map(objects.ref, pods[:20]))
    where = quote(f"{cases.display(objects.ref(volume))} spec.nodeAffinity", volumes.wanted_of(volume))
    if storage_class is not None and binds_at_once and fitting:
        yield _too_early(storage_class, where, nodes, tail)
        return
    asked = [node for node in nodes if placement.is_selected(node, pod)]
    tainted = [(node, taint) for node in asked for taint in list(placement.untolerated(node, pod))[:1]]
    if 0 < len(asked) <= _FEW and not any(
        objects.text(taint, "key").startswith(_OF_KUBERNETES) for _, taint in tainted
    ):
        yield _tainted(tainted, where, tail)


def _class_of(snapshot: Snapshot, volume: KubeObject) -> KubeObject | None:
    return snapshot.get(STORAGE_CLASSES, "", objects.text(volume, "spec", "storageClassName"))


def _too_early(
    storage_class: KubeObject, where: Evidence, nodes: Sequence[KubeObject], tail: Sequence[ResourceRef]
) -> Finding:
    ref = objects.ref(storage_class)
    mode = objects.text(storage_class, "volumeBindingMode", default="Immediate")
    there = ", ".join(sorted(objects.name(node) for node in nodes)[:5])
    return finding(
        BOUND_TOO_EARLY,
        title=f"{cases.display(ref)} binds claims at once (volumeBindingMode {mode}): the volume of "
        f"{cases.display(tail[0])} was made where only {there} reaches it, which does not take "
        f"{cases.display(tail[2])}",
        objects=(ref, *tail),
        evidence=(quote(f"{cases.display(ref)} volumeBindingMode", mode), where),
        next_checks=(f"get storageclass {ref.name} -o yaml", f"describe persistentvolume {tail[1].name}"),
        key=str(tail[0]),
    )


def _tainted(tainted: Sequence[tuple[KubeObject, KubeObject]], where: Evidence, tail: Sequence[ResourceRef]) -> Finding:
    refs = [objects.ref(node) for node, _ in tainted]
    told = [
        quote(
            f"{cases.display(objects.ref(node))} spec.taints", ":".join((_taint(taint), objects.text(taint, "effect")))
        )
        for node, taint in tainted
    ]
    more = f" and {len(refs) - 1} more" if refs[1:] else ""
    return finding(
        TAINT_STRANDS,
        title=f"{cases.display(refs[0])}{more}, which alone reaches the volume of {cases.display(tail[0])}, has the "
        f"taint {_taint(tainted[0][1])}, which {cases.display(tail[2])} does not tolerate",
        objects=(*refs, *tail),
        evidence=(*told, where),
        next_checks=(f"describe node {refs[0].name}", f"describe persistentvolume {tail[1].name}"),
        key=str(tail[0]),
    )


def _taint(taint: KubeObject) -> str:
    value = objects.text(taint, "value")
    return objects.text(taint, "key") + (f"={value}" if value else "")


ANALYZERS: tuple[Analyzer, ...] = (stranded_volumes,)
