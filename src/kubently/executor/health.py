"""The executor's own listener: alive, ready, metrics."""

from __future__ import annotations

import json
import time

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from kubently.executor.supervisor import Supervisor
from kubently.tunnel import Receive, Scope, Send

READY_WITHIN = 90.0
"""Seconds since the last session during which the executor still counts as ready: a reconnect is no reason to alarm."""


class HealthApp:
    """An ASGI application."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer /healthz, /readyz and /metrics."""
        if scope["type"] != "http":
            return
        status, kind, body = self._answer(scope["path"])
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, path: str) -> tuple[int, str, bytes]:
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest()
        if path == "/healthz":
            return 200, "text/plain", b"ok"
        if path != "/readyz":
            return 404, "text/plain", b"there are /healthz, /readyz and /metrics"
        seen = self._supervisor.connected_at
        ready = self._supervisor.is_connected or (seen is not None and time.monotonic() - seen < READY_WITHIN)
        state = {
            "ready": ready,
            "connected": self._supervisor.is_connected,
            "sessions": self._supervisor.sessions,
            "problem": self._supervisor.problem,
        }
        return 200 if ready else 503, "application/json", json.dumps(state).encode()
