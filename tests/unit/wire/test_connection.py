"""The state machine: streams, credit, fairness, drain, leaks, and peers that misbehave."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubently import wire
from kubently.errors import LocalProtocolError, RemoteProtocolError
from kubently.testing import connected_pair, deliver
from kubently.wire import frames
from kubently.wire.frames import FrameType

GET = ((b":method", b"GET"), (b":path", b"/"))
OK = ((b":status", b"200"),)


def answered(control: wire.Connection, executor: wire.Connection) -> int:
    """A stream whose request is complete and whose response head has arrived."""
    stream = control.open_stream(GET, end_stream=True)
    deliver(control, executor)
    executor.send_response(stream, OK)
    deliver(executor, control)
    return stream


def test_a_request_and_its_response_cross() -> None:
    control, executor = connected_pair()

    stream = control.open_stream(GET)
    control.send_data(stream, b"question", end_stream=True)
    asked = deliver(control, executor)
    executor.send_response(stream, OK)
    executor.send_data(stream, b"answer", end_stream=True)
    told = deliver(executor, control)

    assert asked == [wire.RequestReceived(stream, GET, False), wire.DataReceived(stream, b"question", True)]
    assert told == [wire.ResponseReceived(stream, OK, False), wire.DataReceived(stream, b"answer", True)]
    assert control.open_streams == executor.open_streams == 0


def test_a_head_alone_can_end_both_halves() -> None:
    control, executor = connected_pair()

    stream = control.open_stream(GET, end_stream=True)
    deliver(control, executor)
    executor.send_response(stream, OK, end_stream=True)

    assert deliver(executor, control) == [wire.ResponseReceived(stream, OK, True)]
    assert control.open_streams == executor.open_streams == 0


def test_slow_reader_stalls_only_its_own_stream() -> None:
    control, executor = connected_pair(window=4)
    slow, fast = answered(control, executor), answered(control, executor)

    executor.send_data(slow, b"1234")

    assert executor.send_capacity(slow) == 0
    assert executor.send_capacity(fast) == 4
    with pytest.raises(LocalProtocolError, match="credit"):
        executor.send_data(slow, b"5")


def test_credit_returns_when_the_reader_consumes() -> None:
    control, executor = connected_pair(window=4)
    stream = answered(control, executor)
    executor.send_data(stream, b"1234")
    deliver(executor, control)

    control.acknowledge(stream, 1)
    assert deliver(control, executor) == []  # less than half a window is not worth a frame
    control.acknowledge(stream, 3)

    assert deliver(control, executor) == [wire.WindowOpened(stream)]
    assert executor.send_capacity(stream) == 4


def test_an_overdrawn_window_resets_the_stream_and_only_it() -> None:
    control, executor = connected_pair(window=4)
    stream, other = answered(control, executor), answered(control, executor)

    (event,) = control.receive_frame(frames.encode(FrameType.DATA, stream, b"12345"))

    assert event == wire.StreamReset(stream, wire.ErrorCode.FLOW_CONTROL_ERROR, "the window is overdrawn")
    assert [e.stream_id for e in deliver(control, executor) if isinstance(e, wire.StreamReset)] == [stream]
    executor.send_data(other, b"1234", end_stream=True)
    assert deliver(executor, control) == [wire.DataReceived(other, b"1234", True)]


def test_control_frames_leave_before_data_and_streams_take_turns() -> None:
    control, executor = connected_pair()
    first, second = answered(control, executor), answered(control, executor)
    for stream in (first, second):
        executor.send_data(stream, b"x" * (3 * frames.MAX_DATA))
    executor.ping()

    sent = [frames.decode(f) for f in executor.frames_to_send()]

    assert sent[0].type == FrameType.PING
    assert [f.stream_id for f in sent[1:]] == [first, second] * 3


def test_a_budget_leaves_the_rest_for_later() -> None:
    control, executor = connected_pair()
    stream = answered(control, executor)
    executor.send_data(stream, b"x" * (4 * frames.MAX_DATA))

    assert len(executor.frames_to_send(budget=frames.MAX_DATA)) == 1
    assert len(executor.frames_to_send()) == 3


def test_a_reset_drops_what_is_queued_and_is_told_once() -> None:
    control, executor = connected_pair()
    stream = answered(control, executor)
    executor.send_data(stream, b"never sent")

    executor.reset_stream(stream, wire.ErrorCode.INTERNAL_ERROR, "boom")
    executor.reset_stream(stream)

    assert deliver(executor, control) == [wire.StreamReset(stream, wire.ErrorCode.INTERNAL_ERROR, "boom")]
    assert control.open_streams == 0


def test_late_frames_of_a_reset_stream_are_ignored() -> None:
    control, executor = connected_pair()
    stream = answered(control, executor)
    executor.send_data(stream, b"on the way", end_stream=True)
    on_the_way = executor.frames_to_send()

    control.reset_stream(stream)

    assert [control.receive_frame(f) for f in on_the_way] == [()]


def test_streams_over_the_limit_are_refused() -> None:
    control, executor = connected_pair(max_streams=1)
    control.open_stream(GET)

    assert not control.can_open
    with pytest.raises(LocalProtocolError):
        control.open_stream(GET)
    deliver(control, executor)
    executor.receive_frame(frames.encode(FrameType.HEADERS, 3, frames.encode_fields(GET)))
    reset = frames.decode(executor.frames_to_send()[-1])
    assert (reset.type, reset.stream_id) == (FrameType.RST_STREAM, 3)


def test_drain_serves_what_was_opened_before_it_was_heard_and_refuses_the_rest() -> None:
    control, executor = connected_pair()
    stream = answered(control, executor)

    executor.go_away(reason="restart")
    executor.go_away(reason="told once")

    assert deliver(executor, control) == [wire.GoAwayReceived(0, "restart")]
    assert not control.can_open
    executor.send_data(stream, b"still", end_stream=True)
    assert deliver(executor, control) == [wire.DataReceived(stream, b"still", True)]
    early = frames.encode(FrameType.HEADERS, 9, frames.encode_fields(GET), flags=frames.END_STREAM)
    assert executor.receive_frame(early) == (wire.RequestReceived(9, tuple(GET), True),)
    assert executor.drain_is_pending
    deliver(control, executor)  # the answer to the PING behind GOAWAY
    assert not executor.drain_is_pending
    assert executor.receive_frame(frames.encode(FrameType.HEADERS, 11, frames.encode_fields(GET))) == ()
    refused = frames.decode(executor.frames_to_send()[-1])
    assert (refused.type, refused.stream_id) == (FrameType.RST_STREAM, 11)


def test_ping_is_answered_with_its_payload() -> None:
    control, executor = connected_pair()

    control.ping(b"12345678")
    deliver(control, executor)

    assert deliver(executor, control) == [wire.PingAcknowledged(b"12345678")]


def test_sync_resets_streams_that_the_peer_no_longer_knows() -> None:
    control, executor = connected_pair()
    kept, leaked = answered(control, executor), answered(control, executor)
    control._streams.pop(leaked)  # as after a bug or a lost reset

    control.sync()

    (event,) = deliver(control, executor)
    assert isinstance(event, wire.StreamReset)
    assert event.stream_id == leaked
    assert executor.send_capacity(kept) > 0


def test_sync_spares_streams_opened_while_it_was_on_the_way() -> None:
    control, executor = connected_pair()
    answered(control, executor)
    executor.sync()
    on_the_way = executor.frames_to_send()
    young = control.open_stream(GET)

    assert [control.receive_frame(f) for f in on_the_way] == [()]
    assert control.send_capacity(young) > 0


def test_unknown_frame_types_are_ignored() -> None:
    control, _ = connected_pair()

    assert control.receive_frame(frames.HEADER.pack(0x7F, 0, 0) + b"from the future") == ()


@pytest.mark.parametrize(
    ("frame", "match"),
    [
        (frames.encode(FrameType.SETTINGS, 0, b"{}"), "twice"),
        (frames.encode(FrameType.DATA, 99, b"x"), "never opened"),
        (frames.encode(FrameType.DATA, 2, b"x"), "never opened"),
        (frames.encode(FrameType.RST_STREAM, 1, b"x"), "truncated"),
        (frames.encode(FrameType.GOAWAY, 0, b"x"), "truncated"),
        (frames.encode(FrameType.WINDOW_UPDATE, 1, b"x"), "four bytes"),
        (frames.encode(FrameType.SYNC, 0, b"xyz"), "list"),
        (frames.encode(FrameType.PING, 0, b"x" * 65), "64"),
        (frames.encode(FrameType.HEADERS, 1, b"bad"), "illegal"),
        (frames.encode(FrameType.HEADERS, 2, frames.encode_fields(GET)), "does not rise"),
    ],
)
def test_a_peer_that_breaks_the_protocol_ends_the_tunnel(frame: bytes, match: str) -> None:
    _, executor = connected_pair()

    with pytest.raises(RemoteProtocolError, match=match):
        executor.receive_frame(frame)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{}",
        b'{"version": 2, "window": 1, "max_streams": 1}',
        b'{"version": 1, "window": 0, "max_streams": 1}',
    ],
)
def test_settings_that_make_no_sense_end_the_tunnel(payload: bytes) -> None:
    fresh = wire.Connection(wire.Role.CONTROL)

    with pytest.raises(RemoteProtocolError):
        fresh.receive_frame(frames.encode(FrameType.SETTINGS, 0, payload))


def test_settings_come_first() -> None:
    with pytest.raises(RemoteProtocolError, match="not SETTINGS"):
        wire.Connection(wire.Role.CONTROL).receive_frame(frames.encode(FrameType.PING, 0))


@pytest.mark.parametrize("increment", [0, 2**31 - 1])
def test_an_impossible_window_increment_resets_the_stream(increment: int) -> None:
    control, executor = connected_pair()
    stream = answered(control, executor)

    (event,) = executor.receive_frame(frames.encode(FrameType.WINDOW_UPDATE, stream, frames.U32.pack(increment)))

    assert isinstance(event, wire.StreamReset)
    assert executor.receive_frame(frames.encode(FrameType.WINDOW_UPDATE, 0, frames.U32.pack(1))) == ()


def test_a_second_response_head_and_data_after_the_end_reset_the_stream() -> None:
    control, executor = connected_pair()
    first, _ = answered(control, executor), answered(control, executor)

    (again,) = control.receive_frame(frames.encode(FrameType.HEADERS, first, frames.encode_fields(OK)))
    early = control.open_stream(GET)
    (before_head,) = control.receive_frame(frames.encode(FrameType.DATA, early, b"x"))

    assert isinstance(again, wire.StreamReset)
    assert isinstance(before_head, wire.StreamReset)
    assert control.open_streams == 1


def test_sending_out_of_turn_is_our_bug() -> None:
    control, executor = connected_pair()
    stream = control.open_stream(GET, end_stream=True)
    deliver(control, executor)

    with pytest.raises(LocalProtocolError):
        control.send_data(stream, b"after the end")
    with pytest.raises(LocalProtocolError):
        executor.send_data(stream, b"before the head")
    with pytest.raises(LocalProtocolError):
        control.send_response(stream, OK)
    with pytest.raises(LocalProtocolError, match="closed"):
        executor.send_data(77, b"")


def test_a_peer_that_floods_and_never_reads_is_cut() -> None:
    _, executor = connected_pair()
    ping = frames.encode(FrameType.PING, 0, b"x")

    with pytest.raises(RemoteProtocolError, match="does not read"):
        for _ in range(20_000):
            executor.receive_frame(ping)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.binary(max_size=64)
        | st.builds(
            lambda t, f, s, p: frames.HEADER.pack(t, f, s) + p,
            st.integers(0, 0x22),
            st.integers(0, 1),
            st.integers(0, 9),
            st.binary(max_size=16),
        ),
        max_size=30,
    ),
    st.sampled_from(wire.Role),
)
def test_garbage_never_raises_anything_but_a_protocol_error(messages: list[bytes], role: wire.Role) -> None:
    control, executor = connected_pair()
    target = control if role is wire.Role.CONTROL else executor
    if role is wire.Role.CONTROL:
        control.open_stream(GET)

    try:
        for message in messages:
            target.receive_frame(message)
            target.frames_to_send()
    except RemoteProtocolError:
        pass


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_any_interleaving_delivers_every_body_whole_and_in_order(seed: int, count: int) -> None:
    """Random bodies on random streams, frames delivered in random pieces, readers that consume at random."""
    rng = random.Random(seed)
    control, executor = connected_pair(window=rng.choice([64, 1000, 70_000]))
    bodies = {}
    for _ in range(count):
        bodies[control.open_stream(GET, end_stream=True)] = rng.randbytes(rng.randrange(0, 5000))
    deliver(control, executor)
    rest = dict(bodies)
    for stream in bodies:
        executor.send_response(stream, OK)
    got = dict.fromkeys(bodies, b"")
    held = dict.fromkeys(bodies, 0)
    ended = set()
    for _ in range(100_000):
        if len(ended) == count:
            break
        stream = rng.choice(list(bodies))
        if stream in rest:
            size = min(rng.randrange(0, 300), executor.send_capacity(stream), len(rest[stream]))
            chunk, left = rest[stream][:size], rest[stream][size:]
            executor.send_data(stream, chunk, end_stream=not left)
            rest[stream] = left
            if not left:
                del rest[stream]
        for event in deliver(executor, control, budget=rng.randrange(1, 4000)):
            if isinstance(event, wire.DataReceived):
                got[event.stream_id] += event.data
                held[event.stream_id] += len(event.data)
                if event.end_stream:
                    ended.add(event.stream_id)
        reader = rng.choice(list(bodies))
        eaten = rng.randrange(0, held[reader] + 1)
        control.acknowledge(reader, eaten)
        held[reader] -= eaten
        deliver(control, executor)

    assert got == bodies
    assert control.open_streams == executor.open_streams == 0
