"""WebSocket framing (RFC 6455 section 5) for binary messages of a bounded size, of both ends. No I/O.

`Reader` turns what the other end sent into messages and control frames. What it does not take, it names with the status
code by which the connection is to be closed: reserved bits and opcodes, missing and needless masks, text, messages over
the limit.
"""

from __future__ import annotations

import struct
from enum import IntEnum

from kubently.errors import RemoteProtocolError

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform for which there is no compiled one
    from websockets.utils import apply_mask

MAX_CONTROL = 125
"""Bytes of a control frame's payload."""

_U16 = struct.Struct("!H")
_U64 = struct.Struct("!Q")
_SHORT = struct.Struct("!BBH")
_LONG = struct.Struct("!BBQ")


class Opcode(IntEnum):
    """RFC 6455 section 5.2."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


BINARY = 0x80 | Opcode.BINARY
"""The first byte of a whole binary message: nearly all there are."""
_CONTROL = frozenset({Opcode.CLOSE, Opcode.PING, Opcode.PONG})
_CODES = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})
"""Those that may be sent (RFC 6455 section 7.4 and what was registered since)."""


class BrokenFramingError(RemoteProtocolError):
    """The other end's frames cannot be taken; ``status`` is the code to close with."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


Received = tuple[int, bytes]
"""BINARY and a whole message, or the opcode and payload of a control frame."""


class Reader:
    """One connection's. *limit* is the most bytes of a message; *masked* says that a client is at the other end."""

    __slots__ = ("_fragments", "_limit", "_mask_bit", "_needed", "_rest")

    def __init__(self, limit: int, *, masked: bool) -> None:
        self._limit = limit
        self._mask_bit = 0x80 if masked else 0
        self._rest: bytes | bytearray = b""
        """The beginning of a frame whose end has not come; a bytearray once more was added to it."""
        self._needed = 0
        """How long it must be before it is worth another look."""
        self._fragments: bytearray | None = None

    def feed(self, data: bytes, found: list[Received]) -> None:
        """Take bytes as they came, and add to *found* what is whole.

        Raises BrokenFramingError, behind what was found before; nothing is to be fed after it.
        """
        stream: bytes | bytearray = data
        if self._rest:
            stream = self._rest = bytearray(self._rest) if isinstance(self._rest, bytes) else self._rest
            stream += data
            if len(stream) < self._needed:
                return
        at, size, needed, mask_bit = 0, len(stream), 2, self._mask_bit
        while size - at >= needed:
            first, second = stream[at], stream[at + 1]
            length, mask_at = second & 0x7F, at + 2
            if length > MAX_CONTROL:
                mask_at += 2 if length == 126 else 8
                if size < mask_at:
                    needed = mask_at - at
                    break
                length = (_U16 if length == 126 else _U64).unpack_from(stream, at + 2)[0]
            if first != BINARY or second & 0x80 != mask_bit or length > self._limit or self._fragments is not None:
                self._check(first, second, length)
            begin = mask_at + 4 if mask_bit else mask_at
            end = begin + length
            if end > size:
                needed = end - at
                break
            payload = apply_mask(stream[begin:end], stream[mask_at:begin]) if mask_bit else bytes(stream[begin:end])
            at = end
            if first == BINARY:
                found.append((Opcode.BINARY, payload))
            else:
                self._take(first, payload, found)
        self._needed = needed
        self._rest = stream[at:] if at else stream

    def _check(self, first: int, second: int, length: int) -> None:
        """Raise for what may not come now."""
        opcode = first & 0x0F
        if first & 0x70:
            raise BrokenFramingError(1002, "a frame has reserved bits and no extension was agreed on")
        if second & 0x80 != self._mask_bit:
            raise BrokenFramingError(1002, f"a frame has {'no' if self._mask_bit else 'a'} mask")
        if opcode > Opcode.BINARY:
            if opcode not in _CONTROL:
                raise BrokenFramingError(1002, f"a frame has the reserved opcode {opcode:#x}")
            if not first & 0x80 or length > MAX_CONTROL:
                raise BrokenFramingError(1002, "a control frame is fragmented or too long")
            return
        if opcode == Opcode.TEXT:
            raise BrokenFramingError(1003, "only binary messages are understood")
        if (opcode == Opcode.CONTINUATION) is (self._fragments is None):
            raise BrokenFramingError(1002, "fragments of a message are out of turn")
        if length + len(self._fragments or ()) > self._limit:
            raise BrokenFramingError(1009, f"a message is over {self._limit} bytes")

    def _take(self, first: int, payload: bytes, found: list[Received]) -> None:
        opcode = first & 0x0F
        if opcode > Opcode.BINARY:
            found.append((opcode, payload))
            return
        self._fragments = bytearray() if self._fragments is None else self._fragments
        self._fragments += payload
        if first & 0x80:
            found.append((Opcode.BINARY, bytes(self._fragments)))
            self._fragments = None


def encode(first: int, payload: bytes) -> bytes:
    """A frame of a server's; *first* is its first byte."""
    length = len(payload)
    if length <= MAX_CONTROL:
        return bytes((first, length)) + payload
    return (_SHORT.pack(first, 126, length) if length < 0x10000 else _LONG.pack(first, 127, length)) + payload


def encode_masked(first: int, payload: bytes, mask: bytes) -> bytes:
    """A frame of a client's; *mask* is four bytes that nobody can foresee (RFC 6455 section 10.3)."""
    length = len(payload)
    if length <= MAX_CONTROL:
        head = bytes((first, 0x80 | length))
    else:
        head = _SHORT.pack(first, 254, length) if length < 0x10000 else _LONG.pack(first, 255, length)
    return head + mask + apply_mask(payload, mask)


def close_payload(code: int, reason: str) -> bytes:
    """What a close frame says: the reason is cut to what fits."""
    return _U16.pack(code) + reason.encode()[: MAX_CONTROL - 2].decode(errors="ignore").encode()


def read_close(payload: bytes) -> tuple[int, str]:
    """Code and reason of a close frame; 1005 where it says nothing. Raises BrokenFramingError."""
    if not payload:
        return 1005, ""
    if len(payload) == 1:
        raise BrokenFramingError(1002, "a close frame has half a code")
    code = _U16.unpack_from(payload)[0]
    if not (code in _CODES or 3000 <= code < 5000):
        raise BrokenFramingError(1002, f"{code} is no code of a close frame")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError as error:
        raise BrokenFramingError(1007, "the reason of a close frame is no UTF-8") from error
