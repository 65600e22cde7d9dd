"""Limits: what they let pass, whom they refuse, and that one greedy key leaves room for others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubently.broker.limits import Limits, Pace, Rate, Slots
from kubently.errors import TooManyCommandsError, TooManyExecutorsError
from kubently.settings import LimitSettings


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def fill(slots: Slots, place: str, key: str) -> contextlib.ExitStack:
    """Take as many as there are."""
    held = contextlib.ExitStack()
    with contextlib.suppress(TooManyCommandsError):
        while True:
            held.enter_context(slots.take(place, key))
    return held


def test_a_greedy_key_leaves_room_for_others() -> None:
    slots = Slots("x", 32)

    with fill(slots, "prod", "greedy"):
        assert slots.used == 24
        with fill(slots, "prod", "greedy too"), slots.take("prod", "modest"):
            assert slots.used == 31
        assert slots.refused == 2

    assert slots.used == 0


@given(most=st.integers(1, 200), keys=st.integers(1, 20))
def test_never_more_than_most_and_always_one_for_the_first(most: int, keys: int) -> None:
    slots = Slots("x", most)
    with contextlib.ExitStack() as held:
        for number in range(keys):
            held.enter_context(fill(slots, "prod", f"k{number}"))
            assert 1 <= slots.used <= most


def test_places_do_not_share() -> None:
    slots = Slots("x", 1)

    with slots.take("prod", "a"), slots.take("dev", "a"), pytest.raises(TooManyCommandsError, match="on prod"):
        slots.take("prod", "b").__enter__()


def test_a_place_of_one_key_may_be_filled() -> None:
    slots = Slots("x", 32, is_shared=False)

    with fill(slots, "a", ""):
        assert slots.used == 32


def test_a_rate_lets_a_burst_pass_and_then_so_many_a_second() -> None:
    clock = Clock()
    rate = Rate("r", 10, clock=clock)

    assert count(rate, "a") == 20
    assert count(rate, "b") == 20, "another key's"
    clock.now += 0.5
    assert count(rate, "a") == 5
    clock.now += 60
    assert count(rate, "a") == 20


def count(rate: Rate, key: str) -> int:
    return sum(1 for _ in passing(rate, key))


def passing(rate: Rate, key: str) -> Iterator[None]:
    with contextlib.suppress(TooManyCommandsError):
        while True:
            rate.spend(key)
            yield


def test_a_rate_of_zero_is_none() -> None:
    rate = Rate("r", 0, clock=Clock())

    for _ in range(1000):
        rate.spend("a")


def test_a_refusal_says_when_to_come_again_and_which_limit_it_was() -> None:
    rate = Rate("request-rate-per-key", 0.1, clock=Clock())
    rate.spend("a")

    with pytest.raises(TooManyCommandsError) as caught:
        rate.spend("a")

    assert caught.value.retry_after == 10
    assert caught.value.details == {"limit": "request-rate-per-key"}
    assert rate.refused == 1


def test_executors_are_let_in_at_a_rate() -> None:
    clock = Clock()
    limits = Limits.of(replace(LimitSettings(), accept_rate=5), clock=clock)
    for _ in range(10):
        limits.let_in()

    with pytest.raises(TooManyExecutorsError) as caught:
        limits.let_in()

    assert caught.value.retry_after == 1
    assert caught.value.details == {"limit": "accept-rate"}
    clock.now += 0.25
    limits.let_in()


@pytest.mark.anyio
async def test_a_pace_lets_a_burst_pass_at_once() -> None:
    pace = Pace(1000, burst=5000, clock=Clock())

    assert not await pace.spend(5000)
    assert await pace.spend(10)


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("commands_per_cluster", "commands-per-cluster"),
        ("requests", "requests-per-replica"),
        ("requests_per_key", "requests-per-key"),
    ],
)
def test_every_limit_is_named_where_it_refuses(field: str, name: str) -> None:
    settings = replace(LimitSettings(), **{field: 1})
    limits = Limits.of(settings, clock=Clock())

    with limits.admit(limits.commands, "prod", "a"), pytest.raises(TooManyCommandsError) as caught:
        limits.admit(limits.commands, "prod", "a").__enter__()

    assert caught.value.details == {"limit": name}
    assert {limit.name: limit.refused for limit in limits.named}[name] == 1
    assert limits.streams.used == limits.per_key.used == 0, "what was taken before the refusal was given back"
