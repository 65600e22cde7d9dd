"""A link over a connection that speaks WebSocket frames already: what both ends have in common.

A plain asyncio protocol: what comes is handed on in the same turn of the loop, what is sent is written at once. An idle
one has no task, no timer and no buffer. `websocket` dials one, `taken` is the API's end.
"""

from __future__ import annotations

import asyncio

from kubently.tunnel.link import WRITE_LIMIT, LinkHandler
from kubently.tunnel.transports import framing
from kubently.tunnel.transports.framing import BINARY, BrokenFramingError, Opcode

CLOSE_TIMEOUT = 2.0
"""Seconds for the other end to say goodbye too, and to read what was sent before."""


class FramedLink(asyncio.Protocol):
    """A ``Link``. Set ``handler`` before messages can come; a subclass has the transport from somewhere."""

    __slots__ = (
        "_has_heard_goodbye",
        "_is_closing",
        "_is_paused",
        "_loop",
        "_queue",
        "_queued_bytes",
        "_reader",
        "_reason",
        "_transport",
        "handler",
    )

    handler: LinkHandler

    def __init__(self) -> None:
        self._reader: framing.Reader | None = None
        """None while nothing is read yet, and once nothing is read any more."""
        self._transport: asyncio.Transport | None = None
        self._is_paused = self._is_closing = self._has_heard_goodbye = False
        self._reason = ""
        self._loop = asyncio.get_running_loop()
        self._queue: list[bytes] | None = None
        """Frames of this turn of the loop, written together at its end: a write costs more than the rest."""
        self._queued_bytes = 0

    def encode(self, first: int, payload: bytes) -> bytes:
        """One frame of this end's; *first* is its first byte."""
        raise NotImplementedError

    # ------------------------------------------------------------------ Link

    @property
    def is_writable(self) -> bool:
        """Whether the socket's buffer is below the write limit."""
        return (
            not self._is_paused
            and self._queued_bytes < WRITE_LIMIT
            and not self._is_closing
            and self._transport is not None
        )

    def send(self, message: bytes) -> None:
        """Write one binary message."""
        if self._transport is not None and not self._is_closing:
            self._write(self.encode(BINARY, message))

    def close(self, code: int, reason: str) -> None:
        """Say goodbye after what was sent; a peer that does not answer is not waited for."""
        if self._transport is None or self._is_closing:
            return
        self._reason = reason or f"closed with code {code}"
        self._say_goodbye(self._transport, framing.close_payload(code, reason))

    # ------------------------------------------------------------------ asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        if self._reader is None:
            return
        received: list[framing.Received] = []
        try:
            try:
                self._reader.feed(data, received)
            finally:
                for opcode, payload in received:
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

    # ------------------------------------------------------------------ steps

    def _write(self, frame: bytes) -> None:
        if self._queue is None:
            self._queue = []
            self._loop.call_soon(self._flush)
        self._queue.append(frame)
        self._queued_bytes += len(frame)

    def _flush(self) -> None:
        queue, self._queue = self._queue, None
        if queue is None or self._transport is None:
            return
        was_full, self._queued_bytes = self._queued_bytes >= WRITE_LIMIT, 0
        self._transport.write(queue[0] if len(queue) == 1 else b"".join(queue))
        if was_full and self.is_writable:
            self.handler.writable()

    def _on_control(self, opcode: int, payload: bytes) -> None:
        if self._transport is None:
            return
        if opcode == Opcode.PING and self.is_writable:  # pongs for a peer that does not read would pile up
            self._write(self.encode(0x80 | Opcode.PONG, payload))
        elif opcode == Opcode.CLOSE:
            code, reason = framing.read_close(payload)
            self._has_heard_goodbye = True
            if not self._is_closing:
                self._reason = reason or f"the other end closed with code {code}"
                self._say_goodbye(self._transport, payload[:2])
            self._stop(self._transport)

    def _break_off(self, error: BrokenFramingError) -> None:
        """Nothing that comes can be read any more: the other end is told, and not waited for."""
        if self._transport is not None:
            self.close(error.status, error.message)
            self._stop(self._transport)

    def _say_goodbye(self, transport: asyncio.Transport, payload: bytes) -> None:
        self._is_closing = True
        self._write(self.encode(0x80 | Opcode.CLOSE, payload))
        self._flush()
        # A peer that does not read any more would keep the connection for as long as TCP does.
        self._loop.call_later(CLOSE_TIMEOUT, transport.abort)

    def _stop(self, transport: asyncio.Transport) -> None:
        self._reader = None
        transport.close()
