"""A cluster whose executor lies: its answers hurt nobody but itself, whatever they hold."""

import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from kubently.api import commands
from kubently.fleet.fleet import MAX_SESSIONS
from kubently.testing import RunningFleet, ScriptedExecutor, run_fleet
from kubently.wire import records

pytestmark = pytest.mark.anyio

Emit = Callable[[bytes], Awaitable[None]]
EXITED = {"ending": "exited", "exit_code": 0, "seconds": 0.01, "stdout_bytes": 5, "stderr_bytes": 0}
PODS = {"argv": ["get", "pods"]}
URL = "/api/v1/clusters/liar/commands"


async def hello(request: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
    await emit(records.encode(records.STDOUT, b"hello"))
    return EXITED


def answering(status: int, body: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass
        await send({"type": "http.response.start", "status": status, "headers": headers or []})
        await send({"type": "http.response.body", "body": body})

    return app


STATUSES = [
    b"not json",
    b"[]",
    b"null",
    b'{"ending": "nonsense"}',
    b'{"ending": "exited", "exit_code": "many"}',
    b'{"ending": "exited", "seconds": NaN}',
    b'{"ending": "failed", "error": {"detail": "\\ud800"}}',
    b'{"ending": "exited", "exit_code": ' + b"9" * 5000 + b"}",
    b"[" * 100_000,
    b"\xff",
]


@pytest.mark.parametrize("status", STATUSES, ids=range(len(STATUSES)))
async def test_a_status_that_cannot_be_read_is_an_error_of_that_cluster_alone(tmp_path: Path, status: bytes) -> None:
    async with run_fleet(tmp_path) as fleet:
        await fleet.add("liar", answering(200, records.encode(records.STATUS, status)))
        await fleet.add("good", ScriptedExecutor(hello))

        one = await fleet.http.post(URL, json=PODS)
        many = await fleet.http.post("/api/v1/commands", json={**PODS, "all": True})

        assert (one.status_code, one.json()["code"]) == (502, "command-unknown")
        outcomes = {
            line["cluster"]: line["outcome"]["ending"]
            for line in map(json.loads, many.text.splitlines())
            if "outcome" in line
        }
        assert outcomes == {"liar": "unknown", "good": "exited"}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (99999, b""),
        (100, b""),
        (503, b'{"code": "executor-offline", "retry_after": 1e999}'),
        (429, b'{"code": "too-many-commands", "retry_after": NaN}'),
        (429, b'{"code": "too-many-commands", "retry_after": ' + b"9" * 400 + b"}"),
        (403, b'{"code": "command-denied", "detail": "\\ud800"}'),
        (403, b"[" * 60_000),
    ],
)
async def test_a_refusal_that_cannot_be_read_is_still_a_problem(tmp_path: Path, status: int, body: bytes) -> None:
    async with run_fleet(tmp_path) as fleet:
        await fleet.add("liar", answering(status, body))

        answer = await fleet.http.post(URL, json=PODS)

        assert answer.headers["content-type"] == "application/problem+json"
        assert 400 <= answer.status_code <= 599
        assert answer.json()["request_id"]


