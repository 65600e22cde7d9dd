"""What one replica of the API does and how fast, at a glance."""

from __future__ import annotations

from datetime import datetime

from kubently.schema.base import Frozen


class Durations(Frozen):
    """A histogram since the start: how many took up to each of ``Top.bounds``, and last how many took longer."""

    counts: tuple[int, ...]
    seconds: float
    """Of all of them together."""


class LimitUse(Frozen):
    """One limit."""

    name: str
    used: int | None = None
    """What runs within it, in all places; none for a rate."""
    most: int | None = None
    """At once in each place."""
    hits: int
    """Refusals since the start."""


class Top(Frozen):
    """One replica; what counts up counts since its start."""

    replica: str
    """Its name, where there are several."""
    version: str
    at: datetime
    started_at: datetime
    replicas: int
    clusters: int
    """Registered."""
    connected: int
    """Clusters with a session at this replica; with several replicas one cluster may be at two."""
    lost_recently: int
    """Clusters that left this replica within 15 minutes and that no replica reaches now."""
    executors: int
    sessions: int
    streams: int
    bounds: tuple[float, ...]
    """Seconds, of the histograms."""
    commands: Durations
    endings: dict[str, int]
    """Commands by how they ended."""
    requests: dict[str, Durations]
    """Until the answer began, by surface: rest, kubernetes."""
    routes: dict[str, Durations]
    """Searches for the way to a cluster: local, peer."""
    route_failures: dict[str, int]
    """By code."""
    proxied_bytes: int
    limits: tuple[LimitUse, ...]
    audit_problem: str
    """Why audit records cannot be written; empty where they can."""
    audit_records: int
    audit_behind: dict[str, str]
    """Targets that do not take records, and why."""
    cpu_seconds: float
    memory_bytes: int
