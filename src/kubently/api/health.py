"""Health: a status for everybody, detail for who has a key; metrics."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from kubently import __version__
from kubently.api import metrics as metric_names
from kubently.api import requests
from kubently.api.services import Services
from kubently.broker import fanout
from kubently.errors import KubentlyError
from kubently.schema import Principal
from kubently.store import masked
from kubently.tunnel import Receive, Scope, Send


async def _health(scope: Scope, send: Send, services: Services) -> None:
    asked = time.monotonic()
    problem, unrecorded = await services.check_store(), services.auditing.health.problem
    is_well = not (problem or unrecorded)
    answer: dict[str, object] = {"status": "ok" if is_well else "degraded"}
    if principal := await _known(scope, services):
        answer |= {
            "version": __version__,
            "started_at": services.started_at.isoformat(),
            "uptime_seconds": round((datetime.now(UTC) - services.started_at).total_seconds(), 1),
            "executors": services.fleet.executors(),
            "streams": services.fleet.streams(),
            "store": str(problem or "ok"),
            "store_detail": {
                "at": masked(services.settings.store_url),
                "reason": problem.details.get("reason", problem.code) if problem else "",
                "hint": problem.hint if problem else "kubently api doctor looks closer",
                "milliseconds": round((time.monotonic() - asked) * 1000, 1),
            },
            "audit": unrecorded or "ok",
            "problems": [c.problem for c in fanout.visible(services.fleet, principal) if c.problem],
        }
    await requests.send_json(send, 200 if is_well else 503, answer)


async def _live(scope: Scope, send: Send, services: Services) -> None:
    await requests.send_json(send, 200, {"status": "ok"})


async def _ready(scope: Scope, send: Send, services: Services) -> None:
    """Ready until it stops, or its own file fails. A Redis is all replicas': were they unready without it, nobody would
    reach what needs none, and executors that dial could not come back."""
    problem = None if services.settings.store_url.startswith("redis") else await services.check_store()
    try:
        services.fleet.require_open()
    except KubentlyError as error:
        problem = error
    await requests.send_json(send, 503 if problem else 200, {"status": str(problem or "ok")})


async def _known(scope: Scope, services: Services) -> Principal | None:
    try:
        return await requests.authenticate(scope, services)
    except KubentlyError:
        return None


async def metrics(send: Send, services: Services) -> None:
    """All metrics, in Prometheus' text format."""
    await requests.send_json(send, 200, services.metrics.render(), media_type=metric_names.CONTENT_TYPE)


OPEN: dict[str, Callable[[Scope, Send, Services], Awaitable[None]]] = {
    "/health": _health,
    "/healthz": _live,
    "/readyz": _ready,
}
"""Paths that need no key."""


class MetricsApp:
    """The application of the metrics listener, which is for inside the cluster and needs no key."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer /metrics and the open paths."""
        if scope["type"] != "http":
            return
        if scope["path"] == "/metrics":
            await metrics(send, self._services)
        elif answer := OPEN.get(scope["path"]):
            await answer(scope, send, self._services)
        else:
            await requests.send_json(send, 404, {"status": "there are /metrics, /healthz, /readyz and /health"})
