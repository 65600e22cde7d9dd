"""A command's response body: records of channel (u8), length (u32, network order) and payload.

The last record is the status, a JSON object: how the command ended. A body without one was broken off.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from kubently.errors import RemoteProtocolError

MEDIA_TYPE = "application/vnd.kubently.records"

STDOUT, STDERR, STATUS = 1, 2, 3
_HEADER = struct.Struct("!BI")
MAX_RECORD = 1024 * 1024


def encode(channel: int, payload: bytes) -> bytes:
    """Write one record."""
    return _HEADER.pack(channel, len(payload)) + payload


class Reader:
    """Reads records from pieces of a body. Holds at most one incomplete record."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Take a piece and give the records that are complete. Raises RemoteProtocolError on an impossible one."""
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            channel, length = _HEADER.unpack_from(self._buffer)
            if channel not in (STDOUT, STDERR, STATUS) or length > MAX_RECORD:
                raise RemoteProtocolError(f"a record of channel {channel} and {length} bytes makes no sense")
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            yield channel, payload
