"""Whether lines of audit journals are all there, in order and as they were written.

Lines may come from a journal's folder, from a file to which they were exported, or from the API; of several replicas
together, and some twice: each is known by its replica and sequence number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubently.errors import JournalBrokenError, NotFoundError
from kubently.journal import records, segments
from kubently.journal.records import Line

_PRUNED = re.compile(r"up to sequence (\d+) with hash ([0-9a-f]{64})")


Anchor = tuple[int, str]
"""Sequence number and hash of a line."""


@dataclass(frozen=True, slots=True)
class Break:
    """The first place at which a chain does not hold."""

    where: str
    """File and line, or the position."""
    reason: str


@dataclass(slots=True)
class Verdict:
    """What is known of one replica's chain."""

    replica: str
    first: int = 0
    """Sequence numbers of the first and last line that were seen."""
    last: int = 0
    head: str = ""
    """Hash of the last line: what to compare with an anchor."""
    lines: int = 0
    began: str = records.BEGINNING
    """Hash that the first line names of the one before it."""
    repaired: int = 0
    """Torn ends that were cut off after a crash."""
    interrupted: int = 0
    unended: set[str] = field(default_factory=set)
    """Requests whose end is not among the lines: they run, or their process died and has not started again."""
    broken: Break | None = None
    wanted: frozenset[Anchor] = frozenset()
    """Lines that must be there, by what was noted of them elsewhere."""
    found: set[Anchor] = field(default_factory=set)
    """Those that are."""
    _pruned: tuple[int, str] | None = None

    @property
    def holds(self) -> bool:
        """Whether no line between the first and the last was changed, removed, added or moved."""
        return self.broken is None

    @property
    def is_from_the_beginning(self) -> bool:
        """Whether the chain's very first line is there, or the chain itself says that older ones were removed."""
        return self.began == records.BEGINNING or self._pruned == (self.first - 1, self.began)

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON."""
        return {
            "replica": self.replica,
            "holds": self.holds,
            "broken": {"where": self.broken.where, "reason": self.broken.reason} if self.broken else None,
            "first": self.first,
            "last": self.last,
            "lines": self.lines,
            "head": self.head,
            "from_the_beginning": self.is_from_the_beginning,
            "repaired": self.repaired,
            "interrupted": self.interrupted,
            "unended": sorted(self.unended),
        }

    def take(self, line: Line, where: str) -> None:
        """The next line of the chain; after a break, lines are no longer looked at."""
        if self.broken is not None:
            return
        if self.lines and line.sequence == self.last and line.hash == self.head:
            return  # shipped twice
        if self.lines and (line.sequence, line.previous) != (self.last + 1, self.head):
            self.broken = Break(where, self._why(line))
            return
        if not self.lines:
            self.first, self.began = line.sequence, line.previous
            if (line.sequence == 1) != (line.previous == records.BEGINNING):
                self.broken = Break(where, f"line {line.sequence} does not follow what it claims to")
                return
        self.last, self.head = line.sequence, line.hash
        if (line.sequence, line.hash) in self.wanted:
            self.found.add((line.sequence, line.hash))
        self.lines += 1
        self._learn(line)

    def _why(self, line: Line) -> str:
        if line.sequence > self.last + 1:
            return f"lines {self.last + 1} to {line.sequence - 1} are missing"
        if line.sequence <= self.last:
            return f"line {line.sequence} comes after line {self.last}: added, moved, or another with its number"
        return f"line {line.sequence} does not follow line {self.last} as it stands: one of them was replaced"

    def _learn(self, line: Line) -> None:
        if line.event == records.STARTED:
            self.unended.add(line.id)
        elif line.event == records.ENDED:
            self.unended.discard(line.id)
            self.interrupted += line.outcome == records.INTERRUPTED
        elif line.event == records.REPAIRED:
            self.repaired += 1
        elif line.event == records.PRUNED and (said := _PRUNED.fullmatch(line.what)):
            self._pruned = int(said[1]), said[2]


def verify(
    lines: Iterable[tuple[str, bytes]], *, ordered: bool = True, anchors: Iterable[Anchor] = ()
) -> list[Verdict]:
    """Judge lines, each with where it stands; one verdict a replica, and one of replica ``""`` for unreadable lines.

    With *ordered* false, lines may come in any order, as they do from shared logs.
    """
    verdicts: dict[str, Verdict] = {}
    wanted = frozenset(anchors)
    unreadable: Verdict | None = None
    read: list[tuple[str, Line]] = []
    for where, raw in lines:
        try:
            line = records.read(raw)
        except JournalBrokenError as error:
            unreadable = unreadable or Verdict("", broken=Break(where, str(error)))
            continue
        if ordered:
            verdicts.setdefault(line.replica, Verdict(line.replica, wanted=wanted)).take(line, where)
        else:
            read.append((where, line))
    for where, line in sorted(read, key=lambda pair: (pair[1].replica, pair[1].sequence, pair[1].hash)):
        verdicts.setdefault(line.replica, Verdict(line.replica, wanted=wanted)).take(line, where)
    return ([unreadable] if unreadable else []) + list(verdicts.values())


def verify_path(path: Path, *, anchors: Iterable[Anchor] = ()) -> list[Verdict]:
    """Judge a journal, a folder of journals, or a file of lines. Raises NotFoundError where there is none.

    A journal that is being written may lack its last line yet: only what ends in a newline is judged.
    """
    if path.is_file():
        return verify(_numbered(path), ordered=False, anchors=anchors)
    if not path.is_dir():
        raise NotFoundError(f"there is no {path}", hint="give a journal's folder, or a file of exported lines")
    folders = [path] if segments.segments(path) else segments.journals(path)
    if not folders:
        raise NotFoundError(f"there is no journal in {path}", hint="KUBENTLY_AUDIT_DIR of the API names it")
    return [_verify_journal(folder, frozenset(anchors)) for folder in folders]


def _verify_journal(folder: Path, anchors: frozenset[Anchor]) -> Verdict:
    verdict = Verdict(folder.name, wanted=anchors)
    for segment in segments.segments(folder):
        for where, raw in _numbered(segment):
            try:
                line = records.read(raw)
            except JournalBrokenError as error:
                verdict.broken = verdict.broken or Break(where, str(error))
                return verdict
            if line.replica != folder.name:
                verdict.broken = verdict.broken or Break(where, f"it is a line of replica {line.replica}")
            verdict.take(line, where)
        if verdict.broken:
            return verdict
    if verdict.lines and not verdict.is_from_the_beginning:
        first = verdict.first
        verdict.broken = Break(str(folder), f"lines 1 to {first - 1} are missing, and the journal did not remove them")
    return verdict


def _numbered(path: Path) -> Iterable[tuple[str, bytes]]:
    for number, raw in enumerate(segments.raw_lines(path), 1):
        yield f"{path}:{number}", raw
