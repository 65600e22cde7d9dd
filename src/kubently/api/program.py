"""The control plane as a program: services, edge and listeners."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio

from kubently.api.app import Edge
from kubently.api.health import MetricsApp
from kubently.api.services import Services, open_services
from kubently.listen import listen
from kubently.settings import ApiSettings

log = logging.getLogger(__name__)

DRAIN_GRACE = 45.0
"""Seconds that requests under way get when the API stops."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A control plane that listens."""

    services: Services
    port: int
    metrics_port: int | None = None


@contextlib.asynccontextmanager
async def serve(settings: ApiSettings, *, drain_grace: float = DRAIN_GRACE) -> AsyncIterator[Serving]:
    """Serve while the block runs. Raises ConfigError, StoreError."""
    async with contextlib.AsyncExitStack() as stack:
        # Executors are drained before the listener closes, so that their open requests can still end.
        services = await stack.enter_async_context(open_services(settings))
        edge = Edge(services)
        port = await stack.enter_async_context(
            listen(edge, settings.listen, cert=settings.tls_cert, key=settings.tls_key)
        )
        metrics_port = None
        if settings.metrics_listen:
            metrics_port = await stack.enter_async_context(listen(MetricsApp(services), settings.metrics_listen))
        stack.push_async_callback(services.fleet.drain, drain_grace)
        log.info("listening", extra={"host": settings.listen[0], "port": port, "tls": settings.tls_cert is not None})
        yield Serving(services, port, metrics_port)


async def run(settings: ApiSettings, stop: anyio.Event) -> None:
    """Serve until *stop* is set."""
    async with serve(settings):
        await stop.wait()
