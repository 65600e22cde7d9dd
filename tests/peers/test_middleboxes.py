"""Executors behind real proxies that reload, cut, redirect, fail and strip: every command is answered, once."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from kubently.executor.app import ExecutorApp
from kubently.executor.caller import Caller
from kubently.executor.lanes import Pace
from kubently.executor.outcomes import Outcomes
from kubently.executor.output import Emit, Output
from kubently.executor.supervisor import Supervisor
from kubently.kube import kubectl as argv_policy
from kubently.schema import Ending
from kubently.settings import ExecutorSettings, TimingSettings, TrustSettings
from kubently.wire import records
from tests.integration.test_survival import NoApiServer, Plane, plane, until
from tests.integration.tls_peers import authority, server
from tests.peers.servers import PROXIES, Plan, Running, running

pytestmark = pytest.mark.anyio

ROOT = authority()
OLD, NEW = server(issuer=ROOT), server(issuer=ROOT)
PACE = Pace(stagger=0.2, max_age=3600, retire=20, better=0.5, measure=60)


class Echo:
    """A runner that waits for as long as the pod's name says, and prints it."""

    def __init__(self) -> None:
        self.ran: Counter[str] = Counter()

    async def run(self, command: argv_policy.KubectlCommand, *, timeout: float, caller: Caller, emit: Emit) -> bytes:
        word = command.argv[-1]
        self.ran[word] += 1
        output = Output(emit, limit=10**6)
        await output.write(records.STDOUT, b"before ")
        await anyio.sleep(float(word.partition("-")[2]) / 1000)
        await output.write(records.STDOUT, word.encode())
        return await output.end(Ending.EXITED, 0, timeout=timeout)


@dataclass
class Scene:
    """An API, a real proxy in front of it, and an executor that goes through the proxy."""

    plane: Plane
    proxy: Running
    supervisor: Supervisor
    echo: Echo
    words: itertools.count[int] = field(default_factory=itertools.count)
    asked: Counter[str] = field(default_factory=Counter)

    async def ask(self, milliseconds: int = 0) -> None:
        """One command that takes some time. Fails where it is not answered as it should be."""
        word = f"w{next(self.words)}-{milliseconds}"
        self.asked[word] += 1
        assert await self.plane.say("pods", word) == f"before {word}"


@contextlib.asynccontextmanager
async def scene(kind: str, folder: Path, **plan: object) -> AsyncIterator[Scene]:
    echo = Echo()
    app = ExecutorApp(None, echo, Outcomes(clock=time.monotonic), None, secrets="none")  # type: ignore[arg-type]
    async with plane(folder) as one:
        behind = {"upstream": one.serving.port, **plan}
        shown = Plan([OLD.pem], OLD.key_pem, **behind)  # type: ignore[arg-type]
        with running(kind, folder, shown) as proxy:
            settings = ExecutorSettings(
                proxy.url(),
                "prod",
                await one.token(),
                trust=TrustSettings(ca_cert=ROOT.pem.decode()),
                timing=TimingSettings(dial_timeout=5),
            )
            supervisor = Supervisor(
                settings,
                app,
                NoApiServer(),  # type: ignore[arg-type]
                capabilities={"resume": "yes"},
                pace=PACE,
            )
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(supervisor.run)
                try:
                    yield Scene(one, proxy, supervisor, echo)
                finally:
                    await supervisor.stop(0)
                    tasks.cancel_scope.cancel()


async def under_load(found: Scene, act: Callable[[], Awaitable[object]], *, milliseconds: int = 0) -> int:
    """Ask without pause while *act* runs; gives how many commands were answered."""
    before = len(found.asked)
    async with anyio.create_task_group() as tasks:

        async def asking(ended: anyio.Event) -> None:
            while not ended.is_set():
                await found.ask(milliseconds)

        ended = anyio.Event()
        for _ in range(4):
            tasks.start_soon(asking, ended)
        await act()
        ended.set()
    return len(found.asked) - before


async def websockets(found: Scene, count: int = 2) -> None:
    await until(lambda: found.plane.transports == ["websocket"] * count, timeout=30)


def begins(found: Scene) -> set[object]:
    """When each of the executor's sessions began."""
    return {s.connected_at for e in found.plane.cluster.executors for s in e.sessions}


