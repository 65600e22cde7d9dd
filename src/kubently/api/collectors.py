"""Metrics that are read off what is there when they are asked for; what is gone is not told of any more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kubently.broker import Auditing, Rate, Slots
from kubently.continuous import Mode
from kubently.fleet import Fleet
from kubently.schema import Severity
from kubently.store import StoreHealth

LOST_RECENTLY = 900.0
"""Seconds for which a cluster that went away counts as one that should be here."""


class OfExecutors(Collector):
    """What the executors of a fleet tell, and how they are reached; labelled by cluster only while it is connected."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        ends = GaugeMetricFamily(
            "kubently_executor_certificate_not_after_timestamp_seconds",
            "When a certificate ends that an executor uses or sees: api, trusted, client or identity",
            labels=["cluster", "certificate"],
        )
        for (cluster, name), end in self._fleet.certificate_ends().items():
            ends.add_metric([cluster, name], end.timestamp())
        yield ends
        yield GaugeMetricFamily(
            "kubently_clusters_connected", "Clusters with a session here", value=len(self._fleet.connected())
        )
        yield GaugeMetricFamily(
            "kubently_clusters_lost_recently",
            "Clusters that left this replica within 15 minutes and that no replica reaches now",
            value=len(self._fleet.lost_within(LOST_RECENTLY)),
        )
        yield GaugeMetricFamily("kubently_executors", "Executors connected here", value=self._fleet.executors())
        yield from self._sessions()

    def _sessions(self) -> Iterable[Metric]:
        sessions = self._fleet.sessions_here()
        trips = sorted(session.rtt for session in sessions if session.rtt is not None)
        rtt = GaugeMetricFamily(
            "kubently_tunnel_rtt_seconds", "Last ping's round trip, of all sessions here", labels=["quantile"]
        )
        for quantile in (0.5, 0.99, 1.0) if trips else ():
            rtt.add_metric([f"{quantile:g}"], trips[min(len(trips) - 1, int(quantile * len(trips)))])
        yield rtt
        yield GaugeMetricFamily(
            "kubently_tunnel_sessions_stalled",
            "Sessions whose connection takes nothing more for now",
            value=sum(session.is_stalled for session in sessions),
        )


class OfPeers(Collector):
    """How the other replicas answered."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        failures = CounterMetricFamily(
            "kubently_peer_failures", "Requests that another replica did not take, by reason", labels=["reason"]
        )
        if self._fleet.peers is not None:
            for reason, count in self._fleet.peers.failures.items():
                failures.add_metric([reason], count)
        yield failures
        living = len(self._fleet.directory.replicas()) + 1 if self._fleet.directory is not None else 1
        yield GaugeMetricFamily("kubently_replicas", "Replicas of the API, as this one sees them", value=living)


class OfLimits(Collector):
    """How often limits refused, and how much of them is used."""

    def __init__(self, limits: Sequence[Slots | Rate]) -> None:
        self._limits = limits

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        hits = CounterMetricFamily("kubently_limit_hits", "Refusals by a limit", labels=["limit"])
        used = GaugeMetricFamily("kubently_limit_used", "What runs within a limit, in all places", labels=["limit"])
        for limit in self._limits:
            hits.add_metric([limit.name], limit.refused)
            if isinstance(limit, Slots):
                used.add_metric([limit.name], limit.used)
        yield from (hits, used)


class OfStore(Collector):
    """A store that other processes serve."""

    def __init__(self, health: StoreHealth) -> None:
        self._health = health

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        failures = CounterMetricFamily("kubently_store_failures", "Commands that failed, by reason", labels=["reason"])
        for reason, count in sorted(self._health.failures.items()):
            failures.add_metric([reason], count)
        yield failures
        yield CounterMetricFamily(
            "kubently_store_kept_answers",
            "Reads answered by what was kept, while the store could not be reached",
            value=self._health.kept_answers,
        )
        yield GaugeMetricFamily("kubently_store_away", "1 while it cannot be reached", value=self._health.is_away)
        yield GaugeMetricFamily(
            "kubently_store_hearing", "1 while hints of other replicas come in", value=self._health.is_hearing
        )


class OfAudit(Collector):
    """The audit journal, and the copies made of it."""

    def __init__(self, auditing: Auditing) -> None:
        self._auditing = auditing

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        health = self._auditing.health
        yield GaugeMetricFamily(
            "kubently_audit_writable", "0 while audit records cannot be written", value=not health.problem
        )
        yield CounterMetricFamily("kubently_audit_records", "Audit records that were written", value=health.written)
        requests = CounterMetricFamily(
            "kubently_audit_unrecordable_requests",
            "Requests that could not be recorded before they ran, by what was done: refused, or allowed unrecorded",
            labels=["action"],
        )
        requests.add_metric(["refused"], health.refused)
        requests.add_metric(["allowed"], health.unrecorded)
        yield requests
        yield CounterMetricFamily("kubently_audit_lost_records", "Audit records that are lost", value=health.lost)
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


class OfContinuous(Collector):
    """Continuous diagnosis; labelled by cluster only while it is watched here."""

    def __init__(self, continuous: Mode) -> None:
        self._continuous = continuous

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        watched = self._continuous.supervisor.watched()
        found = GaugeMetricFamily(
            "kubently_findings", "Open findings, symptoms left out", labels=["cluster", "severity"]
        )
        kept = GaugeMetricFamily("kubently_continuous_objects", "Objects kept of a cluster", labels=["cluster"])
        seconds = GaugeMetricFamily(
            "kubently_continuous_analysis_seconds", "What the last analysis of a cluster took", labels=["cluster"]
        )
        for cluster, watch in sorted(watched.items()):
            for severity in Severity:
                found.add_metric([cluster, severity.value], watch.open[severity])
            kept.add_metric([cluster], watch.picture.objects)
            seconds.add_metric([cluster], watch.seconds)
        yield from (found, kept, seconds)
        yield GaugeMetricFamily(
            "kubently_continuous_clusters", "Clusters that are diagnosed continuously here", value=len(watched)
        )
        yield from self._counts()
        yield from self._webhooks()

    def _counts(self) -> Iterable[Metric]:
        counts = self._continuous.counts
        began = CounterMetricFamily("kubently_findings_found", "Findings that began or came back", labels=["severity"])
        resolved = CounterMetricFamily("kubently_findings_resolved", "Findings that were resolved", labels=["severity"])
        for severity in Severity:
            began.add_metric([severity.value], counts.found[severity])
            resolved.add_metric([severity.value], counts.resolved[severity])
        restarts = CounterMetricFamily(
            "kubently_continuous_watch_restarts",
            "Watches that began again: ended by time or a cut, expired (listed anew), refused, or failed",
            labels=["reason"],
        )
        for reason in ("ended", "expired", "refused", "failed"):
            restarts.add_metric([reason], counts.restarts[reason])
        yield from (began, resolved, restarts)

    def _webhooks(self) -> Iterable[Metric]:
        delivered = CounterMetricFamily("kubently_webhook_events", "Events that a webhook took", labels=["host"])
        failures = CounterMetricFamily("kubently_webhook_failures", "Deliveries that failed", labels=["host"])
        dropped = CounterMetricFamily("kubently_webhook_dropped_events", "Events that were given up", labels=["host"])
        for number, webhook in enumerate(self._continuous.webhooks):
            name = webhook.name if number == 0 else f"{webhook.name}#{number}"
            delivered.add_metric([name], webhook.progress.delivered)
            failures.add_metric([name], webhook.progress.failures)
            dropped.add_metric([name], webhook.progress.dropped)
        yield from (delivered, failures, dropped)
