"""One replica at a glance: rates and latencies between two looks, or since its start."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from kubently.cli.render.console import age, table

Look = dict[str, Any]
"""A ``Top`` as JSON."""


def quantile(counts: Sequence[int], bounds: Sequence[float], share: float) -> float | None:
    """Seconds within which *share* of what was counted stayed: linear within a bucket, as Prometheus does it.

    None of nothing; the highest bound for what took longer.
    """
    rank = share * sum(counts)
    if not rank:
        return None
    below = 0
    for number, count in enumerate(counts[: len(bounds)]):
        if count and below + count >= rank:
            low = bounds[number - 1] if number else 0.0
            return low + (bounds[number] - low) * (rank - below) / count
        below += count
    return bounds[-1]


def top(look: Look, before: Look | None) -> RenderableType:
    """All of it. *before* is an earlier look at the same run of the replica."""
    return Group(*_head(look, before), Text(), _speed(look, before), Text(), _limits(look))


def same_run(look: Look, before: Look | None) -> Look | None:
    """*before*, where the two can be compared: of one replica, not restarted meanwhile."""
    names = ("replica", "started_at")
    return before if before and all(look[name] == before[name] for name in names) else None


def _head(look: Look, before: Look | None) -> list[Text]:
    up = (_time(look["at"]) - _time(look["started_at"])).total_seconds()
    cpu = (look["cpu_seconds"] - (before["cpu_seconds"] if before else 0)) / max(_seconds(look, before), 1e-9)
    name = f"replica {look['replica']}, one of {look['replicas']}" if look["replica"] else "one replica"
    lines = [
        Text(f"{name}, version {look['version']}, up {age(up)}, cpu {cpu:.0%}, memory {_size(look['memory_bytes'])}"),
        Text(
            f"clusters {look['clusters']} registered, {look['connected']} connected here, "
            f"{look['lost_recently']} lost recently; executors {look['executors']}, sessions {look['sessions']}, "
            f"streams {look['streams']}"
        ),
        Text(f"answers of clusters {_size(_since(look, before, 'proxied_bytes') / _seconds(look, before))}/s"),
    ]
    if look["audit_problem"]:
        lines.append(Text(f"audit records cannot be written: {look['audit_problem']}", "red"))
    lines += [Text(f"audit target {name}: {why}", "yellow") for name, why in look["audit_behind"].items()]
    return lines


def _speed(look: Look, before: Look | None) -> RenderableType:
    kinds = [
        ("commands", ("commands",)),
        ("REST answers", ("requests", "rest")),
        ("Kubernetes answers", ("requests", "kubernetes")),
        ("ways found here", ("routes", "local")),
        ("ways by a peer", ("routes", "peer")),
    ]
    rows = [(name, *_row(_counts(look, way), _counts(before, way), look, before)) for name, way in kinds]
    rows += [(f"no way: {code}", str(count), "", "", "") for code, count in look["route_failures"].items()]
    rows += [(f"command {name}", str(count), "", "", "") for name, count in look["endings"].items()]
    return table(("WHAT", "COUNT", "RATE", "P50", "P99"), rows)


def _row(counts: list[int], earlier: list[int], look: Look, before: Look | None) -> tuple[str, str, str, str]:
    recent = [now - then for now, then in zip(counts, earlier, strict=True)] if earlier else counts
    quantiles = (quantile(recent, look["bounds"], share) for share in (0.5, 0.99))
    rate = f"{sum(recent) / _seconds(look, before):.1f}/s"
    half, most = ("-" if seconds is None else f"{1000 * seconds:.1f} ms" for seconds in quantiles)
    return str(sum(counts)), rate, half, most


def _limits(look: Look) -> RenderableType:
    rows = [
        (
            limit["name"],
            "" if limit["used"] is None else str(limit["used"]),
            "" if limit["most"] is None else str(limit["most"]),
            Text(str(limit["hits"]), "yellow" if limit["hits"] else ""),
        )
        for limit in look["limits"]
    ]
    return table(("LIMIT", "USED", "MOST", "REFUSED"), rows)


def _counts(look: Look | None, way: tuple[str, ...]) -> list[int]:
    if look is None:
        return []
    found: Any = look
    for step in way:
        found = found[step]
    return list(found["counts"])


def _seconds(look: Look, before: Look | None) -> float:
    return max((_time(look["at"]) - _time(before["at"] if before else look["started_at"])).total_seconds(), 0.001)


def _since(look: Look, before: Look | None, name: str) -> float:
    return float(look[name] - (before[name] if before else 0))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
