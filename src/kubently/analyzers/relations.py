"""Who depends on whom: Ingress on Service, Service on workload, workload on claims, nodes and what it reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kubently.analyzers import addresses, changes, containers, evidence
from kubently.analyzers.dependencies import Dependencies
from kubently.analyzers.resources import (
    CERTIFICATES,
    CONFIG_MAPS,
    INGRESSES,
    MUTATING_WEBHOOKS,
    NETWORK_POLICIES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SERVICES,
    VALIDATING_WEBHOOKS,
    WORKLOADS,
)
from kubently.analyzers.snapshot import Snapshot, is_name
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import ResourceRef


class Relations:
    """The dependencies between the objects of one snapshot; *suspects* are Services at which something looks wrong."""

    def __init__(self, snapshot: Snapshot, suspects: Iterable[ResourceRef] = ()) -> None:
        self._snapshot = snapshot
        self._needs: dict[ResourceRef, set[ResourceRef]] = {}
        self._needed_by: dict[ResourceRef, set[ResourceRef]] = {}
        self._missed = dict(_missed_services(snapshot, suspects))
        missed = ((ref, service) for ref, services in self._missed.items() for service in services)
        for ref, needed in (*_edges(snapshot), *missed):
            self._needs.setdefault(ref, set()).add(needed)
            self._needed_by.setdefault(needed, set()).add(ref)

    def needs(self, ref: ResourceRef) -> set[ResourceRef]:
        """Return *ref* and all that it depends on, directly or not."""
        return _closure(ref, self._needs)

    def missed_by(self, ref: ResourceRef) -> set[ResourceRef]:
        """Return the Services that a failing workload or Job says it cannot reach, and the workloads behind them."""
        services = self._missed.get(ref, ())
        behind = (workloads_behind(self._snapshot, self._snapshot.find(service) or {}) for service in services)
        return set(services).union(*behind)

    def affects(self, ref: ResourceRef) -> tuple[ResourceRef, ...]:
        """Return the Services and Ingresses that depend on *ref*."""
        dependents = _closure(ref, self._needed_by) - {ref}
        return tuple(sorted((item for item in dependents if item.kind in ("Service", "Ingress")), key=str))


def _closure(ref: ResourceRef, edges: dict[ResourceRef, set[ResourceRef]]) -> set[ResourceRef]:
    found = {ref}
    open_refs = [ref]
    while open_refs:
        fresh = edges.get(open_refs.pop(), set()) - found
        found |= fresh
        open_refs.extend(fresh)
    return found


def _edges(snapshot: Snapshot) -> Iterator[tuple[ResourceRef, ResourceRef]]:
    for ingress in snapshot.members(INGRESSES):
        for name in backend_services(ingress):
            service = ResourceRef(kind="Service", namespace=objects.namespace(ingress), name=name)
            yield objects.ref(ingress), service
    for webhook in webhooks(snapshot):
        yield objects.ref(webhook.configuration), webhook.service
    for service_object in snapshot.members(SERVICES):
        for workload in workloads_behind(snapshot, service_object):
            yield objects.ref(service_object), workload
    yield from _workload_edges(snapshot)


def _workload_edges(snapshot: Snapshot) -> Iterator[tuple[ResourceRef, ResourceRef]]:
    resolvers = [objects.ref(member) for member in (*dns_services(snapshot), *corefiles(snapshot))]
    for pod in snapshot.members(PODS):
        workload = snapshot.workload_of(pod)
        # Where all is well, node, policies, configuration and DNS explain nothing.
        if not containers.is_ready(pod):
            if resolvers and evidence.unresolved(snapshot, workload):
                yield from ((workload, resolver) for resolver in resolvers)
            if evidence.distrusts(snapshot, workload):
                yield from ((workload, certificate) for certificate in _certificates_met(snapshot, pod))
            node = snapshot.get(NODES, "", objects.text(pod, "spec", "nodeName"))
            if node is not None:
                yield workload, objects.ref(node)
            yield from ((workload, objects.ref(policy)) for policy in policies_of(snapshot, pod))
            yield from ((workload, source) for source in changes.read_by(snapshot, workload))
        for claim in claims_of(pod):
            yield (
                workload,
                ResourceRef(kind=PERSISTENT_VOLUME_CLAIMS.kind, namespace=objects.namespace(pod), name=claim),
            )
    for resource in WORKLOADS:
        for member in snapshot.members(resource):
            owner = objects.controller(member)
            above = snapshot.by_uid(owner.uid) if owner is not None and owner.uid else None
            if above is not None:
                yield objects.ref(above), objects.ref(member)


def _certificates_met(snapshot: Snapshot, pod: KubeObject) -> Iterator[ResourceRef]:
    """Yield the Certificates whose Secrets are mounted by a pod, or by those behind the Services that it is told of."""
    services = {address.service for address in addresses.addresses_of(snapshot, pod)}
    selectors = ((ref.namespace, objects.mapping(snapshot.find(ref), "spec", "selector")) for ref in services)
    served = [other for namespace, selector in selectors for other in snapshot.select_pods(namespace, selector)[:1]]
    secrets = {ref for other in (pod, *served) for ref in changes.named_by(other) if ref.kind == "Secret"}
    for certificate in snapshot.members(CERTIFICATES):
        name, namespace = objects.text(certificate, "spec", "secretName"), objects.namespace(certificate)
        if any((ref.namespace, ref.name) == (namespace, name) for ref in secrets):
            yield objects.ref(certificate)


def _missed_services(
    snapshot: Snapshot, suspects: Iterable[ResourceRef]
) -> Iterator[tuple[ResourceRef, tuple[ResourceRef, ...]]]:
    """Yield workloads, and Jobs of CronJobs, with the Services that they fail for."""
    dependencies = Dependencies(snapshot, suspects)
    pods = {snapshot.workload_of(pod): pod for pod in snapshot.members(PODS) if not containers.is_ready(pod)}
    for workload, pod in pods.items():
        services = dependencies.missed_by(workload)
        if not services:
            continue
        yield workload, services
        job = objects.controller(pod)
        if workload.kind == "CronJob" and job is not None:
            yield ResourceRef(group=job.group, kind=job.kind, namespace=workload.namespace, name=job.name), services


def policies_of(snapshot: Snapshot, pod: KubeObject) -> Iterator[KubeObject]:
    """Yield the NetworkPolicies that select a pod."""
    labels = objects.labels(pod)
    for policy in snapshot.members(NETWORK_POLICIES, objects.namespace(pod)):
        if objects.selects(objects.mapping(policy, "spec", "podSelector"), labels):
            yield policy


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook of an admission configuration that a Service of the cluster answers."""

    configuration: KubeObject
    name: str
    must_answer: bool
    """Whether what it is about is refused while it does not answer."""
    service: ResourceRef


