"""Addresses that a Service had before it was made anew, and who still sends there.

Programs that ask for an address only when they begin, as nginx does for its upstreams, keep it until they are
restarted. All is ready then, and only those pods fail that are older than the Service.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kubently.analyzers import addresses, cases, containers, evidence, loglines
from kubently.analyzers.base import Analyzer, Condition, analyzer, finding, quote
from kubently.analyzers.dependencies import TROUBLE
from kubently.analyzers.resources import NODES, PODS, SERVICES
from kubently.analyzers.snapshot import LogKey, Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Finding, ResourceRef, Severity

ADDRESS_GONE = Condition(
    "service/address-gone",
    Severity.DEGRADED,
    "A program sends to an address that no Service has, and what it calls was made anew after the program began.",
    "Restart the program's pods; have it resolve names again, and change Services in place.",
    confidence=Confidence.LIKELY,
)

_ADDRESS = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d{1,3}){3})(?![\d.])")


@dataclass(frozen=True, slots=True)
class _Sender:
    pod: KubeObject
    key: LogKey
    line: str
    address: str


@analyzer("stale-addresses", needs=(*cases.NEEDS, SERVICES, NODES), conditions=(ADDRESS_GONE,), needs_logs=True)
def stale_addresses(snapshot: Snapshot) -> Iterator[Finding]:
    """Name the Service that was made anew, and who still sends to where it was."""
    if not snapshot.logs or not snapshot.is_complete(SERVICES):
        return
    found: dict[ResourceRef, list[_Sender]] = {}
    known, ranges = _known(snapshot), _ranges(snapshot)
    for key in sorted(snapshot.logs):
        pod = snapshot.get(PODS, key.namespace, key.pod)
        sender = None if pod is None or key.previous else _sender(snapshot, key, pod, known, ranges)
        service = None if sender is None else _made_anew(snapshot, sender)
        if sender is not None and service is not None:
            found.setdefault(service, []).append(sender)
    for service, senders in found.items():
        yield _finding(snapshot, service, senders)


def _known(snapshot: Snapshot) -> set[str]:
    known = {address for service in snapshot.members(SERVICES) for address in _addresses_of(service)}
    known.update(objects.text(pod, "status", "podIP") for pod in snapshot.members(PODS))
    for node in snapshot.members(NODES):
        known.update(objects.text(item, "address") for item in objects.mappings(node, "status", "addresses"))
    return known


def _addresses_of(service: KubeObject) -> tuple[str, ...]:
    return objects.text(service, "spec", "clusterIP"), *objects.strings(service, "spec", "clusterIPs")


def _ranges(snapshot: Snapshot) -> set[str]:
    """The first halves of the addresses of Services: the range is nowhere told, and seldom smaller."""
    return {
        _half(address)
        for service in snapshot.members(SERVICES)
        for address in _addresses_of(service)
        if _ADDRESS.fullmatch(address)
    }


def _half(address: str) -> str:
    return ".".join(address.split(".")[:2])


def _sender(snapshot: Snapshot, key: LogKey, pod: KubeObject, known: set[str], ranges: set[str]) -> _Sender | None:
    """The newest line that says that an address of no Service cannot be reached."""
    for line in reversed(loglines.lines(snapshot.logs[key])):
        if not loglines.is_of_now(snapshot, line):
            return None
        for match in _ADDRESS.finditer(line) if TROUBLE.search(line) else ():
            if match[1] not in known and _half(match[1]) in ranges and _is_of_services(snapshot, match[1]):
                return _Sender(pod, key, line, match[1])
    return None


def _is_of_services(snapshot: Snapshot, words: str) -> bool:
    """Say whether it is an address, and none that pods have."""
    try:
        address = ipaddress.IPv4Address(words)
        ranges = [
            ipaddress.ip_network(cidr, strict=False)
            for node in snapshot.members(NODES)
            for cidr in (objects.text(node, "spec", "podCIDR"), *objects.strings(node, "spec", "podCIDRs"))
            if cidr
        ]
    except ValueError:
        return False
    return not any(address in pods for pods in ranges)


def _made_anew(snapshot: Snapshot, sender: _Sender) -> ResourceRef | None:
    """The newest Service that the pod is told of, or that the line names, and that is younger than the program."""
    began = min(
        (item.running_since for item in containers.containers_of(sender.pod) if item.running_since is not None),
        default=None,
    )
    told = {address.service for address in addresses.addresses_of(snapshot, sender.pod)}
    young = [
        (made, objects.ref(service))
        for service in snapshot.members(SERVICES)
        if (made := objects.created_at(service)) is not None and began is not None and made > began
        if objects.ref(service) in told or re.search(rf"\b{re.escape(objects.name(service))}\b", sender.line)
    ]
    return max(young, key=lambda item: (item[0], str(item[1])), default=(None, None))[1]


def _finding(snapshot: Snapshot, service: ResourceRef, senders: Sequence[_Sender]) -> Finding:
    first = senders[0]
    workloads = tuple(dict.fromkeys(snapshot.workload_of(item.pod) for item in senders))
    member = snapshot.find(service) or {}
    more = f" and {len(workloads) - 1} more" if workloads[1:] else ""
    return finding(
        ADDRESS_GONE,
        title=f"{cases.display(service)} was made anew, and {cases.display(workloads[0])}{more}, which began before, "
        f"still sends to {first.address}, which no Service has",
        objects=(service, *workloads, *(objects.ref(item.pod) for item in senders)),
        evidence=(
            quote(evidence.log_source(first.key), first.line),
            quote(f"{cases.display(service)} spec.clusterIP", objects.text(member, "spec", "clusterIP")),
            quote(
                f"{cases.display(service)} metadata.creationTimestamp",
                objects.text(member, "metadata", "creationTimestamp"),
            ),
        ),
    )


ANALYZERS: tuple[Analyzer, ...] = (stale_addresses,)
