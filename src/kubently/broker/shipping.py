"""Copies a journal to wherever else it is wanted: the store that all replicas share, and sinks outside.

The journal is the queue. Each target is read for and fed by a task of its own, a bounded batch at a time, and what it
has is remembered beside the journal; so a target may be away for as long as the journal holds what it misses, and after
a restart it gets what follows. A crash between delivery and remembering makes it get a batch twice: at least once, and
known by replica and sequence number.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import anyio
import anyio.to_thread

from kubently.broker.audit_log import AuditLog
from kubently.errors import KubentlyError
from kubently.journal import feed, sinks

log = logging.getLogger(__name__)

RETRY_FIRST, RETRY_LAST = 0.5, 30.0
"""Seconds between two attempts to deliver: doubled each time."""

GATHER = 0.05
"""Seconds to wait for more once something is there: one append for many records."""

_LOOK_BACK = 2000
"""Entries of the store's log among which the last line of ours is looked for after a restart or a failure."""

Numbered = Sequence[tuple[int, bytes]]


class Target(Protocol):
    """Somewhere to copy lines to."""

    name: str

    async def deliver(self, lines: Numbered) -> None:
        """Return when all of them are there. Raises KubentlyError or OSError, and gets all of them again."""
        ...

    async def position(self, remembered: int) -> int:
        """Sequence number of the last line that it has, where it knows better than what was remembered."""
        ...


class StoreTarget:
    """The log of all replicas in the store."""

    name = "store"

    def __init__(self, kept: AuditLog, replica: str) -> None:
        self._kept = kept
        self._replica = replica
        self._mark = b'"replica":"%b"' % replica.encode()

    async def deliver(self, lines: Numbered) -> None:
        """See `Target.deliver`."""
        await self._kept.append([raw for _, raw in lines])

    async def position(self, remembered: int) -> int:
        """See `Target.position`: the log is read, because an append whose answer was lost may have been one."""
        is_known = await self._kept.introduce(self._replica)
        found = await self._kept.lines(after=-_LOOK_BACK, limit=16 * _LOOK_BACK)
        mine = (feed.sequence_of(line.raw) for line in found if self._mark in line.raw[:40])
        last = max(mine, default=0)
        # An emptied store has nothing of ours: it gets again what the journal holds.
        return last if last or not is_known else remembered


class SinkTarget:
    """A sink outside, in threads."""

    def __init__(self, sink: sinks.Sink) -> None:
        self.name = sink.name
        self._sink = sink

    async def deliver(self, lines: Numbered) -> None:
        """See `Target.deliver`."""
        # Given up when the process ends: the next run delivers it again.
        await anyio.to_thread.run_sync(self._sink.send, lines, abandon_on_cancel=True)

    async def position(self, remembered: int) -> int:
        """See `Target.position`."""
        return remembered


@dataclass(slots=True)
class Progress:
    """How a target fares."""

    position: int = 0
    """Sequence number of the last line that it has."""
    delivered: int = 0
    failures: int = 0
    dropped: int = 0
    """Lines that are gone from a journal without files before they were delivered."""
    problem: str = ""


class Shipper:
    """Feeds one target while `run` runs."""

    def __init__(self, target: Target, source: feed.Feed, *, folder: Path | None, sequence: Callable[[], int]) -> None:
        self.target = target
        self.progress = Progress()
        self.on_progress: Callable[[], None] = lambda: None
        self._source = source
        self._file = folder / "shipped" / target.name if folder else None
        self._sequence = sequence
        """Of the last line that can be read from the source."""
        self._more = anyio.Event()
        self._there = anyio.Event()

    def wake(self) -> None:
        """Say that there is more."""
        self._more.set()

    async def caught_up(self, *, within: float) -> bool:
        """Wait until the target has what is in the journal now; say whether it has."""
        wanted = self._sequence()
        with anyio.move_on_after(within):
            while self.progress.position < wanted:
                if self.progress.problem:
                    return False
                self._more.set()
                await self._there.wait()
        return self.progress.position >= wanted

    async def run(self) -> None:
        """Ship for ever."""
        try:
            await self._run()
        finally:
            self.progress.problem = "it is not shipped to any more"
            self._tell()

    async def _run(self) -> None:
        pause, known = RETRY_FIRST, False
        self.progress.position = self.remembered()
        while True:
            try:
                if not known:
                    self.progress.position = await self.target.position(self.progress.position)
                    known = True
                if not await self._ship():
                    await self._more.wait()
                    await anyio.sleep(GATHER)
                pause = RETRY_FIRST
            except (KubentlyError, OSError) as error:
                known = False
                self._fail(error)
                await anyio.sleep(pause)
                pause = min(2 * pause, RETRY_LAST)

    async def _ship(self) -> bool:
        """Deliver one batch; say whether there was any."""
        self._more = anyio.Event()
        position = self.progress.position
        if position >= self._sequence():
            self._tell()
            return False
        lines = await self._read(position)
        if not lines:
            return False
        await self.target.deliver(lines)
        self.progress.dropped += lines[0][0] - position - 1 if self._file is None else 0
        self.progress.position = lines[-1][0]
        self.progress.delivered += len(lines)
        if self.progress.problem:
            log.warning("an audit target has come back", extra={"target": self.target.name})
            self.progress.problem = ""
        if self._file is not None:
            await anyio.to_thread.run_sync(_remember, self._file, self.progress.position)
        self._tell()
        return True

    async def _read(self, position: int) -> Numbered:
        if isinstance(self._source, feed.MemoryFeed):
            return self._source.read(position)
        return await anyio.to_thread.run_sync(self._source.read, position)

    def _tell(self) -> None:
        there, self._there = self._there, anyio.Event()
        there.set()
        self.on_progress()

    def _fail(self, error: Exception) -> None:
        self.progress.failures += 1
        if not self.progress.problem:
            log.error(
                "an audit target does not take records; they are kept",
                extra={"target": self.target.name, "reason": str(error)},
            )
        self.progress.problem = str(error) or type(error).__name__
        self._tell()

    def remembered(self) -> int:
        """Sequence number of the last line that the target had when this was last noted; 0 without a note."""
        try:
            return int(self._file.read_text()) if self._file else 0
        except (OSError, ValueError):
            return 0


def _remember(file: Path, position: int) -> None:
    """Not synced: after a power loss some lines are delivered twice, which is what a crash may do anyhow."""
    file.parent.mkdir(exist_ok=True, mode=0o700)
    fresh = file.with_suffix(".new")
    fresh.write_text(str(position))
    os.replace(fresh, file)
