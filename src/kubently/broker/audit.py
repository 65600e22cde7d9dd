"""The audit log: written before the effect, completed after it. Never output."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Protocol

import anyio

from kubently.broker.audit_log import AuditLog, Wanted
from kubently.errors import KubentlyError
from kubently.journal import Record, records
from kubently.schema import AuditRecord, Principal


class Journal(Protocol):
    """Where a process writes its records first."""

    async def write(self, record: Record) -> None:
        """Return when the record is kept, or need not be. Raises AuditUnavailableError."""
        ...

    async def finish(self, record: Record) -> None:
        """Write a record of what is done already; never raises."""
        ...

    async def flush(self) -> None:
        """Return when what was written can be read in the store, or does not get there soon."""
        ...


class Entry:
    """One request under way."""

    __slots__ = ("_audit", "_ended", "_record", "outcome")

    def __init__(self, audit: Audit, record: Record) -> None:
        self._audit = audit
        self._record = record
        self._ended = False
        self.outcome = "failed"
        """What `Audit.recorded` writes at the end; its block says better when it knows."""

    @property
    def id(self) -> str:
        """Shared by the request's records."""
        return self._record.id

    async def end(self, outcome: str) -> None:
        """Say how it ended; the first word counts."""
        if not self._ended:
            self._ended = True
            await self._audit.end(self._record, outcome)


class Audit:
    """Writes to this process's journal, reads the store's copy of all."""

    def __init__(self, journal: Journal, kept: AuditLog, *, now: Callable[[], datetime]) -> None:
        self._journal = journal
        self.log = kept
        self.now = now

    async def start(self, principal: Principal, cluster: str, action: str, what: str, *, request_id: str) -> Entry:
        """Record that a request is about to be sent. Raises AuditUnavailableError: then it must not be."""
        record = self._record(records.STARTED, principal, cluster, action, what, request_id)
        try:
            await self._journal.write(record)
        except asyncio.CancelledError:
            # The record may stand or soon will: it must not look as if the request still ran.
            await self.end(record, "cancelled")
            raise
        return Entry(self, record)

    @contextlib.asynccontextmanager
    async def recorded(
        self, principal: Principal, cluster: str, action: str, what: str, *, request_id: str
    ) -> AsyncIterator[Entry]:
        """Record that a request is about to be sent and, however the block ends, how it ended."""
        entry = await self.start(principal, cluster, action, what, request_id=request_id)
        try:
            yield entry
        except KubentlyError as error:
            entry.outcome = error.code
            raise
        except anyio.get_cancelled_exc_class():
            entry.outcome = "cancelled"
            raise
        finally:
            await entry.end(entry.outcome)

    async def deny(
        self, principal: Principal, cluster: str, action: str, what: str, *, request_id: str, outcome: str
    ) -> None:
        """Record a refusal. Raises AuditUnavailableError."""
        record = self._record(records.DENIED, principal, cluster, action, what, request_id, outcome=outcome)
        await self._journal.write(record)

    async def end(self, record: Record, outcome: str) -> None:
        """Record how it ended."""
        await self._journal.finish(records.ended(record, outcome, at=self.now()))

    async def tail(
        self, *, after: int = 0, limit: int = 100, wanted: Wanted | None = None
    ) -> tuple[Sequence[AuditRecord], int]:
        """Records of all replicas after a position (negative: the last so many), and the position to go on from.

        Of this replica all that was written before; of others what they have shipped. Raises StoreUnavailableError.
        """
        await self._journal.flush()
        return await self.log.read(after=after, limit=limit, wanted=wanted)

    async def flush(self) -> None:
        """Return when what was written can be read, or does not get into the store soon."""
        await self._journal.flush()

    def _record(
        self,
        event: str,
        principal: Principal,
        cluster: str,
        action: str,
        what: str,
        request_id: str,
        *,
        outcome: str = "",
    ) -> Record:
        return Record(
            id=secrets.token_hex(8),
            at=self.now(),
            event=event,
            principal=principal.name,
            cluster=cluster,
            action=action,
            what=what[:4096],
            request_id=request_id,
            outcome=outcome,
            session=principal.session,
        )
