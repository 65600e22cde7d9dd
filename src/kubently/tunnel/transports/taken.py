"""The control side's end on a connection that was taken from the HTTP server at the WebSocket's opening.

A plain asyncio protocol: what comes is unmasked and handed on in the same turn of the loop, what is sent is written at
once. An idle one has no task, no timer and no buffer. `websocket.AsgiLink` does the same on any ASGI server.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from kubently.tunnel.link import WRITE_LIMIT, LinkHandler
from kubently.tunnel.transports import framing
from kubently.tunnel.transports.framing import BrokenFramingError, Opcode
from kubently.tunnel.transports.websocket import MAX_MESSAGE

CLOSE_TIMEOUT = 2.0
"""Seconds for the other end to say goodbye too, and to read what was sent before."""


class TakenLink(asyncio.Protocol):
    """A ``Link``, and the successor of an HTTP connection. Set ``handler`` before it takes one over."""

    __slots__ = ("_is_closing", "_is_paused", "_reader", "_reason", "_transport", "handler", "siblings")

    handler: LinkHandler
    siblings: set[Any]
    """The server's connections, of which this is one until it is lost."""

    def __init__(self) -> None:
        self._reader: framing.Reader | None = framing.Reader(MAX_MESSAGE)
        """None once nothing is read any more."""
        self._transport: asyncio.Transport | None = None
        self._is_paused = self._is_closing = False
        self._reason = ""

    # ------------------------------------------------------------------ Link

    @property
    def is_writable(self) -> bool:
        """Whether the socket's buffer is below the write limit."""
        return not self._is_paused and not self._is_closing and self._transport is not None

    def send(self, message: bytes) -> None:
        """Write one binary message."""
        if self._transport is not None and not self._is_closing:
            self._transport.write(framing.head(len(message)) + message)

    def close(self, code: int, reason: str) -> None:
        """Say goodbye after what was sent; a peer that does not answer is not waited for."""
        if self._transport is None or self._is_closing:
            return
        self._reason = reason or f"closed with code {code}"
        self._say_goodbye(self._transport, framing.close_payload(code, reason))

    # ------------------------------------------------------------------ successor of an HTTP connection

    def shutdown(self) -> None:
        """The server ends, and its sessions were told before."""
        self.close(1012, "the API stopped")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's have the interface and are no subclass
        self._transport.set_write_buffer_limits(high=WRITE_LIMIT)

    def data_received(self, data: bytes) -> None:
        if self._reader is None:
            return
        try:
            for opcode, payload in self._reader.feed(data):
                if opcode != Opcode.BINARY:
                    self._on_control(opcode, payload)
                elif not self._is_closing:
                    self.handler.received(payload)
        except BrokenFramingError as error:
            self._break_off(error)

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        if self.is_writable:
            self.handler.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        self.siblings.discard(self)
        self._transport = None
        why = f"the connection broke: {exc}" if exc else "the executor closed the connection"
        self.handler.lost(self._reason or why)

    # ------------------------------------------------------------------ steps

    def _on_control(self, opcode: int, payload: bytes) -> None:
        if self._transport is None:
            return
        if opcode == Opcode.PING and self.is_writable:  # pongs for a peer that does not read would pile up
            self._transport.write(framing.control(Opcode.PONG, payload))
        elif opcode == Opcode.CLOSE:
            code, reason = framing.read_close(payload)
            if not self._is_closing:
                self._reason = reason or f"the connection closed with code {code}"
                self._say_goodbye(self._transport, payload[:2])
            self._stop(self._transport)

    def _break_off(self, error: BrokenFramingError) -> None:
        """Nothing that comes can be read any more: the other end is told, and not waited for."""
        if self._transport is not None:
            self.close(error.status, error.message)
            self._stop(self._transport)

    def _say_goodbye(self, transport: asyncio.Transport, payload: bytes) -> None:
        self._is_closing = True
        transport.write(framing.control(Opcode.CLOSE, payload))
        # A peer that does not read any more would keep the connection for as long as TCP does.
        asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, transport.abort)

    def _stop(self, transport: asyncio.Transport) -> None:
        self._reader = None
        transport.close()
