"""The control side's end on a connection that was taken from the HTTP server at the WebSocket's opening.

`websocket.AsgiLink` does the same on any ASGI server, at several times the cost.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from kubently.tunnel.link import WRITE_LIMIT
from kubently.tunnel.transports import framing
from kubently.tunnel.transports.framed import FramedLink
from kubently.tunnel.transports.websocket import MAX_MESSAGE


class TakenLink(FramedLink):
    """The successor of an HTTP connection; see `kubently.listen.take`."""

    __slots__ = ("siblings",)

    siblings: set[Any]
    """The server's connections, of which this is one until it is lost."""

    def encode(self, first: int, payload: bytes) -> bytes:
        """One frame of a server's."""
        return framing.encode(first, payload)

    def shutdown(self) -> None:
        """The server ends, and its sessions were told before."""
        self.close(1012, "the API stopped")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._reader = framing.Reader(MAX_MESSAGE, masked=True)
        self._transport = cast("asyncio.Transport", transport)  # uvloop's have the interface and are no subclass
        self._transport.set_write_buffer_limits(high=WRITE_LIMIT)

    def connection_lost(self, exc: Exception | None) -> None:
        self.siblings.discard(self)
        self._transport = None
        why = f"the connection broke: {exc}" if exc else "the executor closed the connection"
        self.handler.lost(self._reason or why)
