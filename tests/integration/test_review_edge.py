"""Requests that no well-meaning client sends, and what the control plane leaves behind when clients go away."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from kubently import listen
from kubently.api import ndjson
from kubently.errors import ConfigError
from kubently.settings import LimitSettings
from kubently.testing import RunningFleet, ScriptedExecutor, run_fleet
from kubently.wire import records

pytestmark = pytest.mark.anyio

Emit = Callable[[bytes], Awaitable[None]]
EXITED = {"ending": "exited", "exit_code": 0, "seconds": 0.01, "stdout_bytes": 5, "stderr_bytes": 0}
PODS = {"argv": ["get", "pods"]}
NDJSON = {"Accept": "application/x-ndjson"}


async def hello(request: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
    await emit(records.encode(records.STDOUT, b"hello"))
    return EXITED


async def key(fleet: RunningFleet, name: str, role: str, clusters: tuple[str, ...] = ("*",)) -> dict[str, str]:
    body = {"name": name, "role": role, "clusters": clusters}
    made = await fleet.http.post("/api/v1/keys", json=body)
    assert made.status_code == 201, made.text
    return {"Authorization": f"Bearer {made.json()['key']}"}


async def audit_outcomes(fleet: RunningFleet) -> list[str]:
    page, _ = await fleet.serving.services.audit.tail(after=-1000, limit=1000)
    return [record.outcome for record in page if record.event.value == "ended"]


# ---------------------------------------------------------------------- odd requests


@pytest.mark.parametrize("origin", ["http://[", "null", "http://[::1", "//", "http://\xff"])
async def test_an_origin_that_is_none_is_refused_and_no_failure(tmp_path: Path, origin: str) -> None:
    async with run_fleet(tmp_path) as fleet:
        answer = await fleet.http.get("/api/v1/clusters", headers={"Origin": origin.encode("latin-1")})

        assert (answer.status_code, answer.json()["code"]) == (403, "permission-denied")


async def test_a_host_that_is_none_is_no_failure(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        for path in ("/api/v1/nothing", "/api/v1/clusters/", "/api/v1/keys/"):
            answer = await fleet.http.get(path, headers={"Host": "["})

            assert (answer.status_code, answer.json()["code"]) == (404, "not-found"), path


async def test_probes_are_answered_whatever_host_they_name(tmp_path: Path) -> None:
    """The kubelet asks the pod by its address."""
    async with run_fleet(tmp_path, hosts=("kubently.example",)) as fleet:
        for path in ("/healthz", "/readyz"):
            assert (await fleet.http.get(path, headers={"Host": "10.1.2.3:8080"})).status_code == 200
        assert (await fleet.http.get("/api/v1/clusters", headers={"Host": "10.1.2.3"})).status_code == 403


async def test_bodies_of_cold_routes_are_bounded(tmp_path: Path) -> None:
    """For every role: FastAPI alone would read all of it before it asks who sends it."""

    async def endless() -> Any:
        for _ in range(100):
            yield b"x" * 100_000

    async with run_fleet(tmp_path) as fleet:
        viewer = await key(fleet, "viewer", "viewer")
        for path in ("/api/v1/diagnoses", "/api/v1/keys"):
            answer = await fleet.http.post(path, content=endless(), headers=viewer)
            assert (answer.status_code, answer.json()["code"]) == (400, "request-invalid")
        deep = await fleet.http.post("/api/v1/keys", content=b"[" * 100_000)
        odd = await fleet.http.post("/api/v1/keys", content=b"\xff{", headers={"Content-Type": "application/json"})

        for answer in (deep, odd):
            assert (answer.status_code, answer.json()["code"]) == (400, "request-invalid")


async def test_what_goes_wrong_unforeseen_is_a_problem_document_and_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_fleet(tmp_path) as fleet:

        async def fail(*_: Any, **__: Any) -> Any:
            raise ZeroDivisionError("secret detail")

        monkeypatch.setattr(type(fleet.serving.services.audit), "tail", fail)
        answer = await fleet.http.get("/api/v1/audit")

        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        assert "secret detail" not in answer.text
        assert "a request failed" in [record.getMessage() for record in caplog.records]


async def test_a_position_beyond_all_numbers_does_not_end_the_store(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        with anyio.fail_after(5):
            for after in (10**30, -(10**30), 2**63):
                await fleet.http.get(f"/api/v1/audit?after={after}")
            assert (await fleet.http.get("/api/v1/audit")).status_code == 200


async def test_a_long_idempotency_key_is_refused_not_cut(tmp_path: Path) -> None:
    """Two keys that differ late are two keys."""
    async with run_fleet(tmp_path) as fleet:
        executor = ScriptedExecutor(hello)
        await fleet.add("prod", executor)

        answer = await fleet.http.post(
            "/api/v1/clusters/prod/commands", json=PODS, headers={"Idempotency-Key": "k" * 257}
        )

        assert (answer.status_code, answer.json()["code"]) == (400, "request-invalid")
        assert executor.requests == []


@pytest.mark.parametrize(
    "path",
    [
        "/clusters/prod%2Fk8s/k8s/api",
        "//clusters/prod/k8s/api/v1/pods",
        "/clusters/prod/k8s//api/v1/pods",
        "/clusters/prod/k8s/api/v1/../v1/pods",
        "/clusters/prod/k8s/%2e%2e/api",
        "//api/v1/clusters/prod/commands",
        "/api//v1/clusters/prod/commands",
        "/api/v1/clusters/prod/commands/",
        "/api/v1/clusters/prod%2Fx/commands",
        "/docs/../api/v1/clusters",
        "/healthz/../api/v1/clusters",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS", "DELETE"])
async def test_odd_paths_reach_nothing_and_need_a_key_like_all_others(tmp_path: Path, path: str, method: str) -> None:
    async with run_fleet(tmp_path) as fleet:
        executor = ScriptedExecutor(hello)
        await fleet.add("prod", executor)
        viewer = (await key(fleet, "viewer", "viewer"))["Authorization"]

        anonymous = await _raw(fleet, method, path)
        known = await _raw(fleet, method, path, f"Authorization: {viewer}\r\n")

        assert anonymous.startswith((b"HTTP/1.1 401", b"HTTP/1.1 400")), anonymous
        assert known.startswith((b"HTTP/1.1 40", b"HTTP/1.1 405")), known
        assert executor.requests == []


async def test_of_two_credentials_the_first_counts_and_both_forms_agree(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        viewer = (await key(fleet, "viewer", "viewer"))["Authorization"]
        admin = fleet.http.headers["Authorization"]

        answer = await _raw(fleet, "GET", "/api/v1/whoami", f"Authorization: {viewer}\r\nAuthorization: {admin}\r\n")

        assert b'"key:viewer"' in answer


async def _raw(fleet: RunningFleet, method: str, path: str, headers: str = "") -> bytes:
    async with await anyio.connect_tcp("127.0.0.1", fleet.serving.port) as stream:
        lines = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: 2\r\n\r\n{{}}"
        await stream.send(lines.encode())
        received = b""
        with anyio.fail_after(5):
            try:
                while True:
                    received += await stream.receive()
            except anyio.EndOfStream:
                return received


# ---------------------------------------------------------------------- who may what


async def test_health_detail_names_no_hidden_cluster(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        token = await fleet.serving.services.tokens.create("hidden")  # type: ignore[arg-type]
        await fleet.dial("hidden", token, ScriptedExecutor(hello), kube_system_uid="one")
        await fleet.wait_for(lambda: fleet.serving.services.fleet.sessions() == 1)
        await fleet.dial("hidden", token, ScriptedExecutor(hello), kube_system_uid="two", instance="other")
        await fleet.wait_for(lambda: bool(fleet.serving.services.fleet.describe("hidden").problem))  # type: ignore[arg-type]
        narrow = await key(fleet, "narrow", "viewer", ("prod-*",))

        assert "hidden" in (await fleet.http.get("/health")).text
        assert "hidden" not in (await fleet.http.get("/health", headers=narrow)).text


async def test_an_administrator_of_some_clusters_gets_no_further(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        for cluster in ("prod-eu", "staging"):
            await fleet.add(cluster, ScriptedExecutor(hello))
        narrow = await key(fleet, "narrow", "admin", ("prod-*",))
        http = fleet.http

        wider = await http.post("/api/v1/keys", json={"name": "wide", "role": "viewer"}, headers=narrow)
        other = await http.post(
            "/api/v1/keys", json={"name": "o", "role": "viewer", "clusters": ["prod-eu", "st*"]}, headers=narrow
        )
        same = await http.post(
            "/api/v1/keys", json={"name": "s", "role": "viewer", "clusters": ["prod-*", "prod-eu"]}, headers=narrow
        )
        token = await http.post("/api/v1/clusters/staging/tokens?rotate=true", headers=narrow)
        revoked = await http.delete("/api/v1/clusters/staging/tokens", headers=narrow)
        removed = await http.delete("/api/v1/clusters/staging", headers=narrow)
        listed = await http.get("/api/v1/tokens", headers=narrow)
        audit = await http.get("/api/v1/audit?after=0", headers=narrow)
        own = await http.delete("/api/v1/keys/s", headers=narrow)
        stranger = await key(fleet, "stranger", "admin", ("x",))
        foreign = await http.delete("/api/v1/keys/narrow", headers=stranger)

        assert (wider.status_code, other.status_code, same.status_code) == (403, 403, 201)
        assert (token.status_code, revoked.status_code, removed.status_code) == (404, 404, 404)
        assert [t["cluster"] for t in listed.json()] == ["prod-eu"]
        assert audit.status_code == 403
        assert (own.status_code, foreign.status_code) == (204, 403)
        assert {c["id"] for c in (await http.get("/api/v1/clusters")).json()} == {"prod-eu", "staging"}


async def test_no_key_can_be_named_like_the_one_from_the_environment(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        answer = await fleet.http.post("/api/v1/keys", json={"name": "admin", "role": "viewer"})

        assert answer.status_code == 409


async def test_a_removed_cluster_stays_removed_while_its_executor_dials_on(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        token = await fleet.serving.services.tokens.create("prod")  # type: ignore[arg-type]
        stop = anyio.Event()

        async def dial_on() -> None:
            while not stop.is_set():
                try:
                    await fleet.dial("prod", token, ScriptedExecutor(hello))
                except Exception:  # refused, or cut while it dials
                    pass
                await anyio.sleep(0)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dial_on)
            await fleet.wait_for(lambda: fleet.serving.services.fleet.sessions() > 0)
            assert (await fleet.http.delete("/api/v1/clusters/prod")).status_code == 204
            gone = await fleet.http.get("/api/v1/clusters/prod")
            stop.set()

        assert gone.status_code == 404
        assert (await fleet.http.get("/api/v1/clusters")).json() == []


async def test_secrets_in_a_refused_argument_list_are_not_in_the_audit_log(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        await fleet.add("prod", ScriptedExecutor(hello))

        for argv in (["get", "pods", "--token", "hunter2hunter2"], ["get", "pods", "--token=hunter2hunter2"]):
            await fleet.http.post("/api/v1/clusters/prod/commands", json={"argv": argv})

        page, _ = await fleet.serving.services.audit.tail()
        assert len(page) >= 2
        assert not [record.what for record in page if "hunter2" in record.what]


# ---------------------------------------------------------------------- clients that go away


async def test_a_client_that_leaves_a_fan_out_leaves_nothing_behind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def forever(request: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
        while True:
            await emit(records.encode(records.STDOUT, b"x" * 30_000))

    async with run_fleet(tmp_path) as fleet:
        for cluster in ("a", "b", "c"):
            await fleet.add(cluster, ScriptedExecutor(forever))
        before = len(asyncio.all_tasks())
        async with fleet.http.stream("POST", "/api/v1/commands", json={**PODS, "all": True}) as response:
            assert response.status_code == 200
            await fleet.wait_for(lambda: fleet.serving.services.fleet.streams() == 3)
            await anyio.sleep(0.1)  # the answer fills every buffer on its way, so that the writer stands

        await fleet.wait_for(lambda: fleet.serving.services.fleet.streams() == 0)
        await fleet.wait_for(lambda: len(asyncio.all_tasks()) <= before)
        with anyio.fail_after(5):
            while len(await audit_outcomes(fleet)) < 3:
                await anyio.sleep(0.01)

        assert await audit_outcomes(fleet) == ["cancelled"] * 3
    assert not [r for r in caplog.records if r.levelname == "ERROR"]


async def test_a_client_that_leaves_a_diagnosis_leaves_nothing_behind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = anyio.Event()

    async def never(scope: Any, receive: Any, send: Any) -> None:
        asked.set()
        await anyio.sleep_forever()

    async with run_fleet(tmp_path) as fleet:
        await fleet.add("a", ScriptedExecutor(hello, kubernetes=never))
        before = len(asyncio.all_tasks())
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                await fleet.http.post("/api/v1/diagnoses", json={"all": True})

            tasks.start_soon(ask)
            await asked.wait()
            tasks.cancel_scope.cancel()

        await fleet.wait_for(lambda: fleet.serving.services.fleet.streams() == 0)
        await fleet.wait_for(lambda: len(asyncio.all_tasks()) <= before)
        with anyio.fail_after(5):
            while not await audit_outcomes(fleet):
                await anyio.sleep(0.01)
        assert await audit_outcomes(fleet) == ["cancelled"]
    assert not [r for r in caplog.records if r.levelname == "ERROR"]


@pytest.mark.parametrize(
    ("path", "body"), [("/api/v1/clusters/a/commands", PODS), ("/api/v1/diagnoses", {"clusters": ["a"]})]
)
async def test_a_silent_answer_is_kept_alive_from_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, body: Any
) -> None:
    """Clients and proxies give up on a minute of silence, and a followed log may be quiet for longer."""
    monkeypatch.setattr(ndjson, "KEEP_ALIVE", 0.05)

    async def quiet(request: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
        await anyio.sleep_forever()
        return EXITED

    async def kubernetes(scope: Any, receive: Any, send: Any) -> None:
        await anyio.sleep_forever()

    async with run_fleet(tmp_path) as fleet:
        await fleet.add("a", ScriptedExecutor(quiet, kubernetes=kubernetes))
        with anyio.fail_after(5):
            async with fleet.http.stream("POST", path, json=body, headers=NDJSON) as response:
                lines = response.aiter_raw()
                assert await anext(lines) == b"\n"


async def test_a_watch_that_its_client_ends_is_cancelled_in_the_audit_log(tmp_path: Path) -> None:
    async def watch(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}", "more_body": True})
        await anyio.sleep_forever()

    async with run_fleet(tmp_path) as fleet:
        await fleet.add("a", ScriptedExecutor(hello, kubernetes=watch))
        async with fleet.http.stream("GET", "/clusters/a/k8s/api/v1/pods?watch=true") as response:
            assert response.status_code == 200
            await anext(response.aiter_raw())
        with anyio.fail_after(5):
            while not await audit_outcomes(fleet):
                await anyio.sleep(0.01)

        assert await audit_outcomes(fleet) == ["cancelled"]


async def test_watches_leave_room_for_commands(tmp_path: Path) -> None:
    async def watch(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}", "more_body": True})
        await anyio.sleep_forever()

    async with run_fleet(tmp_path) as fleet:
        await fleet.add("a", ScriptedExecutor(hello, kubernetes=watch))
        # One key's share: three times what it leaves free.
        path, most = "/clusters/a/k8s/api/v1/pods?watch=true", LimitSettings().requests_per_cluster * 3 // 4
        async with (
            contextlib.AsyncExitStack() as stack,
            httpx.AsyncClient(
                base_url=fleet.url,
                headers=fleet.http.headers,
                limits=httpx.Limits(max_connections=most + 10),
                trust_env=False,
            ) as http,
        ):
            for _ in range(most):
                await stack.enter_async_context(http.stream("GET", path))

            refused = await http.get(path)
            command = await http.post("/api/v1/clusters/a/commands", json=PODS)

        assert (refused.status_code, refused.json()["reason"]) == (429, "TooManyRequests")
        assert command.json()["stdout"] == "hello"


async def test_every_started_record_has_an_end_however_early_the_client_goes(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        await fleet.add("prod", ScriptedExecutor(hello))
        body = json.dumps(PODS).encode()
        admin = fleet.http.headers["Authorization"]
        head = f"POST /api/v1/clusters/prod/commands HTTP/1.1\r\nHost: x\r\nAuthorization: {admin}\r\n"
        for delay in range(30):
            async with await anyio.connect_tcp("127.0.0.1", fleet.serving.port) as stream:
                await stream.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                for _ in range(delay):
                    await anyio.sleep(0)
        await fleet.http.post("/api/v1/clusters/prod/commands", json=PODS)  # after all that came before it
        await fleet.wait_for(lambda: fleet.serving.services.fleet.streams() == 0)
        with anyio.fail_after(10):
            while True:
                page, _ = await fleet.serving.services.audit.tail(limit=1000)
                started = {r.id for r in page if r.event.value == "started"}
                if started and started == {r.id for r in page if r.event.value == "ended"}:
                    return
                await anyio.sleep(0.02)


# ---------------------------------------------------------------------- sockets that only wait


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def test_a_head_without_end_is_cut() -> None:
    async with listen.listen(nothing, ("127.0.0.1", 0)) as port, await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ")
        with anyio.fail_after(10), pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
            for _ in range(1000):
                await stream.send(b"a" * 10_000)
                await anyio.sleep(0.001)


@pytest.mark.parametrize("begin", [b"", b"GET / HT", b"\r\n"])
async def test_a_head_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, begin: bytes) -> None:
    monkeypatch.setattr(listen.http, "HEAD_TIMEOUT", 0.1)
    async with listen.listen(nothing, ("127.0.0.1", 0)) as port, await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(begin)
        with anyio.fail_after(5), pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
            while True:
                await stream.receive()


async def test_a_kept_connection_and_a_slow_body_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen.http, "HEAD_TIMEOUT", 0.1)
    bodies: list[bytes] = []

    async def reads(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message["more_body"]:
                break
        bodies.append(body)
        await nothing(scope, receive, send)

    async def slow() -> Any:
        for _ in range(3):
            yield b"x"
            await anyio.sleep(0.1)

    async with (
        listen.listen(reads, ("127.0.0.1", 0)) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http,
    ):
        assert (await http.post("/", content=slow())).text == "ok"
        await anyio.sleep(0.3)
        assert (await http.post("/", content=b"again")).text == "ok"
    assert bodies == [b"xxx", b"again"]


async def test_a_certificate_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    cert, private = tmp_path / "tls.crt", tmp_path / "tls.key"
    cert.write_text("no certificate")
    for key_path in (private, cert):
        with pytest.raises(ConfigError, match="certificate"):
            async with listen.listen(nothing, ("127.0.0.1", 0), cert=cert, key=key_path):
                pass
