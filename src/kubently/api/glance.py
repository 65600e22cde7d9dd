"""What a replica does and how fast, at a glance; and what the others say of themselves, by the store."""

from __future__ import annotations

import contextlib
import logging
import resource
import time
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from pathlib import Path

import anyio
from prometheus_client import Counter
from pydantic import ValidationError

from kubently import __version__
from kubently.api.collectors import LOST_RECENTLY
from kubently.api.latencies import BOUNDS, Latency
from kubently.api.services import Services
from kubently.broker import Rate, Slots
from kubently.errors import KubentlyError
from kubently.schema import Durations, LimitUse, Top

log = logging.getLogger(__name__)

EVERY = 2.0
"""Seconds between two words of a replica about itself."""

_TTL = 10.0
_PREFIX = "top:"


@contextlib.asynccontextmanager
async def telling(services: Services) -> AsyncIterator[None]:
    """Tell the other replicas of this one while the block runs, where there may be others."""
    async with anyio.create_task_group() as tasks:
        if services.fleet.directory is not None:
            tasks.start_soon(_tell, services, services.fleet.directory.own.name)
        yield
        tasks.cancel_scope.cancel()


async def _tell(services: Services, name: str) -> None:
    while True:
        try:
            await services.store.put(f"{_PREFIX}{name}", of_this(services).model_dump_json().encode(), ttl=_TTL)
        except KubentlyError as error:
            log.debug("the other replicas were not told", extra={"reason": str(error)})
        await anyio.sleep(EVERY)


async def of_all(services: Services) -> list[Top]:
    """This replica first, then the others as they were some seconds ago. Raises StoreUnavailableError."""
    own = of_this(services)
    if services.fleet.directory is None:
        return [own]
    found = [own]
    for key, value in await services.store.scan(_PREFIX):
        with contextlib.suppress(ValidationError):  # of another version, or by another hand
            if key != f"{_PREFIX}{own.replica}":
                found.append(Top.model_validate_json(value))
    return found


def of_this(services: Services) -> Top:
    """This replica, now."""
    fleet, metrics, health = services.fleet, services.metrics, services.auditing.health
    targets = services.auditing.targets()
    return Top(
        replica=fleet.directory.own.name if fleet.directory else "",
        version=__version__,
        at=datetime.now(UTC),
        started_at=services.started_at,
        replicas=len(fleet.directory.replicas()) + 1 if fleet.directory else 1,
        clusters=fleet.registered(),
        connected=len(fleet.connected()),
        lost_recently=len(fleet.lost_within(LOST_RECENTLY)),
        executors=fleet.executors(),
        sessions=fleet.sessions(),
        streams=fleet.streams(),
        bounds=BOUNDS,
        commands=_durations(metrics.command_seconds),
        endings=_by_label(metrics.commands, "ending"),
        requests={surface: _durations(latency) for surface, latency in metrics.response_start.items()},
        routes={path: _durations(latency) for path, latency in metrics.routes.items()},
        route_failures=_by_label(metrics.route_failures, "reason"),
        proxied_bytes=sum(_by_label(metrics.proxied_bytes, "").values()),
        limits=tuple(_limits(services.limits.named)),
        audit_problem=health.problem,
        audit_records=health.written,
        audit_behind={name: progress.problem for name, progress in targets.items() if progress.problem},
        cpu_seconds=round(time.process_time(), 3),
        memory_bytes=_memory(),
    )


def _durations(latency: Latency) -> Durations:
    return Durations(counts=tuple(latency.counts), seconds=round(latency.total, 6))


def _limits(limits: Iterable[Slots | Rate]) -> Iterable[LimitUse]:
    for limit in limits:
        if isinstance(limit, Slots):
            yield LimitUse(name=limit.name, used=limit.used, most=limit.most, hits=limit.refused)
        else:
            yield LimitUse(name=limit.name, hits=limit.refused)


def _by_label(counter: Counter, label: str) -> dict[str, int]:
    samples = [sample for family in counter.collect() for sample in family.samples if sample.name.endswith("_total")]
    return {sample.labels.get(label, ""): int(sample.value) for sample in samples}


def _memory() -> int:
    """Resident bytes; the most that there ever were where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
