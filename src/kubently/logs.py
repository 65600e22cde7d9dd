"""Structured logs on the standard library: one JSON object a line, or readable lines on a terminal."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

from kubently import tracing

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Id of the request being served; added to every record."""

_STANDARD = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "asctime", "color_message"}


def configure(*, level: str, json_lines: bool) -> None:
    """Send all records of the process to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if json_lines else _LineFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("httpx", "httpcore", "uvicorn.access", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    found = {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
    if current := request_id.get():
        found.setdefault("request_id", current)
    if trace := tracing.trace_id():
        found.setdefault("trace_id", trace)
    return found


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """One line; exceptions as text in ``exception``."""
        entry: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class _LineFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Time, level, event and fields."""
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        text = f"{at} {record.levelname.lower():7} " + _printable(f"{record.getMessage()}{fields}")
        return text + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


def _printable(text: str) -> str:
    """*text* on one line and without what a terminal acts on: values may come from peers."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
