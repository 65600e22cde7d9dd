"""Whether NetworkPolicies let a workload reach the Services that it is told of: each path is walked rule by rule.

Policies add up: a path is open where no policy selects the pod for that direction, or where one rule of one of them
lets it through. An address block may hold anything, so it counts as open. Specification: networking.k8s.io/v1
NetworkPolicy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kubently.analyzers import addresses, cases, containers, networkpolicies, services
from kubently.analyzers.addresses import Address
from kubently.analyzers.base import Analyzer, Condition, analyzer, finding, quote
from kubently.analyzers.resources import (
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    NAMESPACES,
    NETWORK_POLICIES,
    SERVICES,
    STATEFUL_SETS,
)
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Evidence, Finding, Severity

BLOCKS_PATH = Condition(
    "networkpolicy/blocks-path",
    Severity.RISK,
    "No rule of the NetworkPolicies lets a workload reach a Service that its variables name.",
    "Add a rule for the quoted pods and port, on the side that refuses, or correct its labels.",
    symptom_of=("networkpolicy/shuts-service",),
    confidence=Confidence.LIKELY,
)

_CLIENTS = (DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS)
_SIDES = {"Ingress": ("ingress", "from"), "Egress": ("egress", "to")}


@analyzer(
    "network-paths",
    needs=(*_CLIENTS, *cases.NEEDS, NETWORK_POLICIES, NAMESPACES, SERVICES, CONFIG_MAPS),
    conditions=(BLOCKS_PATH,),
    needs_logs=True,
)
def network_paths(snapshot: Snapshot) -> Iterator[Finding]:
    """Report paths that the policies close, with the policy that closes them."""
    if not snapshot.members(NETWORK_POLICIES):
        return
    for resource in _CLIENTS:
        for workload in snapshot.members(resource):
            for address in addresses.addresses_of(snapshot, workload):
                yield from _walk(snapshot, workload, address)


def _walk(snapshot: Snapshot, workload: KubeObject, address: Address) -> Iterator[Finding]:
    service = snapshot.find(address.service)
    client = _one_of([pod for pod in snapshot.pods_of(objects.ref(workload)) if not containers.is_finished(pod)])
    server = _one_of(services.live_pods(snapshot, service)) if service is not None else None
    if service is None or client is None or server is None:
        return
    for port in objects.mappings(service, "spec", "ports"):
        if address.port not in (None, objects.integer(port, "port")):
            continue
        for direction, own, other in (("Egress", client, server), ("Ingress", server, client)):
            policies = networkpolicies.of_pod(snapshot, own, direction)
            if not snapshot.is_complete(NETWORK_POLICIES, objects.namespace(own)):
                continue
            if policies and not _is_open(snapshot, policies, direction, other, port, server):
                yield _blocked(snapshot, workload, address, direction, policies, (client, server, port))
                return


def _one_of(pods: Sequence[KubeObject]) -> KubeObject | None:
    """One pod stands for all of a workload; those of the host's network are out of policies' reach."""
    return next((pod for pod in pods if not objects.flag(pod, "spec", "hostNetwork")), None)


def _is_open(
    snapshot: Snapshot,
    policies: Sequence[KubeObject],
    direction: str,
    other: KubeObject,
    port: KubeObject,
    server: KubeObject,
) -> bool:
    field, side = _SIDES[direction]
    number, name = networkpolicies.target_of(port, server)
    protocol = objects.text(port, "protocol", default="TCP")
    for policy in policies:
        for rule in objects.mappings(policy, "spec", field):
            ports, peers = objects.mappings(rule, "ports"), objects.mappings(rule, side)
            passes = not ports or any(networkpolicies.covers(item, number, name, protocol) for item in ports)
            if passes and (not peers or any(_is_peer(snapshot, policy, peer, other) for peer in peers)):
                return True
    return False


def _is_peer(snapshot: Snapshot, policy: KubeObject, peer: KubeObject, pod: KubeObject) -> bool:
    if "ipBlock" in peer:
        return True
    namespace = objects.namespace(pod)
    if "namespaceSelector" in peer:
        home = snapshot.get(NAMESPACES, "", namespace)
        # Of a namespace that was not read nothing can be said.
        if home is not None and not objects.selects(objects.mapping(peer, "namespaceSelector"), objects.labels(home)):
            return False
    elif namespace != objects.namespace(policy):
        return False
    return "podSelector" not in peer or objects.selects(objects.mapping(peer, "podSelector"), objects.labels(pod))


def _blocked(
    snapshot: Snapshot,
    workload: KubeObject,
    address: Address,
    direction: str,
    policies: Sequence[KubeObject],
    path: tuple[KubeObject, KubeObject, KubeObject],
) -> Finding:
    ref = objects.ref(workload)
    client, server, port = path
    number, name = networkpolicies.target_of(port, server)
    refs = [objects.ref(policy) for policy in policies]
    names = ", ".join(map(cases.display, refs[:3]))
    verb = "lets it in" if direction == "Ingress" else "lets it out"
    suffers = addresses.is_missed(snapshot, ref, address.service.name)
    return finding(
        BLOCKS_PATH,
        title=f"{cases.display(ref)} cannot reach {cases.display(address.service)} on port {number or name}:"
        f" no rule of {names} {verb}",
        objects=(ref, *refs[:10], address.service),
        evidence=(
            quote(f"{cases.display(address.holder)} {address.where}", address.service.name),
            *_rules(policies, direction),
            _labelled(client if direction == "Ingress" else server),
        ),
        next_checks=tuple(f"describe networkpolicy {item.name} -n {item.namespace}" for item in refs[:2]),
        severity=Severity.OUTAGE if suffers else None,
        key=f"{address.service} {address.where}",
    )


def _rules(policies: Sequence[KubeObject], direction: str) -> Iterator[Evidence]:
    field, side = _SIDES[direction]
    for policy in policies[:3]:
        rules = [
            f"{side} {objects.at(rule, side) or 'anybody'} ports {objects.at(rule, 'ports') or 'all'}"
            for rule in objects.mappings(policy, "spec", field)
        ]
        yield quote(f"{cases.display(objects.ref(policy))} spec.{field}", "; ".join(rules) or "no rule")


def _labelled(pod: KubeObject) -> Evidence:
    labels = ", ".join(f"{key}={value}" for key, value in sorted(objects.labels(pod).items()))
    return quote(f"{cases.display(objects.ref(pod))} metadata.labels", labels or "none")


ANALYZERS: tuple[Analyzer, ...] = (network_paths,)
