"""Group commit: requests that wait together are written together, by one thread, with one sync of the disk.

Everything but the write itself happens on the event loop: what comes while the thread is at work makes the next batch,
so there are no locks, and the thread is woken once a batch. Ends of requests wait for nobody (`FileJournal.finish`):
they go with the next batch, or after `LINGER`.

A disk that fails or hangs is met by one rule. Fail-closed: whoever waits is refused, and nobody begins until a write
has gone through. Otherwise requests go on, what they would have written is kept in memory up to `MAX_WAITING`, and both
are counted. Either way the next write that works heals it.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from kubently.errors import AuditUnavailableError
from kubently.journal import records
from kubently.journal.records import Record
from kubently.journal.segments import Segments

log = logging.getLogger(__name__)

LINGER = 0.02
"""Seconds that the end of a request waits for company."""

PATIENCE = 5.0
"""Seconds after which a write that has not come back counts as failed."""

RETRY = 1.0
"""Seconds between two attempts to write what waits, while writing fails."""

MAX_WAITING = 10_000
"""Records that are held in memory; a batch is never larger."""

_Waiting = tuple[Record, "asyncio.Future[None] | None"]


@dataclass(slots=True)
class Health:
    """How a journal fares; counters since the start."""

    problem: str = ""
    """Why it cannot be written now; empty when it can."""
    written: int = 0
    refused: int = 0
    """Requests that were refused because they could not be recorded."""
    unrecorded: int = 0
    """Requests that went on before they were recorded."""
    lost: int = 0
    """Records that were not written and never will be."""


class FileJournal:
    """The journal of one process. Made and used on one event loop; `aclose` ends it."""

    def __init__(
        self,
        segments: Segments,
        *,
        now: Callable[[], datetime],
        fail_closed: bool,
        patience: float = PATIENCE,
        on_written: Callable[[], None] = lambda: None,
    ) -> None:
        self.replica = segments.replica
        self.health = Health()
        self.on_written = on_written
        """Called on the loop when more is on the disk."""
        self._segments = segments
        self._now = now
        self._fail_closed = fail_closed
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Waiting] = [(record, None) for record in segments.first_words()]
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._idle: asyncio.Future[None] | None = None
        self._batches: queue.SimpleQueue[list[_Waiting] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="audit-journal", daemon=True)
        self._thread.start()
        self._hand_over()

    @property
    def sequence(self) -> int:
        """Of the last line that is on the disk."""
        return self._segments.sequence

    @property
    def head(self) -> str:
        """Hash of that line."""
        return self._segments.head

    def shipped(self, sequence: int) -> None:
        """Say up to where everybody has everything."""
        self._segments.shipped = sequence

    async def write(self, record: Record) -> None:
        """Return when the record is on the disk, or need not be. Raises AuditUnavailableError.

        A caller that is cancelled has begun nothing, but its record may stand: it says how that ended.
        """
        problem = self.health.problem
        if problem and not self._fail_closed:
            self._pass(record)
            return
        if (problem and self._busy) or len(self._waiting) >= MAX_WAITING:
            self.health.refused += 1
            raise self._unavailable(problem or f"{MAX_WAITING} records wait")
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append((record, future))
        if not self._busy:
            self._hand_over()
        await future

    async def finish(self, record: Record) -> None:
        """Write a record of what is done, soon; waits for nothing."""
        self._note(record)

    async def flush(self) -> None:
        """Return when all that was told is on the disk, or an attempt to write it failed."""
        if self._waiting and not self._busy:
            self._hand_over()
        if self._busy:
            self._idle = self._idle or self._loop.create_future()
            await asyncio.shield(self._idle)

    async def aclose(self) -> None:
        """Write what waits and that the journal ends here, and let go of it, unless the disk hangs. Idempotent."""
        if not self._thread.is_alive():
            return
        await self.flush()
        for record in self._segments.unended:
            self._note(records.ended(record, records.INTERRUPTED, at=self._now()))
        closing = records.about_journal(records.CLOSED, "the process ends", at=self._now(), replica=self.replica)
        self._note(closing)
        await self.flush()
        if self._timer is not None:
            self._timer.cancel()
        self._batches.put(None)
        await self._loop.run_in_executor(None, self._thread.join, self._patience)

    # ------------------------------------------------------------------ on the loop

    def _note(self, record: Record) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._lose(1)
            return
        self._waiting.append((record, None))
        if not self._busy and self._timer is None:
            self._timer = self._loop.call_later(RETRY if self.health.problem else LINGER, self._hand_over)

    def _pass(self, record: Record) -> None:
        self.health.unrecorded += 1
        self._note(record)

    def _lose(self, number: int) -> None:
        if not self.health.lost:
            log.error("audit records are lost", extra={"reason": self.health.problem or "too many wait"})
        self.health.lost += number

    def _hand_over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._busy or not self._waiting:
            return
        batch, self._waiting = self._waiting, []
        self._busy = True
        self._timer = self._loop.call_later(self._patience, self._overdue, batch)
        self._batches.put(batch)

    def _overdue(self, batch: list[_Waiting]) -> None:
        """The disk hangs: answer those who wait by the rule. What is under way may still be written."""
        self._timer = None
        self._fail(f"the disk has not answered for {self._patience:g} s")
        for _, future in (*batch, *self._waiting):
            self._answer(future)
        if self._fail_closed:
            self._waiting = [(record, None) for record, future in self._waiting if future is None]
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _done(self, batch: list[_Waiting], error: OSError | None) -> None:
        """The thread came back."""
        self._busy = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if error is None:
            self._settle(batch)
        else:
            self._keep(batch, error)
        flushing = self._idle is not None and error is None
        if self._waiting and (flushing or any(future is not None for _, future in self._waiting)):
            self._hand_over()
        elif self._waiting:
            self._timer = self._loop.call_later(RETRY if error else LINGER, self._hand_over)
        if self._idle is not None and not self._busy:
            if not self._idle.done():
                self._idle.set_result(None)
            self._idle = None

    def _settle(self, batch: Sequence[_Waiting]) -> None:
        if self.health.problem:
            log.warning("the audit journal is written again", extra={"replica": self.replica})
            self.health.problem = ""
        self.health.written += len(batch)
        for record, future in batch:
            if future is None:
                continue
            if not future.done():
                future.set_result(None)
            elif not future.cancelled() and future.exception() is not None:  # refused, and written after all
                self._note(records.ended(record, AuditUnavailableError.code, at=self._now()))
        self.on_written()

    def _keep(self, batch: list[_Waiting], error: OSError) -> None:
        """Nothing of it was written. What was not refused waits for the next attempt, in its order."""
        self._fail(str(error))
        kept = [(record, None) for record, future in batch if not self._answer(future)]
        self._waiting[:0] = kept
        if (excess := len(self._waiting) - MAX_WAITING) > 0:
            del self._waiting[MAX_WAITING:]
            self._lose(excess)

    def _answer(self, future: asyncio.Future[None] | None) -> bool:
        """Tell a waiting request by the rule; say whether it is refused, and so not to be recorded."""
        if future is None:
            return False
        if future.done():
            return future.cancelled() or future.exception() is not None
        if not self._fail_closed:
            self.health.unrecorded += 1
            future.set_result(None)
            return False
        self.health.refused += 1
        future.set_exception(self._unavailable(self.health.problem))
        return True

    def _fail(self, problem: str) -> None:
        if not self.health.problem:
            rule = "requests are refused" if self._fail_closed else "requests run unrecorded"
            log.error("the audit journal cannot be written", extra={"reason": problem, "rule": rule})
        self.health.problem = problem

    def _unavailable(self, problem: str) -> AuditUnavailableError:
        return AuditUnavailableError(
            f"the audit journal cannot be written: {problem}",
            hint="nothing runs unrecorded; free its disk, and it goes on by itself",
            retry_after=RETRY,
        )

    # ------------------------------------------------------------------ the thread

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            error = None
            try:
                self._segments.write([record for record, _ in batch])
            except OSError as failure:
                error = failure
            try:
                self._loop.call_soon_threadsafe(self._done, batch, error)
            except RuntimeError:  # the loop is closed: nobody waits any more
                break
        self._segments.close()
