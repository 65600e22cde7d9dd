"""Backoff without lockstep, and failures in words."""

import json
import random
import socket
import ssl
import time

import anyio
import pytest

from kubently import wire
from kubently.errors import TunnelClosedError
from kubently.executor import dialling, lanes, refusals
from kubently.executor.supervisor import Supervisor
from kubently.schema import Transport
from kubently.settings import ExecutorSettings
from kubently.tunnel import Session
from kubently.tunnel.transports import websocket
from kubently.tunnel.transports.memory import memory_pair
from kubently.tunnel.transports.websocket import UpgradeRefusedError

URL = "https://api.example.com"


def test_backoff_is_full_jitter_below_a_cap_that_doubles() -> None:
    rng = random.Random(1)
    for attempt in range(1, 40):
        delays = [lanes.backoff(attempt, outage=0, refused=False, rng=rng) for _ in range(200)]
        cap = min(10.0, 0.5 * 2 ** (attempt - 1))
        assert 0 <= min(delays) < cap * 0.2
        assert cap * 0.8 < max(delays) <= cap


def test_backoff_is_capped_at_ten_seconds_in_the_first_minute_then_at_thirty() -> None:
    rng = random.Random(1)
    early = max(lanes.backoff(20, outage=59, refused=False, rng=rng) for _ in range(500))
    late = max(lanes.backoff(20, outage=61, refused=False, rng=rng) for _ in range(500))

    assert 9 < early <= 10
    assert 27 < late <= 30


def test_a_thousand_executors_do_not_return_in_lockstep() -> None:
    """In no second of the first ten do more than a fifth of them dial."""
    delays = [lanes.backoff(5, outage=0, refused=False, rng=random.Random(seed)) for seed in range(1000)]

    assert max(sum(second <= d < second + 1 for d in delays) for second in range(10)) < 200


def problem(status: int, code: str, detail: str, hint: str = "") -> UpgradeRefusedError:
    body = json.dumps({"code": code, "detail": detail, "hint": hint}).encode()
    return UpgradeRefusedError(status, {"content-type": "application/problem+json"}, body)


def test_the_apis_own_refusal_is_repeated_and_slows_down() -> None:
    said, refused = refusals.explain(problem(401, "unauthenticated", "the token is wrong", "check"), URL)

    assert said.message == "the API refused this executor: the token is wrong"
    assert (said.code, said.hint) == ("unauthenticated", "check")
    assert refused


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UpgradeRefusedError(301, {"location": "https://other/"}, b""), "redirected", "redirects to https://other/"),
        (UpgradeRefusedError(502, {}, b"<html>"), "bad-gateway", "a proxy in front of"),
        (UpgradeRefusedError(404, {}, b""), "not-kubently", "no Kubently API at that path"),
        (UpgradeRefusedError(200, {}, b""), "tunnel-upgrade-refused", "answered the WebSocket upgrade with 200"),
        (UpgradeRefusedError(400, {}, b"bad"), "tunnel-upgrade-refused", "answered the WebSocket upgrade with 400"),
        (
            UpgradeRefusedError(400, {}, b"<p>No required SSL certificate was sent</p>"),
            "tls-client-cert-required",
            "wants a client certificate",
        ),
        (
            UpgradeRefusedError(400, {}, b"<p>The SSL certificate error</p>"),
            "tls-client-cert-refused",
            "does not accept our client certificate",
        ),
        (
            UpgradeRefusedError(401, {"content-type": "application/problem+json"}, b"not json"),
            "tunnel-upgrade-refused",
            "with 401",
        ),
        (ConnectionRefusedError(111, "refused"), "dial-refused", "nothing listens at"),
        (socket.gaierror(-2, "Name or service not known"), "dial-dns", "is not found (Name or service not known)"),
        (TimeoutError(), "dial-timeout", "did not answer in time"),
        (TunnelClosedError("the server closed"), "tunnel-closed", "the server closed"),
        (
            ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"),
            "tls-not-spoken",
            "does not speak TLS on that port",
        ),
    ],
)
def test_each_failure_has_a_code_and_a_sentence(error: Exception, code: str, words: str) -> None:
    said, refused = refusals.explain(error, URL)  # type: ignore[arg-type]

    assert said.code == code
    assert words in said.message
    assert said.hint
    assert not refused


