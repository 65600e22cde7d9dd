"""The files of one journal: segments of lines in a folder of its own, written by one process at a time.

A segment is named by the sequence number of its first line. Lines are only ever appended; a new segment begins when the
last is large enough, and old ones are removed once all that is in them was shipped. What a crash leaves at the end of
the last segment, a line cut in the middle, is cut off when the journal is opened again, and recorded. A broken line
with whole ones behind it is no crash: it stays where it is, for ``kubently audit verify`` to find.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from kubently.errors import AuditUnavailableError, JournalBrokenError
from kubently.journal import records
from kubently.journal.records import Chain, Line, Record

SEGMENT_BYTES = 8 * 1024 * 1024
"""Size at which a segment is full."""

JOURNAL_BYTES = 256 * 1024 * 1024
"""Size of all segments together up to which they are kept even though all of them were shipped."""

MAX_SEGMENTS = 1000
"""The same by number: each start of a process begins one."""

SUFFIX = ".jsonl"

_sync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)  # macOS has only the latter


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a journal may grow. More is kept only while something of it was not shipped."""

    segment_bytes: int = SEGMENT_BYTES
    journal_bytes: int = JOURNAL_BYTES


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Found:
    """What an earlier run left."""

    sequence: int = 0
    head: str = records.BEGINNING
    torn: bytes = b""
    """What stood behind the last whole line, and was cut off."""
    unended: Sequence[Record] = ()
    """Requests whose end that run did not see."""
    is_closed: bool = False
    """Whether that run came to its own end."""


