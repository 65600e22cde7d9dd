"""One greedy key does not starve another."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from tests.integration.test_replicas import Emit, echo

from kubently.schema import Role
from kubently.settings import LimitSettings
from kubently.testing import ScriptedExecutor, run_fleet
from kubently.testing.fleets import RunningFleet

pytestmark = pytest.mark.anyio

COMMANDS = "/api/v1/clusters/prod/commands"


async def as_key(fleet: RunningFleet, name: str) -> httpx.AsyncClient:
    _, secret = await fleet.serving.services.keys.create(name, Role.OPERATOR)
    return httpx.AsyncClient(base_url=fleet.url, headers={"Authorization": f"Bearer {secret}"}, trust_env=False)


async def test_a_key_that_takes_all_it_can_leaves_room(tmp_path: Path) -> None:
    gate = anyio.Event()

    async def wait(request: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
        if request["argv"][-1] == "slow":
            await gate.wait()
        return await echo(request, emit)

    async with run_fleet(tmp_path, limits=LimitSettings(commands_per_cluster=16)) as fleet:
        executor = ScriptedExecutor(wait)
        await fleet.add("prod", executor)
        async with await as_key(fleet, "greedy") as greedy, await as_key(fleet, "modest") as modest:
            statuses: list[int] = []

            async def ask() -> None:
                statuses.append((await greedy.post(COMMANDS, json={"argv": ["get", "slow"]}, timeout=30)).status_code)

            async with anyio.create_task_group() as tasks:
                for _ in range(40):
                    tasks.start_soon(ask)
                await fleet.wait_for(lambda: statuses.count(429) == 40 - 12)
                answers = [await modest.post(COMMANDS, json={"argv": ["get", "pods"]}) for _ in range(5)]
                gate.set()

    assert [answer.status_code for answer in answers] == [200] * 5
    assert statuses.count(200) == 12


async def test_who_asks_too_fast_is_told_so_and_others_are_not(tmp_path: Path) -> None:
    async with run_fleet(tmp_path, limits=LimitSettings(request_rate_per_key=2)) as fleet:
        await fleet.add("prod", ScriptedExecutor(echo))
        async with await as_key(fleet, "greedy") as greedy, await as_key(fleet, "modest") as modest:
            hasty = [await greedy.post(COMMANDS, json={"argv": ["get", "pods"]}) for _ in range(20)]
            calm = await modest.post(COMMANDS, json={"argv": ["get", "pods"]})
        metrics = (await fleet.http.get("/metrics")).text

    refused = next(answer for answer in hasty if answer.status_code != 200)
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["details"] == {"limit": "request-rate-per-key"}
    assert calm.status_code == 200
    count = sum(answer.status_code == 429 for answer in hasty)
    assert f'kubently_limit_hits_total{{limit="request-rate-per-key"}} {count}.0' in metrics


async def test_a_followed_log_is_slowed_down_and_comes_whole(tmp_path: Path) -> None:
    async def lines(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(8):
            await send({"type": "http.response.body", "body": b"x" * 50_000, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    limits = LimitSettings(follow_rate=1_000_000, follow_burst=100_000)
    async with run_fleet(tmp_path, limits=limits) as fleet:
        await fleet.add("prod", ScriptedExecutor(echo, kubernetes=lines))
        log = "/clusters/prod/k8s/api/v1/namespaces/shop/pods/web/log"
        began = time.monotonic()
        followed = await fleet.http.get(f"{log}?follow=true")
        took = time.monotonic() - began
        whole = await fleet.http.get(log)

    assert len(followed.content) == len(whole.content) == 400_000
    assert took >= 0.3, "the 300 kB after the burst take as many milliseconds"
