"""Runs analyzers over a snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kubently.analyzers import aftermath, callers, changes, common, rank, reasons, remedies
from kubently.analyzers.base import Analyzer, Condition, clean
from kubently.analyzers.snapshot import Snapshot
from kubently.schema.findings import Blind, Coverage, Finding, Severity

MOST_OWN = 1000
"""Findings of one analyzer that is not Kubently's."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a diagnosis says."""

    findings: tuple[Finding, ...]
    """Causes, and what nothing else explains, most important first."""
    symptoms: tuple[Finding, ...]
    """Findings that a cause explains: its ``symptoms`` hold their ids."""
    coverage: Coverage


def diagnose(snapshot: Snapshot, analyzers: Sequence[Analyzer]) -> Report:
    """Run every analyzer, fold symptoms into causes, order what remains."""
    failures: list[Blind] = []
    found = list(callers.weigh(snapshot, (item for each in analyzers for item in _run(each, snapshot, failures))))
    shared = tuple(common.causes(snapshot, found))
    found += [item.finding for item in shared]
    catalogue = {condition.code: condition for condition in catalogue_of(analyzers)}
    ranked = rank.rank(snapshot, found, catalogue, shared)
    # What came after a change counts only where nothing better explains it.
    if begun := tuple(common.after_changes(snapshot, ranked.findings)):
        found += [item.finding for item in begun]
        ranked = rank.rank(snapshot, found, catalogue, (*shared, *begun))
    if idle := aftermath.explained(snapshot, ranked.findings):
        found = [item for item in found if item.id not in idle]
        ranked = rank.rank(snapshot, found, catalogue, (*shared, *begun))
    severities = {finding.id: finding.severity for finding in found}
    told = tuple(_told(snapshot, finding, severities[finding.id], ranked) for finding in ranked.findings)
    return Report(told, ranked.symptoms, _coverage(snapshot, analyzers, failures))


def _told(snapshot: Snapshot, finding: Finding, own: Severity, ranked: rank.Ranked) -> Finding:
    """A cause with what was changed before it, why it is that severe, and what could be done."""
    changed = changes.before(snapshot, finding) if finding.severity.rank <= Severity.DEGRADED.rank else ()
    symptoms = [item for item in ranked.symptoms if item.id in finding.symptoms]
    why = reasons.of(snapshot, finding, own, symptoms)
    whole = finding.model_copy(update={"changes": changed, "severity_reason": why})
    return whole.model_copy(update={"remedy": remedies.of(snapshot, whole)})


def catalogue_of(analyzers: Iterable[Analyzer]) -> tuple[Condition, ...]:
    """Return the conditions of *analyzers* in the order of their codes, each once."""
    conditions = {condition.code: condition for item in analyzers for condition in item.conditions}
    return tuple(conditions[code] for code in sorted(conditions))


def _run(item: Analyzer, snapshot: Snapshot, failures: list[Blind]) -> Iterator[Finding]:
    """Run one analyzer; what somebody else's could not do is noted, and stops nobody."""
    if not item.is_own:
        yield from item.run(snapshot)
        return
    try:
        for number, found in enumerate(item.run(snapshot)):
            if found.code not in item.codes:
                raise ValueError(f"it reports {clean(found.code, limit=100)}, which is not among its conditions")
            if number >= MOST_OWN:
                raise ValueError(f"it reports more than {MOST_OWN} findings; the rest is left out")
            yield found
    except Exception as error:  # it is somebody else's code
        reason = clean(str(error), limit=400) or type(error).__name__
        failures.append(Blind(resource=f"analyzer {item.id}", reason=reason))


def _coverage(snapshot: Snapshot, analyzers: Sequence[Analyzer], failures: Sequence[Blind]) -> Coverage:
    known = {gap.resource for gap in snapshot.blind}
    needed = {resource for item in analyzers for resource in item.needs}
    unread = sorted(str(item) for item in needed if item not in snapshot.resources and not item.is_addon)
    gaps = tuple(Blind(resource=name, reason="not in the snapshot") for name in unread if name not in known)
    return Coverage(
        objects=sum(len(members) for members in snapshot.resources.values()),
        resources=tuple(sorted(str(resource) for resource in snapshot.resources)),
        analyzers=tuple(item.id for item in analyzers),
        blind=(*snapshot.blind, *gaps, *failures),
    )
