"""Finds the line of a log that says why a process ended."""

from __future__ import annotations

import re

from kubently.analyzers.base import clean

_READ_CHARS = 200_000
_READ_LINES = 400
_LINE = 500
_EXCERPT_LINES = 12

_TIME = re.compile(r"^\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?\]?\s{1,8}")
_TRACEBACK = re.compile(r"^\s*Traceback \(most recent call last\):")
_FRAME = re.compile(r"^(?:\s|Traceback|During handling|The above exception)")
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


def cause_line(log: str) -> str:
    """Return the line that most likely says why the process ended, without its time; empty if none speaks of an error.

    In order: the exception under the last Python traceback, the last line that calls itself fatal, the first line
    of the last fifty that speaks of an error.
    """
    lines = _lines(log)
    index = _cause(lines)
    return _TIME.sub("", lines[index].strip()) if index is not None else ""


def excerpt(log: str) -> str:
    """Return the lines around `cause_line`, or the last ones, for evidence."""
    lines = _lines(log)
    index = _cause(lines)
    if index is None:
        return "\n".join(lines[-_EXCERPT_LINES:])
    begin = _traceback_begin(lines, index)
    return "\n".join(lines[begin : max(index + 1, begin + _EXCERPT_LINES)])


def _lines(log: str) -> list[str]:
    cleaned = (clean(line, limit=_LINE) for line in log[-_READ_CHARS:].splitlines()[-_READ_LINES:])
    return [line for line in cleaned if line]


def _cause(lines: list[str]) -> int | None:
    tracebacks = [index for index, line in enumerate(lines) if _TRACEBACK.search(line)]
    if tracebacks:
        return _exception_after(lines, tracebacks[-1])
    fatal = [index for index, line in enumerate(lines) if _FATAL.search(line)]
    if fatal:
        return fatal[-1]
    first = max(len(lines) - 50, 0)
    errors = (index for index in range(first, len(lines)) if _ERROR.search(lines[index]))
    return next(errors, None)


def _exception_after(lines: list[str], traceback: int) -> int:
    """Return the first line after a Python traceback's frames: the exception."""
    after = (index for index in range(traceback + 1, len(lines)) if not _FRAME.search(lines[index]))
    return next(after, len(lines) - 1)


def _traceback_begin(lines: list[str], cause: int) -> int:
    """Return where the traceback begins that *cause* ends, or *cause* if it ends none; of long ones only the end."""
    for index in range(cause - 1, max(cause - _EXCERPT_LINES, -1), -1):
        if not _FRAME.search(lines[index]):
            break
        if _TRACEBACK.search(lines[index]):
            return index
    return cause
