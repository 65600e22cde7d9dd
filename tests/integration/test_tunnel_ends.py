"""The API's end of the tunnel, as the bare connection and over ASGI: the same to whoever speaks WebSocket to it."""

import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from kubently import listen, trust
from kubently.listen.serving import seam_holds
from kubently.testing.fleets import RunningFleet, run_fleet
from kubently.tunnel import Message, Receive, Scope, Send
from kubently.tunnel.transports.taken import TakenLink
from kubently.tunnel.transports.websocket import MAX_MESSAGE, PATH, SUBPROTOCOL
from kubently.wire import frames

pytestmark = pytest.mark.anyio

TOKEN = "a-token-that-is-long-enough"
SETTINGS = frames.encode(
    frames.FrameType.SETTINGS,
    0,
    json.dumps({"version": 1, "window": 65536, "max_streams": 4, "info": {"instance": "one"}}).encode(),
)


@pytest.fixture(params=["socket", "asgi"])
async def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RunningFleet]:
    tokens = tmp_path / "tokens"
    tokens.mkdir()
    (tokens / "prod").write_text(TOKEN)
    pair = trust.issue(trust.make_authority("the test"), ["127.0.0.1"])
    pair.write(tmp_path / "tls.crt", tmp_path / "tls.key")
    tls: dict[str, Any] = {
        "tls_listen": ("127.0.0.1", 0),
        "tls_cert": tmp_path / "tls.crt",
        "tls_key": tmp_path / "tls.key",
    }
    async with run_fleet(tmp_path, tunnel_end=request.param, tokens_dir=tokens, **tls) as running:
        yield running


@pytest.fixture(autouse=True)
async def closing() -> AsyncIterator[None]:
    """Connections are closed at the end, however a test ends."""
    yield
    for stream in OPEN:
        await stream.aclose()
    OPEN.clear()


OPEN: list[ByteStream] = []


class Client:
    """A WebSocket by the library's rules, over a connection where every byte can be seen."""

    def __init__(self, stream: ByteStream, port: int, token: str = TOKEN) -> None:
        self.stream = stream
        OPEN.append(stream)
        self.protocol = ClientProtocol(
            parse_uri(f"ws://127.0.0.1:{port}{PATH}"), subprotocols=[Subprotocol(SUBPROTOCOL)], max_size=None
        )
        self.request = self.protocol.connect()
        self.request.headers["Authorization"] = f"Bearer {token}"
        self.request.headers["X-Kubently-Cluster"] = "prod"
        self._events: list[Response | Frame] = []

    async def open(self) -> Response:
        self.protocol.send_request(self.request)
        await self.flush()
        response = await self.event()
        assert isinstance(response, Response)
        return response

    async def flush(self) -> None:
        for data in self.protocol.data_to_send():
            await (self.stream.send(data) if data else self.stream.send_eof())

    async def event(self) -> Response | Frame:
        """The next thing that came. Raises EndOfStream."""
        with anyio.fail_after(5):
            while not self._events:
                self.protocol.receive_data(await self.stream.receive())
                self._events += self.protocol.events_received()  # type: ignore[arg-type]
        return self._events.pop(0)

    async def frame(self, opcode: Opcode) -> Frame:
        """The next frame of that kind."""
        while True:
            event = await self.event()
            if isinstance(event, Frame) and event.opcode is opcode:
                return event

    async def close_code(self) -> int:
        """With which code the API closes, and that nothing more comes then."""
        frame = await self.frame(Opcode.CLOSE)
        await self.flush()
        with anyio.fail_after(5), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            while True:
                await self.stream.receive()
        return int.from_bytes(frame.data[:2], "big")


async def client(fleet: RunningFleet, token: str = TOKEN) -> Client:
    port = fleet.serving.port
    return Client(await anyio.connect_tcp("127.0.0.1", port), port, token)


async def opened(fleet: RunningFleet) -> Client:
    one = await client(fleet)
    assert (await one.open()).status_code == 101
    return one


async def test_it_lets_in_and_speaks_first(fleet: RunningFleet) -> None:
    one = await client(fleet)

    response = await one.open()

    assert response.headers["Sec-WebSocket-Protocol"] == SUBPROTOCOL
    assert "Sec-WebSocket-Extensions" not in response.headers
    assert one.protocol.state is State.OPEN
    assert frames.decode(bytes((await one.frame(Opcode.BINARY)).data)).type == frames.FrameType.SETTINGS