def webhooks(snapshot: Snapshot) -> Iterator[Webhook]:
    """Yield the admission webhooks that name a Service."""
    for resource in (VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS):
        for configuration in snapshot.members(resource):
            for hook in objects.mappings(configuration, "webhooks"):
                service = objects.mapping(hook, "clientConfig", "service")
                name, namespace = objects.text(service, "name"), objects.text(service, "namespace")
                if is_name(name) and is_name(namespace):
                    yield Webhook(
                        configuration,
                        objects.text(hook, "name"),
                        objects.text(hook, "failurePolicy", default="Fail") == "Fail",
                        ResourceRef(kind="Service", namespace=namespace, name=name),
                    )


_SYSTEM = "kube-system"
_DNS_LABEL = "k8s-app"
_DNS = ("kube-dns", "coredns", "rke2-coredns-rke2-coredns")


def dns_services(snapshot: Snapshot) -> Iterator[KubeObject]:
    """Yield the Services of the cluster's DNS server."""
    for service in snapshot.members(SERVICES, _SYSTEM):
        if objects.labels(service).get(_DNS_LABEL) == "kube-dns" or objects.name(service) in _DNS:
            yield service


def corefiles(snapshot: Snapshot) -> Iterator[KubeObject]:
    """Yield the ConfigMaps that configure it."""
    for config in snapshot.members(CONFIG_MAPS, _SYSTEM):
        if "Corefile" in objects.mapping(config, "data"):
            yield config


def backend_services(ingress: KubeObject) -> Iterator[str]:
    """Yield the names of the Services that an Ingress sends to."""
    default = objects.text(ingress, "spec", "defaultBackend", "service", "name")
    paths = (
        path for rule in objects.mappings(ingress, "spec", "rules") for path in objects.mappings(rule, "http", "paths")
    )
    for name in (default, *(objects.text(path, "backend", "service", "name") for path in paths)):
        if is_name(name):
            yield name


def workloads_behind(snapshot: Snapshot, service: KubeObject) -> set[ResourceRef]:
    """Return the workloads whose pods, present or to come, a Service's selector reaches."""
    selector, namespace = objects.mapping(service, "spec", "selector"), objects.namespace(service)
    found = {snapshot.workload_of(pod) for pod in snapshot.select_pods(namespace, selector)}
    return found.union(objects.ref(member) for member in snapshot.select_workloads(namespace, selector))


def claims_of(pod: KubeObject) -> Iterator[str]:
    """Yield the names of the claims that a pod mounts."""
    for volume in objects.mappings(pod, "spec", "volumes"):
        name = objects.text(volume, "persistentVolumeClaim", "claimName")
        if not name and objects.mapping(volume, "ephemeral"):
            # The claim of a generic ephemeral volume is named after pod and volume.
            name = f"{objects.name(pod)}-{objects.text(volume, 'name')}"
        if is_name(name):
            yield name
