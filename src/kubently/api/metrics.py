"""The control plane's metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from kubently.broker import Auditing, Rate, Slots
from kubently.fleet import Fleet
from kubently.schema import Transport
from kubently.trust import watching

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """One registry an application."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        self.connections = Gauge(
            "kubently_tunnel_connections", "Sessions that stand, by transport", ["transport"], registry=registry
        )
        self.streams = Gauge("kubently_tunnel_streams", "Requests under way in tunnels", registry=registry)
        self.accepts = Counter(
            "kubently_tunnel_accepts", "Executors that dialled, by result", ["result"], registry=registry
        )
        self.probes = Counter("kubently_tunnel_probes", "Doctors' probes, by result", ["result"], registry=registry)
        self.commands = Counter("kubently_commands", "Commands, by how they ended", ["ending"], registry=registry)
        self.command_seconds = Histogram(
            "kubently_command_duration_seconds",
            "Seconds of a command, from request to end",
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
            registry=registry,
        )
        self.requests = Counter(
            "kubently_http_requests", "Requests, by surface and status", ["surface", "status"], registry=registry
        )
        self.certificates = watching.Watched()
        registry.register(watching.Exported(self.certificates))
        self.certificate_broken = Gauge(
            "kubently_certificate_reload_failed",
            "1 while the files of a certificate hold what cannot be used and the old one is kept",
            ["certificate"],
            registry=registry,
        )
        self.limit_hits = Gauge(
            "kubently_limit_hits", "Refusals by a limit since the start", ["limit"], registry=registry
        )

    def count_connections(self, sessions: Callable[[Transport], int]) -> None:
        """Show how many sessions there are of each transport."""
        for transport in Transport:
            self.connections.labels(transport=transport.value).set_function(partial(sessions, transport))

    def show_executors(self, fleet: Fleet) -> None:
        """Show what the executors of *fleet* tell of their certificates, as long as they are connected."""
        self.registry.register(_ExecutorCertificates(fleet))

    def show_audit(self, auditing: Auditing) -> None:
        """Show how the audit journal and those to whom it is shipped fare."""
        self.registry.register(_Audit(auditing))

    def count_refusals(self, limit: Slots | Rate) -> None:
        """Show how often *limit* refused."""
        self.limit_hits.labels(limit=limit.name).set_function(lambda: limit.refused)

    def render(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self.registry)


class _ExecutorCertificates(Collector):
    """Certificates as executors see them; the first to end where several executors tell of one."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def collect(self) -> Iterable[Metric]:
        ends = GaugeMetricFamily(
            "kubently_executor_certificate_not_after_timestamp_seconds",
            "When a certificate ends that an executor uses or sees: api, trusted, client or identity",
            labels=["cluster", "certificate"],
        )
        for (cluster, name), end in self._fleet.certificate_ends().items():
            ends.add_metric([cluster, name], end.timestamp())
        yield ends


class _Audit(Collector):
    """The audit journal, and the copies made of it."""

    def __init__(self, auditing: Auditing) -> None:
        self._auditing = auditing

    def collect(self) -> Iterable[Metric]:
        health = self._auditing.health
        writable = GaugeMetricFamily(
            "kubently_audit_writable", "0 while audit records cannot be written", value=not health.problem
        )
        written = CounterMetricFamily("kubently_audit_records", "Audit records that were written", value=health.written)
        requests = CounterMetricFamily(
            "kubently_audit_unrecordable_requests",
            "Requests that could not be recorded before they ran, by what was done: refused, or allowed unrecorded",
            labels=["action"],
        )
        requests.add_metric(["refused"], health.refused)
        requests.add_metric(["allowed"], health.unrecorded)
        lost = CounterMetricFamily("kubently_audit_lost_records", "Audit records that are lost", value=health.lost)
        yield from (writable, written, requests, lost)
        yield from self._targets()

    def _targets(self) -> Iterable[Metric]:
        delivered = CounterMetricFamily("kubently_audit_shipped_records", "Lines a target took", labels=["target"])
        failures = CounterMetricFamily("kubently_audit_ship_failures", "Deliveries that failed", labels=["target"])
        dropped = CounterMetricFamily(
            "kubently_audit_dropped_records", "Lines that were gone before a target took them", labels=["target"]
        )
        for name, progress in self._auditing.targets().items():
            delivered.add_metric([name], progress.delivered)
            failures.add_metric([name], progress.failures)
            dropped.add_metric([name], progress.dropped)
        yield from (delivered, failures, dropped)
