"""Finds in a log what says why a process ended: stack traces kept whole, what is said again and again said once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from kubently.analyzers.base import clean, quote
from kubently.analyzers.snapshot import Snapshot
from kubently.schema.findings import Evidence

LIMIT = 4000
"""Characters of a log in one piece of evidence: a stack trace is quoted whole, as far as it fits."""

NOW = timedelta(minutes=15)
"""How far back what a program says that runs well is about now."""

_KEPT = 8
"""Logs of which is remembered what was found: the pods of a workload share one, and are looked at in turn."""
_READ_CHARS = 200_000
_READ_LINES = 400
_LINE = 500
_EXCERPT_ENTRIES = 12
_TRACE_LINES = 60
"""Of a longer trace the middle is left out: its beginning names the exception, its end where it began."""

_TIME = re.compile(r"^\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?\]?\s{1,8}")
_STAMP = re.compile(r"(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,]\d{1,9})?(Z|[+-]\d\d:?\d\d)?")
_STAMP_WITHIN = 200
_MESSAGE = re.compile(r"\"(?:msg|message|err|error)\"\s?:\s?\"((?:[^\"\\]|\\.){1,400})\"")
_TRACEBACK = re.compile(r"^\s*Traceback \(most recent call last\):")
_CHAINED = re.compile(r"^(?:During handling of the above|The above exception was)")
_CAUSED_BY = re.compile(r"^\s*Caused by: ")
_CONTINUES = re.compile(r"^(?:\s+\S|Caused by: |Suppressed: |\.\.\. \d{1,6} more)")
# As Java logs an exception under the line that tells of it.
_THROWN = re.compile(r"^(?:[a-zA-Z_$][\w$]{0,80}\.){1,12}[\w$]{0,100}(?:Exception|Error|Throwable)(?::|$)")
_GO_TRACE = re.compile(r"^(?:goroutine \d|created by |\[signal |exit status \d|[\w./*()\[\]{}-]{1,300}\(.{0,300}\)$)")
_PANIC = re.compile(r"^(?:panic|fatal error): ")
_FATAL = re.compile(
    r"^panic: |^fatal error: |\bFATAL\b|\bCRITICAL\b|^Exception in thread|^Unhandled exception|"
    r"Uncaught \w*(?:Error|Exception)|"
    r"\"?level\"?[=:]\s?\"?(?:fatal|critical|panic)|exec format error|^\w*Error: |\bF\d{4} \d\d:",
    re.IGNORECASE,
)
_ERROR = re.compile(
    r"\berr(?:or)?\b|\bexception\b|\bfailed\b|\bfailure\b|\bcannot\b|can't|\bunable to\b|\bdenied\b|\brefused\b|"
    r"no such file|not found|\binvalid\b|\bmissing\b|out of memory|address already in use|"
    r"\[emerg\]|\bE\d{4} \d\d:|^\S*(?:Error|Exception)\b",
    re.IGNORECASE,
)
# What differs between two lines that say the same: in this order, since an address holds numbers.
_VARIABLE = re.compile(
    r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b|\b(?:0x)?[0-9a-f]*\d[0-9a-f]{6,}\b|\"[^\"]{0,200}\"|'[^']{0,200}'|"
    r"\d{1,12}(?:[.:]\d{1,12}){0,8}",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a program said at once: a line, or a line with its stack trace."""

    lines: tuple[str, ...]

    @property
    def head(self) -> str:
        return self.lines[0]

    @property
    def template(self) -> str:
        """The same for entries that differ in times, numbers, addresses and quoted names only."""
        return template_of(f"{self.head}\n{self.cause if len(self.lines) > 1 else ''}")

    @property
    def is_python(self) -> bool:
        return any(map(_TRACEBACK.search, self.lines))

    @property
    def cause(self) -> str:
        """The line that names the last cause: the exception under Python's traceback, Java's deepest one."""
        if self.is_python:
            return next((line for line in reversed(self.lines) if not line[:1].isspace()), self.head)
        thrown = next((line for line in self.lines[1:2] if _THROWN.search(line)), self.head)
        deepest = next((line for line in reversed(self.lines) if _CAUSED_BY.search(line)), thrown)
        return _CAUSED_BY.sub("", deepest)


@lru_cache(_KEPT)
def cause_line(log: str) -> str:
    """Return the line that most likely says why the process ended, without its time; empty if none speaks of an error.

    In order: the last Python traceback, the last entry that calls itself fatal, the first of the last fifty that speaks
    of an error. Of a stack trace it is the exception, of a chain of causes the last one.
    """
    entries = _entries(lines(log))
    index = _cause(entries)
    return without_time(entries[index].cause) if index is not None else ""


