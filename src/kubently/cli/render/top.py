"""Replicas at a glance: rates and latencies of all together between two looks, or since their start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
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
            # Rounding may lead a little beyond the bucket.
            return min(low + (bounds[number] - low) * (rank - below) / count, bounds[number])
        below += count
    return bounds[-1]


def top(looks: Sequence[Look], before: Sequence[Look]) -> RenderableType:
    """All of it; *before* is an earlier look at the same runs of the same replicas, or nothing."""
    look, earlier = together(looks), together(before) if before else None
    return Group(*_head(look, earlier), Text(), _replicas(looks), Text(), _speed(look, earlier), Text(), _limits(look))


def same_runs(looks: Sequence[Look], before: Sequence[Look]) -> Sequence[Look]:
    """*before*, where the two can be compared: of the same replicas, none restarted meanwhile."""
    runs, earlier = ({(look["replica"], look["started_at"]) for look in some} for some in (looks, before))
    return before if runs == earlier else ()


def together(looks: Sequence[Look]) -> Look:
    """Sums over replicas, which were seen at about one time."""
    summed: Look = {name: sum(look[name] for look in looks) for name in _SUMMED}
    return summed | {
        "at": _mean(looks, "at"),
        "started_at": _mean(looks, "started_at"),
        "clusters": max(look["clusters"] for look in looks),
        "lost_recently": max(look["lost_recently"] for look in looks),
        "bounds": looks[0]["bounds"],
        "commands": _histogram(look["commands"] for look in looks),
        "requests": {key: _histogram(look["requests"][key] for look in looks) for key in looks[0]["requests"]},
        "routes": {key: _histogram(look["routes"][key] for look in looks) for key in looks[0]["routes"]},
        "endings": _counted(look["endings"] for look in looks),
        "route_failures": _counted(look["route_failures"] for look in looks),
        "limits": [_limit(same) for same in zip(*(look["limits"] for look in looks), strict=False)],
        "audit_problem": "; ".join(look["audit_problem"] for look in looks if look["audit_problem"]),
        "audit_behind": {name: why for look in looks for name, why in look["audit_behind"].items()},
    }


_SUMMED = ("connected", "executors", "sessions", "streams", "proxied_bytes", "audit_records")


def _mean(looks: Sequence[Look], name: str) -> str:
    seconds = sum(_time(look[name]).timestamp() for look in looks) / len(looks)
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _histogram(parts: Iterable[Look]) -> Look:
    return {"counts": [sum(counts) for counts in zip(*(part["counts"] for part in parts), strict=True)]}


def _counted(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return dict(total)


def _limit(same: Sequence[Look]) -> Look:
    used = [limit["used"] for limit in same if limit["used"] is not None]
    hits = sum(limit["hits"] for limit in same)
    return {**same[0], "used": sum(used) if used else None, "hits": hits}


def _head(look: Look, before: Look | None) -> list[Text]:
    lines = [
        Text(
            f"clusters {look['clusters']} registered, {look['connected']} connected, "
            f"{look['lost_recently']} lost recently; executors {look['executors']}, sessions {look['sessions']}, "
            f"streams {look['streams']}"
        ),
        Text(f"answers of clusters {_size(_since(look, before, 'proxied_bytes') / _seconds(look, before))}/s"),
    ]
    if look["audit_problem"]:
        lines.append(Text(f"audit records cannot be written: {look['audit_problem']}", "red"))
    lines += [Text(f"audit target {name}: {why}", "yellow") for name, why in look["audit_behind"].items()]
    return lines


def _replicas(looks: Sequence[Look]) -> RenderableType:
    """CPU since the start: what a moment costs is in the rates."""
    rows = []
    for look in looks:
        up = max((_time(look["at"]) - _time(look["started_at"])).total_seconds(), 0.001)
        sizes = (f"{look['cpu_seconds'] / up:.0%}", _size(look["memory_bytes"]))
        counts = (str(look[name]) for name in ("connected", "sessions", "streams"))
        rows.append((look["replica"] or "-", look["version"], age(up), *sizes, *counts))
    return table(("REPLICA", "VERSION", "UP", "CPU", "MEMORY", "CLUSTERS", "SESSIONS", "STREAMS"), rows)


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
