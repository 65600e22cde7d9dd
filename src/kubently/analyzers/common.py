"""What several workloads lack or suffer from in common is one cause, and their findings are its symptoms.

An analyzer tells of each workload: which key, which container. Where their findings have the condition and the object
behind it in common, one more finding of the same condition names that object.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kubently.analyzers import addresses, cases, changes, settings
from kubently.analyzers.base import clean, finding_id
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Finding, ResourceRef

MOST_OBJECTS = 200
_MOST_EVIDENCE = 5


@dataclass(frozen=True, slots=True)
class _Lack:
    kinds: tuple[str, ...]
    """Of the object in common."""
    words: str
    """What it does to {} workloads, as it follows the object's name in a title."""


_LACKS: Mapping[str, _Lack] = {
    "pod/image-rate-limited": _Lack(("Registry",), "limits the pulls of {} workloads"),
    "pod/image-registry-unreachable": _Lack(("Registry",), "cannot be reached for the images of {} workloads"),
    "pod/image-unauthorized": _Lack(("Registry",), "refuses the images of {} workloads"),
    "pod/sandbox-failed": _Lack(("Node",), "makes no sandboxes for the pods of {} workloads"),
    "pod/unschedulable": _Lack(("Node",), "keeps off the pods of {} workloads"),
    "pod/config-missing": _Lack(("ConfigMap", "Secret"), "keeps {} workloads from starting"),
    "pod/claim-missing": _Lack(("PersistentVolumeClaim",), "keeps {} workloads from being scheduled"),
    "pod/image-pull-secret-missing": _Lack(("Secret",), "keeps the images of {} workloads from being pulled"),
    "workload/env-service-missing": _Lack(("Service",), "is named by {} workloads"),
    "workload/limit-range": _Lack(("LimitRange",), "refuses the pods of {} workloads"),
    "workload/quota-exceeded": _Lack(("ResourceQuota",), "refuses the pods of {} workloads"),
    "workload/quota-needs-resources": _Lack(("ResourceQuota",), "refuses the pods of {} workloads"),
    "workload/service-account-missing": _Lack(("ServiceAccount",), "leaves {} workloads without pods"),
}


_BEGINNING = frozenset(
    {
        "pod/crash-loop",
        "pod/credentials-refused",
        "pod/file-missing",
        "pod/liveness-kills",
        "pod/readiness-fails",
        "pod/startup-kills",
    }
)
"""What a change of what they read may do to programs that ran well."""
_SOON = timedelta(minutes=30)
"""Within which a change before the beginning of a fault counts as a sign."""
_LATER = timedelta(days=1)
"""Within which it does if a log speaks of what was changed: programs read most settings when they start."""


@dataclass(frozen=True, slots=True)
class Common:
    """A finding about what several have in common."""

    finding: Finding
    members: tuple[Finding, ...]
    """Theirs, the worst first."""


def causes(snapshot: Snapshot, findings: Iterable[Finding]) -> Iterator[Common]:
    """Yield what at least two workloads of *findings* have in common."""
    groups: dict[tuple[str, ResourceRef], list[Finding]] = {}
    for found in findings:
        lack = _LACKS.get(found.code)
        shared = next((ref for ref in found.objects[1:] if lack and ref.kind in lack.kinds), None)
        if shared is not None and _is_all_there(snapshot, found, shared):
            groups.setdefault((found.code, shared), []).append(found)
    for (code, shared), members in groups.items():
        ordered = _ordered(members)
        if (workloads := _workloads(ordered)) > 1:
            yield Common(_word(shared, _LACKS[code].words.format(workloads), ordered), ordered)


def _ordered(members: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(members, key=lambda member: (member.severity.rank, str(member.objects[0]))))


def _workloads(members: Iterable[Finding]) -> int:
    return len({member.objects[0] for member in members})


@dataclass(frozen=True, slots=True)
class _Begun:
    """A finding that began after something was changed."""

    finding: Finding
    delay: timedelta
    sign: str
    """What the log has to do with what was changed, as it follows a title; empty if nothing."""


def after_changes(snapshot: Snapshot, findings: Iterable[Finding]) -> Iterator[Common]:
    """Yield the ConfigMaps and Secrets that were changed before workloads that read them began to fail.

    *findings* are those that nothing else explains. That a change came first is a sign, and no proof: there must be at
    least two workloads, or a log that speaks of what was changed.
    """
    groups: dict[tuple[str, ResourceRef], list[_Begun]] = {}
    for found in findings:
        if found.code in _BEGINNING and (begun_after := _sign(snapshot, found)) is not None:
            groups.setdefault((found.code, begun_after[0]), []).append(begun_after[1])
    for (_, shared), begun in groups.items():
        members = _ordered(item.finding for item in begun)
        workloads, sign = _workloads(members), next((item.sign for item in begun if item.sign), "")
        if workloads < 2 and not sign:
            continue
        who = f"{workloads} workloads that read it" if workloads > 1 else cases.display(members[0].objects[0])
        words = f"was changed {_before(min(item.delay for item in begun))} before {who} began to fail{sign}"
        confidence = Confidence.LIKELY if sign else Confidence.POSSIBLE
        yield Common(_word(shared, words, members).model_copy(update={"confidence": confidence}), members)


