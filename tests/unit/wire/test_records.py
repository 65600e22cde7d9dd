"""Records of a command's output under any split, and impossible ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubently.errors import RemoteProtocolError
from kubently.wire import records

CHANNELS = st.sampled_from([records.STDOUT, records.STDERR, records.STATUS])


@given(st.lists(st.tuples(CHANNELS, st.binary(max_size=50)), max_size=20), st.lists(st.integers(1, 20), max_size=50))
def test_any_split_gives_the_same_records(written: list[tuple[int, bytes]], cuts: list[int]) -> None:
    body = b"".join(records.encode(channel, payload) for channel, payload in written)
    reader, read, position = records.Reader(), [], 0
    for cut in [*cuts, len(body)]:
        read += list(reader.feed(body[position : position + cut]))
        position += cut

    assert read == written


@pytest.mark.parametrize("data", [b"\x00\x00\x00\x00\x00", b"\x09\x00\x00\x00\x01x", b"\x01\xff\xff\xff\xff"])
def test_impossible_records_are_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="makes no sense"):
        list(records.Reader().feed(data))
