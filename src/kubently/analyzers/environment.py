"""What a workload's containers are given: variables that shadow each other, no DNS."""

from __future__ import annotations

from collections.abc import Iterator

from kubently.analyzers import addresses, cases, containers, evidence
from kubently.analyzers.base import Analyzer, Condition, analyzer, clean, finding, quote
from kubently.analyzers.cases import Case
from kubently.analyzers.resources import CONFIG_MAPS, CRON_JOBS, DAEMON_SETS, DEPLOYMENTS, PODS, SERVICES, STATEFUL_SETS
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Evidence, Finding, ResourceRef, Severity

TWICE = Condition(
    "workload/env-twice",
    Severity.RISK,
    "A container sets a variable twice with different values; the later one wins.",
    "Remove the one that is not meant.",
    confidence=Confidence.POSSIBLE,
)
NO_DNS = Condition(
    "pod/no-dns",
    Severity.DEGRADED,
    "The pod asks for Services by name, and its dnsPolicy sends it to servers that do not know them, or to none.",
    "Set dnsPolicy ClusterFirst, ClusterFirstWithHostNet in the host's network, or name servers in"
    " dnsConfig.nameservers that know the cluster's Services.",
    confidence=Confidence.LIKELY,
)
HOST_DNS = Condition(
    "pod/host-network-dns",
    Severity.HYGIENE,
    "The pod uses the host's network with dnsPolicy ClusterFirst, which then means the node's DNS.",
    "Set dnsPolicy ClusterFirstWithHostNet where it asks for Services by name.",
)

_WORKLOADS = (DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS, CRON_JOBS)


@analyzer(
    "environment-variables",
    needs=_WORKLOADS,
    conditions=(TWICE,),
)
def environment_variables(snapshot: Snapshot) -> Iterator[Finding]:
    """Report variables in pod templates that cannot be meant."""
    for resource in _WORKLOADS:
        for workload in snapshot.members(resource):
            for container in objects.containers(workload):
                yield from _twice(workload, container)


@analyzer("pod-dns", needs=(*cases.NEEDS, SERVICES, CONFIG_MAPS), conditions=(NO_DNS, HOST_DNS), needs_logs=True)
def pod_dns(snapshot: Snapshot) -> Iterator[Finding]:
    """Report pods that cannot resolve names, or not those of Services."""
    yield from cases.findings(snapshot, _dns_cases(snapshot))


def _twice(workload: KubeObject, container: KubeObject) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    ref = objects.ref(workload)
    for item in objects.mappings(container, "env"):
        name, value = objects.text(item, "name"), objects.text(item, "value")
        if name in seen and seen[name] != value and "valueFrom" not in item:
            where = f"container {objects.text(container, 'name')}"
            yield finding(
                TWICE,
                title=f"{cases.display(ref)}: {where} sets {name} twice, and the later value wins",
                objects=(ref,),
                evidence=(quote(f"{cases.display(ref)} {where} env", f"{name} is listed twice with different values"),),
                key=f"{where} {name}",
            )
        seen[name] = value


def _dns_cases(snapshot: Snapshot) -> Iterator[Case]:
    for pod in snapshot.members(PODS):
        if containers.is_finished(pod):
            continue
        policy = objects.text(pod, "spec", "dnsPolicy")
        source = cases.pod_source(pod, "spec.dnsPolicy")
        if policy == "None" and not objects.strings(pod, "spec", "dnsConfig", "nameservers"):
            yield Case(NO_DNS, pod, "has no DNS server", (quote(source, policy),), severity=Severity.DEGRADED)
        elif policy == "None" and (line := evidence.unresolved(snapshot, snapshot.workload_of(pod))):
            servers = ", ".join(objects.strings(pod, "spec", "dnsConfig", "nameservers")[:5])
            words = f"asks DNS servers of its own, {clean(servers, limit=120)}, and resolves nothing"
            yield Case(NO_DNS, pod, words, (quote(source, f"{policy}; nameservers {servers}"), line))
        elif policy == "ClusterFirst" and objects.flag(pod, "spec", "hostNetwork") and not _is_system(pod):
            words = "resolves by its node, not by the cluster"
            yield _by_node(snapshot, pod) or Case(
                HOST_DNS, pod, words, (quote(source, policy),), severity=Severity.HYGIENE
            )
        elif policy == "Default" and (case := _by_node(snapshot, pod)) is not None:
            yield case


def _by_node(snapshot: Snapshot, pod: KubeObject) -> Case | None:
    """Judge a pod that asks its node's servers: what it is told of Services it cannot find."""
    told = _told_service(snapshot, pod)
    if told is None:
        return None
    line = evidence.unresolved(snapshot, snapshot.workload_of(pod))
    # Much that runs in the host's network names Services and calls none by itself.
    if line is None and objects.flag(pod, "spec", "hostNetwork"):
        return None
    service, (holder, where) = told
    return Case(
        NO_DNS,
        pod,
        what=f"resolves by its node, which does not know the cluster's Services, such as {cases.display(service)}",
        evidence=(
            quote(cases.pod_source(pod, "spec.dnsPolicy"), objects.text(pod, "spec", "dnsPolicy")),
            quote(f"{cases.display(holder)} {where}", service.name),
            *([line] if line is not None else []),
        ),
        others=(service,),
        severity=None if line is not None and not containers.is_ready(pod) else _harm(line),
    )


def _told_service(snapshot: Snapshot, pod: KubeObject) -> tuple[ResourceRef, tuple[ResourceRef, str]] | None:
    """Return a Service that the pod is told of, with the place; but none that its own pods are behind."""
    for service in snapshot.members(SERVICES, objects.namespace(pod)):
        selector = objects.string_map(service, "spec", "selector")
        if selector.items() <= objects.labels(pod).items():
            continue
        if (place := addresses.told(snapshot, pod, objects.name(service))) is not None:
            return objects.ref(service), place
    return None


def _harm(line: Evidence | None) -> Severity:
    return Severity.DEGRADED if line is not None else Severity.RISK


def _is_system(pod: KubeObject) -> bool:
    """Say whether it is one of the cluster's own, which ask for no Services."""
    return objects.namespace(pod) == "kube-system"


ANALYZERS: tuple[Analyzer, ...] = (environment_variables, pod_dns)
