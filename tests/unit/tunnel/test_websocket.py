"""The WebSocket links at their edges: clients that vanish, never read, or ask for answers without end."""

import asyncio
import time
from typing import Any

import anyio
import pytest
from websockets.utils import accept_key

from kubently import wire
from kubently.tunnel import Session
from kubently.tunnel.link import WRITE_LIMIT
from kubently.tunnel.transports import framing
from kubently.tunnel.transports.taken import TakenLink
from kubently.tunnel.transports.websocket import AsgiLink, UpgradeRefusedError, _ClientLink

pytestmark = pytest.mark.anyio


class Vanished(OSError):
    """What the server raises for a message to a client that is gone."""


class Handler:
    """Notes what a link tells."""

    def __init__(self) -> None:
        self.lost_with: list[str] = []
        self.turns = 0
        self.messages: list[bytes] = []

    def received(self, message: bytes) -> None:
        self.messages.append(message)

    def writable(self) -> None:
        self.turns += 1

    def lost(self, reason: str) -> None:
        self.lost_with.append(reason)


def link() -> tuple[AsgiLink, Handler]:
    one, handler = AsgiLink(), Handler()
    one.handler = handler
    return one, handler


@pytest.mark.parametrize("at", ["websocket.accept", "websocket.send", "websocket.close"])
async def test_a_client_that_vanished_ends_the_link_and_is_no_failure(at: str) -> None:
    one, handler = link()

    async def receive() -> Any:
        if at != "websocket.accept":
            await anyio.sleep_forever()
        return {"type": "websocket.disconnect", "code": 1006}

    async def send(message: Any) -> None:
        if message["type"] == at:
            raise Vanished

    one.send(b"hello")
    if at == "websocket.close":
        one.close(1000, "done")
    with anyio.fail_after(5):
        await one.serve(receive, send, subprotocol="x")

    assert len(handler.lost_with) == 1
    assert not one.is_writable


async def test_a_peer_that_never_reads_is_left_after_two_seconds_of_closing() -> None:
    one, handler = link()

    async def receive() -> Any:
        await anyio.sleep_forever()

    async def send(message: Any) -> None:
        if message["type"] == "websocket.send":
            await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: one.serve(receive, send, subprotocol="x"))
        while one.is_writable:
            one.send(b"x" * 10_000)
        await anyio.sleep(0)
        one.close(1001, "silent")
        with anyio.fail_after(4):
            while not handler.lost_with:
                await anyio.sleep(0.01)

    assert handler.lost_with == ["silent"]


async def test_a_session_goes_on_when_its_link_takes_messages_again() -> None:
    """No wake-up is lost between a queue that is full and one that is empty."""
    one = AsgiLink()
    session = Session(wire.Role.CONTROL, one, clock=time.monotonic)
    one.handler = session
    sent: list[bytes] = []

    async def receive() -> Any:
        await anyio.sleep_forever()

    async def send(message: Any) -> None:
        await anyio.sleep(0)
        sent.append(message.get("bytes", b""))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: one.serve(receive, send, subprotocol="x"))
        for _ in range(3000):
            session._connection.ping(b"x" * 64)
        session.flush()
        with anyio.fail_after(5):
            while len(sent) < 3000:
                await anyio.sleep(0)
        tasks.cancel_scope.cancel()


class Transport(asyncio.Transport):
    """A socket whose peer never reads."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._protocol = protocol
        self.written = 0
        self.data = b""
        self.is_closed = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: Any) -> None:
        self.written += len(data)
        self.data = (self.data + data)[-1000:]
        if self.written > WRITE_LIMIT:
            self._protocol.pause_writing()

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True


async def test_pings_without_end_from_a_peer_that_never_reads_do_not_fill_the_memory() -> None:
    client, taken = _ClientLink("ws://h/", {}), TakenLink()
    client._reader = framing.Reader(1000, masked=False)
    pings = {client: framing.encode(0x89, b"x" * 125), taken: framing.encode_masked(0x89, b"x" * 125, b"mask")}

    for one, ping in pings.items():
        transport = Transport(one)
        one.connection_made(transport)
        for _ in range(20_000):
            one.data_received(ping)

        assert transport.written < 2 * WRITE_LIMIT


async def test_frames_in_the_same_read_as_the_101_reach_the_handler_that_comes_later() -> None:
    one = _ClientLink("ws://h/", {})
    one.connection_made(Transport(one))
    key = one._opening.key
    answer = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\nSec-WebSocket-Protocol: kubently.v1\r\n\r\n"
    )
    stream = answer.encode() + framing.encode(framing.BINARY, b"first") + framing.encode(framing.BINARY, b"second")
    handler = Handler()

    one.data_received(stream[:50])
    one.data_received(stream[50:-3])
    one.attach(handler)
    one.data_received(stream[-3:])

    assert handler.messages == [b"first", b"second"]


@pytest.mark.parametrize("piece", [1, 7, 30, 1000])
async def test_a_refusal_is_heard_however_it_is_cut(piece: int) -> None:
    one = _ClientLink("ws://h/", {})
    one.connection_made(Transport(one))
    body = b'{"code": "unauthenticated",\r\n\r\n "status": 401}'
    answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\nX-Why: token\r\n\r\n%b" % (len(body), body)

    for begin in range(0, len(answer), piece):
        one.data_received(answer[begin : begin + piece])

    error = one.opened.exception()
    assert isinstance(error, UpgradeRefusedError)
    assert (error.status, error.body, error.headers["x-why"]) == (401, body, "token")


@pytest.mark.parametrize("goodbye", [framing.close_payload(1012, "the API stops"), b""])
async def test_a_goodbye_is_answered_by_one_and_nothing_is_taken_after_it(goodbye: bytes) -> None:
    one, handler = TakenLink(), Handler()
    one.handler, one.siblings = handler, {one}
    transport = Transport(one)
    one.connection_made(transport)

    one.data_received(framing.encode_masked(0x88, goodbye, b"mask") + framing.encode_masked(0x82, b"late", b"mask"))
    one.data_received(framing.encode_masked(0x82, b"later", b"mask"))
    one.connection_lost(None)

    assert transport.data == framing.encode(0x88, goodbye[:2])
    assert transport.is_closed
    assert handler.messages == []
    assert handler.lost_with == [goodbye[2:].decode() or "the other end closed with code 1005"]
    assert not one.siblings