class Segments:
    """The files, while this process owns them. Not for two threads at once; whoever opened it closes it."""

    def __init__(self, folder: Path, lock: int, *, limits: Limits, now: Callable[[], datetime]) -> None:
        self.folder = folder
        self.replica = folder.name
        self.shipped = 0
        """Sequence number up to which everybody has everything: older segments may go. Set by whoever ships."""
        self._lock = lock
        self._limits = limits
        self._now = now
        self._file: int | None = None
        self._size = 0
        self._dirty = False
        self._open: dict[str, Record] = {}
        self.found = _look_through(folder)
        self._chain = Chain(self.replica, sequence=self.found.sequence, head=self.found.head)

    @property
    def sequence(self) -> int:
        """Of the last line that is on the disk."""
        return self._chain.sequence

    @property
    def head(self) -> str:
        """Hash of that line."""
        return self._chain.head

    @property
    def unended(self) -> Sequence[Record]:
        """What began in this run and has not ended."""
        return tuple(self._open.values())

    def first_words(self) -> list[Record]:
        """What a run begins with: who it is and what it follows, what was repaired, who was interrupted."""
        found, at = self.found, self._now()
        said = [self._about(records.OPENED, f"after sequence {found.sequence} with hash {found.head}")]
        if found.torn:
            digest = hashlib.sha256(found.torn).hexdigest()
            said.append(self._about(records.REPAIRED, f"cut off {len(found.torn)} bytes of a torn line ({digest})"))
        return said + [records.ended(record, records.INTERRUPTED, at=at) for record in found.unended]

    def write(self, batch: Sequence[Record]) -> None:
        """Append and make durable: all of *batch*, or OSError and nothing of it."""
        self._take_back()
        old: Sequence[Path] = ()
        if self._file is None or self._size >= self._limits.segment_bytes:
            self._begin_segment()
            old = self._superfluous()
            batch = (*self._farewell(old), *batch)
        assert self._file is not None
        chain = Chain(self.replica, sequence=self._chain.sequence, head=self._chain.head)
        data = b"".join(chain.add(record) + b"\n" for record in batch)
        self._dirty = True
        written = 0
        while written < len(data):
            written += os.write(self._file, data[written:])
        _sync(self._file)
        self._dirty = False
        self._size += len(data)
        self._chain = chain
        for record in batch:
            self._note(record)
        for path in old:
            with contextlib.suppress(OSError):
                path.unlink()

    def close(self) -> None:
        """Let go of files and lock. Idempotent."""
        self._let_go()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _about(self, event: str, what: str) -> Record:
        return records.about_journal(event, what, at=self._now(), replica=self.replica)

    def _note(self, record: Record) -> None:
        if record.event == records.STARTED:
            self._open[record.id] = record
        elif record.event == records.ENDED:
            self._open.pop(record.id, None)

    def _take_back(self) -> None:
        """Cut off what a failed write left. Its file is not trusted again: after a failed sync the kernel may call
        pages clean that never reached the disk, so the next write begins a segment."""
        if self._dirty and self._file is not None:
            os.ftruncate(self._file, self._size)
            _sync(self._file)
            self._let_go()
            self._dirty = False

    def _let_go(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None

    def _begin_segment(self) -> None:
        path = self.folder / f"{self._chain.sequence + 1:016d}{SUFFIX}"
        # Truncated: one of that name holds no whole line, else its sequence numbers would have been taken.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        opened = os.open(path, flags, 0o600)
        self._let_go()
        self._file, self._size = opened, 0
        _sync_folder(self.folder)

    def _superfluous(self) -> list[Path]:
        """Segments that are too many and that nobody needs any more."""
        paths = segments(self.folder)
        sizes = itertools.accumulate(path.stat().st_size for path in reversed(paths))
        kept = min(sum(size <= self._limits.journal_bytes for size in sizes), MAX_SEGMENTS)
        older = itertools.islice(itertools.pairwise(paths), max(0, len(paths) - max(kept, 1)))
        return [path for path, following in older if first_sequence(following) - 1 <= self.shipped]

    def _farewell(self, old: Sequence[Path]) -> list[Record]:
        """What the chain says before they are removed: without it, a gap at its beginning would look like theft."""
        last = _last_line(old[-1]) if old else None
        return [self._about(records.PRUNED, f"up to sequence {last.sequence} with hash {last.hash}")] if last else []


def open_segments(folder: Path, *, now: Callable[[], datetime], limits: Limits = DEFAULT_LIMITS) -> Segments:
    """Go on with a journal below *folder* that nobody writes, or begin one.

    Each journal is a folder named by its replica's id. Raises AuditUnavailableError when there can be none.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        free = sorted(journals(folder), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in (*free, folder / secrets.token_hex(6)):
            path.mkdir(exist_ok=True, mode=0o700)
            if (found := open_journal(path, now=now, limits=limits)) is not None:
                return found
    except OSError as error:
        raise AuditUnavailableError(
            f"the audit journal in {folder} cannot be opened: {error}", hint="check KUBENTLY_AUDIT_DIR and its owner"
        ) from error
    raise AuditUnavailableError(f"every journal in {folder} is in use")


def open_journal(path: Path, *, now: Callable[[], datetime], limits: Limits = DEFAULT_LIMITS) -> Segments | None:
    """Go on with one journal; None while another process does. Raises OSError."""
    if (lock := _locked(path)) is None:
        return None
    try:
        return Segments(path, lock, limits=limits, now=now)
    except BaseException:
        os.close(lock)
        raise


def journals(folder: Path) -> list[Path]:
    """The journals below *folder*, each a folder."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and (path / "lock").exists())


def segments(folder: Path) -> list[Path]:
    """The segments of one journal, oldest first."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit())


def first_sequence(segment: Path) -> int:
    """Sequence number of a segment's first line, by its name."""
    return int(segment.stem)


def raw_lines(segment: Path) -> Iterator[bytes]:
    """Whole lines of a segment as they stand, without newlines; what follows the last newline is not among them."""
    with segment.open("rb") as file:
        for raw in file:
            if raw.endswith(b"\n"):
                yield raw[:-1]


def _locked(folder: Path) -> int | None:
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _look_through(folder: Path) -> Found:
    paths = segments(folder)
    torn = _cut_torn_end(paths[-1]) if paths else b""
    last = next((line for path in reversed(paths) if (line := _last_line(path))), None)
    if last is None:
        return Found(torn=torn)
    is_closed = last.event == records.CLOSED and not torn
    return Found(last.sequence, last.hash, torn, () if is_closed else tuple(_unended(paths)), is_closed)


def _cut_torn_end(path: Path) -> bytes:
    """Remove what stands behind the last whole line, where a crash left it; say what it was."""
    data = path.read_bytes()
    end = _end_of_whole_lines(data)
    if end == len(data):
        return b""
    if any(_is_whole(raw) for raw in data[end:].split(b"\n")):
        return b""  # not a crash: whole lines follow
    # Kept beside it, where there is room: whether it was a crash is for a person to judge.
    with contextlib.suppress(OSError):
        path.with_suffix(f".torn-at-{end}").write_bytes(data[end:])
    with path.open("r+b") as file:
        file.truncate(end)
        _sync(file.fileno())
    return data[end:]


def _end_of_whole_lines(data: bytes) -> int:
    end = 0
    for raw in data.splitlines(keepends=True):
        if not raw.endswith(b"\n") or not _is_whole(raw[:-1]):
            break
        end += len(raw)
    return end


def _is_whole(raw: bytes) -> bool:
    try:
        records.read(raw)
    except JournalBrokenError:
        return False
    return True


def _last_line(path: Path) -> Line | None:
    """The last line that is whole, whatever stands before it."""
    for raw in reversed(list(raw_lines(path))):
        with contextlib.suppress(JournalBrokenError):
            return records.read(raw)
    return None


def _unended(paths: Sequence[Path]) -> list[Record]:
    waiting: dict[str, Record] = {}
    for path in paths:
        for raw in raw_lines(path):
            with contextlib.suppress(JournalBrokenError):
                line = records.read(raw)
                if line.event == records.STARTED:
                    waiting[line.id] = line
                elif line.event == records.ENDED:
                    waiting.pop(line.id, None)
    return list(waiting.values())


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
