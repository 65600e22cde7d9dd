"""Requests to the cluster behind the policy: what is sent, what comes back, what never leaves."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kubently.executor.apiserver import ApiServer, UpstreamError
from kubently.executor.caller import Caller
from kubently.executor.kubeapi import KubeApi
from kubently.executor.target import StaticCredential, Target
from kubently.kube import policy

pytestmark = pytest.mark.anyio

MARKER = "planted-value-5c1e"
DATA = base64.b64encode(MARKER.encode()).decode()
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"password": DATA}}
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"password": MARKER, "size": "3"}}
METADATA_MODE = policy.Policy(secrets="metadata")


class Upstream:
    """An API server that remembers requests and says what it is told."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.answer: Any = {}
        self.status = 200
        self.lines: list[Any] | None = None
        self.raw: bytes | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                body = json.dumps(self.answer).encode()
                if self.lines is not None:
                    body = b"".join(json.dumps(line).encode() + b"\n" for line in self.lines)
                body = self.raw if self.raw is not None else body
                head = f"HTTP/1.1 {self.status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                writer.write(head.encode() + b"Set-Cookie: a=b\r\nETag: x\r\n\r\n" + body)


@contextlib.asynccontextmanager
async def upstream() -> AsyncIterator[tuple[Upstream, ApiServer]]:
    fake, writers = Upstream(), []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await fake.serve(reader, writer)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    pool = ApiServer(Target("127.0.0.1", port, "", None, "", StaticCredential(b"Bearer executor")))
    try:
        yield fake, pool
    finally:
        await pool.aclose()
        listener.close()
        for writer in writers:
            writer.close()
        await asyncio.sleep(0)


async def ask(
    pool: ApiServer,
    target: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    rules: policy.Policy = policy.DEFAULT_POLICY,
) -> tuple[int, dict[bytes, bytes], bytes]:
    path, _, query = target.partition("?")
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}" if method == "POST" else b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    fields = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {"type": "http", "method": method, "query_string": query.encode(), "headers": fields}
    await KubeApi(pool, rules).serve(scope, receive, send, path=path.encode(), caller=Caller())
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(m.get("body", b"") for m in sent[1:])


async def test_the_request_is_written_anew_with_the_executors_credential() -> None:
    async with upstream() as (fake, pool):
        wild = {"Authorization": "Bearer caller", "Impersonate-User": "root", "Cookie": "x", "X-Remote-User": "root"}
        status, headers, body = await ask(pool, "/api/v1/pods?limit=5", headers={**wild, "Accept": "application/json"})

    assert (status, body) == (200, b"{}")
    assert b"set-cookie" not in headers
    assert fake.heads[0].startswith(b"GET /api/v1/pods?limit=5 HTTP/1.1\r\n")
    assert b"authorization: Bearer executor\r\n" in fake.heads[0]
    for name in (b"caller", b"impersonate", b"cookie", b"x-remote"):
        assert name not in fake.heads[0].lower()


