"""The audit log, put together: a journal, the store's copy of it, and the tasks that ship."""

from __future__ import annotations

import contextlib
import functools
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import anyio
import anyio.to_thread

from kubently import journal
from kubently.broker.adoption import Adoption
from kubently.broker.audit import Audit
from kubently.broker.audit_log import AuditLog
from kubently.broker.shipping import Progress, Shipper, SinkTarget, StoreTarget, Target
from kubently.broker.store_journal import StoreJournal
from kubently.errors import AuditUnavailableError
from kubently.journal import FileJournal, Health, feed, segments, sinks
from kubently.settings import AuditSettings
from kubently.store import Store

log = logging.getLogger(__name__)

HEAD_EVERY = 600.0
"""Seconds between two log lines with the head of the chain: an anchor, wherever logs are kept."""

READ_YOUR_WRITES = 2.0
"""Seconds that a reader waits for what this replica wrote to be in the store."""

FAREWELL = 2.0
"""Seconds that targets get at the end; what they miss they get from the next run."""


@dataclass(frozen=True, slots=True)
class Auditing:
    """The audit log and how it fares."""

    audit: Audit
    health: Health
    targets: Callable[[], dict[str, Progress]]


class _Shipped:
    """A journal in files, whose records can be read in the store."""

    def __init__(self, files: FileJournal, to_store: Shipper) -> None:
        self.write = files.write
        self.finish = files.finish
        self._files = files
        self._to_store = to_store

    async def flush(self) -> None:
        """See `broker.audit.Journal.flush`."""
        await self._files.flush()
        await self._to_store.caught_up(within=READ_YOUR_WRITES)


@contextlib.asynccontextmanager
async def open_auditing(
    settings: AuditSettings, store: Store, *, make_context: Callable[[], ssl.SSLContext]
) -> AsyncIterator[Auditing]:
    """Keep the audit log while the block runs; *make_context* is for the TLS of sinks.

    Raises AuditUnavailableError where there can be no journal, ConfigError for a sink that is none.
    """
    kept = AuditLog(store)
    outside = [sinks.open_sink(url, headers=settings.sink_headers, make_context=make_context) for url in settings.sinks]
    targets = [SinkTarget(sink) for sink in outside]
    found = await _open(settings)
    opened = _in_store(settings, kept, targets) if found is None else _in_files(settings, kept, targets, found)
    try:
        async with opened as auditing:
            yield auditing
    finally:
        for sink in outside:
            sink.close()


async def _open(settings: AuditSettings) -> segments.Segments | None:
    """The files of the journal, where there is one."""
    if settings.folder is None:
        log.info("audit records are kept in the store alone", extra={"hint": "KUBENTLY_AUDIT_DIR names a folder"})
        return None
    opening = functools.partial(segments.open_segments, settings.folder, now=_now, limits=_limits(settings))
    try:
        return await anyio.to_thread.run_sync(opening)
    except AuditUnavailableError as error:
        if settings.fail_closed:
            raise
        log.error("there is no audit journal: records are kept in the store alone", extra={"reason": str(error)})
        return None


def _limits(settings: AuditSettings) -> segments.Limits:
    return segments.Limits(settings.segment_bytes, settings.journal_bytes)


@contextlib.asynccontextmanager
async def _in_store(settings: AuditSettings, kept: AuditLog, others: Sequence[Target]) -> AsyncIterator[Auditing]:
    direct = StoreJournal(kept, now=_now, fail_closed=settings.fail_closed, has_readers=bool(others))
    shippers = [Shipper(target, direct.feed, folder=None, sequence=direct.feed.last) for target in others]
    direct.on_written = lambda: _wake(shippers)
    async with _shipping(shippers, lambda: (direct.replica, direct.feed.last(), direct.head)):
        yield Auditing(Audit(direct, kept, now=_now), direct.health, lambda: _progress(shippers))


@contextlib.asynccontextmanager
async def _in_files(
    settings: AuditSettings, kept: AuditLog, others: Sequence[Target], found: segments.Segments
) -> AsyncIterator[Auditing]:
    assert settings.folder is not None
    adoption = Adoption(settings.folder, kept, others, limits=_limits(settings), now=_now)
    _say_what_was_found(found)
    files = FileJournal(found, now=_now, fail_closed=settings.fail_closed, patience=settings.patience)
    targets = (StoreTarget(kept, files.replica), *others)
    shippers = [
        Shipper(target, feed.FileFeed(found.folder), folder=found.folder, sequence=lambda: files.sequence)
        for target in targets
    ]
    for shipper in shippers:
        shipper.on_progress = lambda: files.shipped(min(shipper.progress.position for shipper in shippers))
    files.on_written = lambda: _wake(shippers)
    audit = Audit(_Shipped(files, shippers[0]), kept, now=_now)
    async with _shipping(shippers, lambda: (files.replica, files.sequence, files.head), adoption.run):
        try:
            yield Auditing(audit, files.health, lambda: _progress(shippers))
        finally:
            with anyio.CancelScope(shield=True):
                await files.aclose()
                for shipper in shippers:
                    await shipper.caught_up(within=FAREWELL)


@contextlib.asynccontextmanager
async def _shipping(
    shippers: Sequence[Shipper],
    head: Callable[[], tuple[str, int, str]],
    *more: Callable[[], Coroutine[Any, Any, None]],
) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        for task in more:
            tasks.start_soon(task)
        for shipper in shippers:
            tasks.start_soon(shipper.run)
        tasks.start_soon(_tell_head, head)
        try:
            yield
        finally:
            tasks.cancel_scope.cancel()


async def _tell_head(head: Callable[[], tuple[str, int, str]]) -> None:
    told = 0
    while True:
        await anyio.sleep(HEAD_EVERY)
        replica, sequence, digest = head()
        if sequence != told:
            told = sequence
            log.info("audit head", extra={"replica": replica, "sequence": sequence, "hash": digest})


def _say_what_was_found(found: journal.segments.Segments) -> None:
    fields = {"folder": str(found.folder), "sequence": found.found.sequence}
    log.info("audit journal opened", extra=fields)
    if found.found.torn:
        log.warning("a torn end of the audit journal was cut off", extra={**fields, "bytes": len(found.found.torn)})
    if found.found.unended:
        log.warning("requests were interrupted", extra={**fields, "requests": len(found.found.unended)})


def _wake(shippers: Sequence[Shipper]) -> None:
    for shipper in shippers:
        shipper.wake()


def _progress(shippers: Sequence[Shipper]) -> dict[str, Progress]:
    return {shipper.target.name: shipper.progress for shipper in shippers}


def _now() -> datetime:
    return datetime.now(UTC)
