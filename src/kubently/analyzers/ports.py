"""Service ports that no container listens on, as far as specifications can tell.

Declaring a containerPort is optional, so a number that is not declared proves nothing by itself. It counts as a fault
only if every container declares ports, no other port of the Service fits, and some declared port is left without a
Service. A name that no container has is always a fault: Kubernetes makes no endpoint for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kubently.analyzers import cases, probes, services
from kubently.analyzers.base import Analyzer, Condition, analyzer, clean, finding, quote
from kubently.analyzers.containers import Container
from kubently.analyzers.resources import PODS, SERVICES
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Finding, ResourceRef, Severity

PORT_MISMATCH = Condition(
    "service/port-mismatch",
    Severity.DEGRADED,
    "The Service sends to a port that its pods do not have.",
    "Set targetPort to the port, or the name of the port, that the container listens on.",
    confidence=Confidence.POSSIBLE,
)
PROTOCOL_MISMATCH = Condition(
    "service/protocol-mismatch",
    Severity.DEGRADED,
    "The Service sends another protocol than its pods' port is declared for.",
    "Set the protocol of the Service's port to that of the container's.",
)
SELECTOR_TOO_WIDE = Condition(
    "service/selector-too-wide",
    Severity.DEGRADED,
    "The Service's selector also reaches pods that do not have the port that it sends to: some requests are refused.",
    "Add a label to the selector that only the pods have which are meant.",
    confidence=Confidence.LIKELY,
)
CONDITIONS = (PORT_MISMATCH, PROTOCOL_MISMATCH, SELECTOR_TOO_WIDE)

Port = tuple[int, str]
"""Number and protocol."""


@dataclass(frozen=True, slots=True)
class Offer:
    """The ports of a pod."""

    declared: frozenset[Port]
    named: frozenset[tuple[str, str]]
    """Name and protocol."""
    probed: frozenset[int]
    is_whole: bool
    """Whether every container declares ports, so that what is not declared is probably not there."""


@analyzer("service-ports", needs=(SERVICES, PODS), conditions=CONDITIONS)
def service_ports(snapshot: Snapshot) -> Iterator[Finding]:
    """Compare the ports of Services with those of the pods behind them."""
    for service in snapshot.members(SERVICES):
        if not services.has_selector(service):
            continue
        pods = _one_of_each(services.live_pods(snapshot, service))
        if pods:
            offers = [offer_of(pod) for pod in pods]
            yield from _examine(snapshot, service, offers)
            yield from _too_wide(snapshot, service, list(zip(pods, offers, strict=True)))


def _one_of_each(pods: Sequence[KubeObject]) -> list[KubeObject]:
    """Return a pod for each controller: those of one ReplicaSet have the same ports."""
    chosen: dict[str, KubeObject] = {}
    for pod in pods:
        owner = objects.controller(pod)
        alike = f"ReplicaSet {owner.name}" if owner is not None and owner.kind == "ReplicaSet" else objects.name(pod)
        chosen.setdefault(alike, pod)
    return list(chosen.values())


def offer_of(pod: KubeObject) -> Offer:
    """Read the ports of a pod's containers and sidecars, and those that its probes ask."""
    ordinary = objects.containers(pod)
    specs = [*ordinary, *objects.init_containers(pod)]
    ports = [port for spec in specs for port in objects.mappings(spec, "ports")]
    return Offer(
        declared=frozenset((objects.integer(port, "containerPort"), _protocol(port)) for port in ports),
        named=frozenset((objects.text(port, "name"), _protocol(port)) for port in ports),
        probed=frozenset(number for spec in ordinary for number in _probed(pod, spec)),
        is_whole=all(objects.mappings(spec, "ports") for spec in ordinary),
    )


def _probed(pod: KubeObject, spec: KubeObject) -> Iterator[int]:
    container = Container(pod, objects.text(spec, "name"), spec, {}, "", is_init=False)
    for field in ("livenessProbe", "readinessProbe", "startupProbe"):
        yield probes.probe_port(container, objects.mapping(spec, field))


def _protocol(port: KubeObject) -> str:
    return objects.text(port, "protocol", default="TCP")


def _examine(snapshot: Snapshot, service: KubeObject, offers: Sequence[Offer]) -> Iterator[Finding]:
    ports = objects.mappings(service, "spec", "ports")
    nameless = [port for port in ports if _name_is_missing(port, offers)]
    crossed = [port for port in ports if _protocol_differs(port, offers)]
    absent = [port for port in ports if port not in crossed and _number_is_absent(port, offers)]
    if nameless:
        yield _finding(PORT_MISMATCH, service, nameless, offers, Severity.OUTAGE)
    elif absent:
        certain = len(absent) == len(ports) and _is_left_over(snapshot, service, offers)
        yield _finding(PORT_MISMATCH, service, absent, offers, Severity.DEGRADED if certain else Severity.RISK)
    if crossed:
        # Who serves a number by both protocols often declares one.
        both = all(_has_twin(port, ports) for port in crossed)
        yield _finding(PROTOCOL_MISMATCH, service, crossed, offers, Severity.RISK if both else Severity.DEGRADED)


