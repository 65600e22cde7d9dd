from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.journal.journals import ended, lines_of, now, started

from kubently.errors import AuditUnavailableError
from kubently.journal import feed, records, segments, verify

SMALL = segments.Limits(segment_bytes=1, journal_bytes=1200)


def opened(folder: Path, *, limits: segments.Limits = segments.DEFAULT_LIMITS) -> segments.Segments:
    return segments.open_segments(folder, now=now, limits=limits)


def write_and_die(folder: Path, *written: records.Record) -> Path:
    """Write, and leave as a killed process does; gives the last segment."""
    found = opened(folder)
    found.write([*found.first_words(), *written])
    found.close()
    return segments.segments(found.folder)[-1]


def test_a_run_begins_by_naming_what_it_follows(tmp_path: Path) -> None:
    write_and_die(tmp_path, started("a"), ended("a"))
    last = lines_of(tmp_path)[-1]

    write_and_die(tmp_path)

    line = lines_of(tmp_path)[-1]
    assert (line.event, line.previous) == ("opened", last.hash)
    assert line.what == f"after sequence {last.sequence} with hash {last.hash}"
    assert all(verdict.holds for verdict in verify.verify_path(tmp_path))


def test_what_had_not_ended_is_interrupted_once(tmp_path: Path) -> None:
    write_and_die(tmp_path, started("a"), started("b"), ended("a"))

    write_and_die(tmp_path)
    write_and_die(tmp_path)

    outcomes = [(line.id, line.outcome) for line in lines_of(tmp_path) if line.event == "ended"]
    assert outcomes == [("a", "exited 0"), ("b", "interrupted")]


@pytest.mark.parametrize("torn", [b"x", b'{"replica":"', b"\0" * 4096, b"{}\n", b'{"replica":"a"}\n{"rep'])
def test_a_torn_end_is_cut_off_and_recorded(tmp_path: Path, torn: bytes) -> None:
    segment = write_and_die(tmp_path, started("a"), ended("a"))
    with segment.open("ab") as file:
        file.write(torn)

    write_and_die(tmp_path)

    (verdict,) = verify.verify_path(tmp_path)
    repaired = [line.what for line in lines_of(tmp_path) if line.event == "repaired"]
    assert verdict.holds and verdict.repaired == 1
    assert len(repaired) == 1 and f"{len(torn)} bytes" in repaired[0]
    assert [path.read_bytes() for path in segment.parent.glob("*.torn-at-*")] == [torn]


def test_any_torn_line_is_cut_off(tmp_path: Path) -> None:
    segment = write_and_die(tmp_path, started("a"), ended("a"))
    whole = segment.read_bytes()
    keep = whole[: whole.rindex(b"\n", 0, -1) + 1]
    for size in range(1, len(whole) - len(keep), 37):
        folder = tmp_path / f"cut-{size}" / "a1"
        folder.mkdir(parents=True)
        (folder / "lock").touch()
        (folder / segment.name).write_bytes(keep + whole[len(keep) : len(keep) + size])

        found = opened(folder.parent)
        found.close()

        assert (found.found.sequence, len(found.found.torn)) == (2, size)
        assert [record.id for record in found.found.unended] == ["a"]


def test_a_broken_line_with_whole_ones_behind_it_is_left_for_verification(tmp_path: Path) -> None:
    segment = write_and_die(tmp_path, started("a"), ended("a"), started("b"), ended("b"))
    broken = segment.read_bytes().replace(b'"id":"a","at"', b'"id":"x","at"', 1)
    segment.write_bytes(broken)

    write_and_die(tmp_path)

    (verdict,) = verify.verify_path(tmp_path)
    assert segment.read_bytes() == broken
    assert verdict.broken is not None and verdict.broken.where == f"{segment}:2"


def test_two_processes_have_a_journal_each(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    names = {first.folder, second.folder}
    first.close()
    second.close()

    third = opened(tmp_path)
    third.close()

    assert len(names) == 2 and third.folder in names


def test_old_segments_go_once_they_were_shipped_and_the_chain_says_so(tmp_path: Path) -> None:
    found = opened(tmp_path, limits=SMALL)
    for number in range(6):
        found.write([started(f"n{number}")])
    kept = len(segments.segments(found.folder))

    found.shipped = found.sequence
    found.write([started("last")])
    found.close()

    (verdict,) = verify.verify_path(tmp_path)
    assert kept == 6 > len(segments.segments(found.folder))
    assert verdict.holds and verdict.first > 1 and verdict.is_from_the_beginning


def test_a_first_segment_that_was_taken_away_is_found(tmp_path: Path) -> None:
    found = opened(tmp_path, limits=SMALL)
    for number in range(4):
        found.write([started(f"n{number}")])
    found.close()

    segments.segments(found.folder)[0].unlink()

    (verdict,) = verify.verify_path(tmp_path)
    assert verdict.broken is not None and "lines 1 to 1 are missing" in verdict.broken.reason


def test_halves_of_characters_are_replaced(tmp_path: Path) -> None:
    found = opened(tmp_path)

    found.write([started("a", what="x\ud800y")])
    found.close()

    assert [(line.id, line.what) for line in lines_of(tmp_path)] == [("a", "x?y")]
    assert all(verdict.holds for verdict in verify.verify_path(tmp_path))


def test_a_folder_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "audit").touch()

    with pytest.raises(AuditUnavailableError, match="cannot be opened"):
        opened(tmp_path / "audit")


def test_a_feed_gives_every_line_once_across_segments(tmp_path: Path) -> None:
    found = opened(tmp_path, limits=segments.Limits(segment_bytes=1000))
    lines = feed.FileFeed(found.folder)
    seen: list[int] = []
    for number in range(40):
        found.write([started(f"n{number}"), ended(f"n{number}")])
        while some := lines.read(seen[-1] if seen else 0, limit=random.randint(1, 5)):
            seen += [sequence for sequence, _ in some]

    found.close()

    assert seen == list(range(1, 81))
    assert [sequence for sequence, _ in feed.FileFeed(found.folder).read(37, limit=3)] == [38, 39, 40]


def test_nothing_that_was_promised_is_lost_by_kill_9(tmp_path: Path) -> None:
    promised: set[str] = set()
    for _ in range(3):
        program = [sys.executable, "-m", "tests.unit.journal.journals", "until-killed", str(tmp_path)]
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            promised = {process.stdout.readline().strip() for _ in range(random.randint(50, 300))}
            process.send_signal(signal.SIGKILL)
            promised |= {word for line in process.stdout.readlines() if line.endswith("\n") and (word := line.strip())}

        found = opened(tmp_path)
        found.write(found.first_words())
        found.close()

        lines = lines_of(tmp_path)
        assert promised <= {line.id for line in lines if line.event == "started"}
        (verdict,) = verify.verify_path(tmp_path)
        assert verdict.holds and verdict.unended == set()
