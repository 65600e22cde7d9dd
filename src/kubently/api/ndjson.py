"""Answers that come in pieces: one JSON object a line, blank lines while nothing happens."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import anyio
import msgspec

from kubently.listen import while_connected
from kubently.tunnel import Scope, Send

MEDIA_TYPE = "application/x-ndjson"
KEEP_ALIVE = 15.0
"""Seconds of silence after which a blank line is sent: proxies cut what is idle for a minute."""

_encoder = msgspec.json.Encoder()


class Lines:
    """One streaming answer. The head is sent with the first line, be it a blank one."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self._lock = anyio.Lock()
        self._last = 0.0
        self._started = False

    async def write(self, value: Any) -> None:
        """Send one line."""
        await self._write(_encoder.encode(value) + b"\n")

    async def end(self) -> None:
        """Send what ends the answer."""
        await self._write(b"", more=False)

    async def keep_alive(self) -> None:
        """Send blank lines where nothing else is; runs until cancelled."""
        while True:
            await anyio.sleep(KEEP_ALIVE)
            if anyio.current_time() - self._last >= KEEP_ALIVE:
                await self._write(b"\n")

    async def _write(self, line: bytes, *, more: bool = True) -> None:
        async with self._lock:
            if not self._started:
                self._started = True
                headers = [
                    (b"content-type", MEDIA_TYPE.encode()),
                    (b"x-request-id", self._request_id.encode()),
                    (b"x-accel-buffering", b"no"),
                    (b"cache-control", b"no-store"),
                ]
                await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            self._last = anyio.current_time()
            await self._send({"type": "http.response.body", "body": line, "more_body": more})


@contextlib.asynccontextmanager
async def answering(scope: Scope, lines: Lines) -> AsyncIterator[None]:
    """Cancel the block when the client goes away; keep *lines* alive meanwhile, and end them after the block."""
    try:
        async with anyio.create_task_group() as tasks:
            with while_connected(scope):
                tasks.start_soon(lines.keep_alive)
                yield
                await lines.end()
            tasks.cancel_scope.cancel()
    except ExceptionGroup as group:
        # The block's own error, which callers catch by its class, comes wrapped by the task group.
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from group.exceptions[0].__cause__
        raise


def text(name: str, data: bytes) -> dict[str, str]:
    """Bytes as a JSON member: text where it is UTF-8, else base64 under ``<name>_base64``."""
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data).decode()}
