"""NetworkPolicies that shut out what must come in, or keep pods from what they need.

Policies add up: what one of those that select a pod lets through passes. Only what is certain is reported; an address
block may hold anything, so it counts as let through.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kubently.analyzers import cases, containers, evidence, relations, services
from kubently.analyzers.base import Analyzer, Condition, analyzer, finding, quote
from kubently.analyzers.resources import NAMESPACES, NETWORK_POLICIES, PODS, SERVICES
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Finding, ResourceRef, Severity

PEER_MATCHES_NOTHING = Condition(
    "networkpolicy/peer-matches-nothing",
    Severity.RISK,
    "The policy lets namespaces through by labels that no namespace has.",
    "Use kubernetes.io/metadata.name, which every namespace has, or label the namespace.",
    confidence=Confidence.LIKELY,
)
NO_DNS = Condition(
    "networkpolicy/no-dns",
    Severity.RISK,
    "The policies of a pod let it out to some places, but not to DNS, so it resolves no name.",
    "Allow port 53, UDP and TCP, to the cluster's DNS.",
    confidence=Confidence.LIKELY,
)
SHUTS_SERVICE = Condition(
    "networkpolicy/shuts-service",
    Severity.DEGRADED,
    "The policies of a Service's pods let nobody in on the port that the Service sends to.",
    "Add the pods' port, which is the Service's targetPort, to an ingress rule.",
)

_DNS_PORT = 53


@analyzer(
    "network-policies",
    needs=(NETWORK_POLICIES, NAMESPACES, PODS, SERVICES, *cases.NEEDS),
    conditions=(PEER_MATCHES_NOTHING, NO_DNS, SHUTS_SERVICE),
    needs_logs=True,
)
def network_policies(snapshot: Snapshot) -> Iterator[Finding]:
    """Report policies that cannot mean what they say."""
    for policy in snapshot.members(NETWORK_POLICIES):
        yield from _unmatched_peers(snapshot, policy)
    if snapshot.members(NETWORK_POLICIES):
        yield from _without_dns(snapshot)
        yield from _shut_services(snapshot)


# ---- peers


def _unmatched_peers(snapshot: Snapshot, policy: KubeObject) -> Iterator[Finding]:
    if not snapshot.is_complete(NAMESPACES) or not snapshot.members(NAMESPACES):
        return
    ref = objects.ref(policy)
    for field, side in (("ingress", "from"), ("egress", "to")):
        for rule in objects.mappings(policy, "spec", field):
            for peer in objects.mappings(rule, side):
                selector = objects.mapping(peer, "namespaceSelector")
                if not selector or any(objects.selects(selector, objects.labels(n)) for n in _namespaces(snapshot)):
                    continue
                labels = objects.string_map(selector, "matchLabels")
                words = ", ".join(f"{key}={value}" for key, value in sorted(labels.items())) or "matchExpressions"
                yield finding(
                    PEER_MATCHES_NOTHING,
                    title=f"{cases.display(ref)}: no namespace has the labels of its {field} rule, {words}",
                    objects=(ref,),
                    evidence=(
                        quote(f"{cases.display(ref)} spec.{field} namespaceSelector", words),
                        quote("namespaces", ", ".join(objects.name(n) for n in _namespaces(snapshot)[:50])),
                    ),
                    next_checks=("get namespaces --show-labels",),
                    key=f"{field} {words}",
                )


def _namespaces(snapshot: Snapshot) -> Sequence[KubeObject]:
    return snapshot.members(NAMESPACES)


# ---- DNS


def _without_dns(snapshot: Snapshot) -> Iterator[Finding]:
    kept: dict[ResourceRef, Sequence[KubeObject]] = {}
    for pod in snapshot.members(PODS):
        workload = snapshot.workload_of(pod)
        if workload in kept or containers.is_finished(pod) or objects.flag(pod, "spec", "hostNetwork"):
            continue
        policies = of_pod(snapshot, pod, "Egress")
        rules = [rule for policy in policies for rule in objects.mappings(policy, "spec", "egress")]
        if not policies or any(_reaches_dns(snapshot, rule) for rule in rules):
            continue
        # Pods that are let out nowhere are so on purpose, unless they complain.
        if rules or evidence.unresolved(snapshot, workload):
            kept[workload] = policies
    groups: dict[ResourceRef, list[ResourceRef]] = {}
    for workload, held in kept.items():
        groups.setdefault(objects.ref(held[0]), []).append(workload)
    for ref, workloads in groups.items():
        yield _dns_finding(snapshot, ref, workloads, kept[workloads[0]])


def _reaches_dns(snapshot: Snapshot, rule: KubeObject) -> bool:
    ports = objects.mappings(rule, "ports")
    if ports and not any(covers(port, _DNS_PORT, "", "UDP") for port in ports):
        return False
    peers = objects.mappings(rule, "to")
    return not peers or any(_may_be_dns(snapshot, peer) for peer in peers)


def _may_be_dns(snapshot: Snapshot, peer: KubeObject) -> bool:
    if "ipBlock" in peer or not snapshot.members(NAMESPACES):
        return True
    if "namespaceSelector" not in peer:
        return False
    selector = objects.mapping(peer, "namespaceSelector")
    homes = [n for n in _namespaces(snapshot) if objects.name(n) in ("kube-system", "openshift-dns")]
    return not homes or any(objects.selects(selector, objects.labels(n)) for n in homes)


def _dns_finding(
    snapshot: Snapshot, ref: ResourceRef, workloads: Sequence[ResourceRef], policies: Sequence[KubeObject]
) -> Finding:
    lines = {item: line for item in workloads if (line := evidence.unresolved(snapshot, item)) is not None}
    suffers = any(not any(map(containers.is_ready, snapshot.pods_of(workload))) for workload in lines)
    first = next(iter(lines), workloads[0])
    names = ", ".join(objects.name(policy) for policy in policies[:10])
    more = f" and {len(workloads) - 1} more" if workloads[1:] else ""
    return finding(
        NO_DNS,
        title=f"{cases.display(ref)} keeps {cases.display(first)}{more} from DNS: no egress rule lets port 53 out",
        objects=(ref, first, *workloads[:50], *(objects.ref(policy) for policy in policies[1:10])),
        evidence=(
            quote(f"egress policies of {cases.display(workloads[0])}", f"{names}: no rule lets port 53 UDP out"),
            *list(lines.values())[:3],
        ),
        next_checks=(f"describe networkpolicies -n {ref.namespace}",),
        severity=Severity.OUTAGE if suffers else Severity.DEGRADED if lines else None,
    )


# ---- Services


def _shut_services(snapshot: Snapshot) -> Iterator[Finding]:
    for service in snapshot.members(SERVICES):
        if not services.has_selector(service) or objects.text(service, "spec", "clusterIP") == "None":
            continue
        pods = services.live_pods(snapshot, service)
        if not pods or objects.flag(pods[0], "spec", "hostNetwork"):
            continue
        policies = of_pod(snapshot, pods[0], "Ingress")
        rules = [rule for policy in policies for rule in objects.mappings(policy, "spec", "ingress")]
        for port in objects.mappings(service, "spec", "ports"):
            if policies and not any(_lets_in(rule, port, pods[0]) for rule in rules):
                yield _shut(service, port, pods[0], policies)


def _lets_in(rule: KubeObject, service_port: KubeObject, pod: KubeObject) -> bool:
    ports = objects.mappings(rule, "ports")
    number, name = target_of(service_port, pod)
    protocol = objects.text(service_port, "protocol", default="TCP")
    return not ports or any(covers(port, number, name, protocol) for port in ports)


def target_of(service_port: KubeObject, pod: KubeObject) -> tuple[int, str]:
    """Number (0 if not known) and name of the pod's port that a Service's port leads to."""
    wanted = objects.at(service_port, "targetPort")
    own = [port for container in objects.containers(pod) for port in objects.mappings(container, "ports")]
    if isinstance(wanted, str):
        number = next((objects.integer(p, "containerPort") for p in own if objects.text(p, "name") == wanted), 0)
        return number, wanted
    number = wanted if isinstance(wanted, int) else objects.integer(service_port, "port")
    return number, next((objects.text(p, "name") for p in own if objects.integer(p, "containerPort") == number), "")


def covers(port: KubeObject, number: int, name: str, protocol: str) -> bool:
    """Say whether a rule's port is that of a pod; a number of 0 is not known, and nothing can be said of it."""
    if objects.text(port, "protocol", default="TCP") != protocol:
        return False
    given = objects.at(port, "port")
    if given is None:
        return True
    if isinstance(given, str):
        return given == name
    last = objects.integer(port, "endPort", default=given if isinstance(given, int) else 0)
    # Of a port whose number is not known nothing can be said.
    return number == 0 or (isinstance(given, int) and given <= number <= last)


