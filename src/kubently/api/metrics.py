"""The control plane's metrics."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from kubently.api.latencies import Latencies
from kubently.schema import Transport
from kubently.trust import watching

CONTENT_TYPE = CONTENT_TYPE_LATEST

SURFACES = ("rest", "kubernetes")


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
        self.requests = Counter(
            "kubently_http_requests", "Requests, by surface and status", ["surface", "status"], registry=registry
        )
        self.proxied_bytes = Counter(
            "kubently_proxy_response_bytes", "Bytes of clusters' answers to Kubernetes clients", registry=registry
        )
        self.route_failures = Counter(
            "kubently_route_failures", "Requests that found no way to a cluster, by code", ["reason"], registry=registry
        )
        self._latencies()
        self.certificates = watching.Watched()
        registry.register(watching.Exported(self.certificates))
        self.certificate_broken = Gauge(
            "kubently_certificate_reload_failed",
            "1 while the files of a certificate hold what cannot be used and the old one is kept",
            ["certificate"],
            registry=registry,
        )

    def _latencies(self) -> None:
        commands = Latencies("kubently_command_duration_seconds", "Seconds of a command, from request to end")
        self.command_seconds = commands.by[""]
        answers = Latencies(
            "kubently_http_response_start_seconds", "Seconds until an answer began, by surface", "surface", SURFACES
        )
        self.response_start = answers.by
        routes = Latencies(
            "kubently_route_duration_seconds",
            "Seconds until the way to a cluster was found: local, or by another replica",
            "path",
            ("local", "peer"),
        )
        self.routes = routes.by
        for latencies in (commands, answers, routes):
            self.registry.register(latencies)

    def count_connections(self, sessions: Callable[[Transport], int]) -> None:
        """Show how many sessions there are of each transport."""
        for transport in Transport:
            self.connections.labels(transport=transport.value).set_function(partial(sessions, transport))

    def count_route(self, path: str, failure: str, seconds: float) -> None:
        """Count one search for the way to a cluster."""
        if failure:
            self.route_failures.labels(reason=failure).inc()
        else:
            self.routes[path].observe(seconds)

    def show(self, *collectors: Collector) -> None:
        """Show what *collectors* see, too."""
        for collector in collectors:
            self.registry.register(collector)

    def render(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self.registry)
