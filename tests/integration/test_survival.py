"""Executors through what stands in between, and through APIs that come and go, over real sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio.abc import TaskGroup
from prometheus_client import REGISTRY
from tests.integration.middlebox import Middlebox, Request, middlebox

from kubently import api
from kubently.executor.lanes import Pace
from kubently.executor.supervisor import Supervisor
from kubently.schema import Cluster, ClusterId, ClusterState
from kubently.settings import ApiSettings, ExecutorSettings, TimingSettings
from kubently.testing import ScriptedExecutor
from kubently.testing.fleets import ADMIN_KEY
from kubently.tunnel.transports.websocket import PATH
from kubently.wire import records

pytestmark = pytest.mark.anyio

DONE = {"ending": "exited", "exit_code": 0, "seconds": 0.0}
QUICK = Pace(stagger=0.1, max_age=3600, retire=5, better=0.2, measure=0.2)

Emit = Callable[[bytes], Awaitable[None]]


async def echo(request: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
    """Answer after as many seconds as the argument list says at its end."""
    await anyio.sleep(float(request["argv"][-1]) if request["argv"][-1][:1].isdigit() else 0)
    await emit(records.encode(records.STDOUT, " ".join(request["argv"]).encode()))
    return DONE


class NoApiServer:
    """An API server that says nothing."""

    async def request(self, *_: object) -> "NoApiServer":
        return self

    status = 503

    async def read(self) -> bytes:
        return b""

    def close(self) -> None:
        pass


@dataclass
class Plane:
    """A control plane and how to ask it."""

    serving: api.Serving
    http: httpx.AsyncClient

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.serving.port}"

    @property
    def cluster(self) -> Cluster:
        return self.serving.services.fleet.describe(ClusterId("prod"))

    @property
    def transports(self) -> list[str]:
        return [s.transport.value for executor in self.cluster.executors for s in executor.sessions if not s.draining]

    async def token(self) -> str:
        return await self.serving.services.tokens.create(ClusterId("prod"))

    async def say(self, *words: str) -> str:
        answer = await self.http.post(f"{self.url}/api/v1/clusters/prod/commands", json={"argv": ["get", *words]})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["stdout"])


@contextlib.asynccontextmanager
async def plane(folder: Path, *, port: int = 0, drain: float = 5.0, **settings: Any) -> AsyncIterator[Plane]:
    store = f"sqlite://{folder}/store.db"
    values = ApiSettings(listen=("127.0.0.1", port), store_url=store, admin_key=ADMIN_KEY, **settings)
    async with (
        httpx.AsyncClient(headers={"Authorization": f"Bearer {ADMIN_KEY}"}, timeout=30, trust_env=False) as http,
        api.serve(values, drain_grace=drain) as serving,
    ):
        yield Plane(serving, http)


@dataclass
class Executor:
    """An executor under way."""

    supervisor: Supervisor
    app: ScriptedExecutor


@contextlib.asynccontextmanager
async def executor(token: str, *urls: str, pace: Pace = QUICK, **settings: Any) -> AsyncIterator[Executor]:
    values = replace(
        ExecutorSettings(urls[0], "prod", token, more_api_urls=urls[1:], timing=TimingSettings(dial_timeout=2)),
        **settings,
    )
    app = ScriptedExecutor(echo)
    one = Supervisor(values, app, NoApiServer(), capabilities={}, pace=pace)  # type: ignore[arg-type]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one.run)
        try:
            yield Executor(one, app)
        finally:
            await one.stop(0)
            tasks.cancel_scope.cancel()


async def until(check: Callable[[], bool], timeout: float = 20) -> None:
    with anyio.fail_after(timeout):
        while not check():
            await anyio.sleep(0.01)


def begins(one: Plane) -> list[datetime]:
    """When each session began."""
    return [session.connected_at for executor in one.cluster.executors for session in executor.sessions]


def dials(**labels: str) -> float:
    found = REGISTRY.get_sample_value("kubently_executor_dials_total", {"road": "direct", **labels})
    return found or 0.0


# ---------------------------------------------------------------------- which transport


async def test_websocket_is_used_where_it_gets_through(tmp_path: Path) -> None:
    async with plane(tmp_path) as one, executor(await one.token(), one.url) as runs:
        await until(lambda: one.transports == ["websocket"] * 2)

        assert len(one.cluster.executors) == 1
        assert one.cluster.executors[0].capabilities["transport"] == "websocket"
        assert runs.supervisor.sessions == 2


def page(status: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>".encode()


@pytest.mark.parametrize("fault", ["strip", "502", "403", "400", "200", "redirect", "garbage", "101", "cut"])
async def test_whatever_keeps_a_websocket_back_long_poll_gets_through(tmp_path: Path, fault: str) -> None:
    """No text of an error is matched: each kind of failure moves on."""
    answers = {
        "502": page("502 Bad Gateway"),
        "403": page("403 Forbidden"),
        "400": page("400 Bad Request"),
        "200": page("200 OK"),
        "redirect": b"HTTP/1.1 301 Moved\r\nLocation: https://elsewhere/\r\nContent-Length: 0\r\n\r\n",
        "garbage": b"SSH-2.0-OpenSSH_9.2\r\n",
        "101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    }
    before = dials(result="ok", transport="long-poll")
    async with plane(tmp_path) as one, middlebox(one.serving.port) as box:
        if fault == "strip":
            box.strip_upgrade = True
        elif fault == "cut":
            box.lose = lambda request: request.path == PATH
            box.strip_upgrade = True
        else:
            box.answer = lambda request: answers[fault] if request.path == PATH else None
        async with executor(await one.token(), box.url):
            await until(lambda: one.transports == ["long-poll"] * 2)
            said = await one.say("pods")
            tried = sum(request.path == PATH for request in box.requests)

            assert said == "get pods"
            assert one.cluster.executors[0].capabilities["transport"] == "long-poll"
            assert tried == 1  # the second session remembers
    assert dials(result="ok", transport="long-poll") == before + 2


async def test_silence_after_the_upgrade_moves_on(tmp_path: Path) -> None:
    """An upgrade that succeeds and then carries nothing is no success."""

    class Swallowing(Middlebox):
        async def _pipe(self, request: Request, reader: Any, writer: Any) -> None:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
            up_writer.write(request.head)
            writer.write(await up_reader.readuntil(b"\r\n\r\n"))
            try:
                await reader.read(10_000)
                await anyio.sleep_forever()
            finally:
                up_writer.transport.abort()

    async with plane(tmp_path) as one, middlebox(one.serving.port, kind=Swallowing) as box:
        timing = TimingSettings(dial_timeout=0.3)
        async with executor(await one.token(), box.url, timing=timing, sessions=1):
            await until(lambda: one.transports == ["long-poll"])

            assert await one.say("pods") == "get pods"


async def test_the_apis_own_refusal_is_not_asked_for_twice(tmp_path: Path) -> None:
    async with plane(tmp_path) as one, middlebox(one.serving.port) as box:
        async with executor("wrong", box.url) as runs:
            await until(lambda: "[unauthenticated]" in runs.supervisor.problem)

        assert [request.path for request in box.requests] == [PATH]


@pytest.mark.parametrize("transport", ["websocket", "long-poll"])
async def test_a_transport_can_be_forced(tmp_path: Path, transport: str) -> None:
    async with plane(tmp_path) as one, middlebox(one.serving.port) as box:
        async with executor(await one.token(), box.url, transport=transport):
            await until(lambda: one.transports == [transport] * 2)

        paths = {request.path for request in box.requests}
        assert (PATH in paths) == (transport == "websocket")
        assert len(paths) == 1 or transport == "long-poll"


async def test_a_forced_websocket_says_why_it_fails(tmp_path: Path) -> None:
    async with (
        plane(tmp_path) as one,
        middlebox(one.serving.port, strip_upgrade=True) as box,
        executor(await one.token(), box.url, transport="websocket") as runs,
    ):
        await until(lambda: "[upgrade-stripped]" in runs.supervisor.problem)

        assert "something between the executor and the API" in runs.supervisor.problem


# ---------------------------------------------------------------------- several sessions


async def test_commands_go_on_while_one_session_is_lost(tmp_path: Path) -> None:
    async with plane(tmp_path) as one, executor(await one.token(), one.url):
        await until(lambda: len(one.transports) == 2)
        fleet = one.serving.services.fleet
        for _ in range(5):
            fleet._sessions[ClusterId("prod")][0].session.close("cut by the test")
            assert await one.say("pods") == "get pods"
            await until(lambda: len(one.transports) == 2)


@pytest.mark.parametrize("transport", ["websocket", "long-poll"])
async def test_an_old_session_is_replaced_before_it_leaves(tmp_path: Path, transport: str) -> None:
    """What runs on it comes to its end, and there is never a moment without a session."""
    pace = replace(QUICK, max_age=0.5)
    async with plane(tmp_path) as one, executor(await one.token(), one.url, pace=pace, transport=transport) as runs:
        await until(lambda: bool(one.transports))
        said: list[str] = []
        counts: list[int] = []

        async def watch() -> None:
            while len(said) < 40:
                counts.append(len(one.transports))
                await anyio.sleep(0.02)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            for number in range(40):
                tasks.start_soon(_note, one, said, f"w{number}", "0.7")
                await anyio.sleep(0.05)

        assert sorted(said) == sorted(f"get w{number} 0.7" for number in range(40))
        assert len(runs.app.requests) == 40
        assert min(counts) >= 1
        assert len(one.cluster.executors) == 1


async def _note(one: Plane, said: list[str], *words: str) -> None:
    said.append(await one.say(*words))


# ---------------------------------------------------------------------- APIs that come and go


@dataclass
class Started:
    """A control plane in a task of its own, that ends when it is told to."""

    plane: Plane
    stopping: anyio.Event
    stopped: anyio.Event

    async def stop(self) -> None:
        self.stopping.set()
        await self.stopped.wait()


async def start(tasks: TaskGroup, folder: Path, **settings: Any) -> Started:
    started: list[Started] = []
    ready = anyio.Event()

    async def run() -> None:
        async with plane(folder, **settings) as one:
            started.append(Started(one, anyio.Event(), anyio.Event()))
            ready.set()
            await started[0].stopping.wait()
        started[0].stopped.set()

    tasks.start_soon(run)
    await ready.wait()
    return started[0]


@pytest.mark.parametrize("transport", ["websocket", "long-poll"])
async def test_a_restart_of_the_api_loses_no_command_that_it_took(tmp_path: Path, transport: str) -> None:
    said: list[str] = []
    async with anyio.create_task_group() as planes:
        first = await start(planes, tmp_path, drain=10)
        one = first.plane
        async with executor(await one.token(), one.url, transport=transport) as runs:
            await until(lambda: len(one.transports) == 2)
            async with anyio.create_task_group() as tasks:
                for number in range(20):
                    tasks.start_soon(_note, one, said, f"w{number}", "1.5")
                await until(lambda: len(runs.app.requests) == 20)
                await first.stop()
            second = await start(planes, tmp_path, port=one.serving.port)
            await until(lambda: len(second.plane.transports) == 2)
            await _note(second.plane, said, "last")
        await second.stop()

    assert sorted(said) == sorted([*(f"get w{number} 1.5" for number in range(20)), "get last"])
    assert len(runs.app.requests) == 21


async def test_the_second_api_serves_while_the_first_is_gone(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    said: list[str] = []
    async with anyio.create_task_group() as planes:
        first = await start(planes, tmp_path, drain=5)
        preferred, token = first.plane, await first.plane.token()
        second = await start(planes, tmp_path / "b", tokens_dir=_tokens(tmp_path, token))
        other = second.plane
        async with executor(token, preferred.url, other.url):
            await until(lambda: len(preferred.transports) == 2)
            assert other.transports == []
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_note, preferred, said, "long", "1")
                await until(lambda: preferred.serving.services.fleet.streams() == 1)
                await first.stop()
            await until(lambda: len(other.transports) == 2)
            assert await other.say("pods") == "get pods"

            again = await start(planes, tmp_path, port=preferred.serving.port)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_note, other, said, "moving", "2")
                await until(lambda: len(again.plane.transports) == 2)
            await until(lambda: other.cluster.state is ClusterState.DISCONNECTED)
        await again.stop()
        await second.stop()

    assert said == ["get long 1", "get moving 2"]


def _tokens(folder: Path, token: str) -> Path:
    (folder / "tokens").mkdir()
    (folder / "tokens" / "prod").write_text(token)
    return folder / "tokens"


async def test_the_nearest_api_is_preferred(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    async with plane(tmp_path) as far, plane(tmp_path / "b", tokens_dir=_tokens(tmp_path, await far.token())) as near:
        token = (tmp_path / "tokens" / "prod").read_text()
        async with executor(token, far.url, near.url, api_url_order="nearest") as runs:
            for endpoint, distance in zip(runs.supervisor._endpoints._all, (0.5, 0.01), strict=True):
                endpoint.distance = distance
            measured = [e.url for e in runs.supervisor._endpoints.in_order()]
            await until(lambda: bool(far.transports or near.transports))

    assert measured == [near.url, far.url]


async def test_sigterm_drains_every_session(tmp_path: Path) -> None:
    async with plane(tmp_path) as one, executor(await one.token(), one.url) as runs:
        await until(lambda: len(one.transports) == 2)
        said: list[str] = []
        async with anyio.create_task_group() as tasks:
            for number in range(6):
                tasks.start_soon(_note, one, said, f"w{number}", "0.5")
            await until(lambda: len(runs.app.requests) == 6)
            await runs.supervisor.stop(5)

        assert len(said) == 6
        await until(lambda: one.cluster.state is ClusterState.DISCONNECTED)


# ---------------------------------------------------------------------- middleboxes that cut


async def test_an_age_at_which_connections_are_cut_is_learned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After three cuts no command that is shorter than half of that age is lost any more."""
    async with (
        plane(tmp_path) as one,
        middlebox(one.serving.port, cut_after=2.0) as box,
        executor(await one.token(), box.url, transport="websocket") as runs,
    ):
        cuts = runs.supervisor._endpoints.in_order()[0].cuts
        await until(lambda: cuts.max_age is not None)
        known = datetime.now(UTC)
        # Those that stood when it was learned may still be cut; those that came after it are replaced in time.
        await until(lambda: len(one.transports) == 2 and all(began > known for began in begins(one)))
        said: list[str] = []
        async with anyio.create_task_group() as tasks:
            for number in range(60):
                tasks.start_soon(_note, one, said, f"w{number}", "0.5")
                await anyio.sleep(0.1)

        assert len(said) == 60
        assert cuts.max_age == pytest.approx(2.0, rel=0.2)
        assert any("raise its time-out" in record.getMessage() for record in caplog.records)
        await until(lambda: "cut_after" in one.cluster.executors[0].capabilities)


