"""When an object was written last, told by what was written before it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kubently.analyzers.writes import Writes

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)


def written(version: str, *times: str) -> dict[str, Any]:
    entries = [{"manager": "m", "time": time} for time in times]
    return {"metadata": {"name": "x", "resourceVersion": version, "managedFields": entries}}


OTHERS = (
    written("100", "2026-03-02T09:00:00Z"),
    written("300", "2026-03-02T09:20:00Z", "2026-03-02T09:30:00Z"),
    # Written after the one before, though its entry is older: fields were removed from it.
    written("400", "2026-03-02T08:00:00Z"),
    written("500", "2026-03-02T09:50:00Z"),
    written("600", "2026-03-02T23:00:00Z"),
)


@pytest.mark.parametrize(
    ("version", "hour_and_minute"),
    [("200", (9, 0)), ("301", (9, 30)), ("401", (9, 30)), ("501", (9, 50)), ("700", (9, 50))],
)
def test_it_was_written_after_all_of_a_lower_version(version: str, hour_and_minute: tuple[int, int]) -> None:
    found = Writes(OTHERS, until=NOW).no_earlier_than(written(version))

    assert found is not None
    assert (found.hour, found.minute) == hour_and_minute


@pytest.mark.parametrize("version", ["50", "100", "", "0x200", "9" * 20, "-5", "²"])
def test_nothing_is_said_of_the_first_and_of_what_is_no_number(version: str) -> None:
    assert Writes(OTHERS, until=NOW).no_earlier_than(written(version)) is None


def test_nothing_is_known_without_others() -> None:
    assert Writes([], until=NOW).no_earlier_than(written("5")) is None