def template_of(line: str) -> str:
    """Return what is the same of lines that differ in times, numbers, addresses and quoted names only."""
    return _VARIABLE.sub("#", _TIME.sub("", line))


def without_time(line: str) -> str:
    """Return a line without the time that it begins with."""
    return _TIME.sub("", line.strip())


def time_of(line: str) -> datetime | None:
    """Return the time that a line tells, taken for UTC where it does not say, or None."""
    match = _STAMP.search(line[:_STAMP_WITHIN])
    if match is None:
        return None
    zone = "Z" if match[7] is None else match[7]
    try:
        return datetime.fromisoformat("{}-{}-{}T{}:{}:{}".format(*match.groups()[:6]) + zone)
    except ValueError:
        return None


def is_of_now(snapshot: Snapshot, line: str) -> bool:
    """Say whether a line was said within `NOW`, as far as it tells its time."""
    at = time_of(line)
    return at is None or snapshot.age(at) <= NOW


def message_of(line: str) -> str:
    """Return what a line says without its time; of one that is JSON its message."""
    found = [match[1] for match in _MESSAGE.finditer(line)]
    return max(found, key=len, default="") or without_time(line)


@lru_cache(_KEPT)
def excerpt(log: str) -> str:
    """Return what `cause_line` is about, whole, and what was said after it; or else what was said last.

    What was said several times, but for numbers, times, addresses and names, stands there once, with how often.
    """
    entries = _entries(lines(log))
    index = _cause(entries)
    told = entries[index:] if index is not None else entries
    counts = Counter(entry.template for entry in entries)
    # The newest of what is said again and again, at its place.
    newest = {entry.template: entry for entry in told}
    chosen = list(newest.values())
    if index is not None:
        first = newest.pop(entries[index].template)
        chosen = [first, *newest.values()][:_EXCERPT_ENTRIES]
    return "\n".join(_shown(entry, counts[entry.template]) for entry in chosen[-_EXCERPT_ENTRIES:])


def log_quote(source: str, words: str) -> Evidence:
    """Quote a log, which may be longer than other quotes."""
    return quote(source, words, limit=LIMIT)


def _shown(entry: _Entry, count: int) -> str:
    lines = entry.lines
    if len(lines) > _TRACE_LINES:
        half = _TRACE_LINES // 2
        lines = (*lines[:half], f"    ... {len(lines) - 2 * half} lines ...", *lines[-half:])
    again = f" ({count} times)" if count > 1 else ""
    return "\n".join((f"{lines[0]}{again}", *lines[1:]))


@lru_cache(_KEPT)
def lines(log: str) -> tuple[str, ...]:
    """Return the last lines of a log, cleaned, without empty ones."""
    cleaned = (clean(line, limit=_LINE) for line in log[-_READ_CHARS:].splitlines()[-_READ_LINES:])
    return tuple(line for line in cleaned if line)


def _entries(lines: Sequence[str]) -> list[_Entry]:
    """Put lines together that belong together."""
    groups: list[list[str]] = []
    for line in lines:
        if groups and _belongs(groups[-1], line):
            groups[-1].append(line)
        else:
            groups.append([line])
    return [_Entry(tuple(group)) for group in groups]


def _belongs(entry: Sequence[str], line: str) -> bool:
    """Say whether a line goes on with what an entry says."""
    if _CONTINUES.search(line) or _CHAINED.search(line):
        return True
    if len(entry) == 1 and _THROWN.search(line):
        return bool(_ERROR.search(entry[0])) and not _THROWN.search(entry[0]) and not _TRACEBACK.search(entry[0])
    if _TRACEBACK.search(line):
        return bool(_CHAINED.search(entry[-1]))
    if _PANIC.search(entry[0]) and _GO_TRACE.search(line):
        return True
    # The exception stands under the frames of Python's traceback, not indented.
    last = next((index for index in range(len(entry) - 1, -1, -1) if _TRACEBACK.search(entry[index])), None)
    return last is not None and all(frame[:1].isspace() for frame in entry[last + 1 :])


def _cause(entries: Sequence[_Entry]) -> int | None:
    tracebacks = [index for index, entry in enumerate(entries) if entry.is_python]
    if tracebacks:
        return tracebacks[-1]
    fatal = [index for index, entry in enumerate(entries) if _FATAL.search(entry.head)]
    if fatal:
        return fatal[-1]
    first = max(len(entries) - 50, 0)
    errors = (index for index in range(first, len(entries)) if any(map(_ERROR.search, entries[index].lines)))
    return next(errors, None)