async def test_it_speaks_tls(fleet: RunningFleet) -> None:
    port = fleet.serving.tls_port
    assert port is not None
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    one = Client(await anyio.connect_tcp("127.0.0.1", port, ssl_context=context, tls_standard_compatible=False), port)

    response = await one.open()
    one.protocol.send_binary(SETTINGS)
    await one.flush()

    assert response.status_code == 101
    await fleet.wait_for(lambda: fleet.serving.services.fleet.executors() == 1)


async def test_a_wrong_token_is_a_problem_document(fleet: RunningFleet) -> None:
    one = await client(fleet, "a-wrong-token-that-is-long")

    response = await one.open()

    assert response.status_code == 401
    assert response.headers["Content-Type"] == "application/problem+json"
    assert json.loads(response.body or b"")["code"] == "unauthenticated"
    with pytest.raises(anyio.EndOfStream):
        await one.stream.receive()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Sec-WebSocket-Version", "12"),
        ("Sec-WebSocket-Version", ""),
        ("Sec-WebSocket-Key", "short"),
        ("Sec-WebSocket-Key", ""),
        ("Sec-WebSocket-Key", base64.b64encode(bytes(17)).decode()),
        ("Sec-WebSocket-Protocol", "other.v1"),
    ],
)
async def test_an_opening_that_is_none_is_refused(fleet: RunningFleet, name: str, value: str) -> None:
    one = await client(fleet)
    del one.request.headers[name]
    if value:
        one.request.headers[name] = value

    assert (await one.open()).status_code in (400, 426)  # 426 is for another version


async def test_pings_are_answered_between_fragments_of_a_message(fleet: RunningFleet) -> None:
    one = await opened(fleet)

    one.protocol.send_binary(SETTINGS[:10], fin=False)
    one.protocol.send_ping(b"are you there")
    one.protocol.send_continuation(SETTINGS[10:20], fin=False)
    one.protocol.send_continuation(SETTINGS[20:], fin=True)
    await one.flush()

    assert (await one.frame(Opcode.PONG)).data == b"are you there"
    await fleet.wait_for(lambda: fleet.serving.services.fleet.executors() == 1)


async def test_a_stream_that_comes_byte_by_byte_is_understood(fleet: RunningFleet) -> None:
    one = await opened(fleet)

    one.protocol.send_binary(SETTINGS)
    for data in one.protocol.data_to_send():
        for i in range(len(data)):
            await one.stream.send(data[i : i + 1])

    await fleet.wait_for(lambda: fleet.serving.services.fleet.executors() == 1)


async def test_a_goodbye_is_answered_and_ends_the_session(fleet: RunningFleet) -> None:
    one = await opened(fleet)
    one.protocol.send_binary(SETTINGS)
    await one.flush()
    await fleet.wait_for(lambda: fleet.serving.services.fleet.executors() == 1)

    one.protocol.send_close(1001, "the executor stops")
    await one.flush()

    assert await one.close_code() == 1001
    await fleet.wait_for(lambda: fleet.serving.services.fleet.executors() == 0)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (Frame(Opcode.TEXT, b"hello").serialize(mask=True), 1003),
        (Frame(Opcode.BINARY, SETTINGS).serialize(mask=False), 1002),
        (Frame(Opcode.CONT, b"hello").serialize(mask=True), 1002),
        (b"\x09\x80" + bytes(4), 1002),
        (b"\xc2\x80" + bytes(4), 1002),
        (b"\x8b\x80" + bytes(4), 1002),
        (Frame(Opcode.BINARY, bytes(2 * MAX_MESSAGE)).serialize(mask=True), 1009),
        (Frame(Opcode.BINARY, b"no frame of ours, and not SETTINGS").serialize(mask=True), 1002),
    ],
    ids=["text", "no mask", "out of turn", "fragment of a ping", "reserved bit", "opcode", "too large", "no SETTINGS"],
)
async def test_what_may_not_come_closes_with_the_code_that_says_so(
    fleet: RunningFleet, wrong: bytes, code: int
) -> None:
    one = await opened(fleet)

    with contextlib.suppress(anyio.BrokenResourceError):  # it may be refused by its head alone
        await one.stream.send(wrong)

    assert await one.close_code() == code


