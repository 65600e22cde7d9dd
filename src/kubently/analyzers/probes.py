"""Probes: how one is set, and what its failures mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Literal

from kubently.analyzers import cases, complaints, containers, loglines
from kubently.analyzers.base import GRACE, Analyzer, Condition, analyzer, clean, quote
from kubently.analyzers.cases import Case
from kubently.analyzers.containers import Container
from kubently.analyzers.events import Event
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Evidence, Finding, Severity

ProbeKind = Literal["liveness", "readiness", "startup"]

READINESS_FAILS = Condition(
    "pod/readiness-fails",
    Severity.OUTAGE,
    "A container runs but its readiness probe does not pass, so the pod receives no traffic.",
    "Compare port, path and scheme of the probe with what the program serves; if they fit, look for the dependency"
    " that the program waits for.",
    symptom_of=(
        "pod/liveness-kills",
        "pod/startup-kills",
        "pod/crash-loop",
        "pod/oom-killed",
        "workload/env-service-missing",
        "workload/env-port-missing",
        "networkpolicy/no-dns",
        "networkpolicy/blocks-path",
        "pod/no-dns",
        "dns/server-down",
        "dns/corefile-refuses",
        "dns/upstream-fails",
        "certificate/not-ready",
        "certificate/ends-soon",
        *complaints.CODES,
    ),
    confidence=Confidence.LIKELY,
)
CONDITIONS = (READINESS_FAILS,)


@analyzer("pod-readiness", needs=cases.NEEDS, conditions=CONDITIONS, needs_logs=True)
def pod_readiness(snapshot: Snapshot) -> Iterator[Finding]:
    """Explain why running containers are not ready."""
    yield from cases.findings(snapshot, _cases(snapshot))


def _cases(snapshot: Snapshot) -> Iterator[Case]:
    for container in containers.of_living_pods(snapshot):
        if _should_be_ready(snapshot, container):
            yield _case(snapshot, container)


def _should_be_ready(snapshot: Snapshot, container: Container) -> bool:
    """Say whether a container runs long enough to have passed its readiness probe, and has not."""
    if container.is_init or container.is_ready or not container.is_running:
        return False
    if objects.at(container.status, "started") is False or not objects.mapping(container.spec, "readinessProbe"):
        return False
    return snapshot.age(container.running_since) > patience(container.spec)


def patience(spec: KubeObject) -> timedelta:
    """Return how long a container may run before not being ready is a fault: its probes' own delays and a grace."""
    readiness, startup = objects.mapping(spec, "readinessProbe"), objects.mapping(spec, "startupProbe")
    seconds = _delay(readiness) + objects.integer(readiness, "periodSeconds", default=10)
    if startup:
        period = objects.integer(startup, "periodSeconds", default=10)
        seconds += _delay(startup) + period * objects.integer(startup, "failureThreshold", default=3)
    return GRACE + timedelta(seconds=min(max(seconds, 0), 3600))


def _delay(probe: KubeObject) -> int:
    return objects.integer(probe, "initialDelaySeconds")


def _case(snapshot: Snapshot, container: Container) -> Case:
    pod = objects.ref(container.pod)
    event = newest_failure(snapshot, container, "readiness")
    reason = trouble(container, "readiness", event.message if event else "")
    ready = cases.pod_source(container.pod, f"{container.path}.ready")
    return Case(
        READINESS_FAILS,
        container.pod,
        what=f"container {container.name} runs but is not ready: {reason}",
        evidence=(quote(ready, "false"), *evidence(container, "readiness", event), *_log_evidence(snapshot, container)),
        key=container.name,
        next_checks=(
            f"describe pod {pod.name} -n {pod.namespace}",
            f"logs {pod.name} -n {pod.namespace} -c {container.name} --tail=100",
        ),
    )


def _log_evidence(snapshot: Snapshot, container: Container) -> Iterator[Evidence]:
    """Quote what the running program says about an error: often the dependency that it waits for."""
    for key in snapshot.logs_like(container.pod, container.name):
        if not key.previous and loglines.cause_line(snapshot.logs[key]):
            source = f"log {key.namespace}/{key.pod} container {key.container}"
            yield loglines.log_quote(source, loglines.excerpt(snapshot.logs[key]))


def newest_failure(snapshot: Snapshot, container: Container, kind: ProbeKind) -> Event | None:
    """Return the newest event that says how the probe failed."""
    prefix = f"{kind.capitalize()} probe "
    for event in snapshot.events(container.pod, "Unhealthy", "ProbeWarning"):
        if event.message.startswith(prefix) and event.container in ("", container.name):
            return event
    return None