def _before(delay: timedelta) -> str:
    minutes = int(delay.total_seconds() // 60)
    if minutes >= 120:
        return f"{minutes // 60} h"
    return f"{minutes} min" if minutes else "less than a minute"


def _sign(snapshot: Snapshot, found: Finding) -> tuple[ResourceRef, _Begun] | None:
    """Return what was changed last before a workload began to fail: what its log speaks of, or else shortly before."""
    workload = found.objects[0]
    began, made = _began(snapshot, found), objects.created_at(snapshot.find(workload))
    if began is None or made is None:
        return None
    holders = (ref for ref in found.objects if ref.kind in ("ConfigMap", "Secret"))
    called = (ref for pod in _called(snapshot, found) for ref in changes.named_by(pod))
    read = dict.fromkeys((*changes.read_by(snapshot, workload), *holders, *called))
    changed = ((changes.last_changed(snapshot, ref), ref) for ref in read)
    before = sorted(((began - at, ref) for at, ref in changed if at is not None and made < at <= began), key=str)
    before.sort(key=lambda item: item[0])
    if not before:
        return None
    spoken = dict(_spoken(snapshot, found))
    for delay, ref in before:
        if ref in spoken and delay <= _LATER:
            return ref, _Begun(found, delay, spoken[ref])
    own = set(changes.read_by(snapshot, workload))
    soon = ((ref, _Begun(found, delay, "")) for delay, ref in before if ref in own and delay <= _SOON)
    return next(soon, None)


def _spoken(snapshot: Snapshot, found: Finding) -> Iterator[tuple[ResourceRef, str]]:
    """Yield the ConfigMaps and Secrets that the log of a finding has to do with, and how."""
    if found.code == "pod/credentials-refused":
        yield from ((ref, ", and what it holds is refused") for ref in found.objects if ref.kind == "Secret")
    said = "\n".join(item.quote for item in found.evidence if item.source.startswith("log "))
    for pod in (*_called(snapshot, found), *_pods(snapshot, found)[:1]):
        for ref, word in settings.spoken_of(snapshot, pod, said):
            yield ref, f', and a log says "{clean(word, limit=80)}", which stands in it'


def _pods(snapshot: Snapshot, found: Finding) -> list[KubeObject]:
    return [pod for ref in found.objects if ref.kind == "Pod" and (pod := snapshot.find(ref)) is not None]


def _called(snapshot: Snapshot, found: Finding) -> list[KubeObject]:
    """Return a pod behind each Service that the pods of a finding are told of."""
    told = dict.fromkeys(
        item.service for pod in _pods(snapshot, found)[:1] for item in addresses.addresses_of(snapshot, pod)
    )
    selectors = ((ref.namespace, objects.mapping(snapshot.find(ref), "spec", "selector")) for ref in told)
    return [pod for namespace, selector in selectors for pod in snapshot.select_pods(namespace, selector)[:1]]


def _began(snapshot: Snapshot, found: Finding) -> datetime | None:
    """Return since when the pods of a finding are not ready, or since when events tell of it."""
    pods = [pod for ref in found.objects if ref.kind == "Pod" and (pod := snapshot.find(ref)) is not None]
    ready = (objects.condition(pod, "Ready") for pod in pods)
    told = [item.changed_at for item in ready if item is not None and item.is_false]
    told += [event.first_at for pod in pods for event in snapshot.events(pod, "BackOff", "Unhealthy")]
    return min((at for at in told if at is not None), default=None)


def _is_all_there(snapshot: Snapshot, found: Finding, shared: ResourceRef) -> bool:
    """Say whether it is that object in every pod concerned; pods of one workload may be on several nodes."""
    pods = (snapshot.find(ref) for ref in found.objects if shared.kind == "Node" and ref.kind == "Pod")
    return {objects.text(pod, "spec", "nodeName") for pod in pods} <= {shared.name, ""}


def _word(shared: ResourceRef, words: str, members: Sequence[Finding]) -> Finding:
    first = members[0]
    refs = (shared, *(member.objects[0] for member in members), *(ref for m in members for ref in m.objects[1:]))
    said = {item.quote: item for member in reversed(members) for item in reversed(member.evidence)}
    return first.model_copy(
        update={
            "id": finding_id(first.code, shared),
            "title": clean(f"{cases.display(shared)} {words}; {first.title}", limit=300),
            "objects": tuple(dict.fromkeys(refs))[:MOST_OBJECTS],
            "evidence": tuple(reversed(said.values()))[:_MOST_EVIDENCE],
        }
    )
