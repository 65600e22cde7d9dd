"""What somebody changed shortly before: the first question of everybody who looks at a fault.

Revisions of a Deployment tell which fields of its pods changed; managedFields tell by whom and when; Helm, Argo CD and
Flux tell what they delivered. Values of environment variables are never quoted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kubently.analyzers import deliveries, settings
from kubently.analyzers.base import clean, quote
from kubently.analyzers.cases import display
from kubently.analyzers.resources import JOBS, REPLICA_SETS
from kubently.analyzers.snapshot import Snapshot, is_name
from kubently.analyzers.writes import newest_entry
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Evidence, Finding, ResourceRef

RECENT = timedelta(hours=2)
"""How long ago a change may be to be shown."""
MOST = 5
"""Changes that are shown of one finding, the newest first."""

_SKEW = timedelta(seconds=5)
"""By how much the clocks of several API servers may differ, and the second to which managedFields are exact."""
_AT_ONCE = timedelta(seconds=2)
"""Within which what is written to an object belongs to its making."""
_WITHOUT_STATUS = ("ConfigMap", "Secret")

_REVISION = "deployment.kubernetes.io/revision"
_CONTROLLERS = frozenset({"kube-controller-manager", "kube-scheduler", "kubelet", "kube-apiserver"})
_SHOWN = ("image", "command", "args", "workingDir")
_NAMED = ("livenessProbe", "readinessProbe", "startupProbe", "ports", "securityContext", "volumeMounts")
_OF_POD = ("volumes", "nodeSelector", "affinity", "tolerations", "serviceAccountName", "imagePullSecrets", "dnsPolicy")


@dataclass(frozen=True, slots=True)
class _Change:
    at: datetime
    evidence: Evidence
    is_creation: bool = False
    is_told: bool = True
    """Whether it is known what was changed, or at least that it was more than a restart."""


def before(snapshot: Snapshot, finding: Finding) -> tuple[Evidence, ...]:
    """What changed on the objects of *finding*, and on ConfigMaps and Secrets that its workload reads, newest first."""
    found = [change for ref in _concerned(snapshot, finding) for change in _of(snapshot, ref)]
    found += _jobs(snapshot, [ref for ref in finding.objects if ref.kind == "Service"])
    newest = sorted(found, key=lambda change: (change.at, change.evidence.source), reverse=True)
    return tuple(dict.fromkeys(change.evidence for change in newest))[:MOST]


def _jobs(snapshot: Snapshot, services: Sequence[ResourceRef]) -> Iterator[_Change]:
    """Jobs of no CronJob that ran to their end lately and were told of one of *services*: such as change a database."""
    for namespace in sorted({ref.namespace for ref in services}):
        for job in snapshot.members(JOBS, namespace):
            at = objects.instant(job, "status", "completionTime")
            if at is None or snapshot.age(at) > RECENT or objects.controller(job) is not None:
                continue
            told = [setting.text for setting in settings.settings_of(snapshot, job)]
            named = next((ref for ref in services if any(_names(text, ref.name) for text in told)), None)
            if named is not None:
                words = f"completed {_ago(snapshot, at)}; it is told of {display(named)}"
                yield _Change(at, quote(display(objects.ref(job)), words))


def _names(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text[: settings.TEXT_CHARS]) is not None


def last_changed(snapshot: Snapshot, ref: ResourceRef) -> datetime | None:
    """Return when an object was changed last, of those that have no status; None if it never was since it was made."""
    member = snapshot.find(ref)
    if member is None or ref.kind not in _WITHOUT_STATUS:
        return None
    written = _removed_at(snapshot, member) or newest_entry(member)
    created = objects.created_at(member)
    return None if written is None or created is None or written - created < _AT_ONCE else written


def lately(snapshot: Snapshot, ref: ResourceRef) -> tuple[datetime, Evidence] | None:
    """Return when people last changed or made an object, and how it is known; None where that was not `RECENT`.

    Of a Deployment only what its pods are made of counts: a restart changes nothing.
    """
    member = snapshot.find(ref)
    if member is None:
        return None
    found = [*_removal(snapshot, member), *_written(snapshot, member)]
    if ref.kind == "Deployment":
        found = [*(change for change in found if change.is_creation), *_revision(snapshot, member)]
    told = max((change for change in found if change.is_told), key=lambda change: change.at, default=None)
    return None if told is None else (told.at, told.evidence)


def _concerned(snapshot: Snapshot, finding: Finding) -> list[ResourceRef]:
    """The objects that people change: pods and events are made by controllers."""
    refs = [ref for ref in finding.objects if ref.kind not in ("Pod", "ReplicaSet", "Event", "Node")]
    read = [ref for workload in refs[:3] for ref in read_by(snapshot, workload)]
    return list(dict.fromkeys((*refs, *read)))[:20]


def read_by(snapshot: Snapshot, workload: ResourceRef) -> Iterator[ResourceRef]:
    """Yield the ConfigMaps and Secrets that the pods of a workload name."""
    for pod in snapshot.pods_of(workload)[:1]:
        yield from named_by(pod)


def named_by(pod: KubeObject) -> Iterator[ResourceRef]:
    """Yield the ConfigMaps and Secrets that a pod names."""
    for kind, name in _sources(pod):
        if is_name(name):
            yield ResourceRef(kind=kind, namespace=objects.namespace(pod), name=name)


def _sources(pod: KubeObject) -> Iterator[tuple[str, str]]:
    for volume in objects.mappings(pod, "spec", "volumes"):
        yield "ConfigMap", objects.text(volume, "configMap", "name")
        yield "Secret", objects.text(volume, "secret", "secretName")
        for source in objects.mappings(volume, "projected", "sources"):
            yield "ConfigMap", objects.text(source, "configMap", "name")
            yield "Secret", objects.text(source, "secret", "name")
    for container in objects.all_containers(pod):
        for source in objects.mappings(container, "envFrom"):
            yield "ConfigMap", objects.text(source, "configMapRef", "name")
            yield "Secret", objects.text(source, "secretRef", "name")
        for item in objects.mappings(container, "env"):
            yield "ConfigMap", objects.text(item, "valueFrom", "configMapKeyRef", "name")
            yield "Secret", objects.text(item, "valueFrom", "secretKeyRef", "name")


def _of(snapshot: Snapshot, ref: ResourceRef) -> Iterator[_Change]:
    member = snapshot.find(ref)
    if member is None:
        return
    if ref.kind == "Deployment":
        yield from _revision(snapshot, member)
    for delivered, evidence in deliveries.last_of(snapshot, member):
        if snapshot.age(delivered) <= RECENT:
            told = quote(evidence.source, f"{_ago(snapshot, delivered)}: {evidence.quote}")
            yield _Change(delivered, told)
    yield from _removal(snapshot, member)
    yield from _written(snapshot, member)


def _written(snapshot: Snapshot, member: KubeObject) -> Iterator[_Change]:
    """The newest write that managedFields tell of, if it is recent."""
    ref, newest = objects.ref(member), _newest_entry(member)
    at = objects.instant(newest, "time") if newest is not None else None
    if newest is None or at is None or snapshot.age(at) > RECENT:
        return
    who = clean(objects.text(newest, "manager"), limit=128) or "somebody"
    is_new = (created := objects.created_at(member)) is not None and at - created < _AT_ONCE
    words = f"{'created' if is_new else 'changed'} {_ago(snapshot, at)} by {who}"
    yield _Change(at, quote(display(ref), words), is_creation=is_new)


def _removal(snapshot: Snapshot, member: KubeObject) -> Iterator[_Change]:
    at = _removed_at(snapshot, member)
    if at is not None and snapshot.age(at) <= RECENT:
        words = f"changed once more, at most {_minutes(snapshot, at)} before, by whom managedFields do not tell"
        ref = objects.ref(member)
        yield _Change(at, quote(f"{display(ref)} resourceVersion", f"{words}, as after a removal"))


def _removed_at(snapshot: Snapshot, member: KubeObject) -> datetime | None:
    """Return the earliest time of a write that managedFields do not tell of.

    Where a controller writes the status, it would be hidden by that.
    """
    if objects.kind(member) not in _WITHOUT_STATUS:
        return None
    earliest, told = snapshot.written_no_earlier_than(member), newest_entry(member)
    return earliest if earliest is not None and told is not None and earliest - told > _SKEW else None


def _newest_entry(member: KubeObject) -> KubeObject | None:
    """The newest change by anybody but the cluster's own controllers, and not of the status."""
    entries = [
        entry
        for entry in objects.mappings(member, "metadata", "managedFields")
        if not objects.text(entry, "subresource") and objects.text(entry, "manager") not in _CONTROLLERS
    ]
    # Times are whole seconds; within one the API server lists a creation before later changes more often than not.
    return max(reversed(entries), key=lambda entry: objects.text(entry, "time"), default=None)


