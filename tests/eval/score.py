"""Compares what a diagnosis says with what was done to the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kubently.schema import Diagnosis, Severity
from kubently.schema.findings import Finding
from tests.eval.app import Scenario

_BAD = (Severity.OUTAGE, Severity.DEGRADED)


@dataclass(frozen=True)
class Outcome:
    """How one scenario went."""

    scenario: Scenario
    rank: int
    """The cause's place among the findings, 0 where it is not among them."""
    missing_words: tuple[str, ...]
    """Words of the cause that neither title nor evidence holds."""
    evidence: int
    """Quotes that support the finding."""
    told: tuple[Finding, ...]
    """What the diagnosis says, first things first."""

    @property
    def is_found(self) -> bool:
        """Whether the cause stands first, says why, and is supported."""
        return self.rank == 1 and not self.missing_words and self.evidence > 0


def judge(scenario: Scenario, namespace: str, diagnosis: Diagnosis, others: Sequence[str]) -> Outcome:
    """Judge a diagnosis of the scenario's namespace. *others* are the namespaces of all scenarios: what one of them has
    outside of its namespace bears its name, and is not held against this one."""
    findings = [finding for finding in diagnosis.findings if not _is_of_another(finding, namespace, others)]
    wanted = (scenario.code, scenario.at_fault.format(ns=namespace))
    rank = next((n for n, found in enumerate(findings, 1) if (found.code, str(found.objects[0])) == wanted), 0)
    told = findings[rank - 1] if rank else None
    text = _text(told) if told else ""
    missing = tuple(word for word in scenario.words if word.lower() not in text)
    return Outcome(scenario, rank, missing, len(told.evidence) if told else 0, tuple(findings))


def alarms(diagnosis: Diagnosis) -> list[Finding]:
    """Findings that a healthy cluster must not have."""
    return [finding for finding in diagnosis.findings if finding.severity in _BAD]


def _is_of_another(finding: Finding, namespace: str, others: Sequence[str]) -> bool:
    at_fault = finding.objects[0]
    if at_fault.namespace:
        return False
    owners = [other for other in others if at_fault.name == other or at_fault.name.startswith(f"{other}-")]
    return bool(owners) and max(owners, key=len) != namespace


def _text(finding: Finding) -> str:
    return "\n".join((finding.title, *(f"{item.source} {item.quote}" for item in finding.evidence))).lower()
