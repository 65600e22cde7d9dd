"""Causes first: folds symptoms into what explains them, and orders the rest.

A finding is a symptom of another if its condition names the other's code in ``symptom_of``, and the other's object is
one of its own or one that its first object depends on: an Ingress on its Services, a Service on the workloads that its
selector reaches, a workload on the claims that its pods mount. What several workloads lack explains them all; what
keeps a Service from being served explains those who say that they cannot reach it. Chains end at their last cause. A
cause is at least as severe as its worst symptom.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from kubently.analyzers import callers, containers
from kubently.analyzers.base import Condition
from kubently.analyzers.common import Common
from kubently.analyzers.contention import CONTENDS
from kubently.analyzers.dependencies import SUFFERING
from kubently.analyzers.jobs import PILES_UP
from kubently.analyzers.nodes import PROBLEM
from kubently.analyzers.relations import Relations
from kubently.analyzers.renewals import RENEWAL_SUSPENDED
from kubently.analyzers.services import SCALED_TO_ZERO
from kubently.analyzers.sidecars import INJECTION_LOST
from kubently.analyzers.snapshot import Snapshot
from kubently.analyzers.split import PODS_FAIL_HERE
from kubently.analyzers.stale import ADDRESS_GONE
from kubently.analyzers.stranded import BOUND_TOO_EARLY, TAINT_STRANDS
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Finding, Severity

_OF_ALL = callers.MISDIRECTED | {
    ADDRESS_GONE.code,
    BOUND_TOO_EARLY.code,
    CONTENDS.code,
    INJECTION_LOST.code,
    PILES_UP.code,
    PROBLEM.code,
    PODS_FAIL_HERE.code,
    RENEWAL_SUSPENDED.code,
    TAINT_STRANDS.code,
}
"""Conditions that name all whom they make suffer, or what those lack."""
_OF_SUFFERERS = frozenset({CONTENDS.code, INJECTION_LOST.code, PODS_FAIL_HERE.code, PROBLEM.code})
"""Conditions that name whom they make suffer."""
_LONG = timedelta(days=1)
_SLOWEST_RESTART = timedelta(minutes=5)
"""The kubelet's longest wait between two restarts."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """Findings of one cluster, most important first."""

    findings: tuple[Finding, ...]
    """Causes, and what nothing else explains."""
    symptoms: tuple[Finding, ...]
    """Findings that one of the causes explains; each is named in at least one cause's ``symptoms``."""


def rank(
    snapshot: Snapshot,
    findings: Iterable[Finding],
    catalogue: Mapping[str, Condition],
    shared: Sequence[Common] = (),
) -> Ranked:
    """Fold and order *findings*, those of *shared* among them; of several with one id the first is kept."""
    unique = list({finding.id: finding for finding in reversed(list(findings))}.values())
    relations = Relations(snapshot, callers.suspects(unique))
    causes = _causes(relations, unique, catalogue)
    for item in shared:
        for member in item.members:
            causes.setdefault(member.id, set()).add(item.finding.id)
    order = partial(_importance, snapshot)
    roots = {finding.id: _roots(finding.id, causes) for finding in unique}
    symptoms = [finding for finding in unique if roots[finding.id] != {finding.id}]
    folded = {finding.id for finding in symptoms}
    top = [
        _with_symptoms(snapshot, relations, cause, [item for item in symptoms if cause.id in roots[item.id]])
        for cause in unique
        if cause.id not in folded
    ]
    return Ranked(tuple(sorted(top, key=order)), tuple(sorted(symptoms, key=order)))