def _ago(snapshot: Snapshot, at: datetime) -> str:
    minutes = int(snapshot.age(at).total_seconds() // 60)
    return f"{minutes} min before" if minutes else "less than a minute before"


def _minutes(snapshot: Snapshot, at: datetime) -> str:
    minutes = math.ceil(snapshot.age(at).total_seconds() / 60)
    return f"{max(minutes, 1)} min"


# ---- revisions of a Deployment


def _revision(snapshot: Snapshot, deployment: KubeObject) -> Iterator[_Change]:
    ref = objects.ref(deployment)
    owned = [
        member
        for member in snapshot.members(REPLICA_SETS, ref.namespace)
        if (owner := objects.controller(member)) is not None and owner.name == ref.name and owner.kind == ref.kind
    ]
    ordered = sorted(owned, key=_number, reverse=True)
    if len(ordered) < 2:
        return
    newest, previous = ordered[0], ordered[1]
    # After a roll-back the newest revision is an old ReplicaSet: when it was taken again is not known.
    at = objects.created_at(newest)
    if at is None or snapshot.age(at) > RECENT:
        return
    told = "; ".join(_differences(previous, newest))
    source = f"{display(ref)} revision {_number(previous)} to {_number(newest)}"
    yield _Change(at, quote(source, f"{_ago(snapshot, at)}: {told or 'the pod template'}"), is_told=bool(told))


def _number(replica_set: KubeObject) -> int:
    text = objects.annotation(replica_set, _REVISION)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _differences(old: KubeObject, new: KubeObject) -> Iterator[str]:
    """Which fields of the pod template differ; values only of what is no secret."""
    before, after = _containers(old), _containers(new)
    for name in sorted(before.keys() | after.keys()):
        if name not in after or name not in before:
            yield f"container {name} {'removed' if name not in after else 'added'}"
            continue
        yield from (f"container {name} {words}" for words in _container_differences(before[name], after[name]))
    for field in _OF_POD:
        if objects.at(objects.pod_spec(old), field) != objects.at(objects.pod_spec(new), field):
            yield field


def _containers(member: KubeObject) -> Mapping[str, KubeObject]:
    return {objects.text(c, "name"): c for c in (*objects.init_containers(member), *objects.containers(member))}


def _container_differences(old: KubeObject, new: KubeObject) -> Iterator[str]:
    for field in _SHOWN:
        was, now = objects.at(old, field), objects.at(new, field)
        if was != now:
            yield f"{field} {clean(str(was), limit=120)} → {clean(str(now), limit=120)}"
    yield from (field for field in _NAMED if objects.at(old, field) != objects.at(new, field))
    yield from _resource_differences(old, new)
    before, after = _variables(old), _variables(new)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            verb = "added" if name not in before else "removed" if name not in after else "changed"
            yield f"variable {clean(name, limit=100)} {verb}"


def _resource_differences(old: KubeObject, new: KubeObject) -> Iterator[str]:
    for sort in ("requests", "limits"):
        was, now = (objects.string_map(item, "resources", sort) for item in (old, new))
        for name in sorted(was.keys() | now.keys()):
            if was.get(name) != now.get(name):
                yield clean(f"resources.{sort} {name} {was.get(name, 'none')} → {now.get(name, 'none')}", limit=120)


def _variables(container: KubeObject) -> Mapping[str, object]:
    return {objects.text(item, "name"): item for item in objects.mappings(container, "env")}
