"""Two replicas and one cluster: one watches, and when it ends the other goes on with the same history."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from kubently import archive
from kubently.analyzers import ANALYZERS
from kubently.continuous.chosen import Chosen
from kubently.continuous.cluster import Counts, Means, Rhythm
from kubently.continuous.histories import Histories
from kubently.continuous.history import History, Rules
from kubently.continuous.owners import Owners
from kubently.continuous.supervisor import Supervisor
from kubently.schema import ClusterId
from kubently.store import MemoryStore
from kubently.testing import ScriptedExecutor
from kubently.testing.fleets import RunningFleet, run_fleet
from kubently.tunnel import Application, Receive, Scope, Send

pytestmark = pytest.mark.anyio
PROD = ClusterId("prod")


def archived() -> Application:
    """A bundled cluster's API where an executor has it."""
    serve: Any = archive.create_app(archive.load(archive.bundled()[0]), token=None)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope.get("raw_path", scope["path"].encode())
        moved = {"path": scope["path"].removeprefix("/k8s"), "raw_path": raw.removeprefix(b"/k8s")}
        await serve({**scope, **moved}, receive, send)

    return app


def supervisor(fleet: RunningFleet, histories: Histories, store: MemoryStore, name: str) -> Supervisor:
    """What a replica of this name runs, beside the other one over the same sessions."""
    services = fleet.serving.services
    means = Means(
        histories=histories,
        rules=Rules(),
        analyzers=ANALYZERS,
        counts=Counts(),
        analysing=anyio.CapacityLimiter(1),
        starting=anyio.CapacityLimiter(1),
        tell=lambda events: None,
        rhythm=Rhythm(interval=0.05, gather=0.01, idle=0.1, share=0),
    )
    claims = Owners(store, name)
    return Supervisor(services.fleet, services.audit, Chosen.parse("all"), claims, means, renew_every=0.05)


async def until(histories: Histories, after: History | None) -> History:
    """The first history that is newer than *after*."""
    with anyio.fail_after(20):
        while True:
            found = (await histories.load("prod")).history
            if found is not None and (after is None or found.analysed_at > after.analysed_at):
                return found
            await anyio.sleep(0.01)


async def test_one_replica_watches_and_the_next_goes_on(tmp_path: Path) -> None:
    store = MemoryStore(clock=time.monotonic)
    histories = Histories(store, keep=timedelta(days=1))
    async with run_fleet(tmp_path) as fleet:
        await fleet.add("prod", ScriptedExecutor(None, kubernetes=archived()))  # type: ignore[arg-type]  # no command
        one, other = (supervisor(fleet, histories, store, name) for name in ("one", "other"))
        life = anyio.CancelScope()

        async def live() -> None:
            with life:
                await one.run()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(live)
            before = await until(histories, None)
            tasks.start_soon(other.run)
            during = await until(histories, before)
            watching = (set(one.watched()), set(other.watched()))
            life.cancel()
            await fleet.wait_for(lambda: PROD in other.watched())
            after = await until(histories, during)
            tasks.cancel_scope.cancel()
        audited = (await fleet.http.get("/api/v1/audit?action=continuous")).json()["records"]

    assert watching == ({PROD}, set())
    assert one.watched() == {}
    assert before.records
    assert {kept.id: kept.first_seen for kept in after.records} == {kept.id: kept.first_seen for kept in before.records}
    assert {(record["principal"], record["outcome"]) for record in audited if record["outcome"]} == {
        ("kubently:continuous", "cancelled")
    }
