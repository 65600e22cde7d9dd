"""What is known of a cluster's findings over time, and how one more analysis changes it. Pure.

An absence counts only where the finding could have been seen: an analysis that could not read what the analyzer of a
code needs, and could when the finding was last seen, says nothing about it. A finding is resolved once it has been
absent for a while, so that a pod that is ready for a minute between two crashes is no news each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from kubently.analyzers import Analyzer, Report
from kubently.schema import Finding, FindingRecord, Severity

MAX_RECORDS = 1000
"""Findings kept of one cluster, open ones before resolved ones."""
MAX_OBJECTS = 10
"""Objects kept of one finding."""
GAP = timedelta(hours=1)
"""Time without analysis after which a history does not count as unbroken."""


class Kept(FindingRecord):
    """A record with what only the keeper needs; fields of other versions are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    absent_since: datetime | None = None
    blind: tuple[str, ...] = ()
    """What its analyzers need and could not read when it was last seen."""
    is_told: bool = False
    """Whether webhooks were told of it."""

    @property
    def is_open(self) -> bool:
        """Whether it is not resolved."""
        return self.resolved_at is None

    def record(self) -> FindingRecord:
        """The public part."""
        return FindingRecord.model_validate(self.model_dump(include=set(FindingRecord.model_fields)))


class History(BaseModel):
    """All that is kept of one cluster."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    cluster: str
    unbroken_since: datetime
    analysed_at: datetime
    not_seen: tuple[str, ...] = ()
    not_kept: int = 0
    records: tuple[Kept, ...] = ()


class News(StrEnum):
    """What happened to a finding."""

    FOUND = "found"
    RESOLVED = "resolved"
    SEVERITY_CHANGED = "severity-changed"


@dataclass(frozen=True, slots=True)
class Event:
    """One piece of news; ``before`` is the severity before it changed."""

    news: News
    record: FindingRecord
    at: datetime
    before: Severity | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """What one analysis led to."""

    history: History
    began: tuple[Severity, ...]
    """Severities of the findings that are new or came back, symptoms left out."""
    resolved: tuple[Severity, ...]
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """How a history is kept."""

    resolve_after: timedelta = timedelta(minutes=2)
    """How long a finding must be absent to be resolved."""
    keep: timedelta = timedelta(days=30)
    """How long resolved findings are kept."""
    tell: Severity | None = None
    """The least severity of which webhooks are told; None without webhooks."""


def observe(
    before: History | None,
    report: Report,
    analyzers: Sequence[Analyzer],
    *,
    cluster: str,
    at: datetime,
    rules: Rules,
) -> Observed:
    """Take one analysis into a history. *at* is the API's clock."""
    gaps = Gaps.of(report, analyzers)
    known = {kept.id: kept for kept in before.records} if before else {}
    seen = {item.id: _seen(known.get(item.id), item, cause, gaps, cluster, at) for item, cause in _present(report)}
    absent = {key: _absent(kept, gaps, at, rules) for key, kept in known.items() if key not in seen}
    records, not_kept = _bounded({**seen, **absent}.values(), at, rules)
    told, events = _tell(known, records, at, rules)
    history = History(
        cluster=cluster,
        unbroken_since=at if before is None or at - before.analysed_at > GAP else before.unbroken_since,
        analysed_at=at,
        not_seen=tuple(sorted({gap.resource for gap in report.coverage.blind}))[:100],
        not_kept=not_kept,
        records=told,
    )
    causes = [kept for kept in told if not kept.explained_by]
    return Observed(
        history,
        began=tuple(kept.severity for kept in causes if kept.is_open and kept.began_at == at),
        resolved=tuple(kept.severity for kept in causes if not kept.is_open and _was_open(known.get(kept.id))),
        events=events,
    )


