"""Findings over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from rich.console import RenderableType
from rich.text import Text

from kubently.cli.render.console import age, table
from kubently.cli.render.findings import STYLES
from kubently.schema import ClusterHistory, FindingRecord, FindingsPage, Since

_CURRENT = 300.0
"""Seconds after which a history is called old: an analysis is made every minute or two."""


def page(found: FindingsPage, now: datetime) -> Iterator[RenderableType]:
    """The findings, without what others explain, and how well each cluster is known."""
    yield records([record for record in found.findings if not record.explained_by], now)
    for cluster in found.clusters:
        yield _words(cluster, now)


def records(found: Sequence[FindingRecord], now: datetime) -> RenderableType:
    """One line each."""
    heads = ("severity", "cluster", "finding", "first seen", "state", "title")
    rows = [
        (
            Text(record.severity.value, STYLES[record.severity]),
            record.cluster,
            record.code,
            ago(record.first_seen, now),
            _state(record, now),
            record.title,
        )
        for record in found
    ]
    return table([head.upper() for head in heads], rows) if rows else Text("no findings")


def since(cluster: str, told: Since, now: datetime) -> Iterator[RenderableType]:
    """What is new and what was resolved."""
    words = Text()
    words.append(f"{cluster}: ", "bold")
    words.append(f"since {told.since.astimezone(UTC):%Y-%m-%d %H:%M} UTC {len(told.new)} new, ")
    words.append(f"{len([one for one in told.resolved if not one.explained_by])} resolved")
    began = told.history.unbroken_since
    if began is not None and began > told.since:
        words.append(f"; before {began.astimezone(UTC):%Y-%m-%d %H:%M} UTC it was not watched", "yellow")
    yield words
    for record in told.resolved:
        if not record.explained_by and record.resolved_at is not None:
            yield Text(f"  resolved {ago(record.resolved_at, now)}: {record.title} ({record.code})", "green")


def ago(instant: datetime, now: datetime) -> str:
    """How long ago, in short."""
    return f"{age((now - instant).total_seconds())} ago"


def _state(record: FindingRecord, now: datetime) -> str:
    if record.resolved_at is not None:
        return f"resolved {ago(record.resolved_at, now)}"
    return f"open, {record.recurrences}x back" if record.recurrences else "open"


def _words(cluster: ClusterHistory, now: datetime) -> Text:
    text = Text()
    text.append(f"{cluster.cluster}: ", "bold")
    if cluster.analysed_at is None:
        text.append("not diagnosed yet" if cluster.is_on else "continuous diagnosis is off", "dim")
        return text
    seconds = (now - cluster.analysed_at).total_seconds()
    text.append(f"last diagnosed {age(seconds)} ago", "yellow" if seconds > _CURRENT else "")
    if not cluster.is_on:
        text.append("; continuous diagnosis is off", "yellow")
    if cluster.not_kept:
        text.append(f"; {cluster.not_kept} more are open", "yellow")
    if cluster.not_seen:
        text.append(f"; not seen: {', '.join(cluster.not_seen)}", "dim")
    return text
