"""Journals that nobody writes any more: closed, shipped to their end, and left as they are.

A replica that starts goes on with one of them. Where several ran in one folder and fewer start again, the others would
keep requests without an end, and lines that nobody has.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import anyio
import anyio.to_thread

from kubently.broker.audit_log import AuditLog
from kubently.broker.shipping import Shipper, StoreTarget, Target
from kubently.journal import feed, records, segments
from kubently.journal.segments import Segments

log = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two looks for such journals."""

LONGEST = 600.0
"""Seconds for shipping one of them; what is missing then is tried again."""


class Adoption:
    """Looks after the journals of *folder* that have no owner, while `run` runs."""

    def __init__(
        self,
        folder: Path,
        kept: AuditLog,
        others: Sequence[Target],
        *,
        limits: segments.Limits,
        now: Callable[[], datetime],
    ) -> None:
        self._folder = folder
        self._kept = kept
        self._others = others
        self._limits = limits
        self._now = now

    async def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                for path in await anyio.to_thread.run_sync(segments.journals, self._folder):
                    await self._look_at(path)
            except OSError as error:
                log.warning("a journal that was left cannot be finished", extra={"reason": str(error)})
            await anyio.sleep(EVERY)

    async def _look_at(self, path: Path) -> None:
        left = await anyio.to_thread.run_sync(self._open, path)
        if left is None:
            return
        try:
            shippers = self._shippers(left)
            if left.found.is_closed and all(shipper.remembered() >= left.sequence for shipper in shippers):
                return
            log.info("a journal that was left is finished", extra={"folder": str(path), "sequence": left.sequence})
            if not left.found.is_closed:
                await anyio.to_thread.run_sync(left.write, self._last_words(left))
            await self._ship(shippers)
        finally:
            left.close()

    def _open(self, path: Path) -> Segments | None:
        return segments.open_journal(path, now=self._now, limits=self._limits)

    def _last_words(self, left: Segments) -> list[records.Record]:
        closed = "another process found it and closes it"
        last = records.about_journal(records.CLOSED, closed, at=self._now(), replica=left.replica)
        return [*left.first_words(), last]

    def _shippers(self, left: Segments) -> list[Shipper]:
        targets = (StoreTarget(self._kept, left.replica), *self._others)
        return [
            Shipper(target, feed.FileFeed(left.folder), folder=left.folder, sequence=lambda: left.sequence)
            for target in targets
        ]

    async def _ship(self, shippers: Sequence[Shipper]) -> None:
        async with anyio.create_task_group() as tasks:
            for shipper in shippers:
                tasks.start_soon(shipper.run)
            with anyio.move_on_after(LONGEST):
                for shipper in shippers:
                    while not await shipper.caught_up(within=LONGEST):  # noqa: ASYNC110  # it retries by itself
                        await anyio.sleep(1)
            tasks.cancel_scope.cancel()
