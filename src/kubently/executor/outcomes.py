"""The last commands by id, so that a repeated id is answered and not run again."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import anyio

from kubently.executor.caller import Caller
from kubently.wire import records

KEEP_SECONDS = 600.0
KEEP_COMMANDS = 10_000
KEEP_BYTES = 64 * 1024 * 1024
"""Output kept over all commands; the oldest output goes first, its status stays."""

GO_ON = 3.0
"""Seconds for which a command goes on whose tunnel was lost: the API asks for it over another one, or it is ended."""

LOST = records.encode(records.STDERR, b"[kubently: the output of this earlier run is no longer kept]\n")


@dataclass(slots=True)
class Kept:
    """One command: its records so far, and whether it ended."""

    started_at: float
    caller: Caller = field(default_factory=Caller)
    """For whom it ran: what it printed is nobody else's."""
    body: list[bytes] = field(default_factory=list)
    body_bytes: int = 0
    status: bytes = b""
    grown: anyio.Event = field(default_factory=anyio.Event)
    dropped: bool = False
    readers: int = 0
    """Streams that wait for it."""

    stop: Callable[[], object] | None = None
    """Ends the run, once it goes on without the stream that it was asked for on."""

    def go_on(self, stop: Callable[[], object]) -> None:
        """Run on without a stream; *stop* ends it unless somebody follows soon."""
        self.stop = stop
        self._wait_for_readers()

    def left(self, *, at_once: bool) -> None:
        """A follower is gone: it does not want the rest (*at_once*), or was lost like the first."""
        if self.stop is not None and not self.readers and not self.status:
            if at_once:
                self.stop()
            else:
                self._wait_for_readers()

    def _wait_for_readers(self) -> None:
        asyncio.get_running_loop().call_later(GO_ON, self._stop_unless_followed)

    def _stop_unless_followed(self) -> None:
        if self.stop is not None and not self.readers and not self.status:
            self.stop()

    def tell(self) -> None:
        """Wake those who follow."""
        self.grown.set()
        self.grown = anyio.Event()


class Outcomes:
    """Bounded by count, age and bytes. ``clock`` gives monotonic seconds."""

    def __init__(self, *, clock: Callable[[], float], keep_bytes: int = KEEP_BYTES) -> None:
        self._clock = clock
        self._keep_bytes = keep_bytes
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._bytes = 0

    def find(self, command_id: str) -> Kept | None:
        """The command with this id, if it was here."""
        self._expire()
        return self._kept.get(command_id)

    def begin(self, command_id: str, caller: Caller) -> Kept:
        """Remember that the command was taken."""
        kept = self._kept[command_id] = Kept(self._clock(), caller)
        return kept

    def add(self, kept: Kept, record: bytes) -> None:
        """Keep a piece of output while there is room."""
        if not kept.dropped:
            kept.body.append(record)
            kept.body_bytes += len(record)
            self._bytes += len(record)
            self._make_room()
        kept.tell()

    def end(self, kept: Kept, status: bytes) -> None:
        """Keep how it ended."""
        kept.status = status
        kept.tell()

    async def follow(self, kept: Kept) -> AsyncIterator[bytes]:
        """All records of the command, waiting for those to come; the status is the last."""
        sent, told = 0, False
        while True:
            grown = kept.grown
            if kept.dropped and not told:
                told = True
                yield LOST
            while sent < len(kept.body):
                yield kept.body[sent]
                sent += 1
            if kept.status:
                yield kept.status
                return
            await grown.wait()

    def _expire(self) -> None:
        now = self._clock()
        while self._kept:
            command_id, kept = next(iter(self._kept.items()))
            if len(self._kept) <= KEEP_COMMANDS and now - kept.started_at < KEEP_SECONDS:
                return
            self._drop(kept)
            kept.dropped = True  # one that still runs adds nothing more: nobody would ever take it off again
            del self._kept[command_id]

    def _make_room(self) -> None:
        for kept in self._kept.values():
            if self._bytes <= self._keep_bytes:
                return
            self._drop(kept)

    def _drop(self, kept: Kept) -> None:
        if kept.body_bytes:
            self._bytes -= kept.body_bytes
            kept.body, kept.body_bytes, kept.dropped = [], 0, True
