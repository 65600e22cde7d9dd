"""What is remembered of each request to a cluster: who, where, what, how it ended. Never output."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from kubently.schema.base import Frozen


class AuditEvent(StrEnum):
    """One request gives a started and an ended record, or one denied record."""

    STARTED = "started"
    ENDED = "ended"
    DENIED = "denied"


class AuditRecord(Frozen):
    """One entry of the audit log."""

    id: str
    """Same for both records of one request."""
    at: datetime
    event: AuditEvent
    principal: str
    cluster: str
    action: str
    """"command", "kubernetes", "diagnose", or an administrative one such as "token.create"."""
    what: str
    """The argument list or the request line."""
    request_id: str = ""
    outcome: str = ""
    """How it ended: an `Ending` with exit code, an HTTP status, or an error's code."""
    seconds: float | None = None
    session: str = ""
    """Id of the login's session, where a person asked."""


class AuditPage(Frozen):
    """Records, and where to go on."""

    records: tuple[AuditRecord, ...]
    position: int
