"""Where programs are sent, and what is not there: Services and ports that do not exist.

Where a name is as long as it can only be a Service's, its own word is enough. A short one may be known elsewhere, so
there a log must say that it did not resolve.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kubently.analyzers import addresses, cases, evidence, settings
from kubently.analyzers.addresses import Address
from kubently.analyzers.base import Analyzer, Condition, analyzer, finding, quote
from kubently.analyzers.resources import (
    CONFIG_MAPS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    SERVICES,
    STATEFUL_SETS,
)
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Evidence, Finding, ResourceRef, Severity

SERVICE_MISSING = Condition(
    "workload/env-service-missing",
    Severity.RISK,
    "A workload is told the address of a Service that does not exist, by a variable, an argument or a ConfigMap.",
    "Correct the name, or create the Service.",
    symptom_of=("dns/server-down", "dns/corefile-refuses", "dns/upstream-fails", "networkpolicy/no-dns", "pod/no-dns"),
    confidence=Confidence.LIKELY,
)
PORT_MISSING = Condition(
    "workload/env-port-missing",
    Severity.RISK,
    "A workload is told the address of a Service with a port that the Service does not have.",
    "Use one of the Service's ports, which need not be the container's.",
    confidence=Confidence.LIKELY,
)

_WORKLOADS = (DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS, CRON_JOBS, JOBS)
_SHOWN_SERVICES = 20
_LIKE = 0.75
"""How like two names must be for one to be a slip for the other, by difflib's ratio."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """A workload and where it is sent in vain."""

    address: Address
    workload: ResourceRef
    severity: Severity | None = None
    """How bad it is by now, or None where nothing shows that it is bad."""
    complaint: Evidence | None = None
    """A line of a log that says so."""


@analyzer(
    "destinations",
    needs=(*dict.fromkeys((*_WORKLOADS, *cases.NEEDS)), SERVICES, NAMESPACES, CONFIG_MAPS),
    conditions=(SERVICE_MISSING, PORT_MISSING),
    needs_logs=True,
)
def destinations(snapshot: Snapshot) -> Iterator[Finding]:
    """Report addresses that lead nowhere, once for each place where they stand."""
    nowhere: dict[tuple[ResourceRef, ResourceRef], list[_Sent]] = {}
    closed: dict[tuple[ResourceRef, ResourceRef, int], list[_Sent]] = {}
    for workload in _templates(snapshot):
        told = tuple(addresses.addresses_of(snapshot, workload))
        for sent in _astray(snapshot, workload, told):
            nowhere.setdefault((sent.address.holder, sent.address.service), []).append(sent)
        for sent in _at_no_port(snapshot, objects.ref(workload), told):
            port = sent.address.port or 0
            closed.setdefault((sent.address.holder, sent.address.service, port), []).append(sent)
    for group in nowhere.values():
        yield _missing(snapshot, group)
    for group in closed.values():
        yield _no_port(snapshot, group)


def _templates(snapshot: Snapshot) -> Iterator[KubeObject]:
    """Yield what people write: no Job that a CronJob made."""
    for resource in _WORKLOADS:
        for workload in snapshot.members(resource):
            if resource is not JOBS or objects.controller(workload) is None:
                yield workload


# ---- no such Service


def _astray(snapshot: Snapshot, workload: KubeObject, told: Sequence[Address]) -> Iterator[_Sent]:
    ref = objects.ref(workload)
    seen: set[ResourceRef] = set()
    for address in told:
        if address.is_full and address.service not in seen and _is_missing(snapshot, address.service):
            seen.add(address.service)
            suffers = addresses.is_missed(snapshot, ref, address.service.name)
            yield _Sent(address, ref, Severity.OUTAGE if suffers else None)
    for host, line in evidence.unresolved_hosts(snapshot, ref):
        service = _service_of(snapshot, host, ref.namespace)
        if service is None or service in seen or not _is_missing(snapshot, service) or _is_own(snapshot, ref, host):
            continue
        seen.add(service)
        severity = cases.severity_of_loss(snapshot, ref)
        holder, where = (
            addresses.told(snapshot, workload, host) or _told_by_called(snapshot, told, service) or (ref, "its program")
        )
        address = Address(where, holder, service, None, is_full=False)
        yield _Sent(address, ref, severity, line)


def _told_by_called(
    snapshot: Snapshot, told: Sequence[Address], service: ResourceRef
) -> tuple[ResourceRef, str] | None:
    """Return where one of the programs that are called is told the name: some tell their callers whom else to ask."""
    full = f"{service.name}.{service.namespace}"
    for called in dict.fromkeys(address.service for address in told):
        selector = objects.mapping(snapshot.find(called), "spec", "selector")
        for pod in snapshot.select_pods(called.namespace, selector)[:1]:
            place = next((item for item in settings.settings_of(snapshot, pod) if f"{full}." in f"{item.text}."), None)
            if place is not None:
                own = place.holder == objects.ref(pod)
                return snapshot.workload_of(pod) if own else place.holder, place.where
    return None


def _is_missing(snapshot: Snapshot, service: ResourceRef) -> bool:
    return snapshot.is_complete(SERVICES, service.namespace) and snapshot.find(service) is None