def test_a_tls_port_says_over_plain_http_that_it_wants_https() -> None:
    error = UpgradeRefusedError(400, {}, b"<center>The plain HTTP request was sent to HTTPS port</center>")

    said, _ = refusals.explain(error, "http://h:443")

    assert (said.code, said.hint) == ("tls-expected", "write https:// in the URL")


def test_the_tunnels_url_keeps_a_path_prefix() -> None:
    assert dialling.tunnel_url("https://h:8443/kubently") == "wss://h:8443/kubently/executor/v1/tunnel"
    assert dialling.tunnel_url("http://h") == "ws://h/executor/v1/tunnel"


class Answers:
    """An API server that says what it is told to."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def request(self, *_: object) -> "Answers":
        return Answers(self._body)

    status = 200

    async def read(self) -> bytes:
        body, self._body = self._body, b""
        return body

    def close(self) -> None:
        pass


@pytest.mark.anyio
@pytest.mark.parametrize("body", [b'{"metadata": []}', b'{"metadata": null}', b"[" * 100_000, b"\xff", b"[]", b"{}"])
async def test_an_api_server_that_answers_nonsense_does_not_end_the_executor(body: bytes) -> None:
    settings = ExecutorSettings("https://api.example.com", "prod", "token")
    one = Supervisor(settings, None, Answers(body), capabilities={})  # type: ignore[arg-type]

    endpoint = one._endpoints.in_order()[0]
    told = await one._dialler._describe(endpoint, Transport.WEBSOCKET, "lane")

    assert told["kube_system_uid"] == ""


@pytest.mark.anyio
async def test_an_unforeseen_failure_of_a_dial_is_logged_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lanes, "backoff", lambda *_, **__: 0.0)
    settings = ExecutorSettings("https://api.example.com", "prod", "token")
    one = Supervisor(settings, None, Answers(b"{}"), capabilities={})  # type: ignore[arg-type]
    tries = 0

    async def dial(*_: object, **__: object) -> object:
        nonlocal tries
        tries += 1
        if tries == 3:
            await one.stop(0)
        raise ZeroDivisionError("who would have thought")

    monkeypatch.setattr(websocket, "dial", dial)
    with anyio.fail_after(5):
        await one.run()

    assert tries == 3
    assert "unforeseen" in one.problem
    assert any(record.exc_info for record in caplog.records)


@pytest.mark.anyio
@pytest.mark.parametrize("settles", [False, True])
async def test_a_cancelled_executor_closes_its_session(monkeypatch: pytest.MonkeyPatch, *, settles: bool) -> None:
    control_link, executor_link = memory_pair()
    control = Session(wire.Role.CONTROL, control_link, clock=time.monotonic)
    control_link.handler = control
    attached = anyio.Event()

    class Link(type(executor_link)):  # type: ignore[misc]
        was_cut = False

        def peer_certificate(self) -> bytes:
            return b""

        def attach(self, handler: Session) -> None:
            self.handler = handler
            if settles:
                control.flush()
            attached.set()

    executor_link.__class__ = Link

    async def dial(*_: object, **__: object) -> object:
        return executor_link

    monkeypatch.setattr(websocket, "dial", dial)
    settings = ExecutorSettings("https://api.example.com", "prod", "token")
    one = Supervisor(settings, None, Answers(b"{}"), capabilities={})  # type: ignore[arg-type]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one.run)
        await attached.wait()
        with anyio.fail_after(5):
            while settles and not one.is_connected:
                await anyio.sleep(0)
        tasks.cancel_scope.cancel()

    assert executor_link._closed
