"""A session: one live tunnel of one executor, as seen from either end.

It feeds a ``wire.Connection`` with what its link receives, writes what the connection wants to send while the link is
writable, and hands each stream's events to whoever waits on that stream. An idle session owns no task and no timer; the
one timer of ``heartbeat.Heartbeat`` pings all sessions of the process.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kubently import wire
from kubently.errors import RemoteProtocolError, StreamResetError, TunnelClosedError, TunnelError
from kubently.tunnel.link import WRITE_LIMIT, Link

log = logging.getLogger(__name__)

_TIME = struct.Struct("!d")


class Stream:
    """One request and its response. Has one reader and one writer at a time."""

    __slots__ = ("_ended", "_error", "_head", "_inbox", "_reader", "_session", "_writer", "fields", "id", "on_failed")

    def __init__(self, session: Session, stream_id: int, fields: tuple[wire.Field, ...] = (), *, ended: bool = False):
        self.id = stream_id
        self.fields = fields
        """The request head on the executor's side."""
        self.on_failed: Callable[[], object] | None = None
        """Called when the stream is reset or its tunnel lost."""
        self._session = session
        self._inbox: deque[bytes] = deque()
        self._head: tuple[wire.Field, ...] | None = None
        self._ended = ended
        self._error: TunnelError | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    @property
    def is_closed(self) -> bool:
        """Whether the stream was reset or its tunnel lost."""
        return self._error is not None

    @property
    def is_lost(self) -> bool:
        """Whether its tunnel was lost, as opposed to a reset of this stream."""
        return isinstance(self._error, TunnelClosedError)

    @property
    def has_ended(self) -> bool:
        """Whether the peer's half came to its end."""
        return self._ended

    @property
    def is_read(self) -> bool:
        """Whether the peer's half came to its end and was read to it."""
        return self._ended and not self._inbox

    async def head(self) -> tuple[wire.Field, ...]:
        """Wait for the response head. Raises StreamResetError or TunnelClosedError."""
        while self._head is None:
            self._raise_error()
            await self._wait_to_read()
        return self._head

    async def read(self) -> bytes:
        """Wait for the next piece of the body; empty at its end. Raises StreamResetError or TunnelClosedError.

        What is returned counts as consumed, so the peer may send as much again.
        """
        while not self._inbox:
            if self._ended:
                return b""
            self._raise_error()
            await self._wait_to_read()
        chunk = self._inbox.popleft()
        self._session._acknowledge(self.id, len(chunk))
        return chunk

    def respond(self, fields: Iterable[wire.Field], *, end_stream: bool = False) -> None:
        """Send the response head. Raises StreamResetError or TunnelClosedError when the stream is gone."""
        self._raise_error()
        self._session._connection.send_response(self.id, fields, end_stream=end_stream)
        self._session.flush()

    async def write(self, data: bytes, *, end_stream: bool = False) -> None:
        """Send a piece of the body, waiting for credit. Raises StreamResetError or TunnelClosedError."""
        connection = self._session._connection
        rest = memoryview(data)
        while True:
            self._raise_error()
            capacity = connection.send_capacity(self.id)
            if capacity >= len(rest):
                connection.send_data(self.id, bytes(rest), end_stream=end_stream)
                self._session.flush()
                return
            if capacity:
                connection.send_data(self.id, bytes(rest[:capacity]))
                rest = rest[capacity:]
                self._session.flush()
            await self._wait_to_write()

    def reset(self, code: wire.ErrorCode = wire.ErrorCode.CANCEL, reason: str = "") -> None:
        """End the stream at once in both directions; does nothing to one that is over."""
        if self._error is None:
            self._fail(StreamResetError(reason or "the stream was cancelled here"))
            self._session._reset(self.id, code, reason)

    def release(self) -> None:
        """Let go of a stream whose answer is sent (executor side); what is left of the request is thrown away."""
        self._session._streams.pop(self.id, None)
        unread = sum(map(len, self._inbox))
        self._inbox.clear()
        if unread:
            self._session._acknowledge(self.id, unread)

    # ------------------------------------------------------------------ called by the session

    def _received_head(self, fields: tuple[wire.Field, ...], *, ended: bool) -> None:
        self._head = fields
        self._ended = ended
        _wake(self._reader)

    def _received_data(self, data: bytes, *, ended: bool) -> None:
        if data:
            self._inbox.append(data)
        self._ended = ended
        _wake(self._reader)

    def _window_opened(self) -> None:
        _wake(self._writer)

    def _fail(self, error: TunnelError) -> None:
        if self._error is None:
            self._error = error
            _wake(self._reader)
            _wake(self._writer)
            if self.on_failed:
                self.on_failed()

    # ------------------------------------------------------------------ waiting

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    async def _wait_to_read(self) -> None:
        self._reader = asyncio.get_running_loop().create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    async def _wait_to_write(self) -> None:
        self._writer = asyncio.get_running_loop().create_future()
        try:
            await self._writer
        finally:
            self._writer = None


