from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.unit.journal.journals import ended, lines_of, now, started

from kubently.errors import AuditUnavailableError
from kubently.journal import FileJournal, Record, committer, segments, verify

pytestmark = pytest.mark.anyio


class HangingDisk:
    """Segments on a disk that answers when it is let."""

    def __init__(self, folder: Path) -> None:
        self.inner = segments.open_segments(folder, now=now)
        self.answers = threading.Event()
        self.answers.set()

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def write(self, batch: Sequence[Record]) -> None:
        self.answers.wait(30)
        self.inner.write(batch)


def journal_in(folder: Path, *, fail_closed: bool = True) -> FileJournal:
    return FileJournal(segments.open_segments(folder, now=now), now=now, fail_closed=fail_closed)


def hanging(folder: Path, *, fail_closed: bool) -> tuple[FileJournal, HangingDisk]:
    disk = HangingDisk(folder)
    return FileJournal(disk, now=now, fail_closed=fail_closed, patience=0.1), disk  # type: ignore[arg-type]  # it is one


async def test_a_record_is_on_the_disk_when_its_writer_goes_on(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)

    await journal.write(started("a"))

    assert [line.id for line in lines_of(tmp_path)][1:] == ["a"]
    await journal.aclose()


async def test_those_who_wait_together_are_written_together(tmp_path: Path) -> None:
    disk = HangingDisk(tmp_path)
    batches: list[int] = []
    write = disk.inner.write
    disk.inner.write = lambda batch: (batches.append(len(batch)), write(batch))[1]  # type: ignore[func-returns-value,method-assign]  # notes sizes
    journal = FileJournal(disk, now=now, fail_closed=True)  # type: ignore[arg-type]  # it is one
    await journal.flush()

    await asyncio.gather(*(journal.write(started(f"n{n}")) for n in range(100)))

    assert batches[0] == 1 and len(batches) <= 3 and sum(batches) == 101
    await journal.aclose()


async def test_an_end_waits_for_nobody_and_is_written(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    await journal.write(started("a"))

    await journal.finish(ended("a"))
    await journal.flush()

    assert [line.event for line in lines_of(tmp_path)] == ["opened", "started", "ended"]
    await journal.aclose()


async def test_a_closed_journal_says_so_and_ends_what_was_open(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    await journal.write(started("a"))

    await journal.aclose()
    await journal.aclose()

    assert [(line.event, line.outcome) for line in lines_of(tmp_path)][1:] == [
        ("started", ""),
        ("ended", "interrupted"),
        ("closed", ""),
    ]


@pytest.mark.parametrize(
    ("mode", "said", "kept"),
    [
        ("full-closed", ["first refused", "second refused", "not writable", "writable"], ["before", "after"]),
        ("full-open", ["first ran", "second ran", "not writable", "writable"], ["before", "first", "second", "after"]),
    ],
)
async def test_a_full_disk_refuses_or_lets_run_and_heals_by_itself(
    tmp_path: Path, mode: str, said: list[str], kept: list[str]
) -> None:
    program = [sys.executable, "-m", "tests.unit.journal.journals", mode, str(tmp_path)]

    done = subprocess.run(program, capture_output=True, text=True, check=True, timeout=30)

    (verdict,) = verify.verify_path(tmp_path)
    lines = lines_of(tmp_path)
    assert done.stdout.splitlines() == said
    assert [line.id for line in lines if line.event == "started"] == kept
    assert ("before", "exited 0") in [(line.id, line.outcome) for line in lines]
    assert verdict.holds and verdict.repaired == 0


async def test_a_disk_that_hangs_refuses_after_a_bounded_wait_and_heals(tmp_path: Path) -> None:
    journal, disk = hanging(tmp_path, fail_closed=True)
    await journal.flush()
    disk.answers.clear()

    with pytest.raises(AuditUnavailableError, match="has not answered"):
        await journal.write(started("late"))
    with pytest.raises(AuditUnavailableError):
        await journal.write(started("refused at once"))
    disk.answers.set()
    await journal.flush()
    await journal.write(started("after"))

    assert journal.health.problem == "" and journal.health.refused == 2
    await journal.aclose()
    found = [(line.id, line.event, line.outcome) for line in lines_of(tmp_path)]
    # It was on its way when its request was refused: the journal says how that ended.
    assert ("late", "started", "") in found and ("late", "ended", "audit-unavailable") in found
    assert "refused at once" not in {identifier for identifier, _, _ in found}


async def test_a_disk_that_hangs_lets_run_what_may_run_unrecorded(tmp_path: Path) -> None:
    journal, disk = hanging(tmp_path, fail_closed=False)
    await journal.flush()
    disk.answers.clear()

    await journal.write(started("late"))
    await journal.write(started("at once"))
    disk.answers.set()
    await journal.flush()

    assert journal.health.unrecorded == 2 and journal.health.lost == 0
    await journal.aclose()
    assert {"late", "at once"} <= {line.id for line in lines_of(tmp_path)}


async def test_what_waits_is_bounded_and_its_loss_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer, "MAX_WAITING", 10)
    journal, disk = hanging(tmp_path, fail_closed=False)
    await journal.flush()
    disk.answers.clear()

    for number in range(30):
        await journal.write(started(f"n{number}"))
    disk.answers.set()
    await journal.flush()

    assert (journal.health.unrecorded, journal.health.lost) == (30, 19)
    await journal.aclose()


async def test_a_writer_that_is_cancelled_disturbs_nobody(tmp_path: Path) -> None:
    journal, disk = hanging(tmp_path, fail_closed=True)
    await journal.flush()
    disk.answers.clear()
    writers = [asyncio.create_task(journal.write(started(f"n{n}"))) for n in range(3)]
    await asyncio.sleep(0)

    writers[1].cancel()
    disk.answers.set()
    results = await asyncio.gather(*writers, return_exceptions=True)

    assert [type(result) for result in results] == [type(None), asyncio.CancelledError, type(None)]
    await journal.aclose()
    assert all(verdict.holds for verdict in verify.verify_path(tmp_path))
