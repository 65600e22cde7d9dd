"""What is remembered of each request to a cluster: who, where, what, how it ended. Never output."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from kubently.schema.base import Frozen


class AuditEvent(StrEnum):
    """One request gives a started and an ended record, or one denied record; the rest a journal tells of itself."""

    STARTED = "started"
    ENDED = "ended"
    DENIED = "denied"
    OPENED = "opened"
    CLOSED = "closed"
    REPAIRED = "repaired"
    PRUNED = "pruned"


class AuditRecord(Frozen):
    """One entry of the audit log."""

    id: str
    """Same for both records of one request."""
    at: datetime
    event: AuditEvent
    principal: str
    cluster: str
    action: str
    """"command", "kubernetes", "diagnose", "journal", or an administrative one such as "token.create"."""
    what: str
    """The argument list or the request line."""
    request_id: str = ""
    outcome: str = ""
    """How it ended: an `Ending` with exit code, an error's code, or "interrupted" where the API's process died."""
    seconds: float | None = None
    session: str = ""
    """Id of the login's session, where a person asked."""
    replica: str = ""
    """Id of the journal in which it was written."""
    sequence: int = 0
    """Its number in that journal."""
    previous: str = ""
    """Hash of the line before it."""
    hash: str = ""
    """SHA-256 of the line up to here."""


class AuditLines(Frozen):
    """Lines of journals as they were written, and where to go on."""

    lines: tuple[str, ...]
    position: int


class AuditPage(Frozen):
    """Records, and where to go on."""

    records: tuple[AuditRecord, ...]
    position: int
