"""What several workloads lack in common is one cause, and their findings are its symptoms.

An analyzer tells of each workload: which key, which container. Where their findings have the condition and the object
that is lacking in common, one more finding of the same condition names that object.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kubently.analyzers import cases
from kubently.analyzers.base import clean, finding_id
from kubently.schema.findings import Finding, ResourceRef

MOST_OBJECTS = 200
_MOST_EVIDENCE = 5


@dataclass(frozen=True, slots=True)
class _Lack:
    kinds: tuple[str, ...]
    """Of the object in common."""
    words: str
    """What it does to {} workloads, as it follows the object's name in a title."""


_LACKS: Mapping[str, _Lack] = {
    "pod/config-missing": _Lack(("ConfigMap", "Secret"), "keeps {} workloads from starting"),
    "pod/claim-missing": _Lack(("PersistentVolumeClaim",), "keeps {} workloads from being scheduled"),
    "pod/image-pull-secret-missing": _Lack(("Secret",), "keeps the images of {} workloads from being pulled"),
    "workload/env-service-missing": _Lack(("Service",), "is named by {} workloads"),
    "workload/limit-range": _Lack(("LimitRange",), "refuses the pods of {} workloads"),
    "workload/quota-exceeded": _Lack(("ResourceQuota",), "refuses the pods of {} workloads"),
    "workload/quota-needs-resources": _Lack(("ResourceQuota",), "refuses the pods of {} workloads"),
    "workload/service-account-missing": _Lack(("ServiceAccount",), "leaves {} workloads without pods"),
}


@dataclass(frozen=True, slots=True)
class Common:
    """A finding about what several have in common."""

    finding: Finding
    members: tuple[Finding, ...]
    """Theirs, the worst first."""


def causes(findings: Iterable[Finding]) -> Iterator[Common]:
    """Yield what at least two workloads of *findings* have in common."""
    groups: dict[tuple[str, ResourceRef], list[Finding]] = {}
    for found in findings:
        lack = _LACKS.get(found.code)
        shared = next((ref for ref in found.objects[1:] if lack and ref.kind in lack.kinds), None)
        if shared is not None:
            groups.setdefault((found.code, shared), []).append(found)
    for (code, shared), members in groups.items():
        workloads = len({member.objects[0] for member in members})
        if workloads > 1:
            ordered = tuple(sorted(members, key=lambda member: (member.severity.rank, str(member.objects[0]))))
            yield Common(_word(shared, _LACKS[code].words.format(workloads), ordered), ordered)


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
