"""Records to fill journals with, and a program that does so until it is killed."""

from __future__ import annotations

import asyncio
import itertools
import resource
import sys
from datetime import UTC, datetime
from pathlib import Path

from kubently.errors import AuditUnavailableError
from kubently.journal import FileJournal, Record, records, segments

LONG_AGO = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def now() -> datetime:
    """The present."""
    return datetime.now(UTC)


def started(identifier: str, *, what: str = "get pods") -> Record:
    """A record of something that begins."""
    return Record(
        id=identifier,
        at=LONG_AGO,
        event=records.STARTED,
        principal="key:admin",
        cluster="prod",
        action="command",
        what=what,
        request_id="r-1",
    )


def ended(identifier: str) -> Record:
    """A record of its end."""
    return records.ended(started(identifier), "exited 0", at=LONG_AGO)


def lines_of(folder: Path) -> list[records.Line]:
    """All whole lines of the only journal below *folder*."""
    (journal,) = segments.journals(folder)
    return [records.read(raw) for path in segments.segments(journal) for raw in segments.raw_lines(path)]


async def write_until_killed(folder: Path) -> None:
    """Eight clients write as fast as they can, and each says what was promised to it."""
    journal = FileJournal(segments.open_segments(folder, now=now), now=now, fail_closed=True)
    numbers = itertools.count()

    async def client() -> None:
        while True:
            identifier = f"n{next(numbers)}"
            await journal.write(started(identifier))
            print(identifier, flush=True)
            await asyncio.sleep(0)
            await journal.finish(ended(identifier))

    await asyncio.gather(*(client() for _ in range(8)))


async def write_into_full_disk(folder: Path, *, fail_closed: bool) -> None:
    """Write until no file may grow, see what happens, let it grow again, and see what happens."""
    journal = FileJournal(segments.open_segments(folder, now=now), now=now, fail_closed=fail_closed)
    await journal.write(started("before"))
    await journal.flush()
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
    for identifier in ("first", "second"):
        try:
            await journal.write(started(identifier))
            print(identifier, "ran")
        except AuditUnavailableError:
            print(identifier, "refused")
    await journal.finish(ended("before"))
    await journal.flush()
    print("writable" if not journal.health.problem else "not writable")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await journal.flush()
    await journal.write(started("after"))
    print("writable" if not journal.health.problem else "not writable")
    await journal.aclose()


if __name__ == "__main__":
    what, where = sys.argv[1], Path(sys.argv[2])
    if what == "until-killed":
        asyncio.run(write_until_killed(where))
    else:
        asyncio.run(write_into_full_disk(where, fail_closed=what == "full-closed"))
