"""A link within one event loop, for tests."""

from __future__ import annotations

import asyncio

from kubently.tunnel.link import WRITE_LIMIT, LinkHandler


class MemoryLink:
    """One end; messages reach the other end's handler in the next turn of the loop."""

    def __init__(self) -> None:
        self.peer: MemoryLink
        self.handler: LinkHandler
        self._in_flight = 0
        self._closed = False

    @property
    def is_writable(self) -> bool:
        """Whether less than the write limit is on its way."""
        return not self._closed and self._in_flight < WRITE_LIMIT

    def send(self, message: bytes) -> None:
        """Deliver later in this loop."""
        if not self._closed:
            self._in_flight += len(message)
            asyncio.get_running_loop().call_soon(self._deliver, message)

    def close(self, code: int, reason: str) -> None:
        """Close both ends."""
        if not self._closed:
            self._closed = self.peer._closed = True
            loop = asyncio.get_running_loop()
            loop.call_soon(self.handler.lost, reason)
            loop.call_soon(self.peer.handler.lost, reason)

    def _deliver(self, message: bytes) -> None:
        was_writable = self.is_writable
        self._in_flight -= len(message)
        if not self._closed:
            self.peer.handler.received(message)
            if not was_writable and self.is_writable:
                self.handler.writable()


def memory_pair() -> tuple[MemoryLink, MemoryLink]:
    """Two connected ends; set each one's ``handler`` before the loop turns."""
    one, other = MemoryLink(), MemoryLink()
    one.peer, other.peer = other, one
    return one, other