async def test_nothing_is_learned_from_an_api_that_closes(tmp_path: Path) -> None:
    async with plane(tmp_path) as one, executor(await one.token(), one.url, sessions=1) as runs:
        for _ in range(4):
            await until(lambda: len(one.transports) == 1)
            await anyio.sleep(0.6)
            one.serving.services.fleet._sessions[ClusterId("prod")][0].session.close("by the API")
            await until(lambda: not one.transports)

        assert runs.supervisor._endpoints.in_order()[0].cuts.max_age is None


@pytest.mark.parametrize("transport", ["websocket", "long-poll"])
async def test_silence_is_broken_by_pings_over_each_transport(tmp_path: Path, transport: str) -> None:
    """HEALTH_CHECK_INTERVAL is the silence after which either end asks."""
    timing = TimingSettings(ping_after=0.2, dial_timeout=2)
    async with plane(tmp_path) as one, executor(await one.token(), one.url, timing=timing, transport=transport) as runs:
        await until(lambda: len(one.transports) == 2)
        await until(lambda: all(standing.session.rtt is not None for standing in runs.supervisor._standing))

        assert runs.supervisor.sessions == 2


async def test_silence_that_is_cut_is_kept_away_by_pings(tmp_path: Path) -> None:
    timing = TimingSettings(ping_after=0.3, dial_timeout=2)
    async with (
        plane(tmp_path) as one,
        middlebox(one.serving.port, idle_cut=1.0) as box,
        executor(await one.token(), box.url, timing=timing, transport="websocket", sessions=1) as runs,
    ):
        await until(lambda: len(one.transports) == 1)
        (first,) = runs.supervisor._standing
        await until(lambda: asyncio.get_running_loop().time() - first.began > 3)

        assert not first.session.is_closed
