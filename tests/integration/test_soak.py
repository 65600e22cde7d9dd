"""Nothing piles up: executors that come and go, requests that end in every way, round after round.

KUBENTLY_SOAK_ROUNDS makes it last; each round stands for an hour of a small fleet.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from tests.integration.test_replicas import Emit, echo, replica, say

from kubently.schema import ClusterState
from kubently.store import SqliteStore
from kubently.testing import ScriptedExecutor
from kubently.testing.fleets import RunningFleet

pytestmark = pytest.mark.anyio

ROUNDS = int(os.environ.get("KUBENTLY_SOAK_ROUNDS", "6"))
WARM = 3
"""Rounds after which everything that is made once is there."""
SPARE = 400
"""Objects by which rounds may differ: what waits for its timer just then."""


async def endless(scope: Any, receive: Any, send: Any) -> None:
    """A watch."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"{}\n", "more_body": True})
        await anyio.sleep(0.01)


async def slow(request: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
    if request["argv"][-1] == "slow":
        await anyio.sleep(30)
    return await echo(request, emit)


@pytest.mark.timeout(60 + 5 * ROUNDS)
async def test_rounds_leave_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logging.disable(logging.CRITICAL)  # pytest keeps every record
    store = SqliteStore(tmp_path / "shared.db")
    seen: list[tuple[int, int, Counter[str]]] = []
    try:
        async with replica(tmp_path, store) as one, replica(tmp_path, store) as other:
            tokens = [await one.serving.services.tokens.create(f"c{n}") for n in range(6)]  # type: ignore[arg-type]
            for _ in range(ROUNDS):
                await play(one, other, tokens)
                seen.append(await measure())
    finally:
        logging.disable(logging.NOTSET)
        await store.aclose()

    tasks, files, objects = seen[-1]
    before = seen[WARM - 1]
    grown = {name: count - before[2][name] for name, count in objects.items() if count - before[2][name] > 5}
    with capsys.disabled():
        print(f"\nsoak, {ROUNDS} rounds: tasks {before[0]} to {tasks}, descriptors {before[1]} to {files}, ", end="")
        print(f"objects {before[2].total()} to {objects.total()}")
    assert tasks <= before[0] + 2
    assert files <= before[1] + 2
    assert objects.total() <= before[2].total() + SPARE, grown


async def measure() -> tuple[int, int, Counter[str]]:
    """Tasks, descriptors, and objects by type, once all is quiet."""
    await anyio.sleep(0.3)
    gc.collect()
    return (
        len(asyncio.all_tasks()),
        len(os.listdir("/proc/self/fd")),
        Counter(type(found).__qualname__ for found in gc.get_objects()),
    )


async def play(one: RunningFleet, other: RunningFleet, tokens: list[str]) -> None:
    """One round."""
    executors = [ScriptedExecutor(slow, kubernetes=endless) for _ in tokens]
    # None by long-poll: such a session is remembered for 45 seconds on purpose.
    sessions = [
        await one.dial(f"c{number}", token, app)
        for number, (token, app) in enumerate(zip(tokens, executors, strict=True))
    ]
    for fleet in (one, other):
        await fleet.wait_for(lambda fleet=fleet: all(is_there(fleet, number) for number in range(6)))  # type: ignore[misc]
    for number in range(6):
        assert await say(one, "here", cluster=f"c{number}") == "get here"
        assert await say(other, "through", cluster=f"c{number}") == "get through"
    for fleet in (one, other):
        await leave_in_the_middle(fleet)
        await fleet.http.post("/api/v1/commands", json={"argv": ["get", "all"], "all": True})
        await fleet.http.get("/api/v1/clusters", headers={"Authorization": "Bearer wrong"})
        await fleet.http.post("/api/v1/clusters/none/commands", json={"argv": ["get", "pods"]})
        await fleet.http.post("/api/v1/clusters/c0/commands", json={"argv": ["delete", "pods"]})
    for session in sessions:
        session.close("the round ends")
    for fleet in (one, other):
        await fleet.wait_for(lambda fleet=fleet: not any(is_there(fleet, number) for number in range(6)))  # type: ignore[misc]
        fleet.dialled.clear()
        fleet.sessions.clear()


def is_there(fleet: RunningFleet, number: int) -> bool:
    return fleet.state(f"c{number}") is ClusterState.CONNECTED


async def leave_in_the_middle(fleet: RunningFleet) -> None:
    """A watch that is ended by its reader, and a command whose caller goes away."""
    async with fleet.http.stream("GET", "/clusters/c1/k8s/api/v1/pods?watch=true") as answer:
        async for _ in answer.aiter_raw():
            break
    with contextlib.suppress(httpx.ReadTimeout):
        await fleet.http.post("/api/v1/clusters/c2/commands", json={"argv": ["get", "slow"]}, timeout=0.2)
