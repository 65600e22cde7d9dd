"""A journal without files: records go straight into the store, and are waited for there.

For a process that may forget, and for one that was given no folder. What waits together is appended together. After a
failure nobody knows whether the store took the lines, so a new chain begins, which names the one it follows.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime

import anyio

from kubently.broker.audit_log import PACKED, AuditLog
from kubently.errors import AuditUnavailableError, KubentlyError
from kubently.journal import Chain, Health, Record, feed, records

log = logging.getLogger(__name__)

_Waiting = tuple[Record, "asyncio.Future[None]"]


class StoreJournal:
    """See `broker.audit.Journal`."""

    def __init__(
        self, kept: AuditLog, *, now: Callable[[], datetime], fail_closed: bool, has_readers: bool = True
    ) -> None:
        self.health = Health()
        self.feed = feed.MemoryFeed(kept=feed.KEPT if has_readers else 1)
        self.on_written: Callable[[], None] = lambda: None
        self._kept = kept
        self._now = now
        self._fail_closed = fail_closed
        self._busy = False
        self._waiting: list[_Waiting] = []
        self._chain: Chain | None = None
        self._follows = "nothing"

    @property
    def replica(self) -> str:
        """Id of the present chain; empty before the first record."""
        return self._chain.replica if self._chain else ""

    @property
    def head(self) -> str:
        """Hash of the last line."""
        return self._chain.head if self._chain else ""

    async def write(self, record: Record) -> None:
        """See `broker.audit.Journal.write`."""
        try:
            await self._append(record)
        except KubentlyError as error:
            if not self._fail_closed:
                self.health.unrecorded += 1
                self.health.lost += 1
                return
            self.health.refused += 1
            raise AuditUnavailableError(
                f"the audit record cannot be written: {error}",
                hint="nothing runs unrecorded; it goes on by itself once the store is back",
                retry_after=1,
            ) from error

    async def finish(self, record: Record) -> None:
        """See `broker.audit.Journal.finish`."""
        try:
            await self._append(record)
        except KubentlyError as error:
            self.health.lost += 1
            log.error("an audit record is lost", extra={"reason": str(error), "event_id": record.id})

    async def flush(self) -> None:
        """See `broker.audit.Journal.flush`: whoever wrote has waited."""

    async def _append(self, record: Record) -> None:
        if self._kept.is_immediate:  # nothing to wait for, nothing to interrupt; a shield costs as much as a record
            await self._put([record])
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((record, future))
        # Not to be interrupted: whoever comes first writes for the others too.
        with anyio.CancelScope(shield=True):
            if not self._busy:
                self._busy = True
                try:
                    await self._commit()
                finally:
                    self._busy = False
            await future

    async def _commit(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[: PACKED - 1], self._waiting[PACKED - 1 :]
            try:
                await self._put([record for record, _ in batch])
            except KubentlyError as error:
                for _, future in batch:
                    future.set_exception(error)
            else:
                for _, future in batch:
                    future.set_result(None)

    async def _put(self, batch: Sequence[Record]) -> None:
        first = [] if self._chain else [self._begin()]
        assert self._chain is not None
        chain = self._chain
        lines = [chain.add(record) for record in (*first, *batch)]
        try:
            await self._kept.append(lines)
        except KubentlyError as error:
            self._fail(chain, error)
            raise
        self.health.problem = ""
        self.health.written += len(batch)
        for sequence, line in enumerate(lines, chain.sequence - len(lines) + 1):
            self.feed.add(sequence, line)
        self.on_written()

    def _begin(self) -> Record:
        self._chain = Chain(secrets.token_hex(6))
        return records.about_journal(
            records.OPENED, f"kept in the store only; after {self._follows}", at=self._now(), replica=self.replica
        )

    def _fail(self, chain: Chain, error: KubentlyError) -> None:
        if not self.health.problem:
            log.error("audit records cannot be written", extra={"reason": str(error)})
        self.health.problem = str(error)
        self._follows = f"replica {chain.replica} at about sequence {chain.sequence}"
        self._chain = None
