"""Under everything at once: each command ends once, runs at most once and never hangs, and all executors come back.

KUBENTLY_CHAOS_SEED repeats an order of breakages, KUBENTLY_CHAOS_SECONDS makes it last (`make chaos`).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import subprocess
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.chaos.load import Ledger, Load
from tests.chaos.nemesis import Nemesis
from tests.chaos.plant import ADMIN_KEY, CLUSTERS, KUBENTLY, Plant

SECONDS = float(os.environ.get("KUBENTLY_CHAOS_SECONDS", "40"))
SEED = int(os.environ.get("KUBENTLY_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
PEOPLE = 9
ENDS = ("exited", "cancelled", "command-timeout", "command-unknown")
"""How a command may end: one whose caller was lost and did not come back within seconds is cancelled."""


@pytest.mark.timeout(SECONDS + 600)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the balancer cuts what is in use
def test_chaos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plant = Plant(tmp_path, random.Random(SEED))
    with capsys.disabled():
        print(f"\nchaos: KUBENTLY_CHAOS_SEED={SEED}, {SECONDS:g} s")
        if plant.network.missing:
            print(f"skipped: losing packets, because {plant.network.missing}")
    try:
        nemesis, ledger = asyncio.run(storm(plant))
    finally:
        plant.close()
    ran = Counter(plant.asked())
    with capsys.disabled():
        print("\n".join(nemesis.said))
        report(ledger, ran)
    check(ledger, ran, nemesis.emptied)
    check_audit(plant, ledger, ran)


async def storm(plant: Plant) -> tuple[Nemesis, Ledger]:
    await plant.start()
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    async with httpx.AsyncClient(headers=headers, trust_env=False) as http:
        await plant.wait_until_whole(http, 60)
        load = Load(f"http://{plant.network.host}:{plant.port}", ADMIN_KEY, plant.rng, sorted(CLUSTERS))
        nemesis = Nemesis(plant, plant.rng)
        asking = asyncio.create_task(load.run(PEOPLE))
        await nemesis.run(SECONDS)
        await nemesis.mend()
        load.stop()
        await asking
        await plant.wait_until_whole(http, 90)
        for port in plant.ports:
            for cluster in CLUSTERS:
                await say(http, port, cluster)
    return nemesis, load.ledger


async def say(http: httpx.AsyncClient, port: int, cluster: str) -> None:
    """Every cluster can be asked through every replica, once all is whole again."""
    name = f"chaos-last-{port}-{cluster}"
    body = {"argv": ["get", "configmap", name, "-n", "default", "-o", "json"]}
    answer = await http.post(f"http://127.0.0.1:{port}/api/v1/clusters/{cluster}/commands", json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    assert name in answer.json()["stdout"], answer.text


def report(ledger: Ledger, ran: Counter[str]) -> None:
    ends = Counter(end for told in ledger.ends.values() for end in told)
    print(f"{len(ledger.ends)} commands: {dict(ends)}; asked again after {dict(ledger.passing)}")
    print(f"Kubernetes requests: {dict(ledger.reads)}; the slowest request took {ledger.slowest:.1f} s")


def check(ledger: Ledger, ran: Counter[str], emptied: list[float]) -> None:
    assert not ledger.unexpected, ledger.unexpected[:5]
    assert not ledger.hung, ledger.hung[:5]
    assert not ledger.reads["wrong"]
    wrong = {name: told for name, told in ledger.ends.items() if len(told) != 1}
    assert not wrong, f"not exactly one end: {wrong}"
    odd = {name: told for name, told in ledger.ends.items() if not told[0].startswith(ENDS)}
    assert not odd, odd
    # Which Idempotency-Key was used for what is gone with what was in the store.
    forgotten = {name for name, span in ledger.spans.items() if any(span[0] <= at <= span[1] for at in emptied)}
    twice = {name: count for name, count in ran.items() if count > 1 and name in ledger.ends.keys() - forgotten}
    assert not twice, f"ran more than once: {twice}"
    silent = [name for name, told in ledger.ends.items() if told == ["exited"] and not ran[name]]
    assert not silent, f"have an outcome and never ran: {silent}"
    assert any(told == ["exited"] for told in ledger.ends.values())


def check_audit(plant: Plant, ledger: Ledger, ran: Counter[str]) -> None:
    """Nothing ran that was not written down before, everything has an end, and no line is missing or changed."""
    folders = [member.folder / "audit" for member in plant.apis]
    verified = subprocess.run(
        [KUBENTLY, "audit", "verify", *folders], capture_output=True, text=True, env={"HOME": str(plant.folder)}
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr
    lines = [json.loads(line) for folder in folders for file in folder.rglob("*.jsonl") for line in file.open()]
    started = {line["id"]: line["what"] for line in lines if line["event"] == "started"}
    ended = {line["id"] for line in lines if line["event"] == "ended"}
    written = set(re.findall(r"chaos-[cr]-\d+", " ".join(started.values())))
    silent = {name for name in ran if not name.startswith("chaos-last")} - written
    assert not silent, f"ran and were never written down: {silent}"
    open_ended = {key: what for key, what in started.items() if key not in ended}
    assert not open_ended, f"no end was written of {open_ended}"
    lost = {name: key for name, key in ledger.ids.items() if key not in started}
    assert not lost, f"answered, and not in the audit log: {lost}"
