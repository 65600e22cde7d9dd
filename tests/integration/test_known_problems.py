"""What the API remembers of executors that were not let in, and what executors tell of themselves."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.integration.test_trust_matrix import NoApiServer

from kubently.errors import KubentlyError
from kubently.executor.supervisor import Supervisor
from kubently.schema import ClusterId
from kubently.settings import ExecutorSettings
from kubently.testing import RunningFleet, ScriptedExecutor, run_fleet
from kubently.tunnel.transports.websocket import UpgradeRefusedError

pytestmark = pytest.mark.anyio

METRIC = "kubently_executor_certificate_not_after_timestamp_seconds"
END = 2_000_000_000


async def answer(request: Any, emit: Any) -> dict[str, Any]:
    return {"ending": "exited", "exit_code": 0}


EXECUTOR = ScriptedExecutor(answer)


async def shown(fleet: RunningFleet, cluster: str) -> dict[str, Any]:
    found: dict[str, Any] = (await fleet.http.get(f"/api/v1/clusters/{cluster}")).json()
    return found


async def refuse(fleet: RunningFleet, cluster: str, *, long_poll: bool = False) -> None:
    with pytest.raises((UpgradeRefusedError, KubentlyError)):
        await fleet.dial(cluster, "a-token-that-is-nobodys-at-all", EXECUTOR, long_poll=long_poll)


@pytest.mark.parametrize("long_poll", [False, True])
async def test_a_refusal_is_shown_until_an_executor_is_let_in(tmp_path: Path, long_poll: bool) -> None:
    async with run_fleet(tmp_path) as fleet:
        token = await fleet.serving.services.tokens.create(ClusterId("prod"))

        await refuse(fleet, "prod", long_poll=long_poll)

        found = await shown(fleet, "prod")
        assert found["refused"]["code"] == "unauthenticated"
        assert found["refused"]["client"] == "127.0.0.1"
        assert found["refused"]["at"]
        assert found["problem"].startswith("the last executor that came, from 127.0.0.1, was refused: ")
        assert found["problem"].endswith("[unauthenticated]")
        assert token not in str(found)

        await fleet.dial("prod", token, EXECUTOR)
        await fleet.wait_for(lambda: bool(fleet.serving.services.fleet.executors()))

        found = await shown(fleet, "prod")
        assert (found["refused"], found["problem"]) == (None, "")


async def test_names_that_nobody_gave_a_token_are_not_remembered(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        await refuse(fleet, "made-up")

        described = fleet.serving.services.fleet.describe(ClusterId("made-up"))
        assert described.refused is None
        assert described.problem == ""


async def test_a_refusal_beside_an_executor_that_works_is_no_problem_of_the_cluster(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        await fleet.add("prod", EXECUTOR)

        await refuse(fleet, "prod")

        found = await shown(fleet, "prod")
        assert found["refused"]["code"] == "unauthenticated"
        assert found["problem"] == ""


async def test_executors_tell_what_kept_them_out_and_how_they_prove_themselves(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        problem = {"code": "tls-expired", "message": "it expired\x1b[31m 2 d ago", "at": time.time()}

        await fleet.add("prod", EXECUTOR, last_problem=problem)

        executor = (await shown(fleet, "prod"))["executors"][0]
        assert executor["last_problem"]["code"] == "tls-expired"
        assert executor["last_problem"]["message"] == "it expired\N{REPLACEMENT CHARACTER}[31m 2 d ago"
        assert executor["identity"] == "token"


@pytest.mark.parametrize(
    "nonsense",
    [
        {"certificates": ["api"], "last_problem": "words"},
        {"certificates": {"api": "soon", "trusted": True, "client": -1, "identity": 1e30}, "last_problem": {}},
        {"certificates": {"made-up": END}, "last_problem": {"message": 7}},
        {"certificates": {"api": float("1e308")}, "last_problem": {"code": "x", "message": ""}},
    ],
)
async def test_nonsense_of_an_executor_is_left_out(tmp_path: Path, nonsense: dict[str, Any]) -> None:
    async with run_fleet(tmp_path) as fleet:
        await fleet.add("prod", EXECUTOR, **nonsense)

        executor = (await shown(fleet, "prod"))["executors"][0]
        assert (executor["certificates"], executor["last_problem"]) == ({}, None)


async def test_the_api_exports_the_first_end_that_executors_tell_of_while_they_are_here(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        token = await fleet.serving.services.tokens.create(ClusterId("prod"))
        for instance, end in (("a", END), ("b", END - 50)):
            await fleet.dial("prod", token, EXECUTOR, instance=instance, certificates={"api": end})
        await fleet.wait_for(lambda: fleet.serving.services.fleet.executors() == 2)

        told = [line for line in metrics(fleet) if line.startswith(METRIC)]
        assert len(told) == 1
        assert told[0].startswith(f'{METRIC}{{certificate="api",cluster="prod"}} ') or told[0].startswith(
            f'{METRIC}{{cluster="prod",certificate="api"}} '
        )
        assert float(told[0].rpartition(" ")[2]) == END - 50

        await fleet.http.delete("/api/v1/clusters/prod")

        assert [line for line in metrics(fleet) if line.startswith(METRIC)] == []


async def test_the_api_exports_the_end_of_its_own_ca(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        told = metrics(fleet)

        assert any(line.startswith('kubently_certificate_life_left_ratio{certificate="executor-ca"} ') for line in told)


def metrics(fleet: RunningFleet) -> list[str]:
    return fleet.serving.services.metrics.render().decode().splitlines()


async def test_a_real_executor_tells_why_it_could_not_come_before(tmp_path: Path, free_port: int) -> None:
    listening = {"listen": ("127.0.0.1", free_port)}
    async with run_fleet(tmp_path, **listening) as fleet:
        token = await fleet.serving.services.tokens.create(ClusterId("prod"))
    settings = ExecutorSettings(f"http://127.0.0.1:{free_port}", "prod", token)
    supervisor = Supervisor(settings, EXECUTOR, NoApiServer(), capabilities={})  # type: ignore[arg-type]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(supervisor.run)
        with anyio.fail_after(20):
            while not supervisor.problem:
                await anyio.sleep(0.01)

            async with run_fleet(tmp_path, **listening) as fleet:
                await fleet.wait_for(lambda: bool(fleet.serving.services.fleet.executors()), timeout=15)

                executor = (await shown(fleet, "prod"))["executors"][0]
                assert executor["last_problem"]["code"] == "dial-refused"
                assert executor["last_problem"]["message"].startswith("nothing listens at http://127.0.0.1:")
                tasks.cancel_scope.cancel()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
