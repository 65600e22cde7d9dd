"""The parts of continuous diagnosis, put together by the settings."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import anyio
from anyio.abc import TaskGroup

from kubently import trust
from kubently.analyzers import Analyzer
from kubently.broker import Audit
from kubently.continuous import webhooks
from kubently.continuous.chosen import Chosen
from kubently.continuous.cluster import Counts, Means, Rhythm
from kubently.continuous.histories import Histories
from kubently.continuous.history import Rules
from kubently.continuous.owners import Owners
from kubently.continuous.reading import Readings
from kubently.continuous.supervisor import Supervisor
from kubently.fleet import Fleet, new_name
from kubently.schema import Severity
from kubently.settings import ContinuousSettings
from kubently.store import Store

ANALYSING = 1
"""Analyses at once in one process: Python runs one thread at a time, and requests want it too."""
STARTING = 4
"""Clusters that are listed at once."""


@dataclass(frozen=True, slots=True)
class Mode:
    """What runs, and what is asked."""

    readings: Readings
    supervisor: Supervisor
    webhooks: tuple[webhooks.Webhook, ...]
    counts: Counts
    is_off: bool
    _scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    _ended: anyio.Event = field(default_factory=anyio.Event)

    def start(self, tasks: TaskGroup) -> None:
        """Begin, in tasks of *tasks*; nothing where it is off."""
        if self.is_off:
            self._ended.set()
            return
        tasks.start_soon(self._supervise)
        for webhook in self.webhooks:
            tasks.start_soon(webhook.run)

    async def stop(self) -> None:
        """End the watches, before the fleet waits for open requests, and let other replicas have the clusters."""
        self._scope.cancel()
        await self._ended.wait()

    async def _supervise(self) -> None:
        try:
            with self._scope:
                await self.supervisor.run()
        finally:
            self._ended.set()


def open_mode(
    settings: ContinuousSettings,
    *,
    fleet: Fleet,
    audit: Audit,
    store: Store,
    is_shared: bool,
    analyzers: tuple[Analyzer, ...],
) -> Mode:
    """Put it together. *is_shared* says whether other replicas use the store. Raises ConfigError."""
    chosen = Chosen.parse(settings.clusters)
    keep = timedelta(seconds=settings.keep)
    histories = Histories(store, keep=keep)
    hooks = _webhooks(settings, lambda: datetime.now(UTC))
    means = Means(
        histories=histories,
        rules=Rules(
            resolve_after=timedelta(seconds=settings.resolve_after),
            keep=keep,
            tell=Severity(settings.webhook_severity) if hooks else None,
        ),
        analyzers=analyzers,
        counts=Counts(),
        analysing=anyio.CapacityLimiter(ANALYSING),
        starting=anyio.CapacityLimiter(STARTING),
        tell=lambda events: webhooks.tell_all(hooks, events),
        rhythm=Rhythm(interval=settings.interval),
    )
    claims = Owners(store if is_shared else None, new_name())
    return Mode(
        readings=Readings(histories, fleet, chosen),
        supervisor=Supervisor(fleet, audit, chosen, claims, means),
        webhooks=hooks,
        counts=means.counts,
        is_off=chosen.is_off,
    )


def _webhooks(settings: ContinuousSettings, now: Callable[[], datetime]) -> tuple[webhooks.Webhook, ...]:
    if not settings.webhooks:
        return ()
    key, context = webhooks.read_key(settings.webhook_secret), trust.Keeper(settings.trust).context
    return tuple(webhooks.Webhook(url, key, context, clock=time.monotonic, now=now) for url in settings.webhooks)
