"""The lowest seam: a connection that carries whole messages, driven synchronously.

A link owns no queue beyond what its ``is_writable`` bounds: a session asks before it sends and is told by ``writable``
when it may go on. Implementations: ``transports.websocket`` (both ends), ``transports.memory`` (tests).
"""

from __future__ import annotations

from typing import Protocol

WRITE_LIMIT = 64 * 1024
"""Bytes that may wait in a link before it says that it is not writable."""


class Link(Protocol):
    """One end of a message connection."""

    @property
    def is_writable(self) -> bool:
        """Whether `send` may be called now."""
        ...

    def send(self, message: bytes) -> None:
        """Queue one message; never blocks, never raises. A message on a closed link is dropped."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Close with a WebSocket status code (RFC 6455 section 7.4). Idempotent; the handler's `lost` follows."""
        ...


class LinkHandler(Protocol):
    """What a link calls."""

    def received(self, message: bytes) -> None:
        """One message arrived."""
        ...

    def writable(self) -> None:
        """The link may be written again."""
        ...

    def lost(self, reason: str) -> None:
        """The link is gone, whoever ended it. Called once."""
        ...