async def test_output_without_end_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "MAX_COLLECTED", 100_000)

    async def talk(request: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
        for _ in range(20):
            await emit(records.encode(records.STDOUT, b"x" * 10_000))
        await emit(records.encode(records.STDERR, b"short"))
        return {**EXITED, "stdout_bytes": 200_000}

    async with run_fleet(tmp_path) as fleet:
        await fleet.add("liar", ScriptedExecutor(talk))

        outcome = (await fleet.http.post(URL, json=PODS)).json()

        assert outcome["stdout"].startswith("x" * 100_000)
        assert "cut after 100000 bytes; the output was 200000 bytes" in outcome["stdout"]
        assert (outcome["stderr"], outcome["truncated"], outcome["ending"]) == ("short", True, "exited")


@pytest.mark.parametrize("status", [99999, 101, 42])
async def test_a_kubernetes_answer_with_an_impossible_status_is_a_502(tmp_path: Path, status: int) -> None:
    async with run_fleet(tmp_path) as fleet:
        await fleet.add("liar", answering(status, b""))

        answer = await fleet.http.get("/clusters/liar/k8s/api/v1/pods")

        assert (answer.status_code, answer.json()["kind"]) == (502, "Status")


async def test_headers_of_a_kubernetes_answer_go_through_an_allow_list_here_too(tmp_path: Path) -> None:
    headers = [(b"content-type", b"application/json"), (b"set-cookie", b"a=b"), (b"location", b"https://evil")]

    async with run_fleet(tmp_path) as fleet:
        await fleet.add("liar", answering(200, b"{}", [*headers, (b"transfer-encoding", b"chunked")]))

        answer = await fleet.http.get("/clusters/liar/k8s/api/v1/pods")

        assert answer.json() == {}
        assert not {"set-cookie", "location"} & set(answer.headers)


async def test_what_an_executor_says_of_itself_is_bounded_and_printable(tmp_path: Path) -> None:
    nonsense: dict[str, Any] = {
        "version": "\ud800" + "v" * 10_000,
        "kubernetes_version": {"not": "text"},
        "kube_system_uid": "a\nb\x1b[31m",
        "labels": {"env": "prod", "bad key\n": "x", "long": "x" * 100, "odd": "\ud800", "n": 5},
        "capabilities": {f"c{i}": "x" for i in range(500)} | {"\ud800": "y"},
    }
    async with run_fleet(tmp_path) as fleet:
        await fleet.add("liar", ScriptedExecutor(hello), **nonsense)
        await fleet.add("good", ScriptedExecutor(hello))

        clusters = {c["id"]: c for c in (await fleet.http.get("/api/v1/clusters")).json()}

        assert set(clusters) == {"liar", "good"}
        assert clusters["liar"]["labels"] == {"env": "prod"}
        executor = clusters["liar"]["executors"][0]
        assert len(executor["version"]) <= 256
        assert executor["kubernetes_version"] == ""
        assert "\x1b" not in executor["kube_system_uid"]
        assert len(executor["capabilities"]) <= 64


async def test_an_answer_that_breaks_off_reaches_the_client_as_broken(tmp_path: Path) -> None:
    """Not as a shorter answer that looks whole."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'{"items": [', "more_body": True})

    async with run_fleet(tmp_path) as fleet:
        await fleet.add("liar", app)

        raw = await _raw_get(fleet, "/clusters/liar/k8s/api/v1/pods")

        assert b'{"items": [' in raw
        assert not raw.endswith(b"0\r\n\r\n")


async def test_a_kubernetes_body_is_bounded_before_it_is_sent_on(tmp_path: Path) -> None:
    path = "/clusters/liar/k8s/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

    async with run_fleet(tmp_path) as fleet:
        await fleet.add("liar", answering(201, b"{}"))
        with anyio.fail_after(10):
            large = await fleet.http.post(path, content=b"x" * 10_000_000)
            small = await fleet.http.post(path, content=b"{}", headers={"Content-Type": "application/json"})

        assert (large.status_code, large.json()["kind"]) == (400, "Status")
        assert small.status_code == 201
        assert fleet.serving.services.fleet.streams() == 0


async def test_a_session_that_comes_again_replaces_the_one_that_is_half_open(tmp_path: Path) -> None:
    """The old one may look alive for 45 seconds: requests must not be sent into it."""
    async with run_fleet(tmp_path) as fleet:
        token = await fleet.serving.services.tokens.create("liar")  # type: ignore[arg-type]
        silent = await fleet.dial("liar", token, ScriptedExecutor(hello), instance="one")
        await fleet.wait_for(lambda: fleet.serving.services.fleet.sessions() == 1)
        silent._link._transport.pause_reading()  # type: ignore[attr-defined]  # as a firewall does that forgot it

        await fleet.dial("liar", token, ScriptedExecutor(hello), instance="one")
        await fleet.wait_for(lambda: len(fleet.serving.services.fleet.describe("liar").executors) == 1)  # type: ignore[arg-type]
        with anyio.fail_after(5):
            answer = await fleet.http.post(URL, json=PODS)

        assert answer.json()["stdout"] == "hello"


async def test_the_sessions_of_a_cluster_are_bounded(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        token = await fleet.serving.services.tokens.create("liar")  # type: ignore[arg-type]
        for i in range(40):
            await fleet.dial("liar", token, ScriptedExecutor(hello), instance=str(i))
            await fleet.wait_for(lambda newest=str(i): newest in _instances(fleet))  # type: ignore[misc]

        assert len(_instances(fleet)) <= MAX_SESSIONS


def _instances(fleet: RunningFleet) -> list[str]:
    return [executor.instance for executor in fleet.serving.services.fleet.describe("liar").executors]  # type: ignore[arg-type]


async def _raw_get(fleet: RunningFleet, path: str) -> bytes:
    authorization = fleet.http.headers["Authorization"]
    async with await anyio.connect_tcp("127.0.0.1", fleet.serving.port) as stream:
        await stream.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n\r\n".encode())
        received = b""
        with anyio.fail_after(5):
            try:
                while True:
                    received += await stream.receive()
            except anyio.EndOfStream:
                return received
