"""What the executor answers through its tunnel, also to a control plane that talks nonsense."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from kubently.errors import StreamResetError
from kubently.executor.apiserver import UpstreamError
from kubently.executor.app import ExecutorApp
from kubently.executor.explain import Explainer
from kubently.executor.native import Native
from kubently.executor.outcomes import Outcomes
from kubently.schema import Ending
from kubently.testing import tunnel
from kubently.tunnel import Session, Stream
from kubently.wire import records

pytestmark = pytest.mark.anyio

POST = [(b":method", b"POST"), (b":path", b"/commands")]
STATUS = records.encode(records.STATUS, b'{"ending": "exited", "exit_code": 0}')


class FakeKubectl:
    """Counts its runs and does what it is told."""

    def __init__(self, act: Callable[[Callable[[bytes], Awaitable[None]]], Awaitable[bytes]] | None = None) -> None:
        self.runs: list[tuple[Any, float]] = []
        self._act = act

    async def run(self, command: Any, *, timeout: float, caller: Any, emit: Any) -> bytes:
        self.runs.append((command, timeout))
        return await self._act(emit) if self._act else STATUS


def app(kubectl: FakeKubectl, kube_api: Any = None) -> ExecutorApp:
    explainer = Explainer(kube_api, Native(kube_api, max_output=1024))
    return ExecutorApp(kube_api, kubectl, Outcomes(clock=lambda: 0.0), explainer, secrets="none")


async def ask(
    control: Session, body: Any, *fields: tuple[bytes, bytes]
) -> tuple[bytes, list[tuple[int, bytes]], bytes]:
    stream = control.open([*POST, *fields])
    await stream.write(body if isinstance(body, bytes) else json.dumps(body).encode(), end_stream=True)
    with anyio.fail_after(5):
        head = dict(await stream.head())
        raw = await read_all(stream)
    read = list(records.Reader().feed(raw)) if head[b":status"] == b"200" else []
    return head[b":status"], read, raw


async def read_all(stream: Stream) -> bytes:
    body = b""
    while chunk := await stream.read():
        body += chunk
    return body


@pytest.mark.parametrize(
    "request_",
    [
        {"id": "a", "argv": ["get", "pods"], "timeout": "soon"},
        {"id": "a", "argv": ["get", "pods"], "timeout": None},
        {"id": "a", "argv": ["get", "pods"], "timeout": float("nan")},
        {"id": "a", "argv": ["get", "pods"], "timeout": -1},
        {"id": "a", "argv": ["get", "pods"], "timeout": 10**400},
        {"id": "a", "argv": ["get", "pods"], "timeout": True},
        {"id": "x" * 1000, "argv": ["get", "pods"]},
        {"id": 5, "argv": ["get", "pods"]},
        {"id": "a", "argv": "get pods"},
        {"id": "a", "argv": ["get", 5]},
        {"id": "a", "argv": ["get", "pods", "\ud800"]},
        {"id": "a", "argv": ["get", "pods", "a\0b"]},
        {"id": "a"},
        [],
        b"[" * 100_000,
        b"\xff",
        b"",
    ],
)
async def test_a_request_that_makes_no_sense_is_refused_and_runs_nothing(
    request_: Any, caplog: pytest.LogCaptureFixture
) -> None:
    kubectl = FakeKubectl()
    async with tunnel(app(kubectl)) as (control, _):
        status, _, raw = await ask(control, request_)

        assert status == b"400", raw
        assert json.loads(raw)["code"] in ("request-invalid", "command-invalid")
    assert kubectl.runs == []
    assert not [r for r in caplog.records if r.levelname == "ERROR"]


async def test_a_refused_command_is_refused_again_and_not_unknown() -> None:
    async with tunnel(app(FakeKubectl())) as (control, _):
        for replay in (False, True):
            status, _, raw = await ask(control, {"id": "a", "argv": ["delete", "pod", "x"], "replay": replay})

            assert (status, json.loads(raw)["code"]) == (b"403", "command-denied")


async def test_the_same_id_runs_once_however_often_it_comes() -> None:
    release = anyio.Event()

    async def act(emit: Callable[[bytes], Awaitable[None]]) -> bytes:
        await emit(records.encode(records.STDOUT, b"one"))
        await release.wait()
        return STATUS

    kubectl = FakeKubectl(act)
    answers: list[Any] = []
    async with tunnel(app(kubectl)) as (control, _):

        async def one() -> None:
            answers.append(await ask(control, {"id": "same", "argv": ["get", "pods"]}))

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(one)
            for _ in range(50):
                await anyio.sleep(0)
            release.set()

    assert len(kubectl.runs) == 1
    assert all(read == [(records.STDOUT, b"one"), (records.STATUS, STATUS[5:])] for _, read, _ in answers)


@pytest.mark.parametrize("replay", [True, False])
@pytest.mark.parametrize(
    "fields",
    [
        [(b"x-kubently-principal", b"key:other")],
        [(b"x-kubently-principal", b"key:bob"), (b"x-kubently-limits", b'[{"namespaces":["shop"]}]')],
    ],
)
async def test_an_outcome_is_told_to_its_own_caller_only(fields: list[tuple[bytes, bytes]], replay: bool) -> None:
    bob = (b"x-kubently-principal", b"key:bob")
    kubectl = FakeKubectl()
    async with tunnel(app(kubectl)) as (control, _):
        await ask(control, {"id": "a", "argv": ["get", "pods"]}, bob)

        status, _, raw = await ask(control, {"id": "a", "argv": ["get", "pods"], "replay": replay}, *fields)
        again, _, _ = await ask(control, {"id": "a", "argv": ["get", "pods"]}, bob, (b"x-request-id", b"another"))

    assert (status, json.loads(raw)["code"]) == (b"502", "command-unknown")
    assert again == b"200"
    assert len(kubectl.runs) == 1


async def test_whoever_follows_a_command_hears_its_end_even_if_its_caller_left_before_it_began() -> None:
    """The request and its reset may come in one read."""
    executor_app = app(FakeKubectl())
    async with tunnel(executor_app) as (control, _):
        stream = control.open(POST)
        body = json.dumps({"id": "left", "argv": ["get", "pods"]}).encode()
        control._connection.send_data(stream.id, body, end_stream=True)
        frames = control._connection.frames_to_send()
        stream.reset()
        frames += control._connection.frames_to_send()
        for frame in frames:
            control._link.peer.handler.received(frame)  # type: ignore[attr-defined]  # all in one turn of the loop
        for _ in range(20):
            await anyio.sleep(0)

        kept = executor_app._outcomes.find("left")
        if kept is not None:
            with anyio.fail_after(5):
                told = [record async for record in executor_app._outcomes.follow(kept)]
            assert json.loads(told[-1][5:])["ending"] == Ending.CANCELLED


async def test_an_api_server_that_breaks_off_is_told_as_broken_and_not_waited_for() -> None:
    class Broken:
        async def serve(self, scope: Any, receive: Any, send: Any, *, path: bytes, caller: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise UpstreamError("the API server broke off")

    async with tunnel(app(FakeKubectl(), Broken())) as (control, executor):
        stream = control.open([(b":method", b"GET"), (b":path", b"/k8s/api/v1/pods")], end_stream=True)
        with anyio.fail_after(5):
            await stream.head()
            with pytest.raises(StreamResetError):
                await read_all(stream)
        assert executor.open_streams == 0
