"""What a workload's containers are told: variables that shadow each other, addresses that lead nowhere, no DNS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kubently.analyzers import cases, containers, evidence
from kubently.analyzers.base import Analyzer, Condition, analyzer, clean, finding, quote
from kubently.analyzers.cases import Case
from kubently.analyzers.resources import CRON_JOBS, DAEMON_SETS, DEPLOYMENTS, NAMESPACES, PODS, SERVICES, STATEFUL_SETS
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Finding, ResourceRef, Severity

TWICE = Condition(
    "workload/env-twice",
    Severity.RISK,
    "A container sets a variable twice with different values; the later one wins.",
    "Remove the one that is not meant.",
    confidence=Confidence.POSSIBLE,
)
SERVICE_MISSING = Condition(
    "workload/env-service-missing",
    Severity.RISK,
    "A variable holds the address of a Service that does not exist.",
    "Correct the name, or create the Service.",
    confidence=Confidence.LIKELY,
)
PORT_MISSING = Condition(
    "workload/env-port-missing",
    Severity.RISK,
    "A variable holds the address of a Service with a port that the Service does not have.",
    "Use one of the Service's ports, which need not be the container's.",
    confidence=Confidence.LIKELY,
)
NO_DNS = Condition(
    "pod/no-dns",
    Severity.DEGRADED,
    "The pod's dnsPolicy is None, and its own servers, if it names any, resolve nothing for it.",
    "Set dnsPolicy ClusterFirst, or name servers in dnsConfig.nameservers that know the cluster's Services.",
    confidence=Confidence.LIKELY,
)
HOST_DNS = Condition(
    "pod/host-network-dns",
    Severity.HYGIENE,
    "The pod uses the host's network with dnsPolicy ClusterFirst, which then means the node's DNS.",
    "Set dnsPolicy ClusterFirstWithHostNet where it asks for Services by name.",
)

_WORKLOADS = (DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS, CRON_JOBS)
# A name that the cluster's DNS may know, perhaps within a URL; `_is_address` says whether it can be nothing else.
_ADDRESS = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+.-]{0,20})://(?:[^/@\s]{0,200}@)?)?"
    r"(?P<name>[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)"
    r"(?:\.(?P<namespace>[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)(?P<svc>\.svc(?:\.[a-z0-9.-]{1,100})?)?)?"
    r"(?::(?P<port>[0-9]{1,5}))?(?:/.*)?",
    re.DOTALL,
)
_OWN_MACHINE = frozenset({"localhost", "host", "ip6-localhost"})


@analyzer(
    "environment-variables",
    needs=(*_WORKLOADS, SERVICES, PODS, NAMESPACES),
    conditions=(TWICE, SERVICE_MISSING, PORT_MISSING),
    needs_logs=True,
)
def environment_variables(snapshot: Snapshot) -> Iterator[Finding]:
    """Report variables in pod templates that cannot be meant."""
    for resource in _WORKLOADS:
        for workload in snapshot.members(resource):
            for container in objects.containers(workload):
                yield from _twice(workload, container)
            yield from _addresses(snapshot, workload)


@analyzer("pod-dns", needs=cases.NEEDS, conditions=(NO_DNS, HOST_DNS), needs_logs=True)
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


@dataclass(frozen=True, slots=True)
class Address:
    """A variable of a container that surely holds the address of a Service."""

    where: str
    service: ResourceRef
    """Which need not exist."""
    port: int | None
    is_full: bool
    """Whether the name says its namespace, so that it can be no name of elsewhere."""


def addresses_of(snapshot: Snapshot, workload: KubeObject) -> Iterator[Address]:
    """Yield the addresses of Services in the variables of a workload's containers."""
    own = objects.namespace(workload)
    for container in objects.containers(workload):
        for item in objects.mappings(container, "env"):
            match = _ADDRESS.fullmatch(objects.text(item, "value"))
            if match is None or match["name"] in _OWN_MACHINE or not _is_address(snapshot, match):
                continue
            yield Address(
                where=f"container {objects.text(container, 'name')} variable {objects.text(item, 'name')}",
                service=ResourceRef(kind="Service", namespace=match["namespace"] or own, name=match["name"]),
                port=int(match["port"]) if match["port"] else None,
                is_full=bool(match["namespace"]),
            )