def evidence(container: Container, kind: ProbeKind, event: Event | None) -> Iterator[Evidence]:
    """Quote how the probe is set and how it failed."""
    if event is not None:
        yield quote(
            cases.event_source(objects.ref(container.pod), event.reason), f"{event.message} ({event.count} times)"
        )
    yield quote(cases.pod_source(container.pod, f"container {container.name} {kind}Probe"), describe(container, kind))


def describe(container: Container, kind: ProbeKind) -> str:
    """Say how a probe is set: "GET :8080/healthz every 10 s after 5 s, 1 s to answer, 3 failures allowed"."""
    probe = _probe(container, kind)
    delay = objects.integer(probe, "initialDelaySeconds")
    return (
        f"{_action(probe)} every {objects.integer(probe, 'periodSeconds', default=10)} s"
        + (f" after {delay} s" if delay else "")
        + f", {objects.integer(probe, 'timeoutSeconds', default=1)} s to answer"
        + f", {objects.integer(probe, 'failureThreshold', default=3)} failures allowed"
    )


def trouble(container: Container, kind: ProbeKind, message: str) -> str:
    """Say in a few words why a probe fails, from its settings and the kubelet's *message*."""
    probe = _probe(container, kind)
    port = probe_port(container, probe)
    declared = declared_ports(container)
    status = re.search(r"HTTP probe failed with statuscode: (\d{3})", message)
    if port == 0 and probe_has_port(probe):
        return (
            f"its {kind} probe names port {clean(str(_port_value(probe)), limit=63)}, which the container does not have"
        )
    if status is not None:
        return f"{_action(probe)} answers {status.group(1)}"
    if "connection refused" in message:
        undeclared = f", and the container declares {_list(declared)}" if declared and port not in declared else ""
        return f"nothing listens on port {port}{undeclared}"
    if re.search(r"deadline exceeded|Client\.Timeout|timed out|i/o timeout", message):
        return f"{_action(probe)} does not answer within {objects.integer(probe, 'timeoutSeconds', default=1)} s"
    if "HTTP response to HTTPS client" in message or "malformed HTTP response" in message:
        return "HTTP and HTTPS are mixed up between probe and program"
    if message:
        return clean(message.replace("\n", " "), limit=160)
    return f"its {kind} probe ({_action(probe)}) does not pass"


def probe_port(container: Container, probe: KubeObject) -> int:
    """Return the number of the port that a probe asks; 0 if it asks none or names one that does not exist."""
    value = _port_value(probe)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    for port in objects.mappings(container.spec, "ports"):
        if objects.text(port, "name") == value and value:
            return objects.integer(port, "containerPort")
    return int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,5}", value) else 0


def probe_has_port(probe: KubeObject) -> bool:
    """Say whether a probe asks a port at all; exec probes do not."""
    return any(objects.mapping(probe, action) for action in _ACTIONS)


def declared_ports(container: Container) -> set[int]:
    """Return the ports that a container declares; declaring them is optional."""
    return {objects.integer(port, "containerPort") for port in objects.mappings(container.spec, "ports")}


_ACTIONS = ("httpGet", "tcpSocket", "grpc")


def _probe(container: Container, kind: ProbeKind) -> KubeObject:
    return objects.mapping(container.spec, f"{kind}Probe")


def _port_value(probe: KubeObject) -> object:
    return next((value for action in _ACTIONS if (value := objects.at(probe, action, "port")) is not None), None)


def _action(probe: KubeObject) -> str:
    port = clean(str(_port_value(probe)), limit=63)
    if http := objects.mapping(probe, "httpGet"):
        scheme = "HTTPS " if objects.text(http, "scheme") == "HTTPS" else ""
        return f"{scheme}GET :{port}{clean(objects.text(http, 'path', default='/'), limit=100)}"
    if objects.mapping(probe, "tcpSocket"):
        return f"a TCP connection to :{port}"
    if objects.mapping(probe, "grpc"):
        return f"gRPC health on :{port}"
    return "its command " + clean(" ".join(objects.strings(probe, "exec", "command")), limit=100)


def _list(ports: set[int]) -> str:
    return ", ".join(map(str, sorted(ports)[:8]))


ANALYZERS: tuple[Analyzer, ...] = (pod_readiness,)
