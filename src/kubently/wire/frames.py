"""Frames of the tunnel: how they are written and read.

A frame is type (u8), flags (u8), stream id (u32, network order) and payload. Over WebSocket one binary message is one
frame; over a byte stream each frame is preceded by its length (u32). Names, numbers and meanings are those of
RFC 9113 section 6 where it has them; types from 0x20 are ours. A receiver ignores types it does not know, so that new
ones can be added without a new protocol version. Full text: docs/concepts/tunnel-protocol.md.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from kubently.errors import LocalProtocolError, RemoteProtocolError

Field = tuple[bytes, bytes]
"""One header field: lower-case name (pseudo-headers begin with a colon) and value."""

HEADER = struct.Struct("!BBI")
U32 = struct.Struct("!I")

MAX_PAYLOAD = 64 * 1024
"""Bytes of payload that a receiver accepts in one frame."""

MAX_DATA = 32 * 1024
"""Bytes of payload in a DATA frame that we send: small enough that a control frame never waits long behind one."""

MAX_STREAM_ID = 2**31 - 1


class FrameType(IntEnum):
    """RFC 9113 section 6, and our own from 0x20."""

    DATA = 0x0
    HEADERS = 0x1
    RST_STREAM = 0x3
    SETTINGS = 0x4
    PING = 0x6
    GOAWAY = 0x7
    WINDOW_UPDATE = 0x8
    AUTH = 0x20
    """Words about who the executor is: a challenge, its proof, a certificate's renewal."""
    SYNC = 0x21
    """The stream ids that are live at the sender, so that leaked ones are found."""


END_STREAM = 0x1
"""Flag of DATA and HEADERS: the sender's half of the stream ends here."""
ACK = 0x1
"""Flag of PING."""


class ErrorCode(IntEnum):
    """RFC 9113 section 7."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    ENHANCE_YOUR_CALM = 0xB


class Frame(NamedTuple):
    """One decoded frame; ``type`` stays a number because unknown ones are legal.

    A tuple, because one is made for each frame, and a frozen data class takes three times as long to make.
    """

    type: int
    flags: int
    stream_id: int
    payload: bytes


def encode(kind: FrameType, stream_id: int, payload: bytes = b"", *, flags: int = 0) -> bytes:
    """Write one frame."""
    return HEADER.pack(kind, flags, stream_id) + payload


def decode(message: bytes) -> Frame:
    """Read one frame. Raises RemoteProtocolError when it is truncated, too large or has an impossible stream id."""
    if len(message) < HEADER.size:
        raise RemoteProtocolError(f"a frame of {len(message)} bytes is shorter than its {HEADER.size}-byte header")
    if len(message) > HEADER.size + MAX_PAYLOAD:
        raise RemoteProtocolError(f"a frame of {len(message)} bytes is over the limit of {HEADER.size + MAX_PAYLOAD}")
    kind, flags, stream_id = HEADER.unpack_from(message)
    if stream_id > MAX_STREAM_ID:
        raise RemoteProtocolError(f"stream id {stream_id} is over {MAX_STREAM_ID}")
    return Frame(kind, flags, stream_id, bytes(message[HEADER.size :]))


# Fields travel as name NUL value NUL name NUL value …: NUL is illegal in HTTP names and values (RFC 9110 section 5.5),
# so nothing needs escaping and one regular expression checks a whole block.
_FIELDS = re.compile(
    rb"(?s)(:?[!#$%&'*+\-.^_`|~0-9a-z]+\0[\t\x20-\x7e\x80-\xff]*)(\0:?[!#$%&'*+\-.^_`|~0-9a-z]+\0[\t\x20-\x7e\x80-\xff]*)*"
)


def encode_fields(fields: Iterable[Field]) -> bytes:
    """Write a header block. Raises LocalProtocolError when a name or value cannot be sent."""
    block = b"\0".join(part for field in fields for part in field)
    if len(block) > MAX_PAYLOAD:
        raise LocalProtocolError(f"a header block of {len(block)} bytes is over the limit of {MAX_PAYLOAD}")
    if not _FIELDS.fullmatch(block):
        raise LocalProtocolError(
            "a header field has an empty, upper-case or illegal name, or control bytes in its value"
        )
    return block


def decode_fields(block: bytes) -> tuple[Field, ...]:
    """Read a header block. Raises RemoteProtocolError when a name or value is illegal."""
    if not _FIELDS.fullmatch(block):
        raise RemoteProtocolError("a header block has an illegal name or value")
    parts = block.split(b"\0")
    return tuple(zip(parts[::2], parts[1::2], strict=True))