def _shut(service: KubeObject, port: KubeObject, pod: KubeObject, policies: Sequence[KubeObject]) -> Finding:
    ref, behind = objects.ref(policies[0]), objects.ref(service)
    number, name = target_of(port, pod)
    target = str(number or name)
    names = ", ".join(objects.name(policy) for policy in policies[:10])
    return finding(
        SHUTS_SERVICE,
        title=f"{cases.display(ref)} lets nobody in on port {target}, to which {cases.display(behind)} sends",
        objects=(ref, behind, *(objects.ref(policy) for policy in policies[1:10])),
        evidence=(
            quote(f"ingress policies of pod {objects.namespace(pod)}/{objects.name(pod)}", names),
            quote(f"what {names} let in", _let_in(policies)),
            quote(f"{cases.display(behind)} spec.ports", f"port {objects.integer(port, 'port')}, target {target}"),
        ),
        next_checks=(f"describe networkpolicies -n {ref.namespace}",),
        key=f"{behind.name} {target}",
    )


def _let_in(policies: Sequence[KubeObject]) -> str:
    ports = [
        f"{objects.text(port, 'protocol', default='TCP')} {objects.at(port, 'port')}"
        for policy in policies
        for rule in objects.mappings(policy, "spec", "ingress")
        for port in objects.mappings(rule, "ports")
    ]
    return ", ".join(dict.fromkeys(ports[:20])) or "nothing"


# ---- which policies select a pod


def of_pod(snapshot: Snapshot, pod: KubeObject, direction: str) -> list[KubeObject]:
    """Return the policies that select a pod for traffic in one direction, Ingress or Egress."""
    return [policy for policy in relations.policies_of(snapshot, pod) if direction in _types(policy)]


def _types(policy: KubeObject) -> tuple[str, ...]:
    given = tuple(objects.strings(policy, "spec", "policyTypes"))
    return given or ("Ingress", *(["Egress"] if objects.mappings(policy, "spec", "egress") else []))


ANALYZERS: tuple[Analyzer, ...] = (network_policies,)