class Session:
    """One end of one tunnel; a ``LinkHandler``.

    ``on_request`` is called on the executor's side with each new stream; ``on_settled`` with what the peer says of
    itself; ``on_auth`` with what it says of the executor's identity (AUTH frames); ``on_drain`` when it wants no new
    streams; ``on_closed`` once, with a sentence. ``clock`` gives monotonic seconds.
    """

    __slots__ = (
        "_clock",
        "_closed_reason",
        "_connection",
        "_last_ping_at",
        "_last_sync_at",
        "_link",
        "_on_auth",
        "_on_closed",
        "_on_drain",
        "_on_request",
        "_on_settled",
        "_streams",
        "last_received_at",
        "rtt",
    )

    def __init__(
        self,
        role: wire.Role,
        link: Link,
        *,
        clock: Callable[[], float],
        info: Mapping[str, Any] | None = None,
        window: int = wire.DEFAULT_WINDOW,
        max_streams: int = wire.DEFAULT_MAX_STREAMS,
        on_request: Callable[[Stream], None] | None = None,
        on_settled: Callable[[Mapping[str, Any]], None] | None = None,
        on_auth: Callable[[bytes], None] | None = None,
        on_drain: Callable[[str], None] | None = None,
        on_closed: Callable[[str], None] | None = None,
    ) -> None:
        self._connection = wire.Connection(role, window=window, max_streams=max_streams, info=info)
        self._link = link
        self._clock = clock
        self._streams: dict[int, Stream] = {}
        self._on_request, self._on_settled, self._on_auth = on_request, on_settled, on_auth
        self._on_drain, self._on_closed = on_drain, on_closed
        self._closed_reason: str | None = None
        self.last_received_at = self._last_ping_at = self._last_sync_at = clock()
        self.rtt: float | None = None
        """Seconds of the last ping's round trip."""

    # ------------------------------------------------------------------ for its user

    @property
    def is_closed(self) -> bool:
        """Whether the tunnel is gone."""
        return self._closed_reason is not None

    @property
    def is_settled(self) -> bool:
        """Whether the peer's SETTINGS have arrived."""
        return self._connection.is_settled

    @property
    def is_draining(self) -> bool:
        """Whether either side wants no new streams."""
        return self._connection.is_draining

    @property
    def can_open(self) -> bool:
        """Whether a stream may be opened now."""
        return self._closed_reason is None and self._connection.can_open

    @property
    def is_stalled(self) -> bool:
        """Whether its connection takes nothing more for now."""
        return not self._link.is_writable

    @property
    def open_streams(self) -> int:
        """How many streams are open."""
        return self._connection.open_streams

    def open(self, fields: Iterable[wire.Field], *, end_stream: bool = False) -> Stream:
        """Open a stream (control side). Raises TunnelClosedError when none may be opened.

        The caller ends it: by reading its body to the end or by `Stream.reset`.
        """
        if not self.can_open:
            why = self._closed_reason or ("the session drains" if self.is_draining else "its streams are all in use")
            raise TunnelClosedError(f"no stream can be opened: {why}")
        stream = Stream(self, self._connection.open_stream(fields, end_stream=end_stream))
        self._streams[stream.id] = stream
        self.flush()
        return stream

    def send_auth(self, payload: bytes) -> None:
        """Speak about the executor's identity in an AUTH frame."""
        self._connection.send_auth(payload)
        self.flush()

    def drain(self, reason: str) -> None:
        """Tell the peer that no new streams are welcome; open ones finish."""
        self._connection.go_away(reason=reason)
        self.flush()

    async def wait_idle(self, timeout: float) -> bool:
        """Wait until no stream is open and, after our `drain`, none can come; at most *timeout* seconds.

        Says whether that came true.
        """
        deadline = self._clock() + timeout
        while (self.open_streams or self._connection.drain_is_pending) and not self.is_closed:
            if self._clock() >= deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    def close(self, reason: str, *, code: int = 1000) -> None:
        """End the tunnel; every open stream fails with TunnelClosedError. Idempotent."""
        self._link.close(code, reason)
        self.lost(reason)

    def flush(self) -> None:
        """Write what is due while the link takes it."""
        connection, link = self._connection, self._link
        while connection.wants_to_send and link.is_writable:
            for frame in connection.frames_to_send(WRITE_LIMIT):
                link.send(frame)
            if connection.outbox_limits:
                for stream in self._streams.values():
                    stream._window_opened()

    def tick(self, now: float, *, ping_after: float, dead_after: float, sync_every: float = 60.0) -> None:
        """Ping a silent peer, give up on a dead one, list the open streams now and then. Called by the heartbeat."""
        silence = now - self.last_received_at
        if silence >= dead_after:
            self.close(f"no byte arrived for {silence:.0f} s", code=1001)
            return
        if silence >= ping_after and now - self._last_ping_at >= ping_after:
            self._last_ping_at = now
            self._connection.ping(_TIME.pack(now))
            self.flush()
        if self.open_streams and now - self._last_sync_at >= sync_every:
            self._last_sync_at = now
            self._connection.sync()
            self.flush()

    # ------------------------------------------------------------------ LinkHandler

    def received(self, message: bytes) -> None:
        """Take one message from the link."""
        if self.is_closed:
            return
        self.last_received_at = self._clock()
        try:
            for event in self._connection.receive_frame(message):
                self._dispatch(event)
        except RemoteProtocolError as error:
            log.warning("the peer broke the tunnel protocol", extra={"reason": str(error)})
            self.close(str(error), code=1002)
            return
        self.flush()

    def writable(self) -> None:
        """The link takes messages again."""
        self.flush()

    def lost(self, reason: str) -> None:
        """The link is gone: every waiting caller is told now."""
        if self.is_closed:
            return
        self._closed_reason = reason
        for stream in list(self._streams.values()):
            stream._fail(TunnelClosedError(f"the tunnel ended: {reason}"))
        self._streams.clear()
        if self._on_closed:
            self._on_closed(reason)

    # ------------------------------------------------------------------ events

    def _dispatch(self, event: wire.Event) -> None:
        match event:
            case wire.DataReceived(stream_id, data, end_stream):
                if stream := self._streams.get(stream_id):
                    stream._received_data(data, ended=end_stream)
                    self._forget_if_over(stream)
                else:
                    # Its reader has answered and gone: granted again, so that the sender comes to its end.
                    self._connection.acknowledge(stream_id, len(data))
            case wire.ResponseReceived(stream_id, fields, end_stream):
                if stream := self._streams.get(stream_id):
                    stream._received_head(fields, ended=end_stream)
                    self._forget_if_over(stream)
            case wire.RequestReceived(stream_id, fields, end_stream):
                stream = self._streams[stream_id] = Stream(self, stream_id, fields, ended=end_stream)
                if self._on_request:
                    self._on_request(stream)
            case wire.StreamReset(stream_id, code, reason):
                self._on_reset(stream_id, code, reason)
            case wire.WindowOpened(stream_id):
                if stream := self._streams.get(stream_id):
                    stream._window_opened()
            case _:
                self._dispatch_session_event(event)

    def _dispatch_session_event(self, event: wire.Event) -> None:
        match event:
            case wire.SettingsReceived(info):
                if self._on_settled:
                    self._on_settled(info)
            case wire.AuthReceived(payload):
                if self._on_auth:
                    self._on_auth(payload)
            case wire.PingAcknowledged(payload) if len(payload) == _TIME.size:
                self.rtt = max(0.0, self._clock() - _TIME.unpack(payload)[0])
            case wire.GoAwayReceived(_, reason):
                if self._on_drain:
                    self._on_drain(reason)

    def _on_reset(self, stream_id: int, code: int, reason: str) -> None:
        if stream := self._streams.pop(stream_id, None):
            what = wire.ErrorCode(code).name if code in set(wire.ErrorCode) else f"{code:#x}"
            text = f"the other end reset the stream: {reason or what}"
            stream._fail(StreamResetError(text, details={"code": what}))

    # ------------------------------------------------------------------ called by streams

    def _acknowledge(self, stream_id: int, count: int) -> None:
        self._connection.acknowledge(stream_id, count)
        self.flush()

    def _reset(self, stream_id: int, code: wire.ErrorCode, reason: str) -> None:
        self._streams.pop(stream_id, None)
        self._connection.reset_stream(stream_id, code, reason)
        self.flush()

    def _forget_if_over(self, stream: Stream) -> None:
        # On the executor's side a stream lives until its response is sent; resets must reach it until then. On the
        # control side one whose request is still being sent lives on: its writer waits for credit.
        if stream._ended and self._connection.role is wire.Role.CONTROL and not self._connection.is_open(stream.id):
            self._streams.pop(stream.id, None)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
