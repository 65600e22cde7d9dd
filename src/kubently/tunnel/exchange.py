"""A request that was sent and the answer to it, whatever carries them."""

from __future__ import annotations

from typing import Protocol

from kubently import wire


class Exchange(Protocol):
    """One request and its answer: a `Stream` of a session here, or one that another replica carries on.

    Its user ends it: by reading the answer to its end, or by `reset`. All raise StreamResetError where the other end
    gave it up, and TunnelClosedError where the executor was lost.
    """

    @property
    def has_ended(self) -> bool:
        """Whether the answer came to its end."""
        ...

    @property
    def is_read(self) -> bool:
        """Whether all of the answer was read, its end included."""
        ...

    async def head(self) -> tuple[wire.Field, ...]:
        """Wait for the answer's head."""
        ...

    async def read(self) -> bytes:
        """Wait for the next piece of the answer's body; empty at its end."""
        ...

    async def write(self, data: bytes, *, end_stream: bool = False) -> None:
        """Send a piece of the request's body, waiting for credit."""
        ...

    def reset(self) -> None:
        """Say that nothing more is wanted; does nothing to one that is over."""
        ...
