"""Several replicas on one store: whoever is asked reaches the cluster, by one hop."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from kubently.schema import ClusterId, ClusterState
from kubently.store import MemoryStore, Store
from kubently.testing import ScriptedExecutor, run_fleet
from kubently.testing.fleets import CALLER, RunningFleet
from kubently.wire import records

pytestmark = pytest.mark.anyio

GET = [(b":method", b"GET"), (b":path", b"/k8s/x")]
DONE = {"ending": "exited", "exit_code": 0, "seconds": 0.0}
PROD = ClusterId("prod")

Emit = Callable[[bytes], Awaitable[None]]


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    store = MemoryStore(clock=time.monotonic)
    yield store
    await store.aclose()


@contextlib.asynccontextmanager
async def replica(folder: Path, store: Store, **settings: Any) -> AsyncIterator[RunningFleet]:
    async with run_fleet(folder, store=store, peer_listen=("127.0.0.1", 0), **settings) as running:
        yield running


@pytest.fixture
async def pair(tmp_path: Path, store: Store) -> AsyncIterator[tuple[RunningFleet, RunningFleet]]:
    async with replica(tmp_path, store) as one, replica(tmp_path, store) as other:
        yield one, other


async def echo(request: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
    await emit(records.encode(records.STDOUT, " ".join(request["argv"]).encode()))
    return DONE


async def say(fleet: RunningFleet, word: str, *, cluster: str = "prod") -> str:
    answer = await fleet.http.post(f"/api/v1/clusters/{cluster}/commands", json={"argv": ["get", word]})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["stdout"])


async def test_a_command_reaches_the_cluster_of_another_replica(pair: tuple[RunningFleet, RunningFleet]) -> None:
    one, other = pair
    executor = ScriptedExecutor(echo)
    await one.add("prod", executor)
    await other.wait_for(lambda: other.state("prod") is ClusterState.CONNECTED)

    assert await say(other, "pods") == "get pods"
    assert executor.headers[0][b"x-kubently-principal"] == b"key:admin"


async def test_what_comes_through_a_peer_is_whole_and_in_order(pair: tuple[RunningFleet, RunningFleet]) -> None:
    one, other = pair

    async def big(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(160):
            await send({"type": "http.response.body", "body": _piece(number), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    await one.add("prod", ScriptedExecutor(echo, kubernetes=big))
    await other.wait_for(lambda: other.state("prod") is ClusterState.CONNECTED)

    stream, _ = await other.serving.services.fleet.open(PROD, GET, caller=CALLER, end_stream=True)
    await stream.head()
    found = hashlib.sha256()
    while chunk := await stream.read():
        found.update(chunk)

    assert found.hexdigest() == hashlib.sha256(b"".join(map(_piece, range(160)))).hexdigest()


def _piece(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest() * 2048


async def test_many_at_once_are_answered_each_with_its_own(pair: tuple[RunningFleet, RunningFleet]) -> None:
    one, other = pair
    await one.add("prod", ScriptedExecutor(echo))
    await other.wait_for(lambda: other.state("prod") is ClusterState.CONNECTED)
    said: dict[str, str] = {}

    async def ask(word: str) -> None:
        said[word] = await say(other, word)

    async with anyio.create_task_group() as tasks:
        for number in range(30):
            tasks.start_soon(ask, f"w{number}")

    assert said == {f"w{number}": f"get w{number}" for number in range(30)}
