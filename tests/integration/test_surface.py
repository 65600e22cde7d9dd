"""What the API shows: health, metrics, documents, hosts and origins, garbage on its socket."""

import asyncio
import json
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from kubently.schema import ClusterState
from kubently.testing import RunningFleet, ScriptedExecutor, run_fleet
from kubently.tunnel.transports.websocket import PATH

pytestmark = pytest.mark.anyio


async def hello(request: Any, emit: Any) -> dict[str, Any]:
    return {"ending": "exited", "exit_code": 0}


async def test_health_is_a_status_for_everybody_and_detail_with_a_key(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet, httpx.AsyncClient(base_url=fleet.url, trust_env=False) as nobody:
        for path in ("/health", "/healthz", "/readyz"):
            assert (await nobody.get(path)).json() == {"status": "ok"}
        detail = (await fleet.http.get("/health")).json()
        assert detail["status"] == "ok"
        assert detail["store"] == "ok"
        assert detail["executors"] == 0


async def test_a_failed_store_is_seen_in_readiness_and_not_in_liveness(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        await fleet.serving.services.store.aclose()

        assert (await fleet.http.get("/healthz")).status_code == 200
        ready = await fleet.http.get("/readyz")
        refused = await fleet.http.get("/api/v1/keys")

        assert (ready.status_code, ready.json()["status"]) == (503, "the store is closed")
        assert refused.status_code in (200, 503)


async def test_metrics_need_a_key_on_the_main_port_and_none_on_their_own(tmp_path: Path) -> None:
    async with run_fleet(tmp_path, metrics_listen=("127.0.0.1", 0)) as fleet:
        await fleet.add("prod", ScriptedExecutor(hello))
        await fleet.http.post("/api/v1/clusters/prod/commands", json={"argv": ["get", "pods"]})

        text = (await fleet.http.get("/metrics")).text

        assert 'kubently_tunnel_connections{transport="websocket"} 1.0' in text
        assert 'kubently_commands_total{ending="exited"} 1.0' in text
        assert 'kubently_tunnel_accepts_total{result="ok"} 1.0' in text
        own = f"http://127.0.0.1:{fleet.serving.metrics_port}"
        async with httpx.AsyncClient(base_url=own, trust_env=False) as nobody:
            assert 'kubently_tunnel_connections{transport="websocket"} 1.0' in (await nobody.get("/metrics")).text
            assert (await nobody.get("/healthz")).status_code == 200
            assert (await nobody.get("/api/v1/clusters")).status_code == 404


async def test_the_openapi_document_describes_every_route(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet, httpx.AsyncClient(base_url=fleet.url, trust_env=False) as nobody:
        document = (await nobody.get("/openapi.json")).json()
        page = await nobody.get("/docs")

        assert document["openapi"].startswith("3.1")
        assert {
            "/api/v1/clusters",
            "/api/v1/clusters/{cluster_id}/commands",
            "/api/v1/commands",
            "/api/v1/diagnoses",
            "/api/v1/audit",
            "/clusters/{cluster_id}/k8s/{path}",
        } <= set(document["paths"])
        references = set(_references(document))
        assert references <= {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
        assert "/api/v1/commands" in page.text
        assert "<script" not in page.text


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [r for item in value.values() for r in _references(item)]
    return [r for item in value for r in _references(item)] if isinstance(value, list) else []


async def test_unknown_paths_and_methods_are_problems(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        for method, path in (("GET", "/nothing"), ("GET", "/api/v1/nothing"), ("PATCH", "/api/v1/clusters")):
            response = await fleet.http.request(method, path)
            assert response.status_code == 404
            assert response.json()["code"] == "not-found"


async def test_other_hosts_and_origins_are_refused(tmp_path: Path) -> None:
    """What a rebound DNS name or another site's page would send."""
    async with run_fleet(tmp_path, hosts=("127.0.0.1", "localhost")) as fleet:
        assert (await fleet.http.get("/api/v1/clusters")).status_code == 200
        rebound = await fleet.http.get("/api/v1/clusters", headers={"Host": "evil.example"})
        page = await fleet.http.get("/api/v1/clusters", headers={"Origin": "https://evil.example"})
        own = await fleet.http.get("/api/v1/clusters", headers={"Origin": fleet.url})

        assert rebound.status_code == page.status_code == 403
        assert own.status_code == 200


async def test_a_request_id_is_taken_over_or_made(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        given = await fleet.http.get("/nothing", headers={"X-Request-Id": "abc-1"})
        wild = await fleet.http.get("/nothing", headers={"X-Request-Id": "a b\tc" * 100})

        assert given.json()["request_id"] == "abc-1"
        assert len(wild.json()["request_id"]) == 16


async def _raw(fleet: RunningFleet, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", fleet.serving.port)
    writer.write(data)
    try:
        with anyio.fail_after(5):
            return await reader.read(4096)
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "data", [b"\x00\xff\x16\x03\x01garbage\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHo st: b\r\n\r\n"]
)
async def test_garbage_on_the_socket_is_a_400(tmp_path: Path, data: bytes) -> None:
    async with run_fleet(tmp_path) as fleet:
        assert (await _raw(fleet, data)).startswith(b"HTTP/1.1 400")
        assert (await fleet.http.get("/healthz")).status_code == 200


async def _websocket(fleet: RunningFleet, token: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", fleet.serving.port)
    writer.write(
        f"GET {PATH} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: kubently.v1\r\n"
        f"X-Kubently-Cluster: prod\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 101 " in head.splitlines()[0] + b" ", head
    return reader, writer


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65536)
    except ConnectionError:
        return b""


def _frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    length = len(payload)
    head = bytes([opcode | (0x80 if fin else 0)])
    if length < 126:
        size = bytes([0x80 | length])
    elif length < 65536:
        size = b"\xfe" + length.to_bytes(2, "big")
    else:
        size = b"\xff" + length.to_bytes(8, "big")
    return head + size + b"\0\0\0\0" + payload


@pytest.mark.parametrize(
    "payload",
    [
        _frame(2, b"\x00"),
        _frame(2, b"\x09" * 50),
        _frame(2, b"\x04\x00\x00\x00\x00\x00not json"),
        _frame(1, b"text is not spoken here"),
        _frame(2, b"x" * 300_000),
        b"\xff" * 100,
        _frame(2, b"\x00\x00", fin=False) * 3,
    ],
)
async def test_an_executor_that_speaks_nonsense_is_cut_and_others_go_on(tmp_path: Path, payload: bytes) -> None:
    """W1, W2: truncated, oversized, unmasked-looking and fragmented frames end that session and nothing else."""
    async with run_fleet(tmp_path) as fleet:
        await fleet.add("good", ScriptedExecutor(hello))
        token = await fleet.serving.services.tokens.create("prod")  # type: ignore[arg-type]
        reader, writer = await _websocket(fleet, token)
        writer.write(payload)
        with anyio.fail_after(5):
            said = b""
            while b"\x88" not in said and (chunk := await _read(reader)):  # a close frame, or the end
                said += chunk
        writer.close()

        assert fleet.state("prod") is ClusterState.NEVER
        ran = await fleet.http.post("/api/v1/clusters/good/commands", json={"argv": ["get", "pods"]})
        assert ran.json()["exit_code"] == 0


async def test_a_fragmented_message_is_put_together(tmp_path: Path) -> None:
    settings = {"version": 1, "window": 1000, "max_streams": 5, "info": {"version": "x"}}
    message = b"\x04\x00\x00\x00\x00\x00" + json.dumps(settings).encode()
    async with run_fleet(tmp_path) as fleet:
        token = await fleet.serving.services.tokens.create("prod")  # type: ignore[arg-type]
        _, writer = await _websocket(fleet, token)
        writer.write(_frame(2, message[:7], fin=False) + _frame(0, message[7:9], fin=False) + _frame(0, message[9:]))

        await fleet.wait_for(lambda: fleet.state("prod") is ClusterState.CONNECTED)
        writer.close()


async def test_a_plain_websocket_elsewhere_is_refused(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        answer = await _raw(
            fleet,
            b"GET /elsewhere HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        )
        assert answer.startswith(b"HTTP/1.1 403")


async def test_kubernetes_requests_stream_through_and_refusals_are_status_objects(tmp_path: Path) -> None:
    seen: list[dict[bytes, bytes]] = []

    async def kubernetes(scope: Any, receive: Any, send: Any) -> None:
        seen.append({**dict(scope["headers"]), b":path": scope["raw_path"] + b"?" + scope["query_string"]})
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": b'{"kind":"PodList"}'})

    async with run_fleet(tmp_path) as fleet:
        await fleet.add("prod", ScriptedExecutor(hello, kubernetes=kubernetes))
        base = "/clusters/prod/k8s"

        pods = await fleet.http.get(f"{base}/api/v1/pods?limit=5", headers={"Impersonate-User": "root", "Cookie": "x"})
        write = await fleet.http.delete(f"{base}/api/v1/namespaces/x/pods/y")
        secret = await fleet.http.get(f"{base}/api/v1/secrets")
        odd = await fleet.http.get(f"{base}/api/v1/namespaces/default%2Fsecrets")
        unknown = await fleet.http.get("/clusters/nosuch/k8s/api")

        assert pods.json() == {"kind": "PodList"}
        assert seen[0][b":path"] == b"/k8s/api/v1/pods?limit=5"
        assert not {b"authorization", b"cookie", b"impersonate-user", b"host"} & set(seen[0])
        for refused, code in ((write, 403), (secret, 403), (odd, 400), (unknown, 404)):
            assert (refused.status_code, refused.json()["kind"], refused.json()["code"]) == (code, "Status", code)
        assert len(seen) == 1


async def test_a_cluster_with_a_token_is_listed_before_it_comes(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        await fleet.add("here", ScriptedExecutor(hello))
        await fleet.http.post("/api/v1/clusters/expected/tokens")

        listed = (await fleet.http.get("/api/v1/clusters")).json()
        asked = await fleet.http.post("/api/v1/clusters/expected/commands", json={"argv": ["get", "pods"]})

        assert [(c["id"], c["state"]) for c in listed] == [("expected", "never-connected"), ("here", "connected")]
        assert asked.json()["hint"] == "start its executor with the cluster's token"


async def test_a_request_whose_executor_is_lost_before_it_answered_says_so(tmp_path: Path) -> None:
    async def silent(scope: Any, receive: Any, send: Any) -> None:
        await anyio.sleep_forever()

    async with run_fleet(tmp_path) as fleet:
        await fleet.add("prod", ScriptedExecutor(hello, kubernetes=silent))
        answers: list[httpx.Response] = []

        async def ask() -> None:
            answers.append(await fleet.http.get("/clusters/prod/k8s/api/v1/pods"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await fleet.wait_for(lambda: fleet.serving.services.fleet.streams() == 1)
            fleet.sessions["prod"].close("killed", code=1001)

        assert answers[0].status_code == 502
        assert answers[0].json()["message"].startswith("the executor of prod was lost before it answered (")
        assert answers[0].json()["message"].endswith("); ask again")