@pytest.mark.parametrize("kind", PROXIES)
async def test_a_reload_with_a_new_certificate_costs_no_command(kind: str, tmp_path: Path) -> None:
    """What cert-manager and an ingress controller do together at each renewal, under load."""
    async with scene(kind, tmp_path) as found:
        await websockets(found)

        async def reload() -> None:
            # Caddy cuts every upgraded connection; who is cut again and again at once waits longer each time.
            for leaf in (NEW,) if kind == "caddy" else (NEW, OLD, NEW):
                await anyio.to_thread.run_sync(lambda leaf=leaf: found.proxy.change(chain=[leaf.pem], key=leaf.key_pem))
                await anyio.sleep(1.5)

        answered = await under_load(found, reload, milliseconds=20)

        print(f"{kind}: {answered} commands during reloads, none failed")
        assert found.echo.ran == found.asked
        await websockets(found)


@pytest.mark.parametrize("kind", PROXIES)
async def test_where_the_upgrade_is_stripped_long_poll_carries_the_same(kind: str, tmp_path: Path) -> None:
    async with scene(kind, tmp_path, strip_upgrade=True, buffering=True) as found:
        await until(lambda: found.plane.transports[:1] == ["long-poll"], timeout=30)

        answered = await under_load(found, lambda: anyio.sleep(2))

        print(f"{kind}: {answered} commands over long-poll in 2 s")
        assert answered > 4
        assert found.echo.ran == found.asked


@pytest.mark.parametrize("kind", PROXIES)
@pytest.mark.parametrize("fault", ["redirect", "502"])
async def test_a_proxy_that_answers_itself_for_a_while_is_survived(kind: str, fault: str, tmp_path: Path) -> None:
    """It begins that way, and the right configuration comes while the executor tries."""
    plan: dict[str, object] = {"redirect": "https://sso.example/login"} if fault == "redirect" else {"upstream": 1}
    async with scene(kind, tmp_path, **plan) as found:
        code = {"redirect": "redirected", "502": "bad-gateway"}[fault]
        await until(lambda: code in found.supervisor.problem, timeout=30)

        change = {"redirect": "", "upstream": found.plane.serving.port}
        await anyio.to_thread.run_sync(lambda: found.proxy.change(**change))

        await until(lambda: bool(found.plane.transports), timeout=30)
        await found.ask()
        assert found.echo.ran == found.asked
        assert found.supervisor.problem == ""


@pytest.mark.parametrize("kind", PROXIES)
async def test_a_proxy_that_dies_and_comes_back_is_found_again(kind: str, tmp_path: Path) -> None:
    async with scene(kind, tmp_path) as found:
        await websockets(found)
        port, plan = found.proxy.port, found.proxy.plan
        found.proxy.process.stop()
        await until(lambda: not found.plane.transports, timeout=30)
        again = tmp_path / "again"
        again.mkdir()
        with running(kind, again, plan, port=port):
            await until(lambda: bool(found.plane.transports), timeout=30)
            await found.ask()
            assert found.echo.ran == found.asked


async def test_envoys_own_route_time_out_costs_no_command(tmp_path: Path) -> None:
    """Fifteen seconds of a whole exchange, which nobody set: long-poll stays below, whether there is work or not."""
    async with scene("envoy", tmp_path, strip_upgrade=True, timeout=15) as found:
        await until(lambda: found.plane.transports == ["long-poll"] * 2, timeout=30)
        before = begins(found)

        await anyio.sleep(20)

        assert begins(found) == before
        answered = await under_load(found, lambda: anyio.sleep(2), milliseconds=50)
        print(f"envoy: {answered} commands over long-poll beyond the route's time-out")
        assert found.echo.ran == found.asked


async def test_ninety_idle_seconds_end_no_session(tmp_path: Path) -> None:
    """Proxies cut what is silent for 60 s; the pings come every 20."""
    async with contextlib.AsyncExitStack() as stack:
        scenes = []
        for kind in PROXIES:
            (tmp_path / kind).mkdir()
            scenes.append(await stack.enter_async_context(scene(kind, tmp_path / kind, timeout=60)))
        patient = [found for found in scenes if found.proxy.name != "envoy"]  # whose time-out is of the exchange
        for found in patient:
            await websockets(found)
        before = [begins(found) for found in patient]

        await anyio.sleep(90)

        assert [begins(found) for found in patient] == before
        for found in scenes:
            await found.ask()
            assert found.echo.ran == found.asked
