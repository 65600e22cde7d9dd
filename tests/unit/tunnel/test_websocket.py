"""The two WebSocket links at their edges: clients that vanish, never read, or ask for answers without end."""

import asyncio
import time
from typing import Any

import anyio
import pytest
from websockets.frames import Frame, Opcode

from kubently import wire
from kubently.tunnel import Session
from kubently.tunnel.link import WRITE_LIMIT
from kubently.tunnel.transports.websocket import AsgiLink, _ClientLink

pytestmark = pytest.mark.anyio


class Vanished(OSError):
    """What the server raises for a message to a client that is gone."""


class Handler:
    """Notes what a link tells."""

    def __init__(self) -> None:
        self.lost_with: list[str] = []
        self.turns = 0

    def received(self, message: bytes) -> None:
        pass

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

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: Any) -> None:
        self.written += len(data)
        if self.written > WRITE_LIMIT:
            self._protocol.pause_writing()


async def test_pings_without_end_from_a_peer_that_never_reads_do_not_fill_the_memory() -> None:
    one = _ClientLink("ws://h/", {})
    transport = Transport(one)
    one.connection_made(transport)
    one._protocol.state = type(one._protocol.state).OPEN
    one._protocol.parser = one._protocol.parse()
    next(one._protocol.parser)
    ping = Frame(Opcode.PING, b"x" * 125).serialize(mask=False)

    for _ in range(20_000):
        one.data_received(ping)

    assert transport.written < 2 * WRITE_LIMIT
