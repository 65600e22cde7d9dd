"""Findings: the cause first, what supports it, what to check next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from kubently.schema import Diagnosis, Finding, Severity

STYLES: Mapping[Severity, str] = {
    Severity.OUTAGE: "bold red",
    Severity.DEGRADED: "yellow",
    Severity.RISK: "cyan",
    Severity.HYGIENE: "dim",
}
_MOST_REASONS = 10
_MOST_OBJECTS = 5


def fleet(diagnoses: Sequence[Diagnosis]) -> Iterator[RenderableType]:
    """All findings in order of importance, what several clusters have in common once, then what was looked at."""
    found = [(diagnosis, finding) for diagnosis in diagnoses for finding in diagnosis.findings]
    # Each cluster's findings come ranked; a stable sort by severity merges the clusters' lists.
    found.sort(key=lambda pair: pair[1].severity.rank)
    common: dict[str, list[tuple[Diagnosis, Finding]]] = {}
    for pair in found:
        common.setdefault(pair[1].id, []).append(pair)
    for number, pairs in enumerate(common.values(), 1):
        (diagnosis, one), others = pairs[0], [other.cluster for other, _ in pairs[1:]]
        yield from finding(number, diagnosis, one, others)
    yield from summary(diagnoses)
    yield from _unseen(diagnoses)


def finding(number: int, diagnosis: Diagnosis, one: Finding, others: Sequence[str] = ()) -> Iterator[RenderableType]:
    """One finding of a cluster, which *others* have as well."""
    yield _beside(f"{number:>2} ", _head(diagnosis, one), width=3)
    if others:
        yield _row("also in", _few(others))
    yield _row("what", f"{one.code}, {one.confidence.value}", "dim")
    yield _row("where", _few(one.objects), "dim")
    yield from _why(one)
    for evidence in one.evidence:
        yield _row("seen", evidence.quote)
        yield _row("", evidence.source, "dim")
    for change in one.changes:
        yield _row("changed", f"{change.source}: {change.quote}", "yellow")
    for symptom in diagnosis.symptoms:
        if symptom.id in one.symptoms:
            yield _row("explains", symptom.title)
    for check in one.next_checks:
        yield _row("check", command(diagnosis.cluster, check), "green")
    if one.remedy is not None:
        yield _row("mend", one.remedy.text)
        for line in one.remedy.commands:
            yield _row("", line, "dim")
    yield Text()


def _head(diagnosis: Diagnosis, one: Finding) -> Text:
    head = Text()
    head.append(f"{one.severity.value:<9}", STYLES[one.severity])
    head.append(f" {diagnosis.cluster}  ", "bold")
    head.append(one.title)
    if diagnosis.since is not None and one.id in diagnosis.since.new:
        head.append("  new", "bold magenta")
    return head


def _why(one: Finding) -> Iterator[RenderableType]:
    if one.first_seen is not None:
        yield _row("since", f"{one.first_seen.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC", "dim")
    if one.severity_reason:
        yield _row("because", one.severity_reason, "dim")


def command(cluster: str, check: str) -> str:
    """A next check as something to type."""
    try:
        first = shlex.split(check)[:1]
    except ValueError:
        first = []
    verbs = {"get", "describe", "logs", "top", "events", "rollout", "explain", "auth"}
    return f"kubently run {cluster} -- {check}" if first and first[0] in verbs else check


def summary(diagnoses: Sequence[Diagnosis]) -> Iterator[Text]:
    """Counts of each cluster, and what could not be seen there."""
    for diagnosis in sorted(diagnoses, key=lambda d: d.cluster):
        counts = {s: sum(f.severity is s for f in diagnosis.findings) for s in Severity}
        good = "nothing could be read" if saw_nothing(diagnosis) else "nothing wrong"
        words = ", ".join(f"{count} {severity.value}" for severity, count in counts.items() if count) or good
        text = Text()
        text.append(f"{diagnosis.cluster}: ", "bold")
        text.append(f"{words} in {diagnosis.coverage.objects} objects ({diagnosis.seconds:.1f} s)")
        if diagnosis.coverage.blind:
            unseen = ", ".join(sorted({blind.resource for blind in diagnosis.coverage.blind}))
            text.append(f"; not seen: {unseen}", "dim")
        yield text


def _unseen(diagnoses: Sequence[Diagnosis]) -> Iterator[Text]:
    """Why something was not seen: a reason that many clusters and resources share is said once."""
    reasons: dict[str, tuple[set[str], set[str]]] = {}
    for diagnosis in diagnoses:
        for blind in diagnosis.coverage.blind:
            resources, clusters = reasons.setdefault(blind.reason, (set(), set()))
            resources.add(blind.resource)
            clusters.add(diagnosis.cluster)
    for reason, (resources, clusters) in sorted(reasons.items())[:_MOST_REASONS]:
        yield Text(f"not seen: {_few(sorted(resources))} in {_few(sorted(clusters))}: {reason}", "dim")
    if len(reasons) > _MOST_REASONS:
        yield Text(f"not seen: {len(reasons) - _MOST_REASONS} more reasons, which -o json shows", "dim")


def saw_nothing(diagnosis: Diagnosis) -> bool:
    """Whether everything was refused or failed, so that no finding says nothing."""
    return not diagnosis.coverage.resources and bool(diagnosis.coverage.blind)


def _few(things: Sequence[object]) -> str:
    shown = ", ".join(map(str, things[:_MOST_OBJECTS]))
    more = len(things) - _MOST_OBJECTS
    return f"{shown} and {more} more" if more > 0 else shown


def _row(label: str, text: str, style: str = "") -> RenderableType:
    return _beside(Text(f"    {label}", "dim"), Text(text, style), width=12)


def _beside(label: str | Text, text: Text, *, width: int) -> RenderableType:
    """A label and a text whose further lines stand below its first."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=width)
    grid.add_column(overflow="fold")
    grid.add_row(label, text)
    return grid
