"""One end of a tunnel as a state machine: frames in, events out, no I/O.

Only the control side opens streams, with rising odd ids. Each direction of a stream has a window of credit: a sender
may have at most that many bytes which the reader has not consumed yet, so one slow reader stops one stream and nothing
else. Control frames leave first, then one DATA frame of each ready stream in turn. Driver: ``kubently.tunnel.session``.

A mistake of the peer raises RemoteProtocolError (the tunnel must be closed) unless it concerns one stream alone, which
is then reset. A mistake of our own raises LocalProtocolError. Longer than most modules: the steps of one state machine
are read together.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from kubently.errors import LocalProtocolError, RemoteProtocolError
from kubently.wire import events, frames
from kubently.wire.frames import ErrorCode, Field, Frame, FrameType

PROTOCOL_VERSION = 1

# A stream can carry one window per round trip: at 50 ms, HTTP/2's default of 64 KiB is 1.25 MiB/s and a large list
# crawls. 256 KiB gives 5 MiB/s, and a thousand stalled readers still hold only 250 MiB.
DEFAULT_WINDOW = 256 * 1024
MAX_WINDOW = 2**31 - 1
DEFAULT_MAX_STREAMS = 512

# What a peer grants is its word, not our memory: whatever its window and max_streams, no more than this waits here.
MAX_OUTBOX = 1024 * 1024
MOST_STREAMS = 4096

# Each frame of the peer causes at most one control frame of ours; a peer that sends and never reads is cut here.
MAX_CONTROL_FRAMES = 10_000


_DRAIN = b"drain"
"""What the PING behind our GOAWAY carries: no time of a session is five bytes long."""


class Role(Enum):
    """Which end this is."""

    CONTROL = "control"
    """Opens streams: the API."""
    EXECUTOR = "executor"
    """Answers them: the program in the cluster."""


@dataclass(slots=True)
class _Stream:
    id: int
    send_window: int
    """Credit the peer has granted and we have not used; queued bytes are not yet taken off."""
    receive_window: int
    """Credit that the peer still has."""
    unacknowledged: int = 0
    """Bytes consumed by the reader and not yet granted again."""
    outbox: deque[bytes] = field(default_factory=deque)
    outbox_bytes: int = 0
    end_queued: bool = False
    sent_head: bool = False
    sent_end: bool = False
    received_head: bool = False
    received_end: bool = False
    ready: bool = False
    """Whether it stands in the queue of streams with something to send."""


class Connection:
    """One end of a tunnel.

    ``window`` is the credit in bytes that this end grants to each stream; ``max_streams`` is how many streams at once
    an executor accepts. ``info`` is sent to the peer in SETTINGS as it is.
    """

    # Ten thousand of them are idle at once: no dictionaries, and no queue that is empty (a deque takes 760 bytes).
    __slots__ = (
        "_control",
        "_drain_heard",
        "_draining",
        "_last_id",
        "_max_streams",
        "_peer_draining",
        "_peer_max_streams",
        "_peer_window",
        "_ready",
        "_settled",
        "_streams",
        "_window",
        "role",
    )

    def __init__(
        self,
        role: Role,
        *,
        window: int = DEFAULT_WINDOW,
        max_streams: int = DEFAULT_MAX_STREAMS,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        self.role = role
        self._window = window
        self._max_streams = max_streams
        self._peer_window = 0
        self._peer_max_streams = 0
        self._settled = False
        self._draining = False
        self._drain_heard = False
        self._peer_draining = False
        self._last_id = -1
        """Highest stream id opened (control) or seen (executor)."""
        self._streams: dict[int, _Stream] = {}
        self._control: list[bytes] = []
        self._ready: deque[_Stream] | None = None
        settings = {
            "version": PROTOCOL_VERSION,
            "window": window,
            "max_streams": max_streams,
            "info": dict(info or {}),
        }
        self._control.append(frames.encode(FrameType.SETTINGS, 0, json.dumps(settings).encode()))

    # ------------------------------------------------------------------ state

    @property
    def is_settled(self) -> bool:
        """Whether the peer's SETTINGS have arrived."""
        return self._settled

    @property
    def is_draining(self) -> bool:
        """Whether either side said that no new streams are welcome."""
        return self._draining or self._peer_draining

    @property
    def drain_is_pending(self) -> bool:
        """Whether we drain, and the peer may still open streams because it has not heard that."""
        return self.role is Role.EXECUTOR and self._draining and not self._drain_heard

    @property
    def open_streams(self) -> int:
        """How many streams live on this connection."""
        return len(self._streams)

    @property
    def can_open(self) -> bool:
        """Whether the control side may open one more stream now."""
        return (
            self.role is Role.CONTROL
            and self._settled
            and not self.is_draining
            and len(self._streams) < self._peer_max_streams
            and self._last_id + 2 <= frames.MAX_STREAM_ID
        )

    @property
    def wants_to_send(self) -> bool:
        """Whether `frames_to_send` may have something."""
        return bool(self._control or self._ready)

    @property
    def outbox_limits(self) -> bool:
        """Whether the peer grants more than is queued here, so that writers also wait for what is queued to leave."""
        return self._peer_window > MAX_OUTBOX

    def is_open(self, stream_id: int) -> bool:
        """Whether either half of the stream is still to end."""
        return stream_id in self._streams

    def send_capacity(self, stream_id: int) -> int:
        """Bytes that may be queued on the stream now; 0 when its window is used up or the stream is gone."""
        stream = self._streams.get(stream_id)
        return max(0, min(stream.send_window, MAX_OUTBOX) - stream.outbox_bytes) if stream else 0

    # ------------------------------------------------------------------ what this end wants to send

    def open_stream(self, fields: Iterable[Field], *, end_stream: bool = False) -> int:
        """Open a stream with a request head. Raises LocalProtocolError when `can_open` is false."""
        if not self.can_open:
            raise LocalProtocolError("no stream may be opened now")
        block = frames.encode_fields(fields)
        self._last_id += 2
        stream = _Stream(self._last_id, self._peer_window, self._window, sent_head=True, sent_end=end_stream)
        self._streams[stream.id] = stream
        self._queue_head(stream, block, end_stream=end_stream)
        return stream.id

    def send_response(self, stream_id: int, fields: Iterable[Field], *, end_stream: bool = False) -> None:
        """Send the head of the response; once per stream, before any data."""
        stream = self._live(stream_id)
        if self.role is Role.CONTROL or stream.sent_head:
            raise LocalProtocolError(f"stream {stream_id} cannot send a response head now")
        block = frames.encode_fields(fields)
        stream.sent_head, stream.sent_end = True, end_stream
        self._queue_head(stream, block, end_stream=end_stream)
        self._forget_if_done(stream)

    def send_data(self, stream_id: int, data: bytes, *, end_stream: bool = False) -> None:
        """Queue a piece of the body. Raises LocalProtocolError over the stream's capacity or out of turn."""
        stream = self._live(stream_id)
        if not stream.sent_head or stream.end_queued or stream.sent_end:
            raise LocalProtocolError(f"stream {stream_id} cannot send data now")
        if len(data) > self.send_capacity(stream_id):
            raise LocalProtocolError(f"{len(data)} bytes are over the credit of stream {stream_id}")
        if data:
            stream.outbox.append(data)
            stream.outbox_bytes += len(data)
        stream.end_queued = end_stream
        if data or end_stream:
            self._make_ready(stream)

    def reset_stream(self, stream_id: int, code: ErrorCode = ErrorCode.CANCEL, reason: str = "") -> None:
        """End the stream in both directions at once; a stream that is gone already is left alone."""
        if self._streams.pop(stream_id, None) is not None:
            self._queue_reset(stream_id, code, reason)

    def acknowledge(self, stream_id: int, count: int) -> None:
        """Say that the reader has consumed *count* bytes, which grants them to the peer again."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.received_end:
            return
        stream.unacknowledged += count
        # Half a window at a time: often enough that a sender never starves, rarely enough to cost nothing.
        if stream.unacknowledged * 2 >= self._window:
            stream.receive_window += stream.unacknowledged
            self._control.append(
                frames.encode(FrameType.WINDOW_UPDATE, stream_id, frames.U32.pack(stream.unacknowledged))
            )
            stream.unacknowledged = 0

    def ping(self, payload: bytes = b"\0" * 8) -> None:
        """Ask the peer for a sign of life."""
        self._control.append(frames.encode(FrameType.PING, 0, payload))

    def go_away(self, code: ErrorCode = ErrorCode.NO_ERROR, reason: str = "") -> None:
        """Drain: no new streams are welcome, open ones finish.

        Streams that the peer opens before it hears of that are served: refused, they would be failures that nobody
        deserved. A PING behind an executor's GOAWAY says when it was heard; what is opened after its answer is refused.
        """
        if not self._draining:
            self._draining = True
            payload = frames.U32.pack(max(self._last_id, 0)) + frames.U32.pack(code) + reason.encode()[:1024]
            self._control.append(frames.encode(FrameType.GOAWAY, 0, payload))
            if self.role is Role.EXECUTOR:
                self.ping(_DRAIN)

    def send_auth(self, payload: bytes) -> None:
        """Speak about the executor's identity: at most a frame's payload. Raises LocalProtocolError."""
        if len(payload) > frames.MAX_PAYLOAD:
            raise LocalProtocolError(f"{len(payload)} bytes are too many for one AUTH frame")
        self._control.append(frames.encode(FrameType.AUTH, 0, payload))

    def sync(self) -> None:
        """Tell the peer which streams live here, so that it resets those that do not."""
        ids = (max(self._last_id, 0), *self._streams)
        self._control.append(frames.encode(FrameType.SYNC, 0, b"".join(map(frames.U32.pack, ids))))

    def frames_to_send(self, budget: int | None = None) -> Sequence[bytes]:
        """Take out what should be written next: all control frames, then about *budget* bytes of data in fair turns."""
        out, self._control = self._control, []
        left = budget if budget is not None else MAX_WINDOW
        while self._ready and left > 0:
            stream = self._ready.popleft()
            stream.ready = False
            if self._streams.get(stream.id) is not stream:
                continue
            frame = self._next_data(stream)
            left -= len(frame)
            out.append(frame)
        return out

    # ------------------------------------------------------------------ what the peer sent

    def receive_frame(self, message: bytes) -> tuple[events.Event, ...]:
        """Take one frame and report what it means. Raises RemoteProtocolError when the tunnel must be closed."""
        frame = frames.decode(message)
        if len(self._control) > MAX_CONTROL_FRAMES:
            raise RemoteProtocolError(f"{MAX_CONTROL_FRAMES} control frames wait and the peer does not read them")
        if not self._settled:
            if frame.type != FrameType.SETTINGS:
                raise RemoteProtocolError(f"the first frame is of type {frame.type:#x}, not SETTINGS")
            return self._on_settings(frame)
        handler = _HANDLERS.get(frame.type)
        return handler(self, frame) if handler else ()

    def _on_settings(self, frame: Frame) -> tuple[events.Event, ...]:
        if self._settled:
            raise RemoteProtocolError("SETTINGS came twice")
        try:
            told = json.loads(frame.payload)
            version, window, max_streams = told["version"], told["window"], told["max_streams"]
            info = told.get("info", {})
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise RemoteProtocolError("SETTINGS cannot be read") from error
        if version != PROTOCOL_VERSION:
            raise RemoteProtocolError(f"the peer speaks protocol version {version!r}, we speak {PROTOCOL_VERSION}")
        for name, value in (("window", window), ("max_streams", max_streams)):
            if type(value) is not int or not 1 <= value <= MAX_WINDOW:
                raise RemoteProtocolError(f"SETTINGS has an impossible {name}")
        if not isinstance(info, dict):
            raise RemoteProtocolError("SETTINGS has an impossible info")
        self._settled, self._peer_window, self._peer_max_streams = True, window, min(max_streams, MOST_STREAMS)
        return (events.SettingsReceived(info),)

    def _on_headers(self, frame: Frame) -> tuple[events.Event, ...]:
        fields = frames.decode_fields(frame.payload)
        end = bool(frame.flags & frames.END_STREAM)
        if self.role is Role.EXECUTOR:
            return self._on_request(frame.stream_id, fields, end=end)
        stream = self._known(frame.stream_id)
        if stream is None:
            return ()
        if stream.received_head:
            return self._refuse(stream, ErrorCode.PROTOCOL_ERROR, "a second response head")
        stream.received_head, stream.received_end = True, end
        self._forget_if_done(stream)
        return (events.ResponseReceived(stream.id, fields, end),)

    def _on_request(self, stream_id: int, fields: tuple[Field, ...], *, end: bool) -> tuple[events.Event, ...]:
        if stream_id <= self._last_id or stream_id % 2 == 0:
            raise RemoteProtocolError(f"stream id {stream_id} does not rise")
        self._last_id = stream_id
        if self._drain_heard or len(self._streams) >= self._max_streams:
            why = "draining" if self._drain_heard else f"{self._max_streams} streams are open"
            self._queue_reset(stream_id, ErrorCode.REFUSED_STREAM, why)
            return ()
        stream = _Stream(stream_id, self._peer_window, self._window, received_head=True, received_end=end)
        self._streams[stream_id] = stream
        return (events.RequestReceived(stream_id, fields, end),)

    def _on_data(self, frame: Frame) -> tuple[events.Event, ...]:
        stream = self._known(frame.stream_id)
        if stream is None:
            return ()
        if not stream.received_head or stream.received_end:
            return self._refuse(stream, ErrorCode.STREAM_CLOSED, "data outside a body")
        if len(frame.payload) > stream.receive_window:
            return self._refuse(stream, ErrorCode.FLOW_CONTROL_ERROR, "the window is overdrawn")
        stream.receive_window -= len(frame.payload)
        end = bool(frame.flags & frames.END_STREAM)
        stream.received_end = end
        self._forget_if_done(stream)
        return (events.DataReceived(stream.id, frame.payload, end),)

    def _on_rst_stream(self, frame: Frame) -> tuple[events.Event, ...]:
        if len(frame.payload) < 4:
            raise RemoteProtocolError("RST_STREAM is truncated")
        stream = self._known(frame.stream_id)
        if stream is None:
            return ()
        del self._streams[stream.id]
        code = frames.U32.unpack_from(frame.payload)[0]
        return (events.StreamReset(stream.id, code, frame.payload[4:].decode(errors="replace")),)

    def _on_ping(self, frame: Frame) -> tuple[events.Event, ...]:
        if len(frame.payload) > 64:
            raise RemoteProtocolError("PING carries more than 64 bytes")
        if frame.flags & frames.ACK:
            self._drain_heard = self._drain_heard or (self._draining and frame.payload == _DRAIN)
            return (events.PingAcknowledged(frame.payload),)
        self._control.append(frames.encode(FrameType.PING, 0, frame.payload, flags=frames.ACK))
        return ()

    def _on_auth(self, frame: Frame) -> tuple[events.Event, ...]:
        return (events.AuthReceived(frame.payload),)

    def _on_go_away(self, frame: Frame) -> tuple[events.Event, ...]:
        if len(frame.payload) < 8:
            raise RemoteProtocolError("GOAWAY is truncated")
        self._peer_draining = True
        code = frames.U32.unpack_from(frame.payload, 4)[0]
        return (events.GoAwayReceived(code, frame.payload[8:].decode(errors="replace")),)

    def _on_window_update(self, frame: Frame) -> tuple[events.Event, ...]:
        if len(frame.payload) != 4:
            raise RemoteProtocolError("WINDOW_UPDATE is not four bytes long")
        if frame.stream_id == 0:  # reserved for a budget over all streams
            return ()
        stream = self._known(frame.stream_id)
        if stream is None:
            return ()
        increment = frames.U32.unpack(frame.payload)[0]
        if increment == 0 or stream.send_window + increment > MAX_WINDOW:
            return self._refuse(stream, ErrorCode.FLOW_CONTROL_ERROR, "an impossible window increment")
        stream.send_window += increment
        return (events.WindowOpened(stream.id),)

    def _on_sync(self, frame: Frame) -> tuple[events.Event, ...]:
        if len(frame.payload) % 4 or not frame.payload:
            raise RemoteProtocolError("SYNC is not a list of stream ids")
        last_seen, *live = (i[0] for i in frames.U32.iter_unpack(frame.payload))
        # A stream above the peer's highest id was opened while its SYNC was on the way.
        leaked = [i for i in self._streams.keys() - set(live) if i <= last_seen or self.role is Role.EXECUTOR]
        for stream_id in leaked:
            del self._streams[stream_id]
        return tuple(events.StreamReset(i, ErrorCode.CANCEL, "the peer no longer knows this stream") for i in leaked)

    # ------------------------------------------------------------------ shared steps

    def _live(self, stream_id: int) -> _Stream:
        stream = self._streams.get(stream_id)
        if stream is None:
            raise LocalProtocolError(f"stream {stream_id} is closed")
        return stream

    def _known(self, stream_id: int) -> _Stream | None:
        """The stream, or None when it is gone already; frames of one that is gone are late, not wrong."""
        stream = self._streams.get(stream_id)
        if stream is None and (stream_id > self._last_id or stream_id % 2 == 0):
            raise RemoteProtocolError(f"stream {stream_id} was never opened")
        return stream

    def _refuse(self, stream: _Stream, code: ErrorCode, reason: str) -> tuple[events.Event, ...]:
        self._streams.pop(stream.id, None)
        self._queue_reset(stream.id, code, reason)
        return (events.StreamReset(stream.id, code, reason),)

    def _queue_head(self, stream: _Stream, block: bytes, *, end_stream: bool) -> None:
        flags = frames.END_STREAM if end_stream else 0
        self._control.append(frames.encode(FrameType.HEADERS, stream.id, block, flags=flags))

    def _queue_reset(self, stream_id: int, code: ErrorCode, reason: str) -> None:
        payload = frames.U32.pack(code) + reason.encode()[:1024]
        self._control.append(frames.encode(FrameType.RST_STREAM, stream_id, payload))

    def _make_ready(self, stream: _Stream) -> None:
        if not stream.ready:
            stream.ready = True
            if self._ready is None:
                self._ready = deque()
            self._ready.append(stream)

    def _next_data(self, stream: _Stream) -> bytes:
        chunk = b""
        if stream.outbox:
            chunk = stream.outbox.popleft()
            if len(chunk) > frames.MAX_DATA:
                stream.outbox.appendleft(chunk[frames.MAX_DATA :])
                chunk = chunk[: frames.MAX_DATA]
            stream.outbox_bytes -= len(chunk)
            stream.send_window -= len(chunk)
        flags = 0
        if stream.outbox:
            self._make_ready(stream)
        elif stream.end_queued:
            flags, stream.sent_end = frames.END_STREAM, True
            self._forget_if_done(stream)
        return frames.encode(FrameType.DATA, stream.id, chunk, flags=flags)

    def _forget_if_done(self, stream: _Stream) -> None:
        if stream.sent_end and stream.received_end:
            self._streams.pop(stream.id, None)


_HANDLERS: dict[int, Callable[[Connection, Frame], tuple[events.Event, ...]]] = {
    FrameType.DATA: Connection._on_data,
    FrameType.HEADERS: Connection._on_headers,
    FrameType.RST_STREAM: Connection._on_rst_stream,
    FrameType.SETTINGS: Connection._on_settings,
    FrameType.PING: Connection._on_ping,
    FrameType.GOAWAY: Connection._on_go_away,
    FrameType.WINDOW_UPDATE: Connection._on_window_update,
    FrameType.SYNC: Connection._on_sync,
    FrameType.AUTH: Connection._on_auth,
}
