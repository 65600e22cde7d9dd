"""Sessions: HTTP over one connection, slow readers, cancellation, death, drain, and nothing left behind."""

import asyncio
import hashlib
import logging

import anyio
import pytest

from kubently import wire
from kubently.errors import InvalidRequestError, RemoteProtocolError, StreamResetError, TunnelClosedError
from kubently.testing import tunnel
from kubently.tunnel import Heartbeat, Message, Receive, Scope, Send, Session, Stream, asgi, read_body, status_of
from kubently.tunnel.transports.memory import memory_pair

pytestmark = pytest.mark.anyio

GET = [(b":method", b"GET"), (b":path", b"/")]


async def read_all(stream: Stream) -> bytes:
    body = b""
    while chunk := await stream.read():
        body += chunk
    return body


async def start(send: Send, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"X-Kind", b" test ")]})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the request's body."""
    await start(send)
    while True:
        message = await receive()
        await send({"type": "http.response.body", "body": message["body"], "more_body": message["more_body"]})
        if not message["more_body"]:
            return


async def test_a_request_is_answered_with_head_and_body() -> None:
    async with tunnel(echo) as (control, _):
        stream = control.open([*GET, (b"accept", b"text/plain")])
        await stream.write(b"ping", end_stream=True)

        assert await stream.head() == ((b":status", b"200"), (b"x-kind", b"test"))
        assert await read_all(stream) == b"ping"
        assert control.open_streams == 0