def _too_wide(snapshot: Snapshot, service: KubeObject, behind: Sequence[tuple[KubeObject, Offer]]) -> Iterator[Finding]:
    """Report a Service one of whose ports some workloads have and others, that declare theirs, have not.

    A named port is looked up in each pod; pods without it are left out.
    """
    for port in objects.mappings(service, "spec", "ports"):
        number = _number(port)
        having = {snapshot.workload_of(pod) for pod, offer in behind if (number, _protocol(port)) in offer.declared}
        lacking = {
            workload: offer
            for pod, offer in behind
            if number and _number_is_absent(port, [offer]) and (workload := snapshot.workload_of(pod)) not in having
        }
        if having and lacking:
            yield _wide(service, port, sorted(having, key=str), lacking)
            return


def _wide(
    service: KubeObject, port: KubeObject, having: Sequence[ResourceRef], lacking: Mapping[ResourceRef, Offer]
) -> Finding:
    ref = objects.ref(service)
    pairs = objects.string_map(service, "spec", "selector").items()
    selector = ", ".join(f"{key}={value}" for key, value in sorted(pairs))
    others = sorted(lacking, key=str)
    reached = f"{cases.display(others[0])}{f' and {len(others) - 1} more' if others[1:] else ''}"
    return finding(
        SELECTOR_TOO_WIDE,
        title=f"{cases.display(ref)}: its selector {clean(selector, limit=100)} also reaches {reached}, which do not"
        f" have {_target(port)}",
        objects=(ref, *having[:5], *others[:20]),
        evidence=(
            quote(f"{cases.display(ref)} spec.selector", selector),
            quote(f"{cases.display(ref)} spec.ports", _target(port)),
            *(
                quote(
                    f"ports of {cases.display(item)}", ", ".join(f"{n}/{p}" for n, p in sorted(lacking[item].declared))
                )
                for item in others[:5]
            ),
        ),
        next_checks=(f"get pods -n {ref.namespace} --show-labels", f"describe service {ref.name} -n {ref.namespace}"),
    )


def _name_is_missing(port: KubeObject, offers: Sequence[Offer]) -> bool:
    name = objects.text(port, "targetPort")
    return bool(name) and not any((name, _protocol(port)) in offer.named for offer in offers)


def _number(port: KubeObject) -> int:
    """Return the number that a Service port sends to, 0 if it sends to a name."""
    if objects.text(port, "targetPort"):
        return 0
    return objects.integer(port, "targetPort") or objects.integer(port, "port")


def _protocol_differs(port: KubeObject, offers: Sequence[Offer]) -> bool:
    number, protocol = _number(port), _protocol(port)
    return bool(number) and all(
        (number, protocol) not in offer.declared and number in {other for other, _ in offer.declared}
        for offer in offers
    )


def _has_twin(port: KubeObject, ports: Sequence[KubeObject]) -> bool:
    """Say whether the Service has the same number by another protocol as well."""
    return any(_number(other) == _number(port) and _protocol(other) != _protocol(port) for other in ports)


def _number_is_absent(port: KubeObject, offers: Sequence[Offer]) -> bool:
    number, protocol = _number(port), _protocol(port)
    return bool(number) and all(
        offer.is_whole and (number, protocol) not in offer.declared and number not in offer.probed for offer in offers
    )


def _is_left_over(snapshot: Snapshot, service: KubeObject, offers: Sequence[Offer]) -> bool:
    """Say whether the pods declare a port that no Service sends to of those that select them."""
    wanted: set[int] = set()
    names: set[str] = set()
    pods = {objects.name(pod) for pod in services.live_pods(snapshot, service)}
    for other in snapshot.members(SERVICES, objects.namespace(service)):
        if pods.isdisjoint(map(objects.name, services.live_pods(snapshot, other))):
            continue
        for port in objects.mappings(other, "spec", "ports"):
            wanted.add(_number(port))
            names.add(objects.text(port, "targetPort"))
    free = {number for number, _ in offers[0].declared} - wanted
    return bool(free) and not {name for name, _ in offers[0].named if name} & names


def _finding(
    condition: Condition, service: KubeObject, ports: Sequence[KubeObject], offers: Sequence[Offer], severity: Severity
) -> Finding:
    ref = objects.ref(service)
    wrong = ", ".join(_target(port) for port in ports[:5])
    declared = _declared(offers[0])
    names = ", ".join(sorted(name for name, _ in offers[0].named if name)) or "none"
    return finding(
        condition,
        title=f"{cases.display(ref)} sends to {wrong}, which its pods do not declare; they declare {declared}",
        objects=(ref,),
        evidence=(
            quote(f"{cases.display(ref)} spec.ports", wrong),
            quote(f"ports of the pods behind {cases.display(ref)}", f"numbers: {declared}; names: {names}"),
        ),
        next_checks=(f"describe service {ref.name} -n {ref.namespace}", f"get pods -n {ref.namespace} -o yaml"),
        severity=severity,
    )


def _declared(offer: Offer) -> str:
    return ", ".join(f"{number}/{protocol}" for number, protocol in sorted(offer.declared)) or "none"


def _target(port: KubeObject) -> str:
    target = clean(objects.text(port, "targetPort"), limit=63) or str(_number(port))
    return f"{_protocol(port)} port {target}"


ANALYZERS: tuple[Analyzer, ...] = (service_ports,)