@pytest.mark.parametrize(
    ("method", "target", "headers", "code"),
    [
        ("GET", "/api/v1/secrets", {}, 403),
        ("GET", "/api/v1/namespaces/a/secrets/b", {}, 403),
        ("GET", "/api/v1/namespaces/a/pods/b/exec?command=sh", {"Upgrade": "websocket", "Connection": "Upgrade"}, 403),
        ("GET", "/api/v1/namespaces/a/pods/b/exec", {}, 403),
        ("POST", "/api/v1/namespaces/a/serviceaccounts/b/token", {}, 403),
        ("DELETE", "/api/v1/namespaces/a/pods/b", {}, 403),
        ("GET", "/api/v1/pods?watch=1", {"Upgrade": "websocket", "Connection": "Upgrade"}, 400),
        ("GET", "/api/v1/namespaces/default%2Fsecrets", {}, 400),
        ("GET", "/api/v1/namespaces//secrets", {}, 400),
        ("GET", "/api/v1/watch/secrets", {}, 400),
        ("GET", "/api/v1/proxy/nodes/x", {}, 400),
        ("GET", "/metrics", {}, 403),
    ],
)
async def test_what_is_denied_never_reaches_the_api_server(
    method: str, target: str, headers: dict[str, str], code: int
) -> None:
    async with upstream() as (fake, pool):
        status, _, body = await ask(pool, target, method=method, headers=headers)

    assert (status, json.loads(body)["kind"]) == (code, "Status"), body
    assert fake.heads == []


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("/api/v1/namespaces/a/secrets/s", SECRET),
        ("/api/v1/secrets", {"kind": "SecretList", "items": [{"metadata": {}, "data": {"password": DATA}}]}),
        (
            "/api/v1/secrets?includeObject=Object",
            {"kind": "Table", "rows": [{"cells": ["s"], "object": {**SECRET, "kind": "PartialObjectMetadata"}}]},
        ),
        (
            "/api/v1/secrets",
            {
                "kind": "PartialObjectMetadataList",
                "items": [
                    {
                        "metadata": {
                            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(SECRET)}
                        }
                    }
                ],
            },
        ),
        ("/api/v1/namespaces/a/configmaps/c", CONFIG),
        ("/api/v1/configmaps", {"kind": "ConfigMapList", "items": [CONFIG]}),
    ],
)
async def test_a_planted_value_never_leaves(target: str, answer: Any) -> None:
    async with upstream() as (fake, pool):
        fake.answer = answer
        accept = {"Accept": "application/vnd.kubernetes.protobuf", "Accept-Encoding": "gzip"}
        status, headers, body = await ask(pool, target, headers=accept, rules=METADATA_MODE)

    assert status == 200
    assert json.loads(body)
    assert MARKER.encode() not in body
    assert DATA.encode() not in body
    assert b"accept: application/json\r\n" in fake.heads[0]
    assert b"accept-encoding" not in fake.heads[0]
    assert not {b"etag", b"content-length"} & set(headers)


async def test_watch_events_of_secrets_are_blanked_and_keep_their_keys() -> None:
    async with upstream() as (fake, pool):
        fake.lines = [{"type": "ADDED", "object": SECRET}, {"type": "BOOKMARK", "object": {"kind": "Secret"}}]
        _, _, body = await ask(pool, "/api/v1/secrets?watch=1", rules=METADATA_MODE)

    events = [json.loads(line) for line in body.splitlines()]
    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]
    assert list(events[0]["object"]["data"]) == ["password"]
    assert DATA.encode() not in body


async def test_logs_are_redacted_line_by_line() -> None:
    async with upstream() as (fake, pool):
        fake.raw = b"start\nAuthorization: Bearer abcdefghijklmnopqrstuvwxyz012345\nend\n"
        _, _, body = await ask(pool, "/api/v1/namespaces/a/pods/b/log?container=c", headers={"Accept-Encoding": "gzip"})

    assert body.startswith(b"start\n")
    assert body.endswith(b"end\n")
    assert b"abcdefghijkl" not in body
    assert b"accept-encoding" not in fake.heads[0]


async def test_an_answer_that_cannot_be_redacted_does_not_leave() -> None:
    async with upstream() as (fake, pool):
        fake.raw = b"k8s\x00protobuf " + MARKER.encode()
        with pytest.raises(UpstreamError, match="cannot be redacted"):
            await ask(pool, "/api/v1/configmaps")


async def test_the_api_servers_own_errors_pass() -> None:
    async with upstream() as (fake, pool):
        fake.status, fake.answer = 404, {"kind": "Status", "code": 404, "message": "not found"}
        status, _, body = await ask(pool, "/api/v1/namespaces/a/configmaps/none")

    assert (status, json.loads(body)["message"]) == (404, "not found")


async def test_an_unreachable_api_server_is_a_status_too() -> None:
    pool = ApiServer(Target("127.0.0.1", 1, "", None, "", StaticCredential(b"x")))
    status, _, body = await ask(pool, "/api/v1/pods")

    assert (status, json.loads(body)["reason"]) == (502, "ServiceUnavailable")
    assert "cannot be reached" in json.loads(body)["message"]
