"""Writes of one turn of the loop leave together: an answer is a head, a body and an end, and each write costs a call
of the kernel that takes longer than making what it carries.
"""

from __future__ import annotations

import asyncio
from typing import Any

MOST = 64 * 1024
"""Bytes beyond which nothing more is held back."""


class CorkedTransport(asyncio.Transport):
    """*transport*, with what is written held until the loop's turn ends."""

    __slots__ = ("_held", "_held_bytes", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._held_bytes = 0

    def write(self, data: bytes) -> None:  # type: ignore[override]  # the server writes bytes only
        """Write *data*, soon."""
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > MOST:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        if self._held:
            held, self._held, self._held_bytes = self._held, [], 0
            if not self._transport.is_closing():  # it may have been lost in this very turn
                self._transport.write(held[0] if len(held) == 1 else b"".join(held))

    def close(self) -> None:
        """Close, behind what was written."""
        self.flush()
        self._transport.close()

    def release(self) -> asyncio.Transport:
        """The transport itself, behind what was written."""
        self.flush()
        return self._transport

    # The rest is the transport's own.

    def abort(self) -> None:
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def is_reading(self) -> bool:
        return self._transport.is_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._transport.get_protocol()