@dataclass(frozen=True, slots=True)
class Gaps:
    """What an analysis could not read, by what each code needs."""

    by_code: Mapping[str, frozenset[str]]
    logs: frozenset[str]
    """"namespace/pod" whose logs could not be read."""
    reading_logs: frozenset[str]
    """Codes that need logs."""

    @classmethod
    def of(cls, report: Report, analyzers: Sequence[Analyzer]) -> Gaps:
        """Those of one analysis."""
        blind = {gap.resource for gap in report.coverage.blind}
        by_code: dict[str, set[str]] = {}
        for item in analyzers:
            needed = {str(resource) for resource in item.needs} | {f"analyzer {item.id}"}
            if any(resource.is_addon for resource in item.needs):
                needed.add("apis")
            for code in item.codes:
                by_code.setdefault(code, set()).update(needed & blind)
        logs = {name.split(" ")[1] for name in blind if name.startswith("logs ")}
        reading = {code for item in analyzers if item.needs_logs for code in item.codes}
        return cls({code: frozenset(names) for code, names in by_code.items()}, frozenset(logs), frozenset(reading))

    def concerning(self, record: FindingRecord | Finding) -> frozenset[str]:
        """What could not be read of that which this finding was, or would be, found by."""
        found = self.by_code.get(record.code, frozenset({"analyzer"}))
        if record.code in self.reading_logs:
            namespaces = {ref.namespace for ref in record.objects}
            found |= {f"logs {name}" for name in self.logs if name.partition("/")[0] in namespaces}
        return found


def _present(report: Report) -> list[tuple[Finding, str]]:
    """Each finding with the id of what explains it."""
    causes = {symptom: item.id for item in report.findings for symptom in item.symptoms}
    return [*((item, "") for item in report.findings), *((item, causes.get(item.id, "")) for item in report.symptoms)]


def _seen(known: Kept | None, item: Finding, cause: str, gaps: Gaps, cluster: str, at: datetime) -> Kept:
    is_back = known is not None and known.resolved_at is not None
    return Kept(
        cluster=cluster,
        id=item.id,
        code=item.code,
        severity=item.severity,
        title=item.title[:1000],
        objects=item.objects[:MAX_OBJECTS],
        explained_by=cause,
        first_seen=known.first_seen if known else at,
        began_at=at if known is None or is_back else known.began_at,
        last_seen=at,
        recurrences=(known.recurrences if known else 0) + is_back,
        blind=tuple(sorted(gaps.concerning(item))),
        is_told=known.is_told if known else False,
    )


def _absent(kept: Kept, gaps: Gaps, at: datetime, rules: Rules) -> Kept:
    if not kept.is_open:
        return kept
    if gaps.concerning(kept) - set(kept.blind):
        # It may be there and unseen: the time of absence does not begin, and does not go on.
        return kept.model_copy(update={"absent_since": None})
    since = kept.absent_since or at
    if at - since < rules.resolve_after:
        return kept.model_copy(update={"absent_since": since})
    return kept.model_copy(update={"absent_since": since, "resolved_at": since})


def _was_open(known: Kept | None) -> bool:
    return known is not None and known.is_open


def _bounded(records: Iterable[Kept], at: datetime, rules: Rules) -> tuple[tuple[Kept, ...], int]:
    """What is kept, the most important first, and how many open ones are not."""
    # An open one grows old only where nothing can see it any more: its analyzer is gone, or blind for good.
    fresh = [kept for kept in records if at - (kept.resolved_at or kept.last_seen) <= rules.keep]
    fresh.sort(key=_importance)
    return tuple(fresh[:MAX_RECORDS]), sum(kept.is_open for kept in fresh[MAX_RECORDS:])


def _importance(kept: Kept) -> tuple[bool, int, bool, float, str]:
    ended = -kept.resolved_at.timestamp() if kept.resolved_at else 0.0
    return not kept.is_open, kept.severity.rank, bool(kept.explained_by), ended or kept.first_seen.timestamp(), kept.id


def _tell(
    known: Mapping[str, Kept], records: Sequence[Kept], at: datetime, rules: Rules
) -> tuple[tuple[Kept, ...], tuple[Event, ...]]:
    """Which news webhooks are to be told, and the records that remember it."""
    told: list[Kept] = []
    events: list[Event] = []
    for kept in records:
        event = _event(known.get(kept.id), kept, at, rules)
        if event is not None:
            events.append(event)
            kept = kept.model_copy(update={"is_told": event.news is not News.RESOLVED})
        told.append(kept)
    return tuple(told), tuple(events)


def _event(known: Kept | None, kept: Kept, at: datetime, rules: Rules) -> Event | None:
    if rules.tell is None:
        return None
    if kept.is_told:
        if not kept.is_open:
            return Event(News.RESOLVED, kept.record(), at)
        if known is not None and known.severity is not kept.severity:
            return Event(News.SEVERITY_CHANGED, kept.record(), at, known.severity)
        return None
    is_worth = kept.is_open and not kept.explained_by and kept.severity.rank <= rules.tell.rank
    # Not one that is absent just now: it may be about to be resolved.
    return Event(News.FOUND, kept.record(), at) if is_worth and kept.absent_since is None else None
