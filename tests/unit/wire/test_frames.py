"""Frames: written and read, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubently.errors import LocalProtocolError, RemoteProtocolError
from kubently.wire import frames
from kubently.wire.frames import FrameType

NAMES = st.from_regex(rb":?[a-z0-9!#$%&'*+.^_`|~-]{1,20}", fullmatch=True)
VALUES = st.from_regex(rb"[\t\x20-\x7e\x80-\xff]{0,50}", fullmatch=True)


@given(st.sampled_from(FrameType), st.integers(0, frames.MAX_STREAM_ID), st.binary(max_size=200), st.integers(0, 255))
def test_a_frame_reads_as_it_was_written(kind: FrameType, stream_id: int, payload: bytes, flags: int) -> None:
    frame = frames.decode(frames.encode(kind, stream_id, payload, flags=flags))

    assert (frame.type, frame.stream_id, frame.payload, frame.flags) == (kind, stream_id, payload, flags)


@given(st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=20))
def test_fields_read_as_they_were_written(fields: list[tuple[bytes, bytes]]) -> None:
    assert frames.decode_fields(frames.encode_fields(fields)) == tuple(fields)


@pytest.mark.parametrize("message", [b"", b"\0", b"\0\0\0\0\0"])
def test_a_truncated_frame_is_refused(message: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="shorter"):
        frames.decode(message)


def test_an_oversized_frame_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="over the limit"):
        frames.decode(frames.encode(FrameType.DATA, 1, b"x" * (frames.MAX_PAYLOAD + 1)))


def test_a_stream_id_above_31_bits_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="stream id"):
        frames.decode(frames.HEADER.pack(0, 0, 2**31))


@pytest.mark.parametrize(
    "fields",
    [
        [(b"", b"x")],
        [(b"Upper", b"x")],
        [(b"name", b"line\r\nbreak")],
        [(b"na me", b"x")],
        [(b"name", b"nul\0nul")],
        [(b"::method", b"GET")],
        [],
    ],
)
def test_illegal_fields_are_not_sent(fields: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(LocalProtocolError):
        frames.encode_fields(fields)


def test_a_header_block_over_the_limit_is_not_sent() -> None:
    with pytest.raises(LocalProtocolError, match="over the limit"):
        frames.encode_fields([(b"a", b"x" * frames.MAX_PAYLOAD)])


@pytest.mark.parametrize("block", [b"", b"name", b"name\0value\0", b"\0value", b"NAME\0x", b"a\0b\0c", b"a\0\n"])
def test_illegal_blocks_are_refused(block: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        frames.decode_fields(block)
