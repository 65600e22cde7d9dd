"""One thing is lost at a time, and how long that is felt is printed."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos.kube_api import seconds
from tests.chaos.plant import ADMIN_KEY, Plant

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # the balancer cuts what is in use
]
LONGEST = 45.0
"""Seconds after which a link without a sign of life is dead."""
SPARE = 10.0
"""Seconds that a busy machine may add before a test calls it a hang."""


@asynccontextmanager
async def running(plant: Plant) -> AsyncIterator[httpx.AsyncClient]:
    await plant.start()
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    async with httpx.AsyncClient(headers=headers, trust_env=False, timeout=LONGEST + SPARE) as http:
        await plant.wait_until_whole(http, 60)
        yield http


def slow_name() -> str:
    """Of an object whose answer takes seconds."""
    return next(name for name in map("chaos-l-{}".format, itertools.count()) if seconds(name) > 1)


async def ask(http: httpx.AsyncClient, port: int, cluster: str, name: str) -> httpx.Response:
    body = {"argv": ["get", "configmap", name, "-n", "default", "-o", "json"], "timeout": 30}
    return await http.post(f"http://127.0.0.1:{port}/api/v1/clusters/{cluster}/commands", json=body)


async def read(http: httpx.AsyncClient, port: int, cluster: str) -> tuple[int, float]:
    """Status and seconds of a small Kubernetes request."""
    began = time.monotonic()
    path = f"/clusters/{cluster}/k8s/api/v1/namespaces/default/configmaps/chaos-x"
    answer = await http.get(f"http://127.0.0.1:{port}{path}")
    return answer.status_code, time.monotonic() - began


def test_the_replica_that_holds_the_cluster_is_killed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plant = Plant(tmp_path, random.Random(1), replicas=2, executor_env={"KUBENTLY_SESSIONS": "1"})

    async def story() -> tuple[httpx.Response, float, httpx.Response, float]:
        async with running(plant) as http:
            [place] = (await plant.executors_seen(http, plant.ports[0]))["west"]
            owner = next(api for api in plant.apis if f'"replica": "{next(iter(place))}"' in api.log)
            other = next(api for api in plant.apis if api is not owner)
            lost = asyncio.create_task(ask(http, other.port, "west", slow_name()))
            while slow_name() not in plant.asked():
                await asyncio.sleep(0.01)
            plant.balancer.targets = [other.port]
            owner.kill()
            began = time.monotonic()
            told = await lost
            heard = time.monotonic() - began
            works = await ask(http, other.port, "west", "chaos-next")
            return told, heard, works, time.monotonic() - began

    try:
        told, heard, works, again = asyncio.run(story())
    finally:
        plant.close()

    with capsys.disabled():
        print(
            f"\nowner killed: {told.json().get('code', 'answered')} after {heard:.2f} s, the next after {again:.2f} s"
        )
    assert told.status_code == 200 or told.json()["code"] == "command-unknown", told.text
    assert works.status_code == 200, works.text
    assert works.json()["exit_code"] == 0


def test_what_is_stopped_or_half_open_holds_nobody_for_long(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plant = Plant(tmp_path, random.Random(1), replicas=1)

    async def story() -> dict[str, tuple[int, float]]:
        async with running(plant) as http:
            [port] = plant.ports
            for member in plant.executors:
                if member.name.startswith("west"):
                    member.stop()
            forgotten = plant.balancer.forget(1.0)
            found: Any = await asyncio.gather(read(http, port, "west"), read(http, port, "east"))
            plant.balancer.remember(forgotten)
            for member in plant.executors:
                member.go_on()
            await plant.wait_until_whole(http, 60)
            return dict(zip(("stopped", "half-open"), found, strict=True))

    try:
        found = asyncio.run(story())
    finally:
        plant.close()

    with capsys.disabled():
        print("\n" + ", ".join(f"{what}: {status} after {took:.1f} s" for what, (status, took) in found.items()))
    for status, took in found.values():
        assert status in (200, 502, 503)  # who is half-open may be back meanwhile
        assert took < LONGEST + SPARE
