"""The control plane as a program: services, edge and listeners."""

from __future__ import annotations

import contextlib
import gc
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio

from kubently import trust
from kubently.api import glance
from kubently.api.app import Edge
from kubently.api.health import MetricsApp
from kubently.api.services import Services, open_services
from kubently.listen import listen
from kubently.settings import ApiSettings
from kubently.store import Store
from kubently.trust import watching

log = logging.getLogger(__name__)

CERTIFICATE_POLL = 5.0
"""Seconds between two looks at the files of the served certificate."""

DRAIN_GRACE = 45.0
"""Seconds that requests under way get when the API stops."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A control plane that listens."""

    services: Services
    port: int
    metrics_port: int | None = None
    tls_port: int | None = None
    """Of the TLS listener beside the plain one, where there is one."""


@contextlib.asynccontextmanager
async def serve(
    settings: ApiSettings, *, drain_grace: float = DRAIN_GRACE, store: Store | None = None
) -> AsyncIterator[Serving]:
    """Serve while the block runs. A *store* of the caller's stays open. Raises ConfigError, StoreError."""
    async with contextlib.AsyncExitStack() as stack:
        # Executors are drained before the listener closes, so that their open requests can still end.
        services = await stack.enter_async_context(open_services(settings, store=store))
        await stack.enter_async_context(glance.telling(services))
        edge = Edge(services)
        certificate = await stack.enter_async_context(_certificate(settings, services))
        tls = certificate.context if certificate else None
        taken = settings.tunnel_end == "socket"
        main_tls = None if settings.tls_listen else tls
        port = await stack.enter_async_context(listen(edge, settings.listen, tls=main_tls, hands_over=taken))
        tls_port = metrics_port = None
        if settings.tls_listen:
            tls_port = await stack.enter_async_context(listen(edge, settings.tls_listen, tls=tls, hands_over=taken))
        if settings.metrics_listen:
            metrics_port = await stack.enter_async_context(listen(MetricsApp(services), settings.metrics_listen))
        stack.push_async_callback(services.fleet.drain, drain_grace)
        stack.push_async_callback(services.continuous.stop)
        ports = {"port": port, "tls": tls is not None, "tls_port": tls_port}
        log.info("listening", extra={"host": settings.listen[0], **ports})
        yield Serving(services, port, metrics_port, tls_port)


@contextlib.asynccontextmanager
async def _certificate(settings: ApiSettings, services: Services) -> AsyncIterator[trust.ServedCertificate | None]:
    """The certificate to serve, looked at again every few seconds while the block runs."""
    if settings.tls_cert is None or settings.tls_key is None:
        yield None
        return
    wanted = settings.client_certs != "off"
    certificate = trust.ServedCertificate(
        settings.tls_cert,
        settings.tls_key,
        client_ca=services.identities.authority if wanted else "",
        client_ca_file=settings.client_ca if wanted else None,
    )
    services.listener.fingerprint = lambda: certificate.fingerprint
    metrics = services.metrics
    metrics.certificates.add("served", lambda: watching.Validity(certificate.not_before, certificate.not_after))
    metrics.certificate_broken.labels(certificate="served").set_function(lambda: bool(certificate.problem))

    async def watch() -> None:
        while True:
            await anyio.sleep(CERTIFICATE_POLL)
            await anyio.to_thread.run_sync(certificate.refresh)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        yield certificate
        tasks.cancel_scope.cancel()


async def run(settings: ApiSettings, stop: anyio.Event) -> None:
    """Serve until *stop* is set."""
    async with serve(settings):
        _calm_collector()
        await stop.wait()


def _calm_collector() -> None:
    """Leave what lives for ever out of garbage collection, and collect less often.

    A request leaves few cycles and many short-lived objects: by Python's own thresholds a tenth of the CPU goes into
    looking again and again at the modules, and at thousands of sessions.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
