"""Deterministic diagnosis: a snapshot of a cluster in, findings out, causes first."""

from __future__ import annotations

from kubently.analyzers import (
    addons,
    aftermath,
    autoscaling,
    capacity,
    complaints,
    config,
    contention,
    controllers,
    destinations,
    dns,
    drift,
    ending,
    environment,
    evictions,
    exposure,
    images,
    ingresses,
    jobs,
    networkpolicies,
    nodes,
    paths,
    ports,
    probes,
    rbac,
    refusals,
    renewals,
    restarts,
    scheduling,
    services,
    sidecars,
    split,
    stale,
    starting,
    storage,
    stranded,
    tls_secrets,
    volumes,
    webhooks,
    workloads,
)
from kubently.analyzers.base import Analyzer, Condition, analyzer
from kubently.analyzers.diagnosis import Report, catalogue_of
from kubently.analyzers.diagnosis import diagnose as _diagnose
from kubently.analyzers.reading import LogsWanted, logs_wanted
from kubently.analyzers.resources import RESOURCES, Resource
from kubently.analyzers.snapshot import LogKey, Snapshot

__all__ = [
    "ANALYZERS",
    "CATALOGUE",
    "RESOURCES",
    "Analyzer",
    "Condition",
    "LogKey",
    "LogsWanted",
    "Report",
    "Resource",
    "Snapshot",
    "analyzer",
    "diagnose",
    "logs_wanted",
]

ANALYZERS: tuple[Analyzer, ...] = (
    *scheduling.ANALYZERS,
    *images.ANALYZERS,
    *config.ANALYZERS,
    *restarts.ANALYZERS,
    *complaints.ANALYZERS,
    *probes.ANALYZERS,
    *workloads.ANALYZERS,
    *refusals.ANALYZERS,
    *services.ANALYZERS,
    *ports.ANALYZERS,
    *ingresses.ANALYZERS,
    *storage.ANALYZERS,
    *nodes.ANALYZERS,
    *starting.ANALYZERS,
    *ending.ANALYZERS,
    *evictions.ANALYZERS,
    *controllers.ANALYZERS,
    *jobs.ANALYZERS,
    *autoscaling.ANALYZERS,
    *webhooks.ANALYZERS,
    *environment.ANALYZERS,
    *destinations.ANALYZERS,
    *volumes.ANALYZERS,
    *networkpolicies.ANALYZERS,
    *paths.ANALYZERS,
    *addons.ANALYZERS,
    *aftermath.ANALYZERS,
    *contention.ANALYZERS,
    *stale.ANALYZERS,
    *split.ANALYZERS,
    *sidecars.ANALYZERS,
    *stranded.ANALYZERS,
    *renewals.ANALYZERS,
    *rbac.ANALYZERS,
    *dns.ANALYZERS,
    *tls_secrets.ANALYZERS,
    *exposure.ANALYZERS,
    *capacity.ANALYZERS,
    *drift.ANALYZERS,
)
"""All analyzers of our own."""

CATALOGUE: tuple[Condition, ...] = catalogue_of(ANALYZERS)
"""Every condition that they can report, by code."""


def diagnose(snapshot: Snapshot, analyzers: tuple[Analyzer, ...] = ANALYZERS) -> Report:
    """Say what is wrong in a snapshot, most important first, and what was looked at."""
    return _diagnose(snapshot, analyzers)
