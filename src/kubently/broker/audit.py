"""The audit log: written before the effect, completed after it. Never output."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime

import anyio

from kubently.errors import KubentlyError
from kubently.schema import AuditEvent, AuditRecord, Principal
from kubently.store import Store

LOG = "audit"


class Entry:
    """One request under way."""

    def __init__(self, audit: Audit, record: AuditRecord) -> None:
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
            now = self._audit.now()
            seconds = (now - self._record.at).total_seconds()
            update = {"event": AuditEvent.ENDED, "at": now, "outcome": outcome, "seconds": round(seconds, 6)}
            await self._audit.append(self._record.model_copy(update=update))


class Audit:
    """Appends to the store's log; a record that cannot be written refuses the request (StoreUnavailableError)."""

    def __init__(self, store: Store, *, now: Callable[[], datetime]) -> None:
        self._store = store
        self.now = now

    async def start(self, principal: Principal, cluster: str, action: str, what: str, *, request_id: str) -> Entry:
        """Record that a request is about to be sent."""
        record = self._record(AuditEvent.STARTED, principal, cluster, action, what, request_id)
        # Not to be interrupted: a caller that went away now would leave a record that nobody ends.
        with anyio.CancelScope(shield=True):
            await self.append(record)
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
            with anyio.CancelScope(shield=True), contextlib.suppress(KubentlyError):
                await entry.end(entry.outcome)

    async def deny(
        self, principal: Principal, cluster: str, action: str, what: str, *, request_id: str, outcome: str
    ) -> None:
        """Record a refusal."""
        record = self._record(AuditEvent.DENIED, principal, cluster, action, what, request_id)
        await self.append(record.model_copy(update={"outcome": outcome}))

    async def tail(self, *, after: int = 0, limit: int = 100) -> tuple[Sequence[AuditRecord], int]:
        """Records after a position (negative: the last so many), and the position to go on from."""
        entries = await self._store.tail(LOG, after=after, limit=limit)
        records = [AuditRecord.model_validate_json(entry.value) for entry in entries]
        return records, entries[-1].position if entries else max(after, 0)

    async def append(self, record: AuditRecord) -> None:
        """Write one record."""
        await self._store.append(LOG, record.model_dump_json(exclude_defaults=True).encode())

    def _record(
        self, event: AuditEvent, principal: Principal, cluster: str, action: str, what: str, request_id: str
    ) -> AuditRecord:
        return AuditRecord(
            id=secrets.token_hex(8),
            at=self.now(),
            event=event,
            principal=principal.name,
            cluster=cluster,
            action=action,
            what=what[:4096],
            request_id=request_id,
            session=principal.session,
        )
