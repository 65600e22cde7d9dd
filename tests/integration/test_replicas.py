"""Several replicas on one store: whoever is asked reaches the cluster, by one hop."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.integration.test_resume import Dialling
from tests.integration.test_survival import QUICK, NoApiServer

from kubently.auth import Caller
from kubently.errors import KubentlyError, PermissionDeniedError, StoreUnavailableError, TunnelClosedError
from kubently.executor.supervisor import Supervisor
from kubently.fleet import Directory, Replica
from kubently.fleet.directory import LEASES, REPLICAS
from kubently.fleet.replicas import Patience, _spread
from kubently.schema import ClusterId, ClusterState, Permission, Principal, Role, Transport
from kubently.settings import ExecutorSettings, LimitSettings
from kubently.store import MemoryStore, Store
from kubently.testing import ScriptedExecutor, run_fleet
from kubently.testing.fleets import CALLER, RunningFleet
from kubently.wire import records

pytestmark = pytest.mark.anyio

GET = [(b":method", b"GET"), (b":path", b"/k8s/x")]
DONE = {"ending": "exited", "exit_code": 0, "seconds": 0.0}
PROD = ClusterId("prod")

Pair = tuple[RunningFleet, RunningFleet]
Emit = Callable[[bytes], Awaitable[None]]


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    store = MemoryStore(clock=time.monotonic)
    yield store
    await store.aclose()


@contextlib.asynccontextmanager
async def replica(folder: Path, store: Store, **settings: Any) -> AsyncIterator[RunningFleet]:
    async with run_fleet(folder, store=store, peer_listen=("127.0.0.1", 0), **settings) as running:
        yield running


@pytest.fixture
async def pair(tmp_path: Path, store: MemoryStore) -> AsyncIterator[tuple[RunningFleet, RunningFleet]]:
    async with replica(tmp_path, store) as one, replica(tmp_path, store) as other:
        yield one, other


async def echo(request: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
    await emit(records.encode(records.STDOUT, " ".join(request["argv"]).encode()))
    return DONE


async def say(fleet: RunningFleet, word: str, *, cluster: str = "prod") -> str:
    answer = await fleet.http.post(f"/api/v1/clusters/{cluster}/commands", json={"argv": ["get", word]})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["stdout"])


async def test_a_command_reaches_the_cluster_of_another_replica(pair: Pair) -> None:
    one, other = pair
    executor = ScriptedExecutor(echo)
    await one.add("prod", executor)
    await other.wait_for(lambda: other.state("prod") is ClusterState.CONNECTED)

    assert await say(other, "pods") == "get pods"
    assert executor.headers[0][b"x-kubently-principal"] == b"key:admin"


async def test_what_comes_through_a_peer_is_whole_and_in_order(pair: Pair) -> None:
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


async def test_many_at_once_are_answered_each_with_its_own(pair: Pair) -> None:
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


class Balancer:
    """TCP in front of several replicas: each connection goes to one of those that are named, in turn."""

    def __init__(self) -> None:
        self.targets: list[int] = []
        self.url = ""
        self._turn = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.carried: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Reset all connections."""
        for writer in self.carried:
            writer.transport.abort()
        self.carried.clear()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._turn += 1
        self.carried.add(writer)
        try:
            up = await asyncio.open_connection("127.0.0.1", self.targets[self._turn % len(self.targets)])
        except OSError:
            writer.close()
            return
        self.carried.add(up[1])
        self._tasks |= {asyncio.create_task(_copy(reader, up[1])), asyncio.create_task(_copy(up[0], writer))}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def balanced(*planes: RunningFleet) -> AsyncIterator[Balancer]:
    balancer = Balancer()
    server = await asyncio.start_server(balancer.carry, "127.0.0.1", 0)
    balancer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    balancer.targets = [plane.serving.port for plane in planes]
    yield balancer
    server.close()
    balancer.cut()
    await asyncio.gather(*balancer._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def executor(plane: RunningFleet, url: str, app: Any, **settings: Any) -> AsyncIterator[Supervisor]:
    """A real one, but for what it answers."""
    token = await plane.serving.services.tokens.create(PROD)
    values = {"api_url": url, "cluster_id": "prod", "token": token, "transport": "websocket", **settings}
    supervisor = Supervisor(ExecutorSettings(**values), app, NoApiServer(), capabilities={"resume": "1"}, pace=QUICK)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(supervisor.run)
        yield supervisor
        await supervisor.stop(1)
        tasks.cancel_scope.cancel()


def places(fleet: RunningFleet) -> list[str]:
    """The replicas at which the cluster's sessions are that stay."""
    executors = fleet.serving.services.fleet.describe(PROD).executors
    return sorted(s.replica for each in executors for s in each.sessions if not s.draining)


async def test_an_executor_spreads_its_sessions_over_the_replicas(pair: Pair) -> None:
    one, other = pair
    async with balanced(one, one, one, other) as balancer, executor(one, balancer.url, ScriptedExecutor(echo)):
        await one.wait_for(lambda: len(set(places(one))) == 2, timeout=10)
        await other.wait_for(lambda: places(other) == places(one))


@pytest.mark.parametrize("is_known", [True, False], ids=["handed on", "begun anew"])
async def test_long_poll_requests_come_by_another_replica(pair: Pair, is_known: bool) -> None:
    holder, other = pair
    async with (
        balanced(holder) as balancer,
        executor(holder, balancer.url, ScriptedExecutor(echo), transport="long-poll", sessions=1),
    ):
        await other.wait_for(lambda: places(other) == [name(holder)])
        balancer.targets = [other.serving.port]
        if not is_known:
            directory(other)._lose(name(holder))
        balancer.cut()

        place = name(holder if is_known else other)
        await other.wait_for(lambda: places(other) == [place] and bool(balancer.carried), timeout=15)
        for number in range(10):
            assert await say(other, f"b{number}") == f"get b{number}"
        assert places(other) == [place]


async def test_executors_that_come_too_fast_come_again(tmp_path: Path) -> None:
    limits = LimitSettings(accept_rate=0.5)  # one at once, another after two seconds
    async with run_fleet(tmp_path, limits=limits) as fleet:  # noqa: SIM117  # what it takes comes first
        async with executor(fleet, fleet.url, ScriptedExecutor(echo), transport="auto") as supervisor:
            await fleet.wait_for(lambda: supervisor.sessions == 2, timeout=20)
            metrics = (await fleet.http.get("/metrics")).text
            assert await say(fleet, "pods") == "get pods"

    refused = re.search(r'kubently_tunnel_accepts_total\{result="too-many-executors"\} (\d+)', metrics)
    assert refused, "nobody was told to come again"
    transports = fleet.serving.services.fleet.sessions(Transport.LONG_POLL)
    assert transports == 0, "the other transport was tried, which is told the same"


async def test_sessions_spread_when_a_replica_comes(tmp_path: Path, store: MemoryStore) -> None:
    async with replica(tmp_path, store) as one, balanced(one) as balancer:  # noqa: SIM117  # a step of the story
        async with executor(one, balancer.url, ScriptedExecutor(echo)):  # a step of the story
            await one.wait_for(lambda: len(places(one)) == 2)
            async with replica(tmp_path, store) as other:
                balancer.targets = [one.serving.port, other.serving.port]
                await one.wait_for(lambda: bool(directory(one).replicas()))
                one.tasks.start_soon(_spread, one.serving.services.fleet, directory(one), 0.05)
                await one.wait_for(lambda: len(set(places(one))) == 2, timeout=10)
                assert await say(other, "pods") == "get pods"
                balancer.targets = [one.serving.port]
            await one.wait_for(lambda: len(places(one)) == 2, timeout=10)


def test_who_comes_back_all_the_same_is_asked_less_and_less() -> None:
    patience = Patience(20, 100)
    asked = [now for now in range(0, 500, 5) if patience.is_due("run", now)]

    assert asked == [0, 20, 60, 140, 240, 340, 440]
    assert patience.is_due("another", 440)
    patience.forget(540)
    assert not patience.is_due("run", 539)
    patience.forget(640)
    assert [now for now in (641, 660, 661) if patience.is_due("run", now)] == [641, 661]


async def test_a_command_outlives_the_replica_that_held_its_session(
    pair: Pair, tmp_path: Path, store: MemoryStore
) -> None:
    asked, staying = pair
    async with replica(tmp_path, store) as leaving:
        run = Dialling(leaving, await leaving.serving.services.tokens.create(PROD))
        await run.session("a")
        await asked.wait_for(lambda: asked.state("prod") is ClusterState.CONNECTED)
        answer: list[str] = []

        async def ask() -> None:
            answer.append(await say(asked, "pods"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await asked.wait_for(lambda: run.runner.said == 1)
            run.fleet = staying
            await run.session("b")
            await asked.wait_for(lambda: len(places(asked)) == 2)
            for session in leaving.dialled:
                session.close("the replica is gone")
            while not answer:
                run.runner.step()
                await anyio.sleep(0.01)

    assert answer == ["".join(f"line {number}\n" for number in range(4))]
    assert run.runner.runs == 1


async def test_a_stale_lease_is_purged_and_the_next_replica_asked(
    pair: Pair, tmp_path: Path, store: MemoryStore
) -> None:
    asked, holder = pair
    async with replica(tmp_path, store) as stale:
        await holder.add("prod", ScriptedExecutor(echo))
        await asked.wait_for(lambda: len(places(asked)) == 1)
        lease = holder.serving.services.fleet.lease_of(PROD)
        assert lease is not None
        key = f"{LEASES}prod:{name(stale)}"
        await store.put(key, lease)
        await asked.wait_for(lambda: len(directory(asked).holders(PROD)) == 2)

        for _ in range(8):  # whichever is asked first
            assert await say(asked, "pods") == "get pods"

        await asked.wait_for(lambda: key not in store._values)
        assert stale.serving.services.fleet.streams() == 0
        assert not connections(stale), "what was misdirected was handed on: a second hop"


async def test_a_lease_for_another_run_of_the_executor_is_stale(pair: Pair, store: MemoryStore) -> None:
    """The replica has a session of the cluster, and not of the run that the lease names."""
    asked, holder = pair
    await holder.add("prod", ScriptedExecutor(echo))
    await asked.wait_for(lambda: len(places(asked)) == 1)
    lease = json.loads(holder.serving.services.fleet.lease_of(PROD) or b"")
    await store.put(f"{LEASES}prod:{name(holder)}", json.dumps([{**lease[0], "instance": "gone"}, *lease]).encode())
    await asked.wait_for(lambda: len(directory(asked).holders(PROD)[0][1].executors()) == 2)

    assert await say(asked, "pods") == "get pods"


async def test_a_lease_of_a_dead_replica_costs_no_request(pair: Pair, store: MemoryStore) -> None:
    asked, holder = pair
    await holder.add("prod", ScriptedExecutor(echo))
    lease = holder.serving.services.fleet.lease_of(PROD)
    assert lease is not None
    await store.put(f"{REPLICAS}gone-1", json.dumps({"host": "127.0.0.1", "port": 1}).encode())
    await store.put(f"{LEASES}prod:gone-1", lease)
    await asked.wait_for(lambda: len(directory(asked).holders(PROD)) == 2)

    for _ in range(8):
        assert await say(asked, "pods") == "get pods"

    await asked.wait_for(lambda: f"{LEASES}prod:gone-1" not in store._values)


async def test_a_lease_that_was_thrown_away_in_error_comes_back(pair: Pair) -> None:
    asked, holder = pair
    await holder.add("prod", ScriptedExecutor(echo))
    await asked.wait_for(lambda: len(places(asked)) == 1)

    directory(asked).purge(directory(asked).holders(PROD)[0][1])
    assert not places(asked)

    await asked.wait_for(lambda: len(places(asked)) == 1)
    assert await say(asked, "pods") == "get pods"


GARBAGE = [
    b"",
    b"{",
    b"null",
    b"1",
    b"[1, {}]",
    b'{"host": [], "port": "x"}',
    b'{"port": 1e999}',
    b"\xff\xfe",
    b"[" * 5000,
]


@pytest.mark.parametrize("value", GARBAGE, ids=range(len(GARBAGE)))
async def test_what_makes_no_sense_in_the_store_harms_nobody(pair: Pair, store: MemoryStore, value: bytes) -> None:
    asked, holder = pair
    await holder.add("prod", ScriptedExecutor(echo))
    await asked.wait_for(lambda: len(places(asked)) == 1)

    for key in (f"{REPLICAS}odd-1", f"{LEASES}prod:odd-1", f"{LEASES}x", "fleet:cut:prod", "fleet:cluster:odd"):
        await store.put(key, value)
    await store.put(f"{REPLICAS}even-1", json.dumps({"host": "127.0.0.1", "port": 1}).encode())
    await store.put(f"{LEASES}prod:even-1", value)
    await asked.wait_for(lambda: "even-1" in {replica.name for replica in directory(asked).replicas()})

    assert await say(asked, "pods") == "get pods"
    listed = await asked.http.get("/api/v1/clusters")
    assert "prod" in {cluster["id"] for cluster in listed.json()}
    for each in pair:
        await directory(each)._read()
        await each.serving.services.fleet._registry.reconcile(())


async def test_a_replica_with_another_address_gets_nothing(pair: Pair, store: MemoryStore) -> None:
    """Who can write the store can name an address; only who has the replica's key is talked to there."""
    asked, holder = pair
    await holder.add("prod", ScriptedExecutor(echo))
    lease = holder.serving.services.fleet.lease_of(PROD)
    assert lease is not None
    own = directory(holder).own
    await store.put(f"{REPLICAS}other-1", json.dumps({"host": own.host, "port": own.port}).encode())
    await store.delete(f"{LEASES}prod:{own.name}")
    await store.put(f"{LEASES}prod:other-1", lease)
    await asked.wait_for(lambda: "other-1" in {r.name for r, _ in directory(asked).holders(PROD)})

    with pytest.raises(TunnelClosedError, match="other-1"):
        await connect(asked, "other-1", own.host, own.port)


async def test_strangers_do_not_get_in(pair: Pair) -> None:
    own = directory(pair[0]).own
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    said = b""
    with contextlib.suppress(ssl.SSLError):  # TLS 1.3 servers ask for the certificate after the client's handshake
        reader, writer = await asyncio.open_connection(own.host, own.port, ssl=context)
        writer.write(b"\0\0\0\1x")
        said = await reader.read()

    assert said == b""
    writer.close()


async def test_the_caller_is_the_one_who_was_vouched_for(pair: Pair) -> None:
    asked, holder = pair
    executor = ScriptedExecutor(echo)
    await holder.add("prod", executor)
    await asked.wait_for(lambda: len(places(asked)) == 1)
    fields = [
        (b":method", b"POST"),
        (b":path", b"/commands"),
        (b"x-kubently-principal", b"key:somebody-else"),
        (b"x-kubently-anything", b"1"),
        (b"x-request-id", b"another"),
    ]

    stream, _ = await asked.serving.services.fleet.open(PROD, fields, caller=CALLER)
    await stream.write(b'{"argv": ["get", "pods"]}', end_stream=True)
    await stream.head()

    told = {key: value for key, value in executor.headers[0].items() if key.startswith(b"x-")}
    assert told == {b"x-kubently-principal": b"key:test", b"x-request-id": b"request-of-a-test"}
    stream.reset()


async def test_grants_are_looked_at_by_the_replica_that_holds_the_cluster(
    pair: Pair,
) -> None:
    asked, holder = pair
    await holder.add("prod", ScriptedExecutor(echo))
    await asked.wait_for(lambda: len(places(asked)) == 1)
    viewer = Caller(Principal(name="key:viewer", role=Role.VIEWER), Permission.RUN, "r")

    with pytest.raises(PermissionDeniedError):
        await asked.serving.services.fleet.open(PROD, GET, caller=viewer)


@pytest.mark.parametrize("what", ["remove", "reset"])
async def test_a_cluster_is_removed_and_reset_at_all_replicas(pair: Pair, what: str) -> None:
    asked, holder = pair
    session = await holder.add("prod", ScriptedExecutor(echo), kube_system_uid="one")
    await asked.wait_for(lambda: len(places(asked)) == 1)

    path = "/api/v1/clusters/prod"
    answer = await (asked.http.delete(path) if what == "remove" else asked.http.post(f"{path}/reset"))

    assert answer.is_success, answer.text
    await holder.wait_for(lambda: session.is_closed)
    await asked.wait_for(lambda: asked.state("prod") is not ClusterState.CONNECTED)
    if what == "remove":
        await holder.wait_for(lambda: not holder.serving.services.fleet.knows(PROD))


async def test_a_revoked_token_cuts_sessions_at_all_replicas(pair: Pair) -> None:
    asked, holder = pair
    session = await holder.add("prod", ScriptedExecutor(echo))

    await asked.serving.services.tokens.revoke(PROD)

    await holder.wait_for(lambda: session.is_closed, timeout=2)


async def test_everything_comes_back_after_the_store_was_emptied(pair: Pair, store: MemoryStore) -> None:
    asked, holder = pair
    await holder.add("prod", ScriptedExecutor(echo))
    await asked.wait_for(lambda: len(places(asked)) == 1)
    for key, _ in await store.scan(""):
        if not key.startswith(("executor:", "peer:")):
            store._values.pop(key)

    for each in pair:
        await directory(each)._renew()
    await asked.wait_for(lambda: len(places(asked)) == 1)

    wanted = ["fleet:cluster:prod", f"{LEASES}prod:{name(holder)}", *(REPLICAS + name(each) for each in pair)]
    await asked.wait_for(lambda: all(key in store._values for key in wanted))
    assert await say(asked, "pods") == "get pods"


async def test_while_the_store_is_away_the_others_are_still_asked(tmp_path: Path) -> None:
    store = Failing(clock=time.monotonic)
    async with replica(tmp_path, store) as asked, replica(tmp_path, store) as holder:
        await holder.add("prod", ScriptedExecutor(echo))
        await asked.wait_for(lambda: len(places(asked)) == 1)
        store.is_away = True
        with contextlib.suppress(KubentlyError):
            await directory(asked)._renew()

        stream, _ = await asked.serving.services.fleet.open(PROD, GET, caller=CALLER, end_stream=True)

        stream.reset()
        store.is_away = False


class Failing(MemoryStore):
    """A store that can be away."""

    is_away = False

    async def get(self, key: str) -> bytes | None:
        if self.is_away:
            raise StoreUnavailableError("the store is away")
        return await super().get(key)

    async def put(self, key: str, value: bytes, *, ttl: float | None = None, expected: bytes | None = None) -> bool:
        if self.is_away:
            raise StoreUnavailableError("the store is away")
        return await super().put(key, value, ttl=ttl, expected=expected)


def directory(fleet: RunningFleet) -> Directory:
    found = fleet.serving.services.fleet.directory
    assert found is not None
    return found


def name(fleet: RunningFleet) -> str:
    return directory(fleet).own.name


def connections(fleet: RunningFleet) -> list[str]:
    """The replicas that this one has asked something."""
    peers = fleet.serving.services.fleet.peers
    assert peers is not None
    return list(peers._lines)


async def connect(fleet: RunningFleet, replica: str, host: str, port: int) -> None:
    peers = fleet.serving.services.fleet.peers
    assert peers is not None
    try:
        await peers._line(Replica(replica, host, port)).session()
    except ssl.SSLError as error:
        raise TunnelClosedError(f"{replica}: {error}") from error