def _addresses(snapshot: Snapshot, workload: KubeObject) -> Iterator[Finding]:
    for address in addresses_of(snapshot, workload):
        if not snapshot.is_complete(SERVICES, address.service.namespace):
            continue
        service = snapshot.find(address.service)
        if service is None and address.is_full:
            yield _missing(snapshot, workload, address.service, address.where)
        elif service is not None and address.port and not _has_port(service, address.port):
            yield _no_port(snapshot, service, workload, address.port, address.where)


def _is_address(snapshot: Snapshot, match: re.Match[str]) -> bool:
    """Say whether a text is surely the address of a Service: its full name, or a name with a port behind it."""
    if match["svc"]:
        return True
    if match["namespace"] and snapshot.get(NAMESPACES, "", match["namespace"]) is None:
        return False
    return bool(match["port"])


def _has_port(service: KubeObject, port: int) -> bool:
    if objects.text(service, "spec", "type") == "ExternalName" or objects.text(service, "spec", "clusterIP") == "None":
        return True
    return port in (objects.integer(item, "port") for item in objects.mappings(service, "spec", "ports"))


def _missing(snapshot: Snapshot, workload: KubeObject, target: ResourceRef, where: str) -> Finding:
    ref = objects.ref(workload)
    known = ", ".join(sorted(objects.name(s) for s in snapshot.members(SERVICES, target.namespace))[:20]) or "none"
    return finding(
        SERVICE_MISSING,
        title=f"{cases.display(ref)}: {where} names Service {target.namespace}/{target.name}, which does not exist",
        objects=(ref, target),
        evidence=(
            quote(f"{cases.display(ref)} {where}", f"{target.name}.{target.namespace}.svc"),
            quote(f"services in namespace {target.namespace}", known),
        ),
        next_checks=(f"get services -n {target.namespace}",),
        severity=Severity.OUTAGE if is_missed(snapshot, ref, target.name) else None,
        key=where,
    )


def is_missed(snapshot: Snapshot, workload: ResourceRef, name: str) -> bool:
    """Say whether no pod of the workload is ready, and a log of them speaks of the host."""
    pods = [pod for pod in snapshot.pods_of(workload) if not containers.is_finished(pod)]
    if any(map(containers.is_ready, pods)):
        return False
    speaks = re.compile(rf"\b{re.escape(name)}\b")
    keys = {
        key
        for pod in pods
        for container in containers.containers_of(pod)
        for key in snapshot.logs_like(pod, container.name)
    }
    return any(speaks.search(snapshot.logs[key]) for key in keys)


def _no_port(snapshot: Snapshot, service: KubeObject, workload: KubeObject, port: int, where: str) -> Finding:
    ref, target = objects.ref(workload), objects.ref(service)
    ports = ", ".join(str(objects.integer(item, "port")) for item in objects.mappings(service, "spec", "ports"))
    return finding(
        PORT_MISSING,
        title=f"{cases.display(ref)}: {where} uses port {port} of {cases.display(target)}, which has {ports or 'none'}",
        objects=(ref, target),
        evidence=(
            quote(f"{cases.display(ref)} {where}", f"{target.name}:{port}"),
            quote(f"{cases.display(target)} spec.ports", ports or "none"),
        ),
        next_checks=(f"describe service {target.name} -n {target.namespace}",),
        severity=Severity.OUTAGE if is_missed(snapshot, ref, target.name) else None,
        key=where,
    )


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
            yield Case(HOST_DNS, pod, words, (quote(source, policy),), severity=Severity.HYGIENE)


def _is_system(pod: KubeObject) -> bool:
    """Say whether it is one of the cluster's own, which ask for no Services."""
    return objects.namespace(pod) == "kube-system"


ANALYZERS: tuple[Analyzer, ...] = (environment_variables, pod_dns)
