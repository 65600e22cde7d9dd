"""The URLs of the API: which comes first, and what is remembered of the way to each."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

from kubently import trust
from kubently.errors import KubentlyError
from kubently.executor.cuts import Cuts
from kubently.schema import Transport
from kubently.settings import ExecutorSettings
from kubently.trust import proxies
from kubently.trust.proxies import Proxy
from kubently.tunnel.transports.opening import Road

log = logging.getLogger(__name__)

REMEMBER = 600.0
"""Seconds for which long-poll, once it got through where WebSocket did not, is tried first."""
NEARER = 0.8
"""A URL is nearer than another when it takes at most this share of its time: less would change back and forth."""


@dataclass(slots=True, eq=False)
class Endpoint:
    """One URL. Raises ConfigError, when it is made, where the proxy to it cannot be used."""

    url: str
    proxy: Proxy | None
    cuts: Cuts = field(default_factory=Cuts)
    distance: float = float("inf")
    """Seconds of TCP and TLS when last measured; infinite where that failed or was not tried."""
    _polls_until: float = 0.0

    @property
    def host(self) -> str:
        """Name and port as they stand in the URL."""
        return urlsplit(self.url).netloc

    @property
    def is_secure(self) -> bool:
        """Whether a TLS context is needed, for the API or for the proxy."""
        return self.url.startswith("https") or bool(self.proxy and self.proxy.secure)

    @property
    def road(self) -> str:
        """``proxy`` or ``direct``."""
        return "proxy" if self.proxy else "direct"

    def remember(self, transport: Transport, now: float) -> None:
        """*transport* got through after all that come before it did not."""
        self._polls_until = now + REMEMBER if transport is Transport.LONG_POLL else 0.0

    def prefers_polls(self, now: float) -> bool:
        """Whether long-poll is tried first."""
        return now < self._polls_until


class Endpoints:
    """All URLs of one executor."""

    def __init__(self, settings: ExecutorSettings) -> None:
        self._settings = settings
        self._all = [Endpoint(url, proxies.choose(settings.trust.proxies, url)) for url in settings.api_urls]

    @property
    def by_distance(self) -> bool:
        """Whether the nearest comes first, and there is a choice."""
        return self._settings.api_url_order == "nearest" and len(self._all) > 1

    def in_order(self) -> Sequence[Endpoint]:
        """The preferred first."""
        return sorted(self._all, key=lambda e: e.distance) if self.by_distance else tuple(self._all)

    def better_than(self, endpoint: Endpoint) -> Sequence[Endpoint]:
        """Those to which a session of *endpoint* should move as soon as they can be reached."""
        if self.by_distance:
            return [e for e in self.in_order() if e.distance < NEARER * endpoint.distance]
        return self._all[: self._all.index(endpoint)]

    async def measure(self, keeper: trust.Keeper) -> None:
        """Measure how far each is, one after the other."""
        for endpoint in self._all:
            endpoint.distance = await self._measure(endpoint, keeper)
        log.info("measured the way to each API", extra={"seconds": {e.url: round(e.distance, 4) for e in self._all}})

    async def _measure(self, endpoint: Endpoint, keeper: trust.Keeper) -> float:
        parts = urlsplit(endpoint.url)
        secure = parts.scheme == "https"
        began = time.monotonic()
        try:
            context = keeper.context() if endpoint.is_secure else None
            road = Road(
                parts.hostname or "",
                parts.port or (443 if secure else 80),
                context if secure else None,
                (self._settings.trust.server_name or parts.hostname) if secure else None,
                self._settings.timing.dial_timeout,
                endpoint.proxy,
                context,
            )
            opened = _Opened()
            await road.connect(opened)
        except (OSError, KubentlyError):
            return float("inf")
        opened.transport.abort()
        return time.monotonic() - began


class _Opened(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
