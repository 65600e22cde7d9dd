"""The tunnel protocol without a tunnel. Pure."""

from kubently.wire.connection import (
    DEFAULT_MAX_STREAMS,
    DEFAULT_WINDOW,
    MAX_OUTBOX,
    PROTOCOL_VERSION,
    Connection,
    Role,
)
from kubently.wire.events import (
    AuthReceived,
    DataReceived,
    Event,
    GoAwayReceived,
    PingAcknowledged,
    RequestReceived,
    ResponseReceived,
    SettingsReceived,
    StreamReset,
    WindowOpened,
)
from kubently.wire.frames import MAX_PAYLOAD, ErrorCode, Field

__all__ = [
    "DEFAULT_MAX_STREAMS",
    "DEFAULT_WINDOW",
    "MAX_OUTBOX",
    "MAX_PAYLOAD",
    "PROTOCOL_VERSION",
    "AuthReceived",
    "Connection",
    "DataReceived",
    "ErrorCode",
    "Event",
    "Field",
    "GoAwayReceived",
    "PingAcknowledged",
    "RequestReceived",
    "ResponseReceived",
    "Role",
    "SettingsReceived",
    "StreamReset",
    "WindowOpened",
]
