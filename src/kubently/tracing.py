"""Traces across programs, by W3C trace context: who asked for what is being done, and as part of what.

The place in a trace is a ``traceparent`` and travels as one: in HTTP headers between command line, API and API servers,
in the head of a tunnel's stream to the executor, in log lines as ``trace_id``. Spans are told to a `Tracer` where there
is one (``kubently.main.telemetry``); without one, what came is passed on as it came, which costs a look at a header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextvars import ContextVar, Token
from enum import StrEnum
from types import TracebackType
from typing import Protocol

HEADER = b"traceparent"

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Kind(StrEnum):
    """A span's place between programs."""

    SERVER = "server"
    CLIENT = "client"
    INTERNAL = "internal"


class Open(Protocol):
    """A span under way."""

    traceparent: str

    def note(self, name: str, value: str | int) -> None:
        """Say something about it."""
        ...

    def end(self, failure: str) -> None:
        """It is over; *failure* is empty where it went well."""
        ...


class Tracer(Protocol):
    """Takes spans."""

    def start(self, name: str, kind: Kind, parent: str) -> Open:
        """Begin a span below the traceparent *parent*, or a trace where it is empty."""
        ...


current: ContextVar[str] = ContextVar("traceparent", default="")
"""Where in a trace we are; empty outside of any."""

tracer: ContextVar[Tracer | None] = ContextVar("tracer", default=None)
"""Who takes the spans of this process; set before its first task begins."""


def parse(text: str) -> str:
    """A traceparent as it came, or nothing where it is none that we know."""
    return text if len(text) == 55 and _TRACEPARENT.fullmatch(text) else ""


def of_fields(fields: Iterable[tuple[bytes, bytes]]) -> str:
    """The traceparent among header fields; empty without one."""
    for name, value in fields:
        if name == HEADER:
            return parse(value.decode("latin-1"))
    return ""


def trace_id() -> str:
    """Id of the trace that we are in; empty outside of any."""
    return current.get()[3:35]


class Span:
    """Something that takes time, while a block lasts; what happens in it is part of it.

    *parent* is where it comes from, if not from where we are.
    """

    __slots__ = ("_kind", "_name", "_open", "_parent", "_token")

    def __init__(self, name: str, kind: Kind = Kind.INTERNAL, *, parent: str | None = None) -> None:
        self._name, self._kind, self._parent = name, kind, parent
        self._open: Open | None = None
        self._token: Token[str] | None = None

    def note(self, name: str, value: str | int) -> None:
        """Say something about it, where somebody listens."""
        if self._open is not None:
            self._open.note(name, value)

    def __enter__(self) -> Span:
        place = current.get()
        parent = place if self._parent is None else self._parent
        if (taker := tracer.get()) is not None:
            self._open = taker.start(self._name, self._kind, parent)
            parent = self._open.traceparent
        if parent != place:
            self._token = current.set(parent)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            current.reset(self._token)
        if self._open is not None:
            self._open.end(f"{kind.__name__}: {error}" if kind else "")
