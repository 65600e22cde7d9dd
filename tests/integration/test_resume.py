"""A command whose session is lost goes on over another one: it runs once, and nothing is told twice or left out."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from kubently import wire
from kubently.executor import outcomes
from kubently.executor.app import ExecutorApp
from kubently.executor.caller import Caller
from kubently.executor.outcomes import Outcomes
from kubently.executor.output import Emit, Output
from kubently.kube import kubectl as argv_policy
from kubently.schema import ClusterId, Ending
from kubently.testing import RunningFleet, run_fleet
from kubently.tunnel import AsgiServer, Session
from kubently.tunnel.transports import websocket
from kubently.wire import records

pytestmark = pytest.mark.anyio

PODS = {"argv": ["get", "pods"]}


@dataclass
class Steps:
    """A runner that says a word whenever it is told to."""

    go: anyio.Event = field(default_factory=anyio.Event)
    runs: int = 0
    cancelled: int = 0
    said: int = 0

    def step(self) -> None:
        self.go.set()
        self.go = anyio.Event()

    async def run(self, command: argv_policy.KubectlCommand, *, timeout: float, caller: Caller, emit: Emit) -> bytes:
        self.runs += 1
        output = Output(emit, limit=10**6)
        try:
            for number in range(4):
                await output.write(records.STDOUT, f"line {number}\n".encode())
                await output.write(records.STDERR, f"note {number}\n".encode())
                self.said += 1
                await self.go.wait()
            return await output.end(Ending.EXITED, 0, timeout=timeout)
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise


@dataclass
class Dialling:
    """One run of an executor, which can have several sessions."""

    fleet: RunningFleet
    token: str
    runner: Steps = field(default_factory=Steps)
    capabilities: dict[str, str] = field(default_factory=lambda: {"resume": "yes"})

    def __post_init__(self) -> None:
        self.app = ExecutorApp(
            None,  # type: ignore[arg-type]  # nothing of Kubernetes is asked
            self.runner,
            Outcomes(clock=time.monotonic),
            None,  # type: ignore[arg-type]
            secrets="none",  # type: ignore[arg-type]
        )

    async def session(self, lane: str) -> Session:
        link = await websocket.dial(
            self.fleet.url.replace("http", "ws") + websocket.PATH,
            headers={"Authorization": f"Bearer {self.token}", "X-Kubently-Cluster": "prod"},
            ssl=None,
            timeout=5,
        )
        settled = anyio.Event()
        session = Session(
            wire.Role.EXECUTOR,
            link,
            clock=time.monotonic,
            info={"instance": "one", "lane": lane, "capabilities": self.capabilities},
            on_request=AsgiServer(self.app, self.fleet.tasks).serve,
            on_settled=lambda _: settled.set(),
        )
        link.attach(session)
        session.flush()
        await settled.wait()
        self.fleet.dialled.append(session)
        return session


@contextlib.asynccontextmanager
async def asked(folder: Path, **more: Any) -> AsyncIterator[tuple[RunningFleet, Dialling]]:
    async with run_fleet(folder) as fleet:
        yield fleet, Dialling(fleet, await fleet.serving.services.tokens.create(ClusterId("prod")), **more)


class Call:
    """A command under way, asked for over REST."""

    def __init__(self) -> None:
        self.ended = anyio.Event()
        self.status = 0
        self.answer: Any = None

    async def make(self, fleet: RunningFleet, **headers: str) -> None:
        answer = await fleet.http.post("/api/v1/clusters/prod/commands", json=PODS, headers=headers)
        self.status, self.answer = answer.status_code, answer.json()
        self.ended.set()

    async def stream(self, fleet: RunningFleet) -> None:
        headers = {"Accept": "application/x-ndjson"}
        async with fleet.http.stream("POST", "/api/v1/clusters/prod/commands", json=PODS, headers=headers) as answer:
            self.status = answer.status_code
            self.answer = [json.loads(line) async for line in answer.aiter_lines() if line.strip()]
        self.ended.set()


def whole(name: str) -> str:
    return "".join(f"{name} {number}\n" for number in range(4))


async def finish(fleet: RunningFleet, runner: Steps, call: Call) -> None:
    with anyio.fail_after(10):
        while not call.ended.is_set():
            runner.step()
            await anyio.sleep(0.01)


@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize("other", ["stands", "comes"])
async def test_it_goes_on_where_it_was(tmp_path: Path, after: int, other: str) -> None:
    async with asked(tmp_path) as (fleet, executor):
        first, call = await executor.session("a"), Call()
        fleet.tasks.start_soon(call.make, fleet)
        await fleet.wait_for(lambda: executor.runner.said == 1)
        for number in range(after):
            executor.runner.step()
            await fleet.wait_for(lambda number=number: executor.runner.said == min(4, number + 2))
        if other == "stands":
            await executor.session("b")
        first._link._transport.abort()  # type: ignore[attr-defined]
        if other == "comes":
            await executor.session("b")
        await finish(fleet, executor.runner, call)

        assert (call.status, call.answer["exit_code"]) == (200, 0)
        assert (call.answer["stdout"], call.answer["stderr"]) == (whole("line"), whole("note"))
        assert (executor.runner.runs, executor.runner.cancelled) == (1, 0)
        started = [
            r for r in (await fleet.http.get("/api/v1/audit?limit=50")).json()["records"] if r["action"] == "command"
        ]
        assert len(started) == 2


async def test_it_survives_cut_after_cut_while_it_is_streamed(tmp_path: Path) -> None:
    async with asked(tmp_path) as (fleet, executor):
        session, call = await executor.session("a"), Call()
        fleet.tasks.start_soon(call.stream, fleet)
        for number in range(1, 4):
            await fleet.wait_for(lambda number=number: executor.runner.said >= number)
            lost, session = session, await executor.session("ab"[number % 2])
            lost._link._transport.abort()  # type: ignore[attr-defined]
            executor.runner.step()
        await finish(fleet, executor.runner, call)

        told = {name: "".join(line.get(name, "") for line in call.answer) for name in ("stdout", "stderr")}
        assert told == {"stdout": whole("line"), "stderr": whole("note")}
        assert (executor.runner.runs, executor.runner.cancelled) == (1, 0)


async def test_without_another_session_its_caller_hears_of_it_and_it_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "GO_ON", 0.2)
    async with asked(tmp_path) as (fleet, executor):
        session, call = await executor.session("a"), Call()
        fleet.tasks.start_soon(call.make, fleet)
        await fleet.wait_for(lambda: executor.runner.said == 1)

        session._link._transport.abort()  # type: ignore[attr-defined]

        with anyio.fail_after(5):
            await call.ended.wait()
        assert (call.status, call.answer["code"]) == (502, "command-unknown")
        await fleet.wait_for(lambda: executor.runner.cancelled == 1)


async def test_another_run_of_the_executor_is_not_asked(tmp_path: Path) -> None:
    async with asked(tmp_path) as (fleet, executor):
        session, call = await executor.session("a"), Call()
        fleet.tasks.start_soon(call.make, fleet)
        await fleet.wait_for(lambda: executor.runner.said == 1)
        other = await fleet.dial("prod", executor.token, executor.app, instance="two")

        session._link._transport.abort()  # type: ignore[attr-defined]

        with anyio.fail_after(5):
            await call.ended.wait()
        assert call.answer["code"] == "command-unknown"
        assert executor.runner.runs == 1
        assert not other.is_closed


async def test_an_executor_that_cannot_is_not_asked_again(tmp_path: Path) -> None:
    async with asked(tmp_path, capabilities={}) as (fleet, executor):
        session, call = await executor.session("a"), Call()
        fleet.tasks.start_soon(call.make, fleet)
        await fleet.wait_for(lambda: executor.runner.said == 1)
        await executor.session("b")

        session._link._transport.abort()  # type: ignore[attr-defined]

        with anyio.fail_after(5):
            await call.ended.wait()
        assert call.answer["code"] == "command-unknown"


async def test_a_caller_that_leaves_after_the_cut_ends_it(tmp_path: Path) -> None:
    async with asked(tmp_path) as (fleet, executor):
        session = await executor.session("a")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Call().make, fleet)
            await fleet.wait_for(lambda: executor.runner.said == 1)
            await executor.session("b")
            session._link._transport.abort()  # type: ignore[attr-defined]
            await fleet.wait_for(lambda: any(k.readers for k in executor.app._outcomes._kept.values()))
            tasks.cancel_scope.cancel()

        await fleet.wait_for(lambda: executor.runner.cancelled == 1, timeout=2)


async def test_a_kubernetes_request_that_was_not_answered_yet_is_asked_again(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        asked, answering = anyio.Event(), anyio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            asked.set()
            await answering.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"{}"})

        session = await fleet.add("prod", slow, lane="a")
        answers: list[int] = []

        async def get() -> None:
            answers.append((await fleet.http.get("/clusters/prod/k8s/api/v1/namespaces/x/pods")).status_code)

        fleet.tasks.start_soon(get)
        await asked.wait()
        again = await fleet.dial("prod", await fleet.serving.services.tokens.rotate(ClusterId("prod")), slow, lane="b")
        session._link._transport.abort()  # type: ignore[attr-defined]
        await fleet.wait_for(lambda: fleet.serving.services.fleet.streams() == 1 and session.is_closed)
        answering.set()
        await fleet.wait_for(lambda: answers == [200])
        assert not again.is_closed