async def test_ten_times_one_and_two_mebibytes_arrive_unchanged_in_both_directions() -> None:
    async with tunnel(echo) as (control, _):
        for size in (2**20, 2 * 2**20):
            for i in range(10):
                body = hashlib.sha256(f"{size} {i}".encode()).digest() * (size // 32)
                stream = control.open(GET)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(write_whole, stream, body)
                    assert hashlib.sha256(await read_all(stream)).digest() == hashlib.sha256(body).digest()


async def write_whole(stream: Stream, body: bytes) -> None:
    await stream.write(body, end_stream=True)


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    """Never stops talking."""
    await start(send)
    while True:
        await send({"type": "http.response.body", "body": b"x" * 10_000, "more_body": True})


async def test_a_stopped_reader_stops_its_own_stream_only_and_memory_stays_bounded() -> None:
    """W5: one reader never reads, and others carry ten mebibytes past it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (endless if scope["path"] == "/endless" else echo)(scope, receive, send)

    async with tunnel(app, window=100_000) as (control, executor):
        stuck = control.open([(b":method", b"GET"), (b":path", b"/endless")], end_stream=True)
        await stuck.head()
        for _ in range(10):
            stream = control.open(GET)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(write_whole, stream, b"y" * 2**20)
                assert len(await read_all(stream)) == 2**20

        held = sum(map(len, stuck._inbox))
        assert held <= 100_000
        assert held + executor._connection._streams[stuck.id].outbox_bytes <= 100_000
        first = await stuck.read()
        assert first
        stuck.reset()


async def test_a_cancelled_caller_cancels_the_work_behind_its_stream() -> None:
    began, ended = anyio.Event(), anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        began.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    async with tunnel(app) as (control, executor):
        stream = control.open(GET, end_stream=True)
        await began.wait()
        stream.reset()
        with anyio.fail_after(5):
            await ended.wait()

        assert control.open_streams == executor.open_streams == 0
        with pytest.raises(StreamResetError):
            await stream.head()


@pytest.mark.parametrize("when", ["before", "during", "after"])
async def test_cancelling_leaves_no_task_and_no_stream(when: str) -> None:
    """W6: before the head, in the middle of the body, after the end."""
    before = len(asyncio.all_tasks())
    async with tunnel(endless if when == "during" else echo) as (control, executor):
        stream = control.open(GET)
        if when != "before":
            await stream.write(b"x", end_stream=True)
            await stream.head()
        if when == "after":
            await read_all(stream)
        stream.reset()
        stream.reset()
        with anyio.fail_after(5):
            while executor.open_streams:
                await anyio.sleep(0)
    assert len(asyncio.all_tasks()) == before


async def test_a_lost_tunnel_fails_every_waiting_caller_at_once() -> None:
    """W7, R2: an executor that dies between request and head, or in the body, is told at once."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/body":
            await start(send)
        await anyio.sleep_forever()

    async with tunnel(app) as (control, executor):
        waiting = control.open(GET, end_stream=True)
        reading = control.open([(b":method", b"GET"), (b":path", b"/body")], end_stream=True)
        await reading.head()
        failures: list[str] = []

        async def expect(stream: Stream) -> None:
            with pytest.raises(TunnelClosedError) as caught:
                await (stream.head() if stream is waiting else stream.read())
            failures.append(str(caught.value))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(expect, waiting)
            tasks.start_soon(expect, reading)
            await anyio.sleep(0.01)
            executor.close("killed")

        assert failures == ["the tunnel ended: killed"] * 2
        with pytest.raises(TunnelClosedError, match="killed"):
            control.open(GET)


async def test_closing_twice_and_during_a_ping_is_harmless() -> None:
    """W9."""
    async with tunnel(echo) as (control, executor):
        control.tick(control.last_received_at + 21, ping_after=20, dead_after=45)
        control.close("once")
        control.close("twice")
        executor.close("too")

        assert control.is_closed
        assert control._closed_reason == "once"


async def test_an_application_that_fails_answers_500_or_resets(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/late":
            await start(send)
        if scope["path"] == "/short":
            await start(send)
            return
        raise ValueError("boom")

    async with tunnel(app) as (control, _):
        with caplog.at_level(logging.CRITICAL):
            early = control.open(GET, end_stream=True)
            late = control.open([(b":method", b"GET"), (b":path", b"/late")], end_stream=True)
            short = control.open([(b":method", b"GET"), (b":path", b"/short")], end_stream=True)
            assert (b":status", b"500") in await early.head()
            for stream in (late, short):
                with pytest.raises(StreamResetError, match="not completed"):
                    await read_all(stream)


async def test_a_stream_of_another_protocol_is_refused_before_anybody_is_asked() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("nobody should be asked")

    async with tunnel(app) as (control, _):
        stream = control.open([(b":method", b"CONNECT"), (b":path", b"/k8s/x"), (b":protocol", b"websocket")])

        assert (b":status", b"501") in await stream.head()
        assert b"changes no stream's protocol" in await read_all(stream)


async def test_streams_over_the_limit_are_refused_with_a_reason() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.sleep_forever()

    async with tunnel(app, max_streams=2) as (control, _):
        for _ in range(2):
            control.open(GET, end_stream=True)
        with pytest.raises(TunnelClosedError, match="all in use"):
            control.open(GET, end_stream=True)


async def test_drain_lets_open_streams_finish_and_refuses_new_ones() -> None:
    release = anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await release.wait()
        await start(send)
        await send({"type": "http.response.body", "body": b"done"})

    async with tunnel(app) as (control, executor):
        stream = control.open(GET, end_stream=True)
        await anyio.sleep(0.01)
        executor.drain("restart")
        with anyio.fail_after(5):
            while not control.is_draining:
                await anyio.sleep(0)
        with pytest.raises(TunnelClosedError, match="drains"):
            control.open(GET)
        assert not await executor.wait_idle(0.06)
        release.set()

        assert await read_all(stream) == b"done"
        assert await executor.wait_idle(5)


async def test_a_half_open_link_is_given_up_within_45_seconds() -> None:
    """R3: pings go unanswered, because the other end is stopped; a fake clock counts the seconds."""
    now = [0.0]
    link, other = memory_pair()
    reasons: list[str] = []
    session = Session(wire.Role.CONTROL, link, clock=lambda: now[0], on_closed=reasons.append)
    stopped = Session(wire.Role.EXECUTOR, other, clock=lambda: 0.0)
    link.handler, other.handler = session, stopped
    heartbeat = Heartbeat(clock=lambda: now[0])
    heartbeat.watch(session)
    stopped.flush()
    await anyio.sleep(0)
    await anyio.sleep(0)
    other.handler = _Deaf()

    for second in range(1, 60):
        now[0] = float(second)
        heartbeat.beat()
        await anyio.sleep(0)
        if session.is_closed:
            break

    assert 40 <= now[0] <= 45
    assert reasons == [f"no byte arrived for {now[0]:.0f} s"]


class _Deaf:
    """A peer that is stopped: what arrives is not read."""

    def received(self, message: bytes) -> None:
        pass

    def writable(self) -> None:
        pass

    def lost(self, reason: str) -> None:
        pass


async def test_a_quiet_link_lives_by_pings_alone_and_learns_its_round_trip() -> None:
    now = [0.0]
    async with tunnel(echo, clock=lambda: now[0]) as (control, executor):
        heartbeat = Heartbeat(clock=lambda: now[0])
        heartbeat.watch(control)
        heartbeat.watch(executor)
        for second in range(1, 200):
            now[0] = float(second)
            heartbeat.beat()
            for _ in range(4):
                await anyio.sleep(0)

        assert not control.is_closed
        assert not executor.is_closed
        assert control.rtt is not None


async def test_leaked_streams_are_found_by_sync() -> None:
    """W8: the executor lost track of a stream; within a minute the caller hears of it."""
    now = [0.0]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.sleep_forever()

    async with tunnel(app, clock=lambda: now[0]) as (control, executor):
        stream = control.open(GET, end_stream=True)
        await anyio.sleep(0.01)
        kept = control.open(GET, end_stream=True)
        await anyio.sleep(0.01)
        executor._connection._streams.pop(stream.id)
        now[0] = 61.0
        executor.tick(now[0], ping_after=20, dead_after=45000)

        with anyio.fail_after(5), pytest.raises(StreamResetError, match="no longer knows"):
            await stream.head()
        assert not kept.is_closed


async def test_a_peer_that_speaks_nonsense_loses_its_tunnel() -> None:
    async with tunnel(echo) as (control, _):
        with pytest.raises(TunnelClosedError):
            stream = control.open(GET)
            control.received(b"\x00")
            await stream.head()

        assert control.is_closed


async def test_a_dead_limit_follows_a_larger_ping_interval() -> None:
    assert Heartbeat(clock=lambda: 0.0, ping_after=50).dead_after == 75
    assert Heartbeat(clock=lambda: 0.0, ping_after=5).dead_after == 45


async def test_a_second_head_ends_in_a_reset_and_never_in_silence() -> None:
    """What an application does that fails in the middle of an answer and wants to say so."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await start(send, 502)

    async with tunnel(app) as (control, executor):
        stream = control.open(GET, end_stream=True)

        with anyio.fail_after(5), pytest.raises(StreamResetError, match="not completed"):
            await read_all(stream)
        assert control.open_streams == executor.open_streams == 0


async def test_a_request_body_that_nobody_reads_does_not_hold_its_sender() -> None:
    async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, 413)
        await send({"type": "http.response.body", "body": b""})

    async with tunnel(deaf, window=1000) as (control, executor):
        stream = control.open(GET)
        with anyio.fail_after(5):
            await stream.write(b"x" * 10_000, end_stream=True)
            assert (b":status", b"413") in await stream.head()
            while control.open_streams or executor.open_streams:
                await anyio.sleep(0)


async def test_a_sender_learns_of_a_lost_tunnel_after_its_answer_has_ended() -> None:
    async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, 413)
        await send({"type": "http.response.body", "body": b""})
        executor.drain("keep what comes")
        executor._connection.acknowledge = lambda *_: None  # type: ignore[method-assign]  # a peer that grants nothing

    async with tunnel(deaf, window=1000) as (control, executor):
        stream = control.open(GET)
        await read_all(stream)

        async def lose() -> None:
            await anyio.sleep(0)
            control.close("gone")

        with anyio.fail_after(5), pytest.raises(TunnelClosedError):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lose)
                try:
                    await stream.write(b"x" * 10_000, end_stream=True)
                except TunnelClosedError as error:
                    failure = error
            raise failure


async def test_a_reset_that_meets_a_waiting_writer_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    ended = anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(endless, scope, receive, send)
        finally:
            ended.set()

    async with tunnel(app, window=1000) as (control, _):
        stream = control.open(GET, end_stream=True)
        await stream.head()
        for _ in range(10):
            await anyio.sleep(0)
        stream.reset()
        with anyio.fail_after(5):
            await ended.wait()

    assert not caplog.records


async def test_a_peer_that_grants_gigabytes_is_sent_them_but_not_out_of_memory() -> None:
    async with tunnel(echo, window=2**31 - 1) as (control, _):
        stream = control.open(GET)
        assert control._connection.send_capacity(stream.id) == wire.MAX_OUTBOX
        body = b"x" * (3 * wire.MAX_OUTBOX)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write_whole, stream, body)
            with anyio.fail_after(10):
                assert await read_all(stream) == body


@pytest.mark.parametrize("status", [b"abc", b"99999", b"-1", b"101", b"", b"\xff"])
async def test_a_status_that_makes_no_sense_is_the_peers_mistake(status: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="status"):
        status_of([(b":status", status)])
    with pytest.raises(RemoteProtocolError, match="status"):
        status_of([])


async def test_a_body_that_its_client_does_not_finish_is_not_taken_for_whole() -> None:
    messages = iter(({"type": "http.request", "body": b"{}", "more_body": True}, {"type": "http.disconnect"}))

    async def receive() -> dict[str, object]:
        return next(messages)

    with pytest.raises(InvalidRequestError, match="went away"):
        await read_body(receive, limit=100)


async def test_a_body_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def receive() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(asgi, "BODY_TIMEOUT", 0.01)

    with pytest.raises(InvalidRequestError, match="did not come within"):
        await read_body(receive, limit=100)
