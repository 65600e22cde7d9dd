"""What a connection reports about the frames it received."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubently.wire.frames import Field


@dataclass(frozen=True, slots=True)
class SettingsReceived:
    """The peer's first frame; ``info`` is what else it says of itself (version, capabilities)."""

    info: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """The control side opened a stream."""

    stream_id: int
    fields: tuple[Field, ...]
    end_stream: bool


@dataclass(frozen=True, slots=True)
class ResponseReceived:
    """The executor sent the head of its response."""

    stream_id: int
    fields: tuple[Field, ...]
    end_stream: bool


@dataclass(frozen=True, slots=True)
class DataReceived:
    """A piece of a body; its bytes count against the window until they are acknowledged."""

    stream_id: int
    data: bytes
    end_stream: bool


@dataclass(frozen=True, slots=True)
class StreamReset:
    """The stream is gone, whoever ended it."""

    stream_id: int
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class WindowOpened:
    """The peer granted more credit for this stream."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class AuthReceived:
    """The peer spoke about the executor's identity; what it means is not the protocol's."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class PingAcknowledged:
    """The peer answered our ping."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class GoAwayReceived:
    """The peer drains: no new streams here, open ones may finish."""

    code: int
    reason: str


Event = (
    SettingsReceived
    | RequestReceived
    | ResponseReceived
    | DataReceived
    | StreamReset
    | WindowOpened
    | AuthReceived
    | PingAcknowledged
    | GoAwayReceived
)