async def test_a_connection_that_breaks_ends_the_session(fleet: RunningFleet) -> None:
    one = await opened(fleet)
    one.protocol.send_binary(SETTINGS)
    await one.flush()
    await fleet.wait_for(lambda: fleet.serving.services.fleet.executors() == 1)

    await one.stream.aclose()

    await fleet.wait_for(lambda: fleet.serving.services.fleet.executors() == 0)


# ---------------------------------------------------------------------- taking a connection


HEAD = (
    b"GET /x HTTP/1.1\r\nHost: y\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class Told:
    """Notes what a link tells."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.lost_with = anyio.Event()

    def received(self, message: bytes) -> None:
        self.messages.append(message)

    def writable(self) -> None:
        pass

    def lost(self, reason: str) -> None:
        self.lost_with.set()


class Taking:
    """An application that takes each connection, once it may."""

    def __init__(self) -> None:
        self.asked = anyio.Event()
        self.may = anyio.Event()
        self.told = Told()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.connect"
        self.asked.set()
        await self.may.wait()
        link = TakenLink()
        link.handler = self.told
        listen.take(scope, link, subprotocol=SUBPROTOCOL)


async def test_bytes_behind_the_opening_are_refused_for_nothing_may_come_before_its_answer() -> None:
    async with (
        listen.listen(Taking(), ("127.0.0.1", 0), hands_over=True) as port,
        await anyio.connect_tcp("127.0.0.1", port) as stream,
    ):
        await stream.send(HEAD + b"early")

        assert (await stream.receive()).startswith(b"HTTP/1.1 400 ")


async def test_a_client_that_goes_before_it_is_let_in_is_lost_at_once() -> None:
    app = Taking()
    async with listen.listen(app, ("127.0.0.1", 0), hands_over=True) as port:
        stream = await anyio.connect_tcp("127.0.0.1", port)
        await stream.send(HEAD)
        await app.asked.wait()
        await stream.aclose()
        app.may.set()

        with anyio.fail_after(5):
            await app.told.lost_with.wait()


async def test_the_server_s_end_says_goodbye_to_connections_that_were_taken() -> None:
    app = Taking()
    app.may.set()
    async with listen.listen(app, ("127.0.0.1", 0), hands_over=True) as port:
        stream = await anyio.connect_tcp("127.0.0.1", port)
        await stream.send(HEAD)
        assert (await stream.receive()).startswith(b"HTTP/1.1 101 ")

    assert await stream.receive() == Frame(Opcode.CLOSE, b"\x03\xf4the API stopped").serialize(mask=False)
    await stream.aclose()


@pytest.mark.parametrize("how", ["fails", "says nothing"])
async def test_an_application_that_does_not_decide_is_answered_for(how: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if how == "fails":
            raise RuntimeError("on purpose")

    async with (
        listen.listen(app, ("127.0.0.1", 0), hands_over=True) as port,
        await anyio.connect_tcp("127.0.0.1", port) as stream,
    ):
        await stream.send(HEAD)

        assert (await stream.receive()).startswith(b"HTTP/1.1 500 ")


async def test_another_uvicorn_is_noticed_and_spoken_to_as_asgi_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert seam_holds()
    monkeypatch.setattr(listen.http.HandingProtocol, "_should_upgrade", lambda self: False)

    assert not seam_holds()


async def test_other_requests_of_a_server_that_hands_over_are_answered_as_ever() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        start: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
        await send(start)
        await send({"type": "http.response.body", "body": b"ok"})

    async with (
        listen.listen(app, ("127.0.0.1", 0), hands_over=True) as port,
        await anyio.connect_tcp("127.0.0.1", port) as stream,
    ):
        for request in (b"GET / HTTP/1.1\r\nHost: y\r\n\r\n", b"GET / HTTP/1.1\r\nConnection: Upgrade\r\n"):
            await stream.send(request + (b"" if request.endswith(b"\r\n\r\n") else b"Upgrade: h2c\r\n\r\n"))

            answer = b""
            while not answer.endswith(b"\r\n\r\nok"):
                answer += await stream.receive()
