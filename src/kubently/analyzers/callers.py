"""Who calls a Service, and what they say of it.

Programs often stay ready while what they call is gone, and then only their logs tell. So of a Service at which
something looks wrong the logs of its callers are read, too: whoever is told its name by variables, arguments or
ConfigMaps. Where they say that they cannot reach it, what looked like a risk is an outage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set

from kubently.analyzers import cases, containers, relations, settings
from kubently.analyzers.dependencies import Dependencies
from kubently.analyzers.resources import PODS
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Evidence, Finding, ResourceRef, Severity

HARMFUL = frozenset(
    {
        "networkpolicy/shuts-service",
        "service/no-ready-endpoints",
        "service/port-mismatch",
        "service/protocol-mismatch",
        "service/selector-matches-nothing",
        "service/selector-too-wide",
        "workload/scaled-to-zero",
    }
)
"""Conditions of a Service, or of what is behind it, that keep it from everybody."""
MISDIRECTED = frozenset({"workload/env-port-missing", "workload/env-service-missing"})
"""Conditions of whoever sends others in vain, himself or what they read."""
ONE_SIDED = MISDIRECTED | {"networkpolicy/blocks-path"}
"""Conditions that keep a Service from one caller, who is among the finding's objects."""

_WITHOUT_DNS = frozenset({"networkpolicy/no-dns", "pod/no-dns"})
_SHOWN = 3
_MOST_SERVICES = 20


def suspects(findings: Iterable[Finding]) -> set[ResourceRef]:
    """Return the Services at which something looks wrong."""
    concerned = (item for item in findings if item.code in HARMFUL or item.code in ONE_SIDED)
    return {ref for item in concerned for ref in item.objects if ref.kind == "Service"}


def without_dns(findings: Iterable[Finding]) -> set[ResourceRef]:
    """Return the workloads that do not get to the cluster's DNS, which may or may not need it."""
    return {ref for item in findings if item.code in _WITHOUT_DNS for ref in item.objects}


def of(
    snapshot: Snapshot, services: Iterable[ResourceRef], others: Set[ResourceRef] = frozenset()
) -> Iterator[KubeObject]:
    """Yield one ready pod of each workload that is told of one of *services*, or is one of *others*."""
    needles = sorted(services, key=str)[:_MOST_SERVICES]
    if not needles and not others:
        return
    seen: set[ResourceRef] = set()
    for pod in snapshot.members(PODS):
        workload = snapshot.workload_of(pod)
        if workload in seen or not containers.is_ready(pod):
            continue
        seen.add(workload)
        if workload in others or _is_told(snapshot, pod, needles):
            yield pod


def _is_told(snapshot: Snapshot, pod: KubeObject, services: Sequence[ResourceRef]) -> bool:
    own = objects.namespace(pod)
    names = [ref.name if ref.namespace == own else f"{ref.name}.{ref.namespace}" for ref in services]
    return any(name in told.text for told in settings.settings_of(snapshot, pod) for name in names)


def weigh(snapshot: Snapshot, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield *findings*, those whose Services somebody misses as outages, with what is said of them."""
    found = tuple(findings)
    # Logs name the DNS server beside the names that it does not know.
    servers = {objects.ref(service) for service in relations.dns_services(snapshot)}
    missed = Dependencies(snapshot, suspects(found) - servers).complaints()
    for item in found:
        services = [ref for ref in item.objects if ref.kind == "Service" and ref in missed and ref not in servers]
        said = {who: line for ref in services for who, line in missed[ref].items() if _concerns(snapshot, item, who)}
        yield _worse(item, said) if said and item.code in HARMFUL | ONE_SIDED else item


def _concerns(snapshot: Snapshot, finding: Finding, who: ResourceRef) -> bool:
    return finding.code in HARMFUL or who in finding.objects


def _worse(finding: Finding, said: dict[ResourceRef, Evidence]) -> Finding:
    callers = [ref for ref in said if ref not in finding.objects]
    whom = f"{cases.display(callers[0])}{f' and {len(callers) - 1} more' if callers[1:] else ''}" if callers else ""
    shown = tuple(said.values())[:_SHOWN]
    return finding.model_copy(
        update={
            "severity": Severity.OUTAGE,
            "title": f"{finding.title}; {whom} cannot reach it" if callers else finding.title,
            "objects": (*finding.objects, *callers),
            "evidence": tuple(dict.fromkeys((*finding.evidence, *shown))),
        }
    )
