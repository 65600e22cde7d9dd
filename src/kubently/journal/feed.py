"""Reading a journal onward from a sequence number, for whoever ships it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from kubently.journal import segments

MAX_LINES = 512
"""Lines that are read at once."""

KEPT = 10_000
"""Newest lines that a feed without files holds."""

_SEQUENCE = re.compile(rb'"sequence":(\d+),')


class Feed(Protocol):
    """The lines of one journal, oldest first."""

    def read(self, after: int, limit: int = MAX_LINES) -> Sequence[tuple[int, bytes]]:
        """Up to *limit* lines with a sequence number above *after*, each with its number. May raise OSError."""
        ...


class FileFeed:
    """Reads the segments. For one reader; remembers where it stopped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._place: tuple[int, Path, int] | None = None
        """After which sequence number one may go on in which file at which byte."""

    def read(self, after: int, limit: int = MAX_LINES) -> Sequence[tuple[int, bytes]]:
        """See `Feed.read`."""
        found: list[tuple[int, bytes]] = []
        for path, offset in self._places(after):
            with path.open("rb") as file:
                file.seek(offset)
                while len(found) < limit and (raw := file.readline()).endswith(b"\n"):
                    if (sequence := sequence_of(raw)) > after:
                        found.append((sequence, raw[:-1]))
                    offset += len(raw)
            if found:
                self._place = found[-1][0], path, offset
            if len(found) >= limit:
                break
        return found

    def _places(self, after: int) -> list[tuple[Path, int]]:
        paths = segments.segments(self._folder)
        if self._place and self._place[0] == after and self._place[1] in paths:
            _, path, offset = self._place
            return [(path, offset), *((later, 0) for later in paths[paths.index(path) + 1 :])]
        begun = [path for path in paths if segments.first_sequence(path) <= after + 1][-1:]
        return [(path, 0) for path in paths if path in begun or segments.first_sequence(path) > after + 1]


class MemoryFeed:
    """The newest lines of a journal without files."""

    def __init__(self, *, kept: int = KEPT) -> None:
        self._lines: deque[tuple[int, bytes]] = deque(maxlen=kept)

    def add(self, sequence: int, raw: bytes) -> None:
        """Take the newest line."""
        self._lines.append((sequence, raw))

    def last(self) -> int:
        """The newest line's sequence number; 0 without one."""
        return self._lines[-1][0] if self._lines else 0

    def read(self, after: int, limit: int = MAX_LINES) -> Sequence[tuple[int, bytes]]:
        """See `Feed.read`."""
        return [line for line in self._lines if line[0] > after][:limit]


def sequence_of(raw: bytes) -> int:
    """The sequence number of a line, by its beginning; 0 where it has none."""
    match = _SEQUENCE.search(raw, 0, 200)
    return int(match[1]) if match else 0
