"""The light client against small HTTP servers: problems, redirects, strange answers, streams that break off."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.unit.trust.servers import serving, tls_answer

from kubently import trust
from kubently.client import Api, ApiError, ApiUnreachableError
from kubently.errors import ConfigError


class Server:
    """Answers every request with the same bytes and keeps what was asked."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.gone = threading.Event()
        """Set when the client closed after a streamed answer."""
        self.hold = False

    def __call__(self, connection: socket.socket) -> None:
        self.requests.append(_request(connection))
        connection.sendall(self.answer)
        if self.hold and not connection.recv(1):
            self.gone.set()


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    wanted = int(lengths[0].partition(b":")[2]) if lengths else 0
    while len(body) < wanted:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answer(
    status: int, body: Any = b"", *, headers: Mapping[str, str] | None = None, length: int | None = None
) -> bytes:
    """One HTTP answer; *length* may lie."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content-Length": str(len(content) if length is None else length), **(headers or {})}
    lines = [f"HTTP/1.1 {status} x", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


@contextlib.contextmanager
def api(server: Server, *, key: str = "kbk_test", prefix: str = "") -> Iterator[Api]:
    with serving(server) as port:
        yield Api(f"http://127.0.0.1:{port}{prefix}", key, timeout=10)


def test_get_sends_the_key_and_parses_json() -> None:
    server = Server(answer(200, [{"id": "prod"}]))

    with api(server) as client:
        found = client.get("/api/v1/clusters")

    head = server.requests[0].decode()
    assert found == [{"id": "prod"}]
    assert head.startswith("GET /api/v1/clusters HTTP/1.1\r\n")
    assert "\r\nAuthorization: Bearer kbk_test\r\n" in head
    assert "\r\nUser-Agent: kubently/" in head


def test_post_sends_json_and_headers_below_the_prefix() -> None:
    server = Server(answer(201, {"key": "k"}))

    with api(server, prefix="/kubently/") as client:
        made = client.post("/api/v1/keys", {"name": "ci"}, headers={"Idempotency-Key": "k1"})

    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert made == {"key": "k"}
    assert head.startswith(b"POST /kubently/api/v1/keys HTTP/1.1")
    assert b"\r\nIdempotency-Key: k1" in head
    assert json.loads(body) == {"name": "ci"}


def test_delete_expects_no_body_and_without_a_key_none_is_sent() -> None:
    server = Server(answer(204))

    with api(server, key="") as client:
        client.delete("/api/v1/keys/ci")

    assert b"Authorization" not in server.requests[0]
    assert server.requests[0].startswith(b"DELETE ")


def test_problem_becomes_an_error_with_its_code() -> None:
    problem = {
        "code": "executor-offline",
        "detail": "no executor is connected for prod",
        "hint": "check the executor",
        "details": {"cluster": "prod"},
        "request_id": "r1",
    }

    with api(Server(answer(503, problem))) as client, pytest.raises(ApiError) as caught:
        client.get("/api/v1/clusters/prod")

    error = caught.value
    assert (error.status, error.code, error.message) == (503, "executor-offline", "no executor is connected for prod")
    assert (error.hint, error.details, error.request_id) == ("check the executor", {"cluster": "prod"}, "r1")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_reported_and_not_followed(status: int) -> None:
    server = Server(answer(status, headers={"Location": "https://evil.example/"}))

    with api(server) as client, pytest.raises(ApiError, match=r"redirects to https://evil\.example/") as caught:
        client.get("/")

    assert caught.value.code == "redirected"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body",
    [b"<html>Bad Gateway</html>", b"", b'"text"', b"[]", b'{"error": "other"}', b"\xff\xff"],
)
def test_answer_of_something_else_is_named(body: bytes) -> None:
    with (
        api(Server(answer(502, body))) as client,
        pytest.raises(ApiError, match=r"a proxy in front of .* answered 502") as caught,
    ):
        client.get("/")

    assert caught.value.code == "bad-gateway"


def test_page_with_status_200_is_no_answer() -> None:
    with (
        api(Server(answer(200, b"<html>Welcome</html>"))) as client,
        pytest.raises(ApiUnreachableError, match="cannot be read"),
    ):
        client.get("/")


def test_body_that_is_cut_is_no_answer() -> None:
    with (
        api(Server(answer(200, b'{"a": 1}', length=100))) as client,
        pytest.raises(ApiUnreachableError, match="cannot be read"),
    ):
        client.get("/")


def test_not_http_is_named() -> None:
    with (
        api(Server(b"SSH-2.0-OpenSSH_9.9\r\n")) as client,
        pytest.raises(ApiUnreachableError, match="did not answer as HTTP") as caught,
    ):
        client.get("/")

    assert caught.value.hint == "check the URL"


def test_connection_closed_at_once_is_unreachable() -> None:
    with api(Server(b"")) as client, pytest.raises(ApiUnreachableError):
        client.get("/")


def test_stream_gives_lines_and_skips_blank_ones() -> None:
    body = b'{"clusters": ["a"]}\n\n\n{"cluster": "a", "stdout": "x"}\n'
    server = Server(answer(200, body, headers={"Content-Type": "application/x-ndjson"}))

    with api(server) as client:
        lines = list(client.stream("/api/v1/commands", {"argv": ["get"]}))

    assert lines == [{"clusters": ["a"]}, {"cluster": "a", "stdout": "x"}]
    assert b"\r\nAccept: application/x-ndjson" in server.requests[0]


def test_stream_that_is_refused_raises_the_problem() -> None:
    server = Server(answer(403, {"code": "command-denied", "detail": "no"}))

    with api(server) as client, pytest.raises(ApiError, match="no") as caught:
        next(client.stream("/", {}))

    assert caught.value.code == "command-denied"


@pytest.mark.parametrize("rest", [b'{"half', b"no json\n", b"\xff\n"])
def test_stream_that_breaks_off_says_so_after_what_came(rest: bytes) -> None:
    server = Server(answer(200, b'{"n": 1}\n' + rest))

    with api(server) as client:
        lines = client.stream("/", {})
        assert next(lines) == {"n": 1}
        with pytest.raises(ApiUnreachableError, match="broke off its answer"):
            next(lines)


def test_stream_cut_within_chunks_says_so() -> None:
    chunk = b'HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"n": 1}\n\r\n'

    with api(Server(chunk)) as client:
        lines = client.stream("/", {})
        assert next(lines) == {"n": 1}
        with pytest.raises(ApiUnreachableError, match="broke off its answer"):
            next(lines)


def test_closing_a_stream_closes_its_connection() -> None:
    server = Server(b'HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"n": 1}\n\r\n')
    server.hold = True

    with api(server) as client:
        lines = client.stream("/", {})
        assert next(lines) == {"n": 1}
        lines.close()

        assert server.gone.wait(10)


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(ApiUnreachableError, match="nothing listens at http://") as caught:
        Api(f"http://127.0.0.1:{port}", "").get("/")

    assert caught.value.code == "dial-refused"


def test_silence_is_bounded() -> None:
    silent = Server(b"")
    silent.hold = True

    with serving(silent) as port, pytest.raises(ApiUnreachableError, match="did not answer in time"):
        Api(f"http://127.0.0.1:{port}", "", timeout=0.05).get("/")


def test_wrong_ca_is_explained_and_the_right_one_works(tmp_path: Path) -> None:
    authority = trust.make_authority("test")
    pair = trust.issue(authority, ["localhost"])
    server = Server(answer(200, {"ok": True}))

    with serving(tls_answer(pair, tmp_path, server)) as port:
        with pytest.raises(ApiUnreachableError, match="a CA that is not trusted here") as caught:
            Api(f"https://localhost:{port}", "", ca=trust.make_authority("x").cert.decode()).get("/")
        found = Api(f"https://localhost:{port}", "", ca=authority.cert.decode()).get("/")

    assert "--ca" in caught.value.hint
    assert found == {"ok": True}


def test_plain_http_to_a_tls_port_hints_at_https(tmp_path: Path) -> None:
    pair = trust.issue(trust.make_authority("test"), ["localhost"])

    with serving(tls_answer(pair, tmp_path)) as port, pytest.raises(ApiUnreachableError) as caught:
        Api(f"http://localhost:{port}", "").get("/")

    assert f"http://localhost:{port}" in caught.value.message


@pytest.mark.parametrize("url", ["", "localhost:8443", "ftp://h", "https://", "//h"])
def test_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="is no URL of an API"):
        Api(url, "")
