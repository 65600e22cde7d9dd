"""Our WebSocket framing against that of ``websockets``, and what the library cannot be asked about."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from websockets.exceptions import PayloadTooBig
from websockets.exceptions import ProtocolError as LibraryError
from websockets.frames import Close, Frame
from websockets.frames import Opcode as LibraryOpcode
from websockets.protocol import CLIENT, SERVER, Protocol, State

from kubently.tunnel.transports import framing
from kubently.tunnel.transports.framing import BINARY, BrokenFramingError, Opcode, Reader

LIMIT = 300
MASK = b"\x01\x80\xfe\x00"
TOO_LARGE = 1009


@dataclass(frozen=True)
class Raw:
    """A frame as it is on the wire, right or wrong."""

    first: int
    payload: bytes
    masked: bool = True
    announced: int | None = None

    def __bytes__(self) -> bytes:
        length = len(self.payload) if self.announced is None else self.announced
        bit = 0x80 if self.masked else 0
        if length < 126:
            head = struct.pack("!BB", self.first, bit | length)
        elif length < 0x10000:
            head = struct.pack("!BBH", self.first, bit | 126, length)
        else:
            head = struct.pack("!BBQ", self.first, bit | 127, length)
        if not self.masked:
            return head + self.payload
        return head + MASK + bytes(byte ^ MASK[i % 4] for i, byte in enumerate(self.payload))


def ours(chunks: Sequence[bytes], *, masked: bool = True) -> tuple[list[tuple[int, bytes]], int]:
    """What we find until a goodbye, and the status by which we would close; 0 when all is well so far."""
    reader, found, code = Reader(LIMIT, masked=masked), list[framing.Received](), 0
    try:
        for chunk in chunks:
            reader.feed(chunk, found)
    except BrokenFramingError as error:
        code = error.status
    for number, (opcode, payload) in enumerate(found):
        if opcode == Opcode.CLOSE:
            try:
                framing.read_close(payload)
            except BrokenFramingError as error:
                return found[:number], error.status
            return found[: number + 1], 0
    return found, code


def theirs(chunks: Sequence[bytes], *, masked: bool = True) -> tuple[list[tuple[int, bytes]], int]:
    """The same, of the library."""
    library = Protocol(SERVER if masked else CLIENT, state=State.OPEN, max_size=LIMIT)
    found: list[tuple[int, bytes]] = []
    message = b""
    for chunk in chunks:
        library.receive_data(chunk)
        for frame in library.events_received():
            assert isinstance(frame, Frame)
            if frame.opcode in (LibraryOpcode.PING, LibraryOpcode.PONG, LibraryOpcode.CLOSE):
                found.append((int(frame.opcode), bytes(frame.data)))
                continue
            message += bytes(frame.data)
            if frame.fin:
                found.append((int(Opcode.BINARY), message))
                message = b""
        if library.parser_exc is not None:
            return found, status(library.parser_exc)
        if library.state is not State.OPEN:
            break
    return found, 0


def status(error: Exception) -> int:
    if isinstance(error, PayloadTooBig):
        return TOO_LARGE
    return 1007 if isinstance(error, UnicodeDecodeError) else 1002


def is_same(code: int, expected: int) -> bool:
    """A frame that is wrong in two ways may be refused for either."""
    return code == expected or {code, expected} <= {1002, 1007, TOO_LARGE}


def cut(stream: bytes, places: Sequence[int]) -> Iterator[bytes]:
    """The stream in pieces."""
    ends = sorted({place % (len(stream) + 1) for place in places})
    for begin, end in zip([0, *ends], [*ends, len(stream)], strict=True):
        yield stream[begin:end]


payloads = st.one_of(st.binary(max_size=140), st.integers(0, LIMIT + 20).map(lambda n: b"y" * n))
# All but text, which the library takes and we do not.
firsts = st.one_of(
    st.sampled_from([0x82, 0x82, 0x82, 0x02, 0x00, 0x80, 0x89, 0x8A, 0x88]),
    st.integers(0, 255).filter(lambda first: first & 0x0F != Opcode.TEXT),
)
frames_ = st.builds(Raw, firsts, payloads, masked=st.integers(0, 9).map(bool))


def closes_within_a_message(frames: Sequence[Raw]) -> bool:
    """The library refuses a close between the parts of a message; RFC 6455 (5.4) lets it in, as any control frame."""
    is_open = False
    for frame in frames:
        opcode, is_last = frame.first & 0x0F, bool(frame.first & 0x80)
        if opcode == Opcode.CLOSE and is_open:
            return True
        if opcode in (0, Opcode.BINARY):
            is_open = not is_last
    return False


def crowds_a_message(frames: Sequence[Raw]) -> bool:
    """The library counts a control frame between the parts of a message towards the message's size, and we do not."""
    size = 0
    for frame in frames:
        opcode, is_last = frame.first & 0x0F, bool(frame.first & 0x80)
        if opcode in (0, Opcode.BINARY):
            size = 0 if is_last else size + len(frame.payload)
        elif size + len(frame.payload) > LIMIT:
            return True
    return False


