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

from kubently.analyzers.base import Condition
from kubently.analyzers.common import Common
from kubently.analyzers.dependencies import SUFFERING
from kubently.analyzers.relations import Relations
from kubently.analyzers.services import SCALED_TO_ZERO
from kubently.analyzers.snapshot import Snapshot
from kubently.schema.findings import Finding, Severity


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
    relations = Relations(snapshot)
    causes = _causes(relations, unique, catalogue)
    for item in shared:
        for member in item.members:
            causes.setdefault(member.id, set()).add(item.finding.id)
    roots = {finding.id: _roots(finding.id, causes) for finding in unique}
    symptoms = [finding for finding in unique if roots[finding.id] != {finding.id}]
    folded = {finding.id for finding in symptoms}
    top = [
        _with_symptoms(relations, cause, [item for item in symptoms if cause.id in roots[item.id]])
        for cause in unique
        if cause.id not in folded
    ]
    return Ranked(tuple(sorted(top, key=_importance)), tuple(sorted(symptoms, key=_importance)))


def _causes(
    relations: Relations, findings: Sequence[Finding], catalogue: Mapping[str, Condition]
) -> dict[str, set[str]]:
    """Map each finding to those that explain it directly."""
    by_object: dict[object, list[Finding]] = {}
    for finding in findings:
        by_object.setdefault(finding.objects[0], []).append(finding)
    causes: dict[str, set[str]] = {}
    for finding in findings:
        condition = catalogue.get(finding.code)
        if finding.code in SUFFERING:
            missed = (other for ref in relations.missed_by(finding.objects[0]) for other in by_object.get(ref, ()))
            causes[finding.id] = {other.id for other in missed if _stops_service(other)}
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


def _with_symptoms(relations: Relations, cause: Finding, symptoms: Sequence[Finding]) -> Finding:
    ordered = sorted(symptoms, key=_importance)
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


def _importance(finding: Finding) -> tuple[int, int, int, str, str]:
    """Sort by severity, then by how many Services and Ingresses, then objects, are concerned; then by name."""
    reach = len(finding.affects) + len(finding.symptoms)
    return finding.severity.rank, -reach, -len(finding.objects), finding.code, str(finding.objects[0])
