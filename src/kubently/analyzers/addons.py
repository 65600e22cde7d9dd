"""What add-ons say of their own objects: cert-manager, Gateway API, Argo CD, Flux."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from kubently.analyzers import cases
from kubently.analyzers.base import GRACE, Analyzer, Condition, analyzer, clean, finding, quote
from kubently.analyzers.resources import (
    ARGO_APPLICATIONS,
    CERTIFICATES,
    CLUSTER_ISSUERS,
    FLUX_HELM_RELEASES,
    FLUX_KUSTOMIZATIONS,
    GATEWAY_CLASSES,
    GATEWAYS,
    HTTP_ROUTES,
    ISSUERS,
)
from kubently.analyzers.snapshot import Snapshot, is_name
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Evidence, Finding, ResourceRef, Severity

CERTIFICATE_NOT_READY = Condition(
    "certificate/not-ready",
    Severity.DEGRADED,
    "cert-manager has not issued, or cannot renew, a certificate.",
    "Read the quoted words; then the CertificateRequest, and for ACME the Order and its Challenges.",
    symptom_of=("issuer/not-ready",),
)
ISSUER_NOT_READY = Condition(
    "issuer/not-ready",
    Severity.DEGRADED,
    "A certificate issuer cannot issue: its CA, account or credentials are missing or refused.",
    "Read the quoted words, and mend the Secret or account that they name.",
)
CERTIFICATE_ENDS = Condition(
    "certificate/ends-soon",
    Severity.RISK,
    "A certificate ends within a week, and the time at which it should have been renewed is past.",
    "See why cert-manager does not renew it: its log, and the newest CertificateRequest.",
    symptom_of=("issuer/not-ready",),
)
SYNC_FAILED = Condition(
    "gitops/sync-failed",
    Severity.DEGRADED,
    "Argo CD or Flux cannot apply what stands in Git: the cluster stays as it was.",
    "Read the quoted words; mend what stands in Git.",
    symptom_of=("pod/*", "workload/*"),
)
OUT_OF_SYNC = Condition(
    "gitops/out-of-sync",
    Severity.RISK,
    "What runs differs from what stands in Git: somebody changed it by hand, or a change waits to be applied.",
    "See the difference in Argo CD; sync, or bring the change to Git.",
    symptom_of=("gitops/sync-failed",),
)
GATEWAY = Condition(
    "gateway/not-programmed",
    Severity.DEGRADED,
    "A Gateway or its class is not accepted, or not set up: its routes serve nobody.",
    "Read the quoted words; see the controller of its class.",
)
ROUTE_REFUSED = Condition(
    "route/not-accepted",
    Severity.DEGRADED,
    "A Gateway does not take the route.",
    "Compare hostnames, listener and allowedRoutes of the Gateway with the route's namespace and parentRef.",
    symptom_of=("gateway/not-programmed",),
)
ROUTE_BACKEND = Condition(
    "route/backend-missing",
    Severity.DEGRADED,
    "A route sends to something that does not exist, or that it may not refer to.",
    "Correct the backendRef, or add a ReferenceGrant where it lies in another namespace.",
)

_WEEK = timedelta(days=7)


@analyzer(
    "certificates",
    needs=(CERTIFICATES, ISSUERS, CLUSTER_ISSUERS),
    conditions=(CERTIFICATE_NOT_READY, ISSUER_NOT_READY, CERTIFICATE_ENDS),
)
def certificates(snapshot: Snapshot) -> Iterator[Finding]:
    """Report what cert-manager says of its objects."""
    for resource in (ISSUERS, CLUSTER_ISSUERS):
        for issuer in snapshot.members(resource):
            ready = _failing(snapshot, issuer, "Ready")
            if ready is not None:
                yield _finding(ISSUER_NOT_READY, issuer, ready, "cannot issue")
    for certificate in snapshot.members(CERTIFICATES):
        ready = _failing(snapshot, certificate, "Ready")
        if ready is not None:
            newest = objects.condition(certificate, "Issuing")
            said = newest if newest is not None and newest.message else ready
            yield _finding(CERTIFICATE_NOT_READY, certificate, said, "is not ready", (_issuer(certificate),))
        else:
            yield from _ending(snapshot, certificate)


@analyzer(
    "gitops",
    needs=(ARGO_APPLICATIONS, FLUX_KUSTOMIZATIONS, FLUX_HELM_RELEASES),
    conditions=(SYNC_FAILED, OUT_OF_SYNC),
)
def gitops(snapshot: Snapshot) -> Iterator[Finding]:
    """Report what Argo CD and Flux could not apply."""
    for application in snapshot.members(ARGO_APPLICATIONS):
        yield from _application(application)
    for resource in (FLUX_KUSTOMIZATIONS, FLUX_HELM_RELEASES):
        for member in snapshot.members(resource):
            ready = _failing(snapshot, member, "Ready")
            if ready is not None and not objects.flag(member, "spec", "suspend"):
                yield _finding(SYNC_FAILED, member, ready, "is not applied")


@analyzer(
    "gateways", needs=(GATEWAYS, GATEWAY_CLASSES, HTTP_ROUTES), conditions=(GATEWAY, ROUTE_REFUSED, ROUTE_BACKEND)
)
def gateways(snapshot: Snapshot) -> Iterator[Finding]:
    """Report Gateways that are not set up, and routes that they refuse."""
    for gateway_class in snapshot.members(GATEWAY_CLASSES):
        refused = _failing(snapshot, gateway_class, "Accepted")
        if refused is not None:
            yield _finding(GATEWAY, gateway_class, refused, "is not accepted")
    for gateway in snapshot.members(GATEWAYS):
        failing = _failing(snapshot, gateway, "Accepted") or _failing(snapshot, gateway, "Programmed")
        if failing is not None:
            yield _finding(GATEWAY, gateway, failing, "is not set up")
    for route in snapshot.members(HTTP_ROUTES):
        yield from _route(snapshot, route)


def _failing(snapshot: Snapshot, member: KubeObject, name: str) -> objects.Condition | None:
    """The condition, where it is False for longer than things take to begin."""
    condition = objects.condition(member, name)
    if condition is None or not condition.is_false or objects.deleted_at(member) is not None:
        return None
    return condition if snapshot.age(condition.changed_at or objects.created_at(member)) >= GRACE else None


def _issuer(certificate: KubeObject) -> ResourceRef:
    named = objects.mapping(certificate, "spec", "issuerRef")
    kind = objects.text(named, "kind", default="Issuer")
    is_wide = kind == "ClusterIssuer"
    return ResourceRef(
        group=clean(objects.text(named, "group", default="cert-manager.io"), limit=253),
        kind=clean(kind, limit=63) or "Issuer",
        namespace="" if is_wide else objects.namespace(certificate),
        name=clean(objects.text(named, "name"), limit=253),
    )


def _ending(snapshot: Snapshot, certificate: KubeObject) -> Iterator[Finding]:
    ends, renewal = (objects.instant(certificate, "status", name) for name in ("notAfter", "renewalTime"))
    if ends is None or renewal is None or ends - snapshot.read_at > _WEEK or renewal > snapshot.read_at:
        return
    ref = objects.ref(certificate)
    yield finding(
        CERTIFICATE_ENDS,
        title=f"{cases.display(ref)} ends {ends:%Y-%m-%d %H:%M} UTC and was not renewed",
        objects=(ref, _issuer(certificate)),
        evidence=(
            quote(f"{cases.display(ref)} status", f"notAfter {ends.isoformat()}, renewalTime {renewal.isoformat()}"),
        ),
        next_checks=(f"get certificaterequests -n {ref.namespace}",),
    )


def _application(application: KubeObject) -> Iterator[Finding]:
    ref = objects.ref(application)
    operation = objects.mapping(application, "status", "operationState")
    sync = objects.text(application, "status", "sync", "status")
    phase, message = objects.text(operation, "phase"), objects.text(operation, "message")
    evidence = quote(f"{cases.display(ref)} status.sync", sync or "unknown")
    checks = (f"get applications.argoproj.io {ref.name} -n {ref.namespace} -o yaml",)
    if phase in ("Failed", "Error"):
        said = quote(f"{cases.display(ref)} status.operationState", f"{phase}: {message}")
        title = f"{cases.display(ref)} could not be synced: {clean(message, limit=200)}"
        yield finding(SYNC_FAILED, title=title, objects=(ref,), evidence=(said, evidence), next_checks=checks)
    elif sync == "OutOfSync" and phase != "Running":
        title = f"{cases.display(ref)} differs from what stands in Git"
        yield finding(OUT_OF_SYNC, title=title, objects=(ref,), evidence=(evidence,), next_checks=checks)


def _route(snapshot: Snapshot, route: KubeObject) -> Iterator[Finding]:
    for parent in objects.mappings(route, "status", "parents"):
        name = clean(objects.text(parent, "parentRef", "name"), limit=253)
        namespace = objects.text(parent, "parentRef", "namespace") or objects.namespace(route)
        gateway = ResourceRef(
            group=GATEWAYS.group, kind=GATEWAYS.kind, namespace=clean(namespace, limit=253), name=name
        )
        held = {"metadata": objects.mapping(route, "metadata"), "status": parent}
        if (refused := _failing(snapshot, held, "Accepted")) is not None:
            yield _finding(ROUTE_REFUSED, route, refused, f"is not taken by Gateway {name}", (gateway,), key=name)
        if (unresolved := _failing(snapshot, held, "ResolvedRefs")) is not None:
            yield _finding(ROUTE_BACKEND, route, unresolved, "sends to what is not there", _backends(route), key=name)


def _backends(route: KubeObject) -> tuple[ResourceRef, ...]:
    named = (
        objects.text(backend, "name")
        for rule in objects.mappings(route, "spec", "rules")
        for backend in objects.mappings(rule, "backendRefs")
    )
    return tuple(
        ResourceRef(kind="Service", namespace=objects.namespace(route), name=name) for name in named if is_name(name)
    )


def _finding(
    what: Condition,
    member: KubeObject,
    condition: objects.Condition,
    words: str,
    others: tuple[ResourceRef, ...] = (),
    *,
    key: str = "",
) -> Finding:
    ref = objects.ref(member)
    plural = ref.kind.lower() + ("es" if ref.kind.endswith("s") else "s")
    where = f" -n {ref.namespace}" if ref.namespace else ""
    said: Evidence = quote(
        f"{cases.display(ref)} condition {condition.type}",
        f"{condition.status} {condition.reason}: {condition.message}",
    )
    return finding(
        what,
        title=f"{cases.display(ref)} {words}: {clean(condition.message or condition.reason, limit=200)}",
        objects=(ref, *others),
        evidence=(said,),
        next_checks=(f"describe {plural}.{ref.group} {ref.name}{where}",),
        key=key,
    )


ANALYZERS: tuple[Analyzer, ...] = (certificates, gitops, gateways)