def _causes(
    relations: Relations, findings: Sequence[Finding], catalogue: Mapping[str, Condition]
) -> dict[str, set[str]]:
    """Map each finding to those that explain it directly."""
    by_object: dict[object, list[Finding]] = {}
    for finding in findings:
        told = finding.objects if finding.code in _OF_ALL else finding.objects[:1]
        for ref in told:
            by_object.setdefault(ref, []).append(finding)
    causes: dict[str, set[str]] = {}
    for finding in findings:
        condition = catalogue.get(finding.code)
        if finding.code in SUFFERING:
            missed = (other for ref in relations.missed_by(finding.objects[0]) for other in by_object.get(ref, ()))
            causes[finding.id] = {other.id for other in missed if _stops_service(other)}
            named = (other for other in by_object[finding.objects[0]] if _makes_suffer(other))
            causes[finding.id].update(other.id for other in named)
        if condition is None or not condition.symptom_of:
            continue
        causes[finding.id] = causes.get(finding.id, set()) | {
            other.id
            for ref in relations.needs(finding.objects[0]).union(finding.objects)
            for other in by_object.get(ref, ())
            if other.id != finding.id and _explains(other, condition)
        }
    return causes


def _explains(cause: Finding, symptom: Condition) -> bool:
    """Say whether a finding is a cause of this sort of symptom; what is a mere risk has no symptoms yet."""
    return cause.severity.rank <= Severity.DEGRADED.rank and _names(symptom.symptom_of, cause.code)


def _stops_service(cause: Finding) -> bool:
    """Say whether a finding about a Service or what is behind it may be why nobody is served."""
    return cause.severity.rank <= Severity.DEGRADED.rank or cause.code == SCALED_TO_ZERO.code


def _makes_suffer(cause: Finding) -> bool:
    return cause.code in _OF_SUFFERERS and cause.severity.rank <= Severity.DEGRADED.rank


def _names(patterns: Sequence[str], code: str) -> bool:
    return any(code == pattern or (pattern.endswith("/*") and code.startswith(pattern[:-1])) for pattern in patterns)


def _roots(finding_id: str, causes: Mapping[str, set[str]]) -> set[str]:
    """Return the last causes behind a finding; itself if it has none, or if its causes lead in a circle only."""
    roots: set[str] = set()
    seen = {finding_id}
    open_ids = [finding_id]
    while open_ids:
        current = open_ids.pop()
        direct = causes.get(current, set())
        if not direct:
            roots.add(current)
        open_ids.extend(direct - seen)
        seen |= direct
    return roots or {finding_id}


def _with_symptoms(snapshot: Snapshot, relations: Relations, cause: Finding, symptoms: Sequence[Finding]) -> Finding:
    ordered = sorted(symptoms, key=partial(_importance, snapshot))
    severity = min((cause.severity, *(item.severity for item in ordered)), key=lambda item: item.rank)
    # Of an object that several lack: what depends on those.
    suffering = dict.fromkeys((cause.objects[0], *(item.objects[0] for item in ordered if item.code == cause.code)))
    return cause.model_copy(
        update={
            "severity": severity,
            "symptoms": tuple(item.id for item in ordered),
            "affects": tuple(dict.fromkeys(ref for item in suffering for ref in relations.affects(item))),
        }
    )


def _importance(snapshot: Snapshot, finding: Finding) -> tuple[object, ...]:
    """Sort what harms before what does not, of that the new before the old, then by severity, reach and name."""
    reach = len(finding.affects) + len(finding.symptoms)
    harms = finding.severity.rank <= Severity.DEGRADED.rank
    old = harms and _is_old(snapshot, finding)
    return not harms, old, finding.severity.rank, -reach, -len(finding.objects), finding.code, str(finding.objects[0])


def _is_old(snapshot: Snapshot, finding: Finding) -> bool:
    """Say whether all pods of a finding have surely failed for more than a day; who asks now asks about the rest."""
    pods = [pod for ref in finding.objects if ref.kind == "Pod" and (pod := snapshot.find(ref)) is not None]
    return bool(pods) and all(_fails_for_long(snapshot, pod) for pod in pods)


def _fails_for_long(snapshot: Snapshot, pod: KubeObject) -> bool:
    ready = objects.condition(pod, "Ready")
    if ready is None or ready.is_true or snapshot.age(objects.created_at(pod)) < _LONG:
        return False
    # Without a readiness probe each restart makes the pod ready for a moment.
    restarts = max((container.restarts for container in containers.containers_of(pod)), default=0)
    return snapshot.age(ready.changed_at) > _LONG or restarts >= _LONG / _SLOWEST_RESTART / 2
