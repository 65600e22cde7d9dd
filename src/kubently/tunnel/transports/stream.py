"""The tunnel over a byte stream: each frame behind its length (u32, network order). Replicas talk so to each other.

Both ends are the same plain asyncio protocol; who connects and who listens, and by which TLS, is the caller's.
"""

from __future__ import annotations

import asyncio
import struct
from typing import cast

from kubently import wire
from kubently.tunnel.link import WRITE_LIMIT, LinkHandler

MAX_FRAME = wire.MAX_PAYLOAD + 64
_LENGTH = struct.Struct("!I")


class StreamLink(asyncio.Protocol):
    """A ``Link``. Set ``handler`` before data can arrive: in ``connection_made`` of a subclass, or right after it."""

    handler: LinkHandler

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._paused = False
        self._reason = ""
        """Why this end closed it, where it did."""

    # ------------------------------------------------------------------ Link

    @property
    def is_writable(self) -> bool:
        """Whether the socket's buffer is below the write limit."""
        return self._transport is not None and not self._paused

    def send(self, message: bytes) -> None:
        """Write one frame."""
        if self._transport is not None:
            self._transport.write(_LENGTH.pack(len(message)) + message)

    def close(self, code: int, reason: str) -> None:
        """Close the socket after what was written; a peer that does not read is not waited for."""
        if self._transport is not None:
            self._reason = reason or f"closed with code {code}"
            transport, self._transport = self._transport, None
            transport.close()
            asyncio.get_running_loop().call_later(2.0, transport.abort)

    # ------------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's have the interface and are no subclass
        self._transport.set_write_buffer_limits(high=WRITE_LIMIT)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            if length > MAX_FRAME:
                self.close(1009, f"a frame of {length} bytes was announced")
                return
            end = start + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            message = bytes(self._buffer[start + _LENGTH.size : end])
            start = end
            self.handler.received(message)
            if self._transport is None:  # it was closed over what came
                return
        del self._buffer[:start]

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self.handler.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.handler.lost(self._reason or (f"the connection broke: {exc}" if exc else "the other end closed it"))
