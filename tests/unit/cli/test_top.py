from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console
from tests.unit.cli.fake import fake_api

from kubently.cli.render.top import quantile, same_runs, top
from kubently.schema import Durations, LimitUse, Top

BEGAN = datetime(2026, 1, 2, tzinfo=UTC)
BOUNDS = (0.01, 0.1, 1.0)


def look(seconds: float, *, commands: tuple[int, ...] = (0, 0, 0, 0), **more: Any) -> dict[str, Any]:
    """What the API says after so many seconds."""
    none = Durations(counts=(0, 0, 0, 0), seconds=0)
    made = Top(
        replica="",
        version="0.1.0",
        at=BEGAN + timedelta(seconds=seconds),
        started_at=BEGAN,
        replicas=1,
        clusters=3,
        connected=2,
        lost_recently=1,
        executors=2,
        sessions=4,
        streams=0,
        bounds=BOUNDS,
        commands=Durations(counts=commands, seconds=1.0),
        endings={"exited": sum(commands)},
        requests={"rest": none, "kubernetes": none},
        routes={"local": none, "peer": none},
        route_failures={"executor-offline": 7},
        proxied_bytes=0,
        limits=(LimitUse(name="commands-per-cluster", used=1, most=32, hits=5),),
        audit_problem="",
        audit_records=0,
        audit_behind={},
        cpu_seconds=seconds / 4,
        memory_bytes=64 * 1024 * 1024,
    )
    return {**made.model_dump(mode="json"), **more}


def shown(*words: str, answer: list[dict[str, Any]]) -> list[str]:
    with fake_api({("GET", "/api/v1/top"): (200, answer)}) as api:
        done = api.run("top", "--once", *words)
    assert (done.exit_code, done.stderr) == (0, "")
    return list(done.stdout.splitlines())


def test_one_look_is_about_all_since_the_start() -> None:
    lines = shown(answer=[look(100, commands=(50, 0, 0, 50))])

    assert lines[0].startswith("clusters 3 registered, 2 connected, 1 lost recently; executors 2, sessions 4")
    rows = {line.split("  ")[0]: line.split() for line in lines}
    assert rows["-"] == ["-", "0.1.0", "100s", "25%", "64", "MiB", "2", "4", "0"]
    assert rows["commands"] == ["commands", "100", "1.0/s", "10.0", "ms", "1000.0", "ms"]
    assert rows["Kubernetes answers"][-4:] == ["0", "0.0/s", "-", "-"]
    assert rows["no way: executor-offline"][-1] == "7"
    assert rows["commands-per-cluster"] == ["commands-per-cluster", "1", "32", "5"]


def test_json_is_the_apis() -> None:
    answer = [look(1)]

    assert json.loads("\n".join(shown("-o", "json", answer=answer))) == answer


def test_what_is_wrong_with_the_audit_log_is_said() -> None:
    lines = shown(answer=[look(1, audit_problem="the disk is full", audit_behind={"otlp-x": "it is away"})])

    assert "audit records cannot be written: the disk is full" in lines
    assert "audit target otlp-x: it is away" in lines


def test_rates_are_of_the_time_between_two_looks() -> None:
    before, after = [look(100, commands=(1000, 0, 0, 0))], [look(110, commands=(1000, 20, 0, 0))]

    text = rendered(top(after, before))

    (row,) = [line.split() for line in text.splitlines() if line.startswith("commands  ")]
    assert row[:3] == ["commands", "1020", "2.0/s"] and row[3] == "55.0"


def test_replicas_are_shown_together_and_each() -> None:
    one = look(100, commands=(10, 0, 0, 0), replica="a", connected=2)
    other = look(100, commands=(0, 0, 30, 0), replica="b", connected=1, clusters=4)

    lines = shown(answer=[one, other])

    rows = {line.split("  ")[0]: line.split() for line in lines}
    assert lines[0].startswith("clusters 4 registered, 3 connected")
    assert rows["commands"][:3] == ["commands", "40", "0.4/s"]
    assert (rows["a"][-3], rows["b"][-3]) == ("2", "1")
    assert rows["commands-per-cluster"] == ["commands-per-cluster", "2", "32", "10"]


def test_a_restart_or_another_replica_begins_anew() -> None:
    before = [look(100)]

    assert same_runs([look(101)], before) is before
    assert same_runs([{**look(101), "started_at": "2026-01-03T00:00:00Z"}], before) == ()
    assert same_runs([{**look(101), "replica": "other"}], before) == ()
    assert same_runs([look(101), look(101, replica="other")], before) == ()


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ((0, 0, 0, 0), 0.5, None),
        ((10, 0, 0, 0), 0.5, 0.005),
        ((0, 10, 0, 0), 1.0, 0.1),
        ((0, 0, 0, 10), 0.5, 1.0),
        ((1, 0, 0, 99), 0.99, 1.0),
    ],
)
def test_quantiles(counts: tuple[int, ...], share: float, expected: float | None) -> None:
    assert quantile(counts, BOUNDS, share) == (None if expected is None else pytest.approx(expected))


@example([0, 0, 13, 0], 1.0, 1.0)
@given(st.lists(st.integers(0, 50), min_size=4, max_size=4).filter(any), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_higher_quantile_is_not_less(counts: list[int], one: float, other: float) -> None:
    low, high = (quantile(counts, BOUNDS, share) for share in sorted((one, other)))

    assert low is not None and high is not None and 0 < low <= high <= BOUNDS[-1]


def rendered(what: Any) -> str:
    console = Console(width=200, no_color=True)
    with console.capture() as captured:
        console.print(what)
    return captured.get()
