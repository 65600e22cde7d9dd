"""Nonsense on the wire, at both ends: it is refused in words, and everything else goes on."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

from kubently import trust
from tests.e2e.content import EXECUTOR
from tests.e2e.harness import ApiProcess, Cli, ExecutorProcess, Fleet
from tests.testbed.cluster import Cluster
from tests.testbed.processes import until


@pytest.fixture
def token(fleet: Fleet, cli: Cli) -> Iterator[str]:
    """A valid token of a cluster that has no executor."""
    yield str(fleet.api.client().post("/api/v1/clusters/nonsense/tokens")["token"])
    fleet.api.client().delete("/api/v1/clusters/nonsense")


def tls(api: ApiProcess) -> ssl.SSLContext:
    """A context that trusts the API."""
    return trust.client_context(ca=str(api.ca))


@contextmanager
def tunnel(api: ApiProcess, token: str, *, protocol: str = "kubently.v1") -> Iterator[ClientConnection]:
    """A WebSocket where an executor would have its own."""
    context = tls(api)
    # The library reads and writes in two threads, which Python before 3.13 does not keep apart within one TLS object:
    # now and then the tickets that TLS 1.3 sends at the beginning would swallow the request.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with connect(
        api.url.replace("https", "wss") + "/executor/v1/tunnel",
        ssl=context,
        additional_headers={"Authorization": f"Bearer {token}", "X-Kubently-Cluster": "nonsense"},
        subprotocols=[protocol],  # type: ignore[list-item]
        compression=None,
        max_size=None,
        proxy=None,
    ) as connection:
        yield connection


def closing(connection: ClientConnection) -> tuple[int, str]:
    """Code and reason with which the other side closes."""
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            connection.recv(timeout=10)
    assert caught.value.rcvd is not None, "closed without a word"
    return caught.value.rcvd.code, caught.value.rcvd.reason


@pytest.mark.parametrize(
    ("name", "sent", "code"),
    [
        ("a text frame", "hello", 1003),
        ("random bytes", bytes(range(256)), 1002),
        ("an empty frame", b"", 1002),
        ("a broken head", b"\xff" * 9, 1002),
        ("a frame above the limit", b"\0" * (256 * 1024), 1009),
    ],
)
def test_nonsense_with_a_valid_token_is_closed_with_a_reason(
    name: str, sent: bytes | str, code: int, fleet: Fleet, token: str
) -> None:
    with tunnel(fleet.api, token) as connection:
        connection.send(sent)

        closed, reason = closing(connection)

    assert closed == code, (closed, reason)
    assert reason, name
    assert fleet.cli.run("alpha", "get", "nodes").code == 0


def test_frames_of_noise_never_stop_the_api(fleet: Fleet, token: str) -> None:
    for _ in range(20):
        with tunnel(fleet.api, token) as connection:
            connection.send(os.urandom(200))

    assert fleet.cli.run("alpha", "get", "nodes").code == 0
    assert not [line for line in fleet.api.log() if "exception" in line]


def test_another_protocol_is_refused(fleet: Fleet, token: str) -> None:
    with pytest.raises(InvalidStatus) as caught, tunnel(fleet.api, token, protocol="other.v1"):
        pass

    assert caught.value.response.status_code == 400
    assert b"kubently.v1 was not asked for" in caught.value.response.body


@pytest.mark.parametrize("data", [b"\0" * 64, b"GET / HTTP/1.1\r\n\r\n", os.urandom(512), b"\x16\x03\x01\xff\xff" * 50])
def test_bytes_that_are_no_tls(data: bytes, fleet: Fleet) -> None:
    with socket.create_connection(("127.0.0.1", fleet.api.port), timeout=10) as plain:
        plain.sendall(data)
        plain.shutdown(socket.SHUT_WR)
        plain.settimeout(10)
        try:
            while plain.recv(4096):
                pass
        except OSError:
            pass

    assert fleet.cli.run("alpha", "get", "nodes").code == 0


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 64 + b"\r\n\r\n",
        b"FOO / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 20_000 + b"\r\n",
        b"POST /api/v1/commands HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_bytes_that_are_no_http(data: bytes, fleet: Fleet) -> None:
    with (
        socket.create_connection(("127.0.0.1", fleet.api.port), timeout=10) as plain,
        tls(fleet.api).wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.settimeout(2)
        try:
            connection.sendall(data)
            answer = connection.recv(4096)
        except OSError:
            answer = b""

    assert answer[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.1 401", b"HTTP/1.1 404", b"HTTP/1.1 414", b"HTTP/1.1 431")
    assert fleet.cli.run("alpha", "get", "nodes").code == 0


class FakeApi:
    """Something at the API's address that is none."""

    def __init__(self, folder: Path) -> None:
        authority = trust.make_authority("fake")
        self.ca = folder / "ca.crt"
        self.ca.write_bytes(authority.cert)
        trust.issue(authority, ["localhost"], lifetime=timedelta(days=1)).write(folder / "crt", folder / "key")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "crt", folder / "key")
        self.url = ""

    @contextmanager
    def speaking(self, speak: Callable[[ServerConnection], None]) -> Iterator[None]:
        """Serve WebSockets with *speak* while the block runs."""
        with serve(speak, "127.0.0.1", 0, ssl=self.context, subprotocols=["kubently.v1"]) as server:  # type: ignore[list-item]
            self.url = f"https://localhost:{server.socket.getsockname()[1]}"
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield
            finally:
                server.shutdown()
                thread.join()

    @contextmanager
    def answering(self, answer: bytes) -> Iterator[None]:
        """Answer every connection with the same bytes while the block runs."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.url = f"https://localhost:{server.getsockname()[1]}"
            thread = threading.Thread(target=self._answer_all, args=(server, answer))
            thread.start()
            try:
                yield
            finally:
                server.shutdown(socket.SHUT_RDWR)
                thread.join()

    def _answer_all(self, server: socket.socket, answer: bytes) -> None:
        while True:
            try:
                plain, _ = server.accept()
            except OSError:
                return
            try:
                with self.context.wrap_socket(plain, server_side=True) as connection:
                    connection.recv(65536)
                    connection.sendall(answer)
            except OSError:
                pass


@pytest.fixture
def fake(tmp_path: Path) -> FakeApi:
    """Not an API."""
    return FakeApi(tmp_path)


def words_of_executor(fake: FakeApi, alpha: Cluster, folder: Path, event: str) -> dict[str, str]:
    """What an executor logs of an API that is none."""
    executor = ExecutorProcess(fake, "alpha", "x" * 32, alpha.kubeconfig(EXECUTOR), folder / "executor")  # type: ignore[arg-type]
    executor.start()

    def look() -> dict[str, str] | None:
        return next((line for line in executor.log() if line["event"] == event), None)

    try:
        found = until(look, f"the executor logs {event!r}", timeout=20)
        assert executor.process is not None
        assert executor.process.is_running
    finally:
        executor.kill()
    assert found
    assert not [line for line in executor.log() if "exception" in line]
    return found


@pytest.mark.parametrize("sent", [b"\xff" * 40, "text", b"", os.urandom(300)])
def test_an_executor_survives_an_api_that_speaks_nonsense(
    sent: bytes | str, fake: FakeApi, alpha: Cluster, tmp_path: Path
) -> None:
    def speak(connection: ServerConnection) -> None:
        connection.send(sent)
        with pytest.raises(ConnectionClosed):
            while True:
                connection.recv(timeout=20)

    with fake.speaking(speak):
        found = words_of_executor(fake, alpha, tmp_path, "cannot connect to the API")

    assert found["reason"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "answered the WebSocket upgrade with 200"),
        (b"HTTP/1.1 302 Found\r\nLocation: https://x/\r\nContent-Length: 0\r\n\r\n", "redirects to https://x/"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "there is no Kubently API at that path"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "a proxy in front of"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", ""),
        (b"\0\1\2\3" * 100, ""),
        (b"", ""),
    ],
)
def test_an_executor_says_what_answers_in_the_apis_place(
    answer: bytes, reason: str, fake: FakeApi, alpha: Cluster, tmp_path: Path
) -> None:
    with fake.answering(answer):
        found = words_of_executor(fake, alpha, tmp_path, "cannot connect to the API")

    assert reason in found["reason"]
    assert found["reason"]
    assert found["hint"]
