"""Rolling updates as Kubernetes makes them, under load: nothing fails, and nothing has to be asked twice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.chaos.load import Ledger, Load
from tests.chaos.plant import ADMIN_KEY, CLUSTERS, Member, Plant

GRACE = 60.0
"""Seconds for an end: terminationGracePeriodSeconds."""


@pytest.mark.timeout(400)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the balancer cuts what is in use
def test_replicas_and_executors_are_replaced_and_nothing_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plant = Plant(tmp_path, random.Random(1), replicas=1)
    try:
        ledger = asyncio.run(update(plant))
    finally:
        plant.close()
    ran = Counter(plant.asked())
    with capsys.disabled():
        print(f"\nrolling updates: {len(ledger.ends)} commands, Kubernetes requests {dict(ledger.reads)}")
    assert not ledger.hung
    assert not ledger.unexpected
    assert not ledger.passing, "failed at first"
    assert Counter(end for told in ledger.ends.values() for end in told) == {"exited": len(ledger.ends)}
    assert set(ledger.reads) == {"answered"}
    assert {ran[name] for name in ledger.ends} == {1}


async def update(plant: Plant) -> Ledger:
    await plant.start()
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    async with httpx.AsyncClient(headers=headers, trust_env=False) as http:
        await plant.wait_until_whole(http, 60)
        load = Load(f"http://{plant.network.host}:{plant.port}", ADMIN_KEY, plant.rng, sorted(CLUSTERS))
        asking = asyncio.create_task(load.run(6))
        await add(plant, http)
        await add(plant, http)
        await plant.wait_until_whole(http, 60, spread=2)
        for member in list(plant.apis):
            await add(plant, http)
            await remove(plant, member)
        await plant.wait_until_whole(http, 60, spread=2)
        await remove(plant, plant.apis[0])
        await plant.wait_until_whole(http, 60, spread=2)
        for member in list(plant.executors):
            cluster = member.name.partition("-")[0]
            plant.add_executor(cluster)
            await plant.wait_until_whole(http, 60, executors={**CLUSTERS, cluster: CLUSTERS[cluster] + 1})
            await end(member)
            plant.executors.remove(member)
            await plant.wait_until_whole(http, 60)
        load.stop()
        await asking
    return load.ledger


async def add(plant: Plant, http: httpx.AsyncClient) -> None:
    """Start one more replica, and send people to it once it is ready."""
    member = plant.add_api()
    async with asyncio.timeout(60):
        while not await is_ready(http, member):
            await asyncio.sleep(0.1)
    plant.balancer.targets.append(member.port)


async def is_ready(http: httpx.AsyncClient, member: Member) -> bool:
    try:
        return (await http.get(f"http://127.0.0.1:{member.port}/readyz")).status_code == 200
    except httpx.HTTPError:
        return False


async def remove(plant: Plant, member: Member) -> None:
    """Send nobody to a replica any more, and end it."""
    plant.balancer.targets.remove(member.port)
    await end(member)
    plant.apis.remove(member)


async def end(member: Member) -> None:
    member.end()
    async with asyncio.timeout(GRACE):
        while member.is_running:
            await asyncio.sleep(0.1)
