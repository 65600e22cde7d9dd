"""Commands from REST to executor and back: output, failures, idempotency, fan-out, audit."""

import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from kubently.schema import AuditEvent, ClusterState
from kubently.settings import LimitSettings
from kubently.testing import RunningFleet, ScriptedExecutor, run_fleet
from kubently.wire import records

pytestmark = pytest.mark.anyio

Emit = Callable[[bytes], Awaitable[None]]
EXITED = {"ending": "exited", "exit_code": 0, "seconds": 0.01, "stdout_bytes": 5, "stderr_bytes": 0}
PODS = {"argv": ["get", "pods"]}


async def hello(request: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
    await emit(records.encode(records.STDOUT, b"hello"))
    return EXITED


async def audit_of(fleet: RunningFleet) -> list[tuple[str, str, str]]:
    page, _ = await fleet.serving.services.audit.tail()
    return [(record.event.value, record.what, record.outcome) for record in page]


async def test_a_command_is_answered_with_its_outcome(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        executor = ScriptedExecutor(hello)
        await fleet.add("prod", executor)

        response = await fleet.http.post("/api/v1/clusters/prod/commands", json=PODS)

        assert response.status_code == 200
        outcome = response.json()
        assert (outcome["stdout"], outcome["exit_code"], outcome["ending"]) == ("hello", 0, "exited")
        assert executor.requests[0]["argv"] == ["get", "pods"]
        assert executor.headers[0][b"x-kubently-principal"] == b"key:admin"
        assert await audit_of(fleet) == [
            ("started", "get pods", ""),
            ("ended", "get pods", "exited 0"),
        ]


async def test_the_audit_record_stands_before_the_command_is_sent(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        seen: list[list[tuple[str, str, str]]] = []

        async def look(request: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
            seen.append(await audit_of(fleet))
            return EXITED

        await fleet.add("prod", ScriptedExecutor(look))
        await fleet.http.post("/api/v1/clusters/prod/commands", json=PODS)

        assert seen == [[("started", "get pods", "")]]


async def test_output_streams_as_ndjson_and_bytes_that_are_no_text_survive(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:

        async def both(request: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
            await emit(records.encode(records.STDOUT, b"\xff\x00raw"))
            await emit(records.encode(records.STDERR, "wörter\n".encode()))
            return {**EXITED, "exit_code": 3}

        await fleet.add("prod", ScriptedExecutor(both))
        headers = {"Accept": "application/x-ndjson"}
        response = await fleet.http.post("/api/v1/clusters/prod/commands", json=PODS, headers=headers)
        whole = await fleet.http.post("/api/v1/clusters/prod/commands", json=PODS)

        lines = [json.loads(line) for line in response.text.splitlines()]
        assert base64.b64decode(lines[0]["stdout_base64"]) == b"\xff\x00raw"
        assert lines[1] == {"cluster": "prod", "stderr": "wörter\n"}
        assert lines[2]["outcome"]["exit_code"] == 3
        assert whole.json()["base64"]
        assert base64.b64decode(whole.json()["stdout"]) == b"\xff\x00raw"


async def test_ten_mebibytes_arrive_whole(tmp_path: Path) -> None:
    body = bytes(range(256)) * 4096 * 10

    async def big(request: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
        for i in range(0, len(body), 32768):
            await emit(records.encode(records.STDOUT, body[i : i + 32768]))
        return EXITED

    async with run_fleet(tmp_path) as fleet:
        await fleet.add("prod", ScriptedExecutor(big))

        outcome = (await fleet.http.post("/api/v1/clusters/prod/commands", json=PODS)).json()

        assert base64.b64decode(outcome["stdout"]) == body


async def test_a_reader_that_stops_does_not_delay_another(tmp_path: Path) -> None:
    async def talk(request: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
        while request["argv"] == ["get", "events"]:
            await emit(records.encode(records.STDOUT, b"x" * 30_000))
        return await hello(request, emit)

    async with run_fleet(tmp_path) as fleet:
        await fleet.add("prod", ScriptedExecutor(talk))
        headers = {"Accept": "application/x-ndjson"}
        url = "/api/v1/clusters/prod/commands"
        async with fleet.http.stream("POST", url, json={"argv": ["get", "events"]}, headers=headers) as stuck:
            assert stuck.status_code == 200  # and never read
            for _ in range(20):
                with anyio.fail_after(5):
                    outcome = (await fleet.http.post(url, json=PODS)).json()
                assert outcome["stdout"] == "hello"


async def test_a_caller_that_goes_away_cancels_the_command(tmp_path: Path) -> None:
    began, cancelled = anyio.Event(), anyio.Event()

    async def forever(request: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
        began.set()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()
        return EXITED

    async with run_fleet(tmp_path) as fleet:
        await fleet.add("prod", ScriptedExecutor(forever))
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                await fleet.http.post("/api/v1/clusters/prod/commands", json=PODS)

            tasks.start_soon(ask)
            await began.wait()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(5):
            await cancelled.wait()
        records_now: list[tuple[str, str, str]] = []
        with anyio.fail_after(5):
            while len(records_now) < 2:
                records_now = await audit_of(fleet)
                await anyio.sleep(0.01)
        assert records_now[-1] == ("ended", "get pods", "cancelled")


async def test_an_executor_lost_in_mid_command_is_an_error_at_once(tmp_path: Path) -> None:
    """Never a wait until the time-out: the request asks for an hour."""

    async def die(request: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
        await emit(records.encode(records.STDOUT, b"half"))
        fleet.sessions["prod"]._link._transport.abort()  # type: ignore[attr-defined]  # as kill -9 does
        await anyio.sleep_forever()
        return EXITED

    async with run_fleet(tmp_path) as fleet:
        await fleet.add("prod", ScriptedExecutor(die))
        body = {"argv": ["get", "pods"], "timeout": 3600}
        with anyio.fail_after(5):
            response = await fleet.http.post("/api/v1/clusters/prod/commands", json=body)
            after = await audit_of(fleet)

        assert response.status_code == 502
        assert response.json()["code"] == "command-unknown"
        assert "lost while the command ran" in response.json()["detail"]
        assert after[-1] == ("ended", "get pods", "command-unknown")
        assert fleet.state("prod") is ClusterState.DISCONNECTED


async def test_an_answer_without_status_is_no_success(tmp_path: Path) -> None:
    async def broken(request: Mapping[str, Any], emit: Emit) -> None:
        await emit(records.encode(records.STDOUT, b"half"))

    async with run_fleet(tmp_path) as fleet:
        await fleet.add("prod", ScriptedExecutor(broken))

        response = await fleet.http.post("/api/v1/clusters/prod/commands", json=PODS)

        assert (response.status_code, response.json()["code"]) == (502, "command-unknown")


async def test_a_cluster_that_is_offline_is_said_at_once_or_waited_for(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        token = await fleet.serving.services.tokens.create("never")  # type: ignore[arg-type]
        with anyio.fail_after(2):
            never = await fleet.http.post("/api/v1/clusters/never/commands", json=PODS)
        assert never.status_code == 503
        assert never.json()["code"] == "executor-offline"
        assert never.json()["retryable"]

        session = await fleet.dial("never", token, ScriptedExecutor(hello))
        await fleet.wait_for(lambda: fleet.state("never") is ClusterState.CONNECTED)
        session.close("restart")
        await fleet.wait_for(lambda: fleet.state("never") is ClusterState.DISCONNECTED)
        async with anyio.create_task_group() as tasks:

            async def back() -> None:
                await anyio.sleep(0.2)
                await fleet.dial("never", token, ScriptedExecutor(hello))

            tasks.start_soon(back)
            waited = await fleet.http.post("/api/v1/clusters/never/commands", json=PODS)
        assert waited.json()["stdout"] == "hello"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/api/v1/clusters/nosuch/commands", PODS, 404, "cluster-not-found"),
        ("/api/v1/clusters/Bad_Name/commands", PODS, 400, "request-invalid"),
        ("/api/v1/clusters/prod/commands", {"argv": []}, 400, "request-invalid"),
        ("/api/v1/clusters/prod/commands", {"argv": ["get"], "timeout": -1}, 400, "request-invalid"),
        ("/api/v1/clusters/prod/commands", {"argv": ["get"], "nonsense": 1}, 400, "request-invalid"),
        ("/api/v1/clusters/prod/commands", {"argv": ["delete", "pod", "x"]}, 403, "command-denied"),
        ("/api/v1/clusters/prod/commands", {"argv": ["get", "secrets", "-A"]}, 403, "command-denied"),
        ("/api/v1/clusters/prod/commands", {"argv": ["get", "pods", "--nonsense"]}, 400, "command-invalid"),
        ("/api/v1/commands", {"argv": ["get", "pods"]}, 400, "request-invalid"),
        ("/api/v1/commands", {"argv": ["get", "pods"], "clusters": ["nosuch"]}, 404, "cluster-not-found"),
        ("/api/v1/commands", {"argv": ["get", "pods"], "selector": "a in ("}, 400, "request-invalid"),
    ],
)
async def test_what_is_wrong_is_said(tmp_path: Path, path: str, body: Any, status: int, code: str) -> None:
    async with run_fleet(tmp_path) as fleet:
        executor = ScriptedExecutor(hello)
        await fleet.add("prod", executor)

        response = await fleet.http.post(path, json=body)

        assert (response.status_code, response.json()["code"]) == (status, code), response.text
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["request_id"] == response.headers["x-request-id"]
        assert executor.requests == []


async def test_the_executors_refusal_arrives_as_it_said_it(tmp_path: Path) -> None:
    """The executor's word is the last: a command that the control plane let through is refused there."""

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass
        problem = {"code": "command-denied", "detail": "not here", "hint": "ask", "details": {"rule": "local"}}
        await send({"type": "http.response.start", "status": 403, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(problem).encode()})

    async with run_fleet(tmp_path) as fleet:
        await fleet.add("prod", refuse)

        response = await fleet.http.post("/api/v1/clusters/prod/commands", json=PODS)

        assert response.status_code == 403
        assert response.json()["detail"] == "not here"
        assert response.json()["details"] == {"rule": "local"}
        assert (await audit_of(fleet))[-1] == ("ended", "get pods", "command-denied")


async def test_the_same_idempotency_key_is_bound_to_one_run(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        executor = ScriptedExecutor(hello)
        await fleet.add("prod", executor)
        url, key = "/api/v1/clusters/prod/commands", {"Idempotency-Key": "once"}

        first = await fleet.http.post(url, json=PODS, headers=key)
        again = await fleet.http.post(url, json=PODS, headers=key)
        other = await fleet.http.post(url, json={"argv": ["get", "nodes"]}, headers=key)

        assert first.json()["id"] == again.json()["id"]
        assert [r.get("replay", False) for r in executor.requests] == [False, True]
        assert executor.requests[0]["id"] == executor.requests[1]["id"]
        assert (other.status_code, other.json()["code"]) == (422, "idempotency-conflict")


async def test_a_new_key_of_an_old_name_gets_no_outcome_from_beyond_its_limits(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        executor = ScriptedExecutor(hello)
        await fleet.add("prod", executor)
        ids = []
        for limits in ([], [{"namespaces": ["shop"]}]):
            made = await fleet.http.post("/api/v1/keys", json={"name": "bob", "limits": limits})
            headers = {"Authorization": f"Bearer {made.json()['key']}", "Idempotency-Key": "once"}
            answer = await fleet.http.post("/api/v1/clusters/prod/commands", json=PODS, headers=headers)
            ids.append(answer.json()["id"])
            assert (await fleet.http.delete("/api/v1/keys/bob")).status_code == 204

        assert len(set(ids)) == 2
        assert not any(request.get("replay") for request in executor.requests)


async def test_a_key_whose_executor_is_gone_has_an_unknown_end(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        executor = ScriptedExecutor(hello)
        session = await fleet.add("prod", executor, instance="first")
        url, key = "/api/v1/clusters/prod/commands", {"Idempotency-Key": "once"}
        await fleet.http.post(url, json=PODS, headers=key)
        session.close("gone")
        token = await fleet.serving.services.tokens.rotate("prod")  # type: ignore[arg-type]
        await fleet.dial("prod", token, executor, instance="second")
        await fleet.wait_for(lambda: fleet.state("prod") is ClusterState.CONNECTED)

        again = await fleet.http.post(url, json=PODS, headers=key, timeout=20)

        assert (again.status_code, again.json()["code"]) == (502, "command-unknown")
        assert len(executor.requests) == 1


async def test_too_many_commands_are_refused_with_the_limits_name(tmp_path: Path) -> None:
    began = anyio.Event()

    async def forever(request: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
        began.set()
        await anyio.sleep_forever()
        return EXITED

    async with run_fleet(tmp_path, limits=LimitSettings(commands_per_cluster=1)) as fleet:
        await fleet.add("prod", ScriptedExecutor(forever))
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                await fleet.http.post("/api/v1/clusters/prod/commands", json=PODS)

            tasks.start_soon(ask)
            await began.wait()
            refused = await fleet.http.post("/api/v1/clusters/prod/commands", json=PODS)
            tasks.cancel_scope.cancel()

        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["details"] == {"limit": "commands-per-cluster"}


async def test_many_clusters_answer_as_they_come_and_failures_are_outcomes_too(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:

        async def slow(request: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
            await anyio.sleep(0.3)
            return await hello(request, emit)

        await fleet.add("fast", ScriptedExecutor(hello), labels={"env": "prod"})
        await fleet.add("slow", ScriptedExecutor(slow), labels={"env": "prod"})
        await fleet.add("other", ScriptedExecutor(hello), labels={"env": "dev"})
        (await fleet.add("gone", ScriptedExecutor(hello), labels={"env": "prod"})).close("gone")

        response = await fleet.http.post("/api/v1/commands", json={**PODS, "selector": "env=prod"}, timeout=20)
        everything = await fleet.http.post("/api/v1/commands", json={**PODS, "all": True}, timeout=20)

        lines = [json.loads(line) for line in response.text.splitlines() if line]
        assert lines[0] == {"clusters": ["fast", "gone", "slow"]}
        ends = [line for line in lines if "outcome" in line]
        assert [end["cluster"] for end in ends] == ["fast", "slow", "gone"]
        assert ends[2]["outcome"]["error"]["code"] == "executor-offline"
        assert {json.loads(x)["cluster"] for x in everything.text.splitlines() if "outcome" in x} >= {"other", "fast"}


async def test_denied_commands_are_in_the_audit_log(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        await fleet.add("prod", ScriptedExecutor(hello))
        await fleet.http.post("/api/v1/clusters/prod/commands", json={"argv": ["delete", "pods", "--all"]})

        page = (await fleet.http.get("/api/v1/audit")).json()

        assert [(r["event"], r["what"], r["outcome"]) for r in page["records"]] == [
            (AuditEvent.DENIED, "delete pods --all", "command-denied")
        ]
