"""What is learned from cuts, and what is not."""

import pytest

from kubently.executor.cuts import FORGET_AFTER, MIN_PING, Cuts

PING = 20.0


def note(cuts: Cuts, *pairs: tuple[float, float], ping_after: float = PING, now: float = 0.0) -> list[str]:
    return [cuts.note(age, silence, ping_after=ping_after, now=now) for age, silence in pairs]


def test_three_cuts_at_one_age_tell_the_age() -> None:
    cuts = Cuts()

    told = note(cuts, (15.0, 3.0), (15.4, 1.0), (15.1, 7.0))

    assert told == ["", "", "cuts connections after 15 s: raise its time-out"]
    assert (cuts.max_age, cuts.ping_after) == (15.0, None)


@pytest.mark.parametrize(
    "pairs",
    [
        [(15.0, 1.0), (15.0, 1.0)],
        [(15.0, 1.0), (19.0, 5.0), (15.0, 2.0)],
        [(0.2, 0.1), (0.2, 0.1), (0.2, 0.1)],
        [(9000.0, 1.0), (9000.0, 5.0), (9000.0, 2.0)],
    ],
    ids=["two", "not alike", "at once", "after hours"],
)
def test_what_is_no_limit_is_not_taken_for_one(pairs: list[tuple[float, float]]) -> None:
    cuts = Cuts()

    assert set(note(cuts, *pairs)) == {""}
    assert (cuts.max_age, cuts.ping_after) == (None, None)


def test_silence_halves_the_pings_down_to_five_seconds() -> None:
    cuts, ping, seen = Cuts(), 20.0, []
    for _ in range(5):
        told = note(cuts, *[(60.0 + n * 100, ping) for n in range(3)], ping_after=ping)
        ping = cuts.ping_after or ping
        seen.append((bool(told[-1]), ping))

    assert seen[:2] == [(True, 10.0), (True, 5.0)]
    assert ping == MIN_PING


def test_silence_shorter_than_any_ping_counts_as_age() -> None:
    cuts = Cuts()

    told = note(cuts, (2.0, 2.0), (2.0, 2.0), (2.1, 2.1))

    assert "after 2 s: raise its time-out" in told[-1]
    assert cuts.ping_after is None


def test_a_limit_on_age_is_found_behind_one_that_looked_like_silence() -> None:
    """Idle sessions cut at 15 s: pings do not help, and the next cut says that it is the age."""
    cuts = Cuts()

    told = note(cuts, (15.0, 14.9), (15.1, 15.0), (15.2, 15.1))
    assert "of silence" in told[-1]
    (again,) = note(cuts, (15.0, 5.0), ping_after=10.0)

    assert "after 15 s: raise its time-out" in again
    assert (cuts.max_age, cuts.ping_after) == (15.0, 10.0)


def test_what_was_learned_is_forgotten_after_an_hour() -> None:
    cuts = Cuts()
    note(cuts, (15.0, 3.0), (15.4, 1.0), (15.1, 7.0), now=100.0)

    cuts.expire(100.0 + FORGET_AFTER - 1)
    assert cuts.max_age == 15.0
    cuts.expire(100.0 + FORGET_AFTER + 1)

    assert cuts.max_age is None