@given(st.lists(frames_, max_size=8), st.lists(st.integers(0, 4000), max_size=12))
def test_it_finds_what_the_library_finds_and_breaks_off_where_it_does(frames: list[Raw], places: list[int]) -> None:
    assume(not closes_within_a_message(frames) and not crowds_a_message(frames))
    chunks = list(cut(b"".join(map(bytes, frames)), places))

    found, code = ours(chunks)
    expected, expected_code = theirs(chunks)

    assert found == expected
    assert is_same(code, expected_code)


@given(st.lists(st.builds(Raw, firsts, payloads, masked=st.just(False)), max_size=8), st.lists(st.integers(0, 4000)))
def test_a_client_finds_what_the_library_finds(frames: list[Raw], places: list[int]) -> None:
    assume(not closes_within_a_message(frames) and not crowds_a_message(frames))
    chunks = list(cut(b"".join(map(bytes, frames)), places))

    found, code = ours(chunks, masked=False)
    expected, expected_code = theirs(chunks, masked=False)

    assert found == expected
    assert is_same(code, expected_code)


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=8))
def test_noise_is_read_or_refused_and_nothing_else(noise: bytes, places: list[int]) -> None:
    _, code = ours(list(cut(noise, places)))

    assert code in (0, 1002, 1003, 1007, 1009)


@given(st.binary(max_size=70_000) | st.integers(0, 70_000).map(lambda n: b"z" * n), st.binary(min_size=4, max_size=4))
def test_the_library_reads_what_is_written(payload: bytes, mask: bytes) -> None:
    for side, frame in (
        (CLIENT, framing.encode(BINARY, payload)),
        (SERVER, framing.encode_masked(BINARY, payload, mask)),
    ):
        library = Protocol(side, state=State.OPEN, max_size=None)
        library.receive_data(frame)

        assert [bytes(each.data) for each in library.events_received()] == [payload]  # type: ignore[union-attr]


@given(st.integers(1000, 1014).filter(lambda code: code not in (1004, 1005, 1006)), st.text())
def test_a_goodbye_is_read_as_it_was_said(code: int, reason: str) -> None:
    payload = framing.close_payload(code, reason)

    assert len(payload) <= framing.MAX_CONTROL
    assert framing.read_close(payload) == (code, Close.parse(payload).reason)
    assert reason.encode("utf-8", "replace").startswith(payload[2:])


@pytest.mark.parametrize("payload", [b"\x03", b"\x03\xed", b"\x03\xee", b"\x00\x00", b"\x13\x88", b"\x03\xe8\xff"])
def test_a_goodbye_that_the_library_refuses_is_refused(payload: bytes) -> None:
    with pytest.raises((LibraryError, UnicodeDecodeError)):
        Close.parse(payload).check()

    with pytest.raises(BrokenFramingError):
        framing.read_close(payload)


def test_text_is_refused_by_its_own_code() -> None:
    assert ours([bytes(Raw(0x81, b"hello"))]) == ([], 1003)


@pytest.mark.parametrize("announced", [LIMIT + 1, 0xFFFF, 0x10000, 2**63, 2**64 - 1])
def test_a_message_over_the_limit_is_refused_by_its_head(announced: int) -> None:
    assert ours([bytes(Raw(0x82, b"", announced=announced))]) == ([], TOO_LARGE)


def test_fragments_over_the_limit_are_refused_before_they_are_held() -> None:
    first = Raw(0x02, b"x" * LIMIT)

    assert ours([bytes(first), bytes(Raw(0x00, b"", announced=1))]) == ([], TOO_LARGE)


def test_what_came_before_a_broken_frame_counts() -> None:
    assert ours([bytes(Raw(0x82, b"hello")) + bytes(Raw(0x82, b"", masked=False))]) == ([(2, b"hello")], 1002)


def test_a_frame_that_comes_byte_by_byte_is_looked_at_when_it_is_whole() -> None:
    stream = bytes(Raw(0x82, b"q" * LIMIT))

    found, code = ours([stream[i : i + 1] for i in range(len(stream))])

    assert (found, code) == ([(2, b"q" * LIMIT)], 0)
