"""The control plane's metrics, read as Prometheus reads them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from prometheus_client.parser import text_string_to_metric_families

from kubently.schema import ClusterState, Top
from kubently.settings import LimitSettings
from kubently.store import MemoryStore
from kubently.testing import ScriptedExecutor
from kubently.testing.fleets import RunningFleet, run_fleet
from kubently.tunnel import Receive, Scope, Send
from kubently.wire import records

pytestmark = pytest.mark.anyio

Emit = Callable[[bytes], Awaitable[None]]
PODS = {"argv": ["get", "pods"]}


async def hello(request: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
    await emit(records.encode(records.STDOUT, b"hello"))
    return {"ending": "exited", "exit_code": 0}


async def read(fleet: RunningFleet) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Samples by name and labels."""
    text = (await fleet.http.get("/metrics")).text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_a_command_shows_in_counters_and_histograms(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        await fleet.add("prod", ScriptedExecutor(hello))
        for _ in range(3):
            await fleet.http.post("/api/v1/clusters/prod/commands", json=PODS)
        await fleet.http.post("/api/v1/clusters/other/commands", json=PODS)

        found = await read(fleet)

    assert found["kubently_commands_total", (("ending", "exited"),)] == 3
    # One more was asked for, of a cluster that nobody reaches.
    assert found["kubently_command_duration_seconds_count", ()] >= 3
    assert found["kubently_command_duration_seconds_bucket", (("le", "+Inf"),)] >= 3
    assert found["kubently_route_duration_seconds_count", (("path", "local"),)] == 3
    assert found["kubently_route_duration_seconds_count", (("path", "peer"),)] == 0
    assert found["kubently_http_response_start_seconds_count", (("surface", "rest"),)] >= 4
    assert found["kubently_clusters_connected", ()] == 1
    assert found["kubently_executors", ()] == 1
    assert found["kubently_audit_writable", ()] == 1
    assert found["kubently_audit_records_total", ()] >= 6
    assert found["kubently_replicas", ()] == 1


async def test_buckets_are_cumulative_and_end_with_the_count(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        await fleet.add("prod", ScriptedExecutor(hello))
        await fleet.http.post("/api/v1/clusters/prod/commands", json=PODS)

        found = await read(fleet)

    buckets = sorted(
        (float(dict(labels)["le"]), value)
        for (name, labels), value in found.items()
        if name == "kubently_command_duration_seconds_bucket"
    )
    counts = [count for _, count in buckets]
    assert counts == sorted(counts) and counts[-1] == found["kubently_command_duration_seconds_count", ()] == 1
    assert buckets[-1][0] == float("inf")


async def test_a_way_that_is_not_found_and_a_limit_that_refuses_are_counted(tmp_path: Path) -> None:
    begun, go_on = anyio.Event(), anyio.Event()

    async def wait(request: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
        begun.set()
        await go_on.wait()
        return {"ending": "exited", "exit_code": 0}

    async with (
        run_fleet(tmp_path, limits=LimitSettings(commands_per_cluster=1)) as fleet,
        anyio.create_task_group() as tasks,
    ):
        session = await fleet.add("prod", ScriptedExecutor(wait))
        tasks.start_soon(lambda: fleet.http.post("/api/v1/clusters/prod/commands", json=PODS))
        await begun.wait()
        during = await read(fleet)
        refused = await fleet.http.post("/api/v1/clusters/prod/commands", json=PODS)
        go_on.set()
        await fleet.wait_for(lambda: session.open_streams == 0)
        session.close("it goes")
        await fleet.wait_for(lambda: fleet.state("prod") is ClusterState.DISCONNECTED)
        lost = await fleet.http.post("/api/v1/clusters/prod/commands", json={**PODS, "timeout": 0.1})

        found = await read(fleet)

    assert (refused.status_code, lost.status_code) == (429, 503)
    assert during["kubently_limit_used", (("limit", "commands-per-cluster"),)] == 1
    assert found["kubently_limit_used", (("limit", "commands-per-cluster"),)] == 0
    assert found["kubently_limit_hits_total", (("limit", "commands-per-cluster"),)] == 1
    assert found["kubently_clusters_lost_recently", ()] == 1
    assert found["kubently_route_failures_total", (("reason", "executor-offline"),)] == 1


async def version(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b"{}"})


async def test_bytes_of_clusters_answers_are_counted(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        await fleet.add("prod", version)

        answer = await fleet.http.get("/clusters/prod/k8s/version")

        found = await read(fleet)
    assert answer.content == b"{}"
    assert found["kubently_proxy_response_bytes_total", ()] == 2


async def test_a_removed_cluster_leaves_no_label(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        await fleet.add("prod", ScriptedExecutor(hello))
        await fleet.http.delete("/api/v1/clusters/prod")

        found = await read(fleet)

    assert not [labels for _, labels in found if dict(labels).get("cluster")]


async def test_top_tells_the_same(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        await fleet.add("prod", ScriptedExecutor(hello))
        await fleet.http.post("/api/v1/clusters/prod/commands", json=PODS)

        (top,) = [Top.model_validate(one) for one in (await fleet.http.get("/api/v1/top")).json()]

    assert (top.clusters, top.connected, top.executors, top.endings) == (1, 1, 1, {"exited": 1})
    assert sum(top.commands.counts) == 1 and len(top.commands.counts) == len(top.bounds) + 1
    assert sum(top.routes["local"].counts) == 1
    assert {limit.name for limit in top.limits} >= {"commands-per-cluster", "requests-per-key"}
    assert top.memory_bytes > 0 and top.cpu_seconds > 0 and top.audit_problem == ""


async def test_top_is_for_those_who_see_all_clusters(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        made = await fleet.http.post("/api/v1/keys", json={"name": "one", "role": "viewer", "clusters": ["prod"]})
        key = made.json()["key"]

        answer = await fleet.http.get("/api/v1/top", headers={"Authorization": f"Bearer {key}"})

    assert answer.status_code == 403


async def test_top_tells_of_all_replicas(tmp_path: Path) -> None:
    store = MemoryStore(clock=time.monotonic)
    listen: dict[str, Any] = {"store": store, "peer_listen": ("127.0.0.1", 0)}
    async with run_fleet(tmp_path, **listen) as one, run_fleet(tmp_path, **listen) as other:
        await one.add("prod", ScriptedExecutor(hello))
        await other.wait_for(lambda: other.state("prod") is ClusterState.CONNECTED)
        await one.http.post("/api/v1/clusters/prod/commands", json=PODS)
        with anyio.fail_after(20):
            while True:
                tops = [Top.model_validate(top) for top in (await other.http.get("/api/v1/top")).json()]
                if len(tops) == 2 and tops[1].endings:
                    break
                await anyio.sleep(0.05)

    await store.aclose()
    assert [(top.connected, top.replicas, top.endings) for top in tops] == [(0, 2, {}), (1, 2, {"exited": 1})]
    assert tops[0].replica != tops[1].replica