def _service_of(snapshot: Snapshot, host: str, own: str) -> ResourceRef | None:
    """Return the Service that a host would be, or None if it may be known elsewhere."""
    labels = host.rstrip(".").split(".")
    if not addresses.is_host(labels[0]):
        return None
    if len(labels) == 1:
        return ResourceRef(kind="Service", namespace=own, name=labels[0])
    # db-0.db is a pod of the Service db.
    if len(labels) > 3 and labels[3] == "svc":
        labels = labels[1:]
    if snapshot.get(SERVICES, own, labels[1]) is not None or (len(labels) > 2 and labels[2] != "svc"):
        return None
    is_namespace = len(labels) > 2 or snapshot.get(NAMESPACES, "", labels[1]) is not None
    return ResourceRef(kind="Service", namespace=labels[1], name=labels[0]) if is_namespace else None


def _is_own(snapshot: Snapshot, workload: ResourceRef, host: str) -> bool:
    """Say whether a host is a pod's own name, or one that the pods know by themselves."""
    pods = snapshot.pods_of(workload)
    aliases = (item for pod in pods for item in objects.mappings(pod, "spec", "hostAliases"))
    known = {name for item in aliases for name in objects.strings(item, "hostnames")}
    known |= {name for pod in pods for name in (objects.name(pod), objects.text(pod, "spec", "hostname"))}
    return host in known


def _missing(snapshot: Snapshot, group: Sequence[_Sent]) -> Finding:
    address = group[0].address
    holder, target = address.holder, address.service
    known = sorted(objects.name(service) for service in snapshot.members(SERVICES, target.namespace))
    near = _near(snapshot, target, known)
    hint = f"; {cases.display(near)} does" if near is not None else ""
    return finding(
        SERVICE_MISSING,
        title=f"{cases.display(holder)}: {address.where} names Service {target.namespace}/{target.name},"
        f" which does not exist{hint}{_sent_by_others(group)}",
        objects=(holder, target, *_others(group), *([near] if near is not None else [])),
        evidence=(
            quote(f"{cases.display(holder)} {address.where}", f"{target.name}.{target.namespace}.svc"),
            *(sent.complaint for sent in group[:3] if sent.complaint is not None),
            quote(f"services in namespace {target.namespace}", ", ".join(known[:_SHOWN_SERVICES]) or "none"),
        ),
        next_checks=(f"get services -n {target.namespace}",),
        severity=_worst(group),
        key=address.where if holder in (sent.workload for sent in group) else str(target),
    )


def _near(snapshot: Snapshot, target: ResourceRef, known: Sequence[str]) -> ResourceRef | None:
    """Return the Service that is probably meant: of a like name, or of the same elsewhere."""
    close = difflib.get_close_matches(target.name, known, n=1, cutoff=_LIKE)
    if close:
        return target.model_copy(update={"name": close[0]})
    elsewhere = [objects.ref(item) for item in snapshot.members(SERVICES) if objects.name(item) == target.name]
    return elsewhere[0] if len(elsewhere) == 1 else None


# ---- no such port


def _at_no_port(snapshot: Snapshot, ref: ResourceRef, told: Sequence[Address]) -> Iterator[_Sent]:
    for address in told:
        if not address.port or not snapshot.is_complete(SERVICES, address.service.namespace):
            continue
        service = snapshot.find(address.service)
        if service is not None and not _has_port(service, address.port):
            suffers = addresses.is_missed(snapshot, ref, address.service.name)
            yield _Sent(address, ref, Severity.OUTAGE if suffers else None)


def _has_port(service: KubeObject, port: int) -> bool:
    if objects.text(service, "spec", "type") == "ExternalName" or objects.text(service, "spec", "clusterIP") == "None":
        return True
    return port in (objects.integer(item, "port") for item in objects.mappings(service, "spec", "ports"))


def _no_port(snapshot: Snapshot, group: Sequence[_Sent]) -> Finding:
    address = group[0].address
    holder, target = address.holder, address.service
    service = snapshot.find(target)
    ports = ", ".join(str(objects.integer(item, "port")) for item in objects.mappings(service, "spec", "ports"))
    return finding(
        PORT_MISSING,
        title=f"{cases.display(holder)}: {address.where} uses port {address.port} of {cases.display(target)},"
        f" which has {ports or 'none'}{_sent_by_others(group)}",
        objects=(holder, target, *_others(group)),
        evidence=(
            quote(f"{cases.display(holder)} {address.where}", f"{target.name}:{address.port}"),
            quote(f"{cases.display(target)} spec.ports", ports or "none"),
        ),
        next_checks=(f"describe service {target.name} -n {target.namespace}",),
        severity=_worst(group),
        key=address.where if holder in (sent.workload for sent in group) else f"{target} {address.port}",
    )


# ---- wording


def _others(group: Sequence[_Sent]) -> list[ResourceRef]:
    return list(dict.fromkeys(sent.workload for sent in group if sent.workload != sent.address.holder))


def _sent_by_others(group: Sequence[_Sent]) -> str:
    """Say who is sent there by somebody else, or by a ConfigMap."""
    others = _others(group)
    if not others:
        return ""
    more = f" and {len(others) - 1} more are sent there" if len(others) > 1 else " is sent there"
    return f"; {cases.display(others[0])}{more}"


def _worst(group: Sequence[_Sent]) -> Severity | None:
    return min((sent.severity for sent in group if sent.severity is not None), key=lambda item: item.rank, default=None)


ANALYZERS: tuple[Analyzer, ...] = (destinations,)
