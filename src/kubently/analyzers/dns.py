"""The cluster's DNS server: whether it answers, and whether its configuration answers no on purpose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from kubently.analyzers import cases, containers, evidence, relations, services
from kubently.analyzers.base import GRACE, Analyzer, Condition, analyzer, finding, quote
from kubently.analyzers.resources import CONFIG_MAPS, PODS, SERVICES
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Evidence, Finding, ResourceRef, Severity

SERVER_DOWN = Condition(
    "dns/server-down",
    Severity.OUTAGE,
    "No pod of the cluster's DNS server is ready: no program finds a Service or anything else by name.",
    "See why its pods in kube-system are not ready, or who scaled it down.",
)
COREFILE_REFUSES = Condition(
    "dns/corefile-refuses",
    Severity.DEGRADED,
    "The DNS server's configuration answers some names with NXDOMAIN, REFUSED or SERVFAIL by a template.",
    "Remove the template from the Corefile unless it is meant.",
)
UPSTREAM_FAILS = Condition(
    "dns/upstream-fails",
    Severity.DEGRADED,
    "The server that the cluster's DNS asks for names of elsewhere does not answer.",
    "Correct forward in the Corefile, or see why that server does not answer from the nodes.",
)
CONDITIONS = (SERVER_DOWN, COREFILE_REFUSES, UPSTREAM_FAILS)

_TEMPLATE = re.compile(r"^[ \t]*template\b([^{}\n]{0,300})\{([^{}]{0,2000})\}", re.MULTILINE)
# As the plugin errors of CoreDNS writes it: the name, and the exchange that failed.
_FAILED = re.compile(
    r"plugin/errors: \d+ (\S{1,255})\. \S+: (?:read|write|dial) (?:udp|tcp) (?:\S{1,60}->)?"
    r"([\d.]{7,15}|\[[0-9a-f:]{2,45}\]):\d{1,5}: .{1,100}"
)
_ENOUGH = 3
_NO = re.compile(r"\brcode[ \t]+(NXDOMAIN|REFUSED|SERVFAIL)\b", re.IGNORECASE)


@analyzer("cluster-dns", needs=(*cases.NEEDS, SERVICES, CONFIG_MAPS), conditions=CONDITIONS, needs_logs=True)
def cluster_dns(snapshot: Snapshot) -> Iterator[Finding]:
    """Report a DNS server that does not answer, or answers no."""
    for service in relations.dns_services(snapshot):
        pods = services.live_pods(snapshot, service)
        young = any(containers.is_young(snapshot, pod, seconds=GRACE.total_seconds()) for pod in pods)
        if (
            snapshot.is_complete(PODS, objects.namespace(service))
            and not young
            and not any(map(containers.is_ready, pods))
        ):
            yield _down(snapshot, service, pods)
    for config in relations.corefiles(snapshot):
        for match in _TEMPLATE.finditer(objects.text(config, "data", "Corefile")[:100_000]):
            if _NO.search(match[2]):
                yield _refuses(snapshot, config, " ".join(match[0].split()), " ".join(match[1].split()))
    yield from _upstreams(snapshot)


def ready_pods(snapshot: Snapshot) -> Iterator[KubeObject]:
    """Yield a ready pod of the DNS server: it knows which names it could not find out."""
    for service in relations.dns_services(snapshot):
        ready = (pod for pod in services.live_pods(snapshot, service) if containers.is_ready(pod))
        yield from islice(ready, 1)


def _upstreams(snapshot: Snapshot) -> Iterator[Finding]:
    """Report servers that do not answer the DNS server, by its own log."""
    failed: dict[str, list[tuple[str, Evidence]]] = {}
    for service in relations.dns_services(snapshot):
        for pod in services.live_pods(snapshot, service):
            for key in (key for item in containers.containers_of(pod) for key in snapshot.logs_like(pod, item.name)):
                for match in _FAILED.finditer(snapshot.logs[key][-64_000:]):
                    told = quote(evidence.log_source(key), match[0])
                    failed.setdefault(match[2].strip("[]"), []).append((match[1], told))
    for server, names in failed.items():
        if len({name for name, _ in names}) >= _ENOUGH:
            yield _upstream(snapshot, server, names)


def _upstream(snapshot: Snapshot, server: str, names: list[tuple[str, Evidence]]) -> Finding:
    configured = [
        (objects.ref(config), line.strip())
        for config in relations.corefiles(snapshot)
        for line in objects.text(config, "data", "Corefile")[:100_000].splitlines()
        if re.search(rf"(?<![\d.:]){re.escape(server)}(?![\d.])", line)
    ]
    resolvers = [objects.ref(member) for member in relations.dns_services(snapshot)]
    refs = (
        [ref for ref, _ in configured] or [objects.ref(config) for config in relations.corefiles(snapshot)] or resolvers
    )
    complaints = _complaints(snapshot)
    where = f", as the Corefile says in {cases.display(configured[0][0])}," if configured else ""
    return finding(
        UPSTREAM_FAILS,
        title=f"the cluster's DNS server asks {server}{where} for names of elsewhere, such as {names[-1][0]}, and gets"
        " no answer",
        objects=(refs[0], *resolvers),
        evidence=(
            *(quote(f"{cases.display(ref)} data.Corefile", line) for ref, line in configured[:2]),
            *(told for _, told in names[-2:]),
            *complaints,
        ),
        next_checks=(f"get configmap {refs[0].name} -n {refs[0].namespace} -o yaml",),
        severity=None if complaints else Severity.RISK,
        key=server,
    )


def _down(snapshot: Snapshot, service: KubeObject, pods: list[KubeObject]) -> Finding:
    ref = objects.ref(service)
    workloads = sorted(relations.workloads_behind(snapshot, service), key=str)
    seen = f"{len(pods)} pods, none of them ready" if pods else "no pods"
    return finding(
        SERVER_DOWN,
        title=f"the cluster's DNS server {cases.display(ref)} has {seen}",
        objects=(ref, *workloads),
        evidence=(
            quote(f"what {cases.display(ref)} selects", seen),
            *(quote("who serves it", cases.display(workload)) for workload in workloads[:3]),
            *_complaints(snapshot),
        ),
        next_checks=(f"get pods -n {ref.namespace} -o wide", f"get deployments,daemonsets -n {ref.namespace}"),
    )


def _refuses(snapshot: Snapshot, config: KubeObject, template: str, zones: str) -> Finding:
    ref, complaints = objects.ref(config), _complaints(snapshot)
    return finding(
        COREFILE_REFUSES,
        title=f"{cases.display(ref)}: a template of the Corefile answers no for {zones or 'all names'}",
        objects=(ref,),
        evidence=(quote(f"{cases.display(ref)} data.Corefile", template), *complaints),
        next_checks=(f"get configmap {ref.name} -n {ref.namespace} -o yaml",),
        severity=None if complaints else Severity.RISK,
        key=zones,
    )


def _complaints(snapshot: Snapshot) -> tuple[Evidence, ...]:
    """The last lines of up to three logs in which names do not resolve."""
    workloads: dict[ResourceRef, None] = {}
    for key in snapshot.logs:
        pod = snapshot.get(PODS, key.namespace, key.pod)
        if pod is not None:
            workloads[snapshot.workload_of(pod)] = None
    lines = (evidence.unresolved(snapshot, workload) for workload in workloads)
    return tuple(line for line in lines if line is not None)[:3]


ANALYZERS: tuple[Analyzer, ...] = (cluster_dns,)
