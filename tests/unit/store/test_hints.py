"""Subscriptions within one process."""

from __future__ import annotations

import anyio
import pytest

from kubently.store import hints
from kubently.store.hints import Hints

pytestmark = pytest.mark.anyio


async def test_each_hears_its_prefix_from_the_subscription_on() -> None:
    found = Hints()
    found.publish("a:before")
    ours, others = found.subscribe("a:"), found.subscribe("")

    found.publish("a:1")
    found.publish("b:1")
    found.publish("a:2")

    assert [await anext(ours) for _ in range(2)] == ["a:1", "a:2"]
    assert [await anext(others) for _ in range(3)] == ["a:1", "b:1", "a:2"]


async def test_a_loss_is_told_by_the_prefix() -> None:
    found = Hints()
    ours = found.subscribe("a:")

    found.publish_lost()

    assert await anext(ours) == "a:"


async def test_who_misses_hints_is_told_that_any_key_may_have_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "_BACKLOG", 3)
    found = Hints()
    ours = found.subscribe("a:")
    for number in range(10):
        found.publish(f"a:{number}")

    heard = [await anext(ours) for _ in range(4)]
    found.publish("a:later")

    assert heard == ["a:0", "a:1", "a:2", "a:"]
    assert await anext(ours) == "a:later"


async def test_who_stops_listening_is_forgotten() -> None:
    found = Hints()
    ours = found.subscribe("a:")
    found.publish("a:1")
    async for _ in ours:
        break
    await ours.aclose()  # type: ignore[attr-defined]

    found.publish("a:2")

    assert not found._subscriptions


async def test_an_end_while_somebody_waits_is_no_error() -> None:
    found = Hints()
    heard: list[str] = []

    async def listen() -> None:
        heard.extend([key async for key in found.subscribe("a:")])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        await anyio.wait_all_tasks_blocked()
        found.publish("a:1")
        await anyio.wait_all_tasks_blocked()
        found.close()

    assert heard == ["a:1"]
