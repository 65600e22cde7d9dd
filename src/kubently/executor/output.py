"""What a command prints: records to whoever waits, cut at a limit for each channel, and the status at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio

from kubently.schema import Ending
from kubently.wire import records

Emit = Callable[[bytes], Awaitable[None]]
"""Takes one record; waits while its reader is slow."""


@dataclass(slots=True)
class _Channel:
    total: int = 0
    sent: int = 0


class Output:
    """Of one command, from when it was taken *spent* seconds ago. ``limit`` is in bytes a channel."""

    def __init__(self, emit: Emit, *, limit: int, spent: float = 0.0) -> None:
        self._emit = emit
        self._limit = limit
        self._started = time.monotonic() - spent
        self._channels = {records.STDOUT: _Channel(), records.STDERR: _Channel()}
        self._lock = anyio.Lock()

    async def write(self, channel: int, data: bytes) -> bool:
        """Send what is within the limit, and say whether that was all so far."""
        counted = self._channels[channel]
        counted.total += len(data)
        if kept := data[: max(0, self._limit - counted.sent)]:
            counted.sent += len(kept)
            async with self._lock:
                await self._emit(records.encode(channel, kept))
        return counted.total == counted.sent

    async def end(self, ending: Ending, exit_code: int | None, *, timeout: float) -> bytes:
        """Say what was cut off or ended, and return the status record."""
        if ending is Ending.TIMED_OUT:
            await self._emit(records.encode(records.STDERR, f"[kubently: killed after {timeout:g} s]\n".encode()))
        for number, channel in self._channels.items():
            if channel.total > channel.sent:
                text = f"\n[kubently: cut after {channel.sent} bytes; the output was {channel.total} bytes or more]\n"
                await self._emit(records.encode(number, text.encode()))
        status = {
            "ending": ending,
            "exit_code": exit_code,
            "seconds": round(time.monotonic() - self._started, 6),
            "stdout_bytes": self._channels[records.STDOUT].total,
            "stderr_bytes": self._channels[records.STDERR].total,
            "truncated": any(channel.total > channel.sent for channel in self._channels.values()),
        }
        return records.encode(records.STATUS, json.dumps(status).encode())
