"""A repeated id is answered from memory, which is bounded."""

import anyio
import pytest

from kubently.executor import outcomes
from kubently.executor.caller import Caller
from kubently.executor.outcomes import Outcomes

pytestmark = pytest.mark.anyio


async def replay(kept: Outcomes, entry: outcomes.Kept) -> list[bytes]:
    return [record async for record in kept.follow(entry)]


async def test_a_finished_command_is_told_again() -> None:
    kept = Outcomes(clock=lambda: 0.0)
    entry = kept.begin("a", Caller())
    kept.add(entry, b"one")
    kept.add(entry, b"two")
    kept.end(entry, b"status")

    found = kept.find("a")

    assert found is entry
    assert await replay(kept, entry) == [b"one", b"two", b"status"]
    assert kept.find("b") is None


async def test_a_running_command_is_followed_to_its_end() -> None:
    kept = Outcomes(clock=lambda: 0.0)
    entry = kept.begin("a", Caller())
    kept.add(entry, b"one")
    heard: list[bytes] = []

    async def follow() -> None:
        heard.extend(await replay(kept, entry))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        await anyio.sleep(0)
        kept.add(entry, b"two")
        await anyio.sleep(0)
        kept.end(entry, b"status")

    assert heard == [b"one", b"two", b"status"]


async def test_output_is_bounded_over_all_commands_and_the_status_stays() -> None:
    kept = Outcomes(clock=lambda: 0.0, keep_bytes=10)
    old, new = kept.begin("old", Caller()), kept.begin("new", Caller())
    kept.add(old, b"12345678")
    kept.end(old, b"status")
    kept.add(new, b"12345678")
    kept.end(new, b"status")

    assert await replay(kept, old) == [outcomes.LOST, b"status"]
    assert await replay(kept, new) == [b"12345678", b"status"]


async def test_commands_are_forgotten_after_ten_minutes_or_ten_thousand() -> None:
    now = [0.0]
    kept = Outcomes(clock=lambda: now[0])
    kept.begin("old", Caller())
    now[0] = outcomes.KEEP_SECONDS + 1
    assert kept.find("old") is None

    for i in range(outcomes.KEEP_COMMANDS + 5):
        kept.begin(str(i), Caller())
    assert kept.find("0") is None
    assert kept.find(str(outcomes.KEEP_COMMANDS)) is not None


async def test_a_command_that_outlives_its_memory_does_not_use_it_up() -> None:
    now = [0.0]
    kept = Outcomes(clock=lambda: now[0], keep_bytes=10)
    long = kept.begin("long", Caller())
    now[0] = outcomes.KEEP_SECONDS + 1
    assert kept.find("long") is None

    kept.add(long, b"12345678")
    new = kept.begin("new", Caller())
    kept.add(new, b"12345678")
    kept.end(new, b"status")

    assert await replay(kept, new) == [b"12345678", b"status"]
