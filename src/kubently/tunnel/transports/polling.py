"""What both ends of the long-poll transport agree on: paths, headers, and frames in a body.

The same frames as over WebSocket, in the bodies of ordinary POST requests, for ways that pass no upgrade and for
proxies that keep an answer until it is whole. Counterparts: ``poll_server`` and ``poll_client``.

Up: each request carries the frames that wait, under a number that rises by one; a number that was applied is answered
again and not applied again. Down: each request asks for the batch of a number, which says that all before it arrived;
the server keeps a batch until the next is asked for, and gives it again to whoever asks again. So an answer that is
lost on the way costs a repetition, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kubently import wire
from kubently.errors import RemoteProtocolError
from kubently.wire.frames import HEADER, U32

OPEN_PATH = "/executor/v1/tunnel/open"
UP_PATH = "/executor/v1/tunnel/up"
DOWN_PATH = "/executor/v1/tunnel/down"
CLOSE_PATH = "/executor/v1/tunnel/close"

SESSION = "X-Kubently-Session"
"""Header of the session's name: a secret, so it stands in no path, where logs would have it."""
SEQUENCE = "X-Kubently-Sequence"
HOLD = "X-Kubently-Hold"
"""Header of the seconds that an empty answer may be kept back."""

MAX_HOLD = 25.0
"""Seconds: below the 30 s after which the strictest of the usual proxies give up on an answer."""
DEFAULT_HOLD = 10.0
"""Seconds: below the 15 s of a route without a time-out of its own in Envoy."""

BATCH = 256 * 1024
"""Bytes of frames after which a batch is full: one stream's window, so that a round trip carries what may travel."""
MAX_BODY = BATCH + HEADER.size + wire.MAX_PAYLOAD + 64 * 1024
"""Bytes of a body: a batch, the frame that filled it, and lengths. Below nginx' limit for a request (1 MiB)."""


@dataclass(frozen=True, slots=True)
class Poll:
    """One request of a session that stands; ``owner`` is who has been authenticated with it."""

    action: str
    """``up``, ``down`` or ``close``."""
    session: str
    owner: str
    sequence: int = 0
    hold: float = 0.0
    body: bytes = b""


def pack(frames: Iterable[bytes]) -> bytes:
    """Frames, each after its length."""
    return b"".join(part for frame in frames for part in (U32.pack(len(frame)), frame))


def unpack(body: bytes) -> list[bytes]:
    """The frames of a body. Raises RemoteProtocolError."""
    frames, at = [], 0
    while at < len(body):
        if len(body) - at < U32.size:
            raise RemoteProtocolError("a body ends inside a frame's length")
        (length,) = U32.unpack_from(body, at)
        at += U32.size
        if length > HEADER.size + wire.MAX_PAYLOAD or length > len(body) - at:
            raise RemoteProtocolError(f"a frame of {length} bytes does not fit its body")
        frames.append(body[at : at + length])
        at += length
    return frames
