"""One line of an audit journal, and the chain that binds each to the one before it.

A line is a JSON object: ``replica``, ``sequence`` and ``previous`` first, then the record, last ``hash``, the SHA-256
of all bytes before it. ``previous`` is the hash of the line before, so a line that was changed, taken out or moved no
longer fits. The bytes themselves are hashed: nothing has to be put into a canonical order to be checked, and a copy of
a line, wherever it was shipped, proves as much as the journal's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime

import msgspec

from kubently.errors import JournalBrokenError

BEGINNING = "0" * 64
"""What the first line of a chain names as the hash of the one before it."""

JOURNAL = "journal"
"""The action of records in which a journal tells of itself."""

STARTED, ENDED, DENIED = "started", "ended", "denied"
OPENED, CLOSED, REPAIRED, PRUNED = "opened", "closed", "repaired", "pruned"
"""Events of a journal itself: a process begins and ends to write it, cuts a torn line off, removes old segments."""

INTERRUPTED = "interrupted"
"""Outcome of a request whose process died before it ended."""

_MARK = b',"hash":"'
_END = b'"}'
_SEAL_LENGTH = len(_MARK) + 64 + len(_END)


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is remembered; the same words as ``schema.AuditRecord``, cheaper to make and to write."""

    id: str
    at: datetime
    event: str
    principal: str
    cluster: str
    action: str
    what: str
    request_id: str = ""
    outcome: str = ""
    seconds: float | None = None
    session: str = ""


class Line(Record, frozen=True, omit_defaults=True):
    """A record as it stands in a journal."""

    replica: str = ""
    sequence: int = 0
    previous: str = ""
    hash: str = ""


class Chain:
    """Gives each record its place: the next sequence number and the hash of the line before."""

    def __init__(self, replica: str, *, sequence: int = 0, head: str = BEGINNING) -> None:
        self.replica = replica
        self.sequence = sequence
        """Of the last line."""
        self.head = head
        """Hash of the last line."""
        self._encode: Callable[[object], bytes] = msgspec.json.Encoder().encode
        self._prefix = b'{"replica":' + self._encode(replica) + b',"sequence":'

    def add(self, record: Record) -> bytes:
        """The line of *record*, without its newline; the chain has moved on."""
        sequence = self.sequence + 1
        body = b'%b%d,"previous":"%b",%b' % (
            self._prefix,
            sequence,
            self.head.encode(),
            self._encoded(record)[1:-1],
        )
        digest = hashlib.sha256(body).hexdigest()
        self.sequence, self.head = sequence, digest
        return body + _MARK + digest.encode() + _END

    def _encoded(self, record: Record) -> bytes:
        try:
            return self._encode(record)
        except UnicodeEncodeError:  # half of a character, as JSON may hold: it has no place in UTF-8
            return self._encode(msgspec.convert(_without_halves(record), Record))


def _without_halves(record: Record) -> dict[str, object]:
    fields = ((name, getattr(record, name)) for name in Record.__struct_fields__)
    return {n: v.encode(errors="replace").decode() if isinstance(v, str) else v for n, v in fields}


_decoder = msgspec.json.Decoder(Line)


def read(raw: bytes) -> Line:
    """The line in *raw*, whose own hash is right. Raises JournalBrokenError."""
    body, seal = raw[:-_SEAL_LENGTH], raw[-_SEAL_LENGTH:]
    digest = seal[len(_MARK) : -len(_END)]
    if seal[: len(_MARK)] != _MARK or seal[-len(_END) :] != _END:
        raise JournalBrokenError("it is no whole line of a journal")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise JournalBrokenError("it was changed: its hash does not fit what it says")
    try:
        line = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise JournalBrokenError(f"it makes no sense: {error}") from error
    if line.hash.encode() != digest:
        raise JournalBrokenError("it names two hashes")
    return line


def about_journal(event: str, what: str, *, at: datetime, replica: str) -> Record:
    """A record in which a journal tells of itself."""
    return Record(id=replica, at=at, event=event, principal=f"replica:{replica}", cluster="", action=JOURNAL, what=what)


def ended(record: Record, outcome: str, *, at: datetime) -> Record:
    """The record of the end of what *record* began."""
    return Record(
        id=record.id,
        at=at,
        event=ENDED,
        principal=record.principal,
        cluster=record.cluster,
        action=record.action,
        what=record.what,
        request_id=record.request_id,
        outcome=outcome,
        seconds=round((at - record.at).total_seconds(), 6),
        session=record.session,
    )
