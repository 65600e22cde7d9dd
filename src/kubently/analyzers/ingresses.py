"""Ingresses that no controller serves, or that name what does not exist."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kubently.analyzers import cases
from kubently.analyzers.base import GRACE, Analyzer, Condition, analyzer, clean, finding, quote
from kubently.analyzers.resources import INGRESS_CLASSES, INGRESSES, SECRETS, SERVICES
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Finding, ResourceRef, Severity

CLASS_MISSING = Condition(
    "ingress/class-missing",
    Severity.OUTAGE,
    "The Ingress names no class that exists, so no controller serves it.",
    "Correct spec.ingressClassName, or make one IngressClass the default.",
)
BACKEND_MISSING = Condition(
    "ingress/backend-missing",
    Severity.OUTAGE,
    "The Ingress sends to a Service that does not exist.",
    "Create the Service or correct its name; it must be in the Ingress's namespace.",
)
BACKEND_PORT_MISSING = Condition(
    "ingress/backend-port-missing",
    Severity.OUTAGE,
    "The Ingress sends to a port that the Service does not have.",
    "Use a port, or a port's name, of the Service itself, not of its pods.",
)
TLS_SECRET_MISSING = Condition(
    "ingress/tls-secret-missing",
    Severity.DEGRADED,
    "The Secret with the Ingress's certificate does not exist or holds none.",
    "Create the Secret of type kubernetes.io/tls, or see why the certificate was not issued.",
)
HOST_CLASH = Condition(
    "ingress/host-clash",
    Severity.DEGRADED,
    "Two Ingresses of one class send the same host and path to different Services; one of them gets no traffic.",
    "Remove one of the rules, or mark one as a canary.",
)
CONDITIONS = (CLASS_MISSING, BACKEND_MISSING, BACKEND_PORT_MISSING, TLS_SECRET_MISSING, HOST_CLASH)

_OLD_CLASS = "kubernetes.io/ingress.class"
_DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"
_USE_ANNOTATION = "use-annotation"
"""Port name of the AWS load balancer controller for a backend that is an action, not a Service."""


@dataclass(frozen=True, slots=True)
class Backend:
    """Where one path of an Ingress sends."""

    host: str
    path: str
    path_type: str
    service: str
    port: int | str


def backends_of(ingress: KubeObject) -> Iterator[Backend]:
    """Yield the Service backends, the default one first; those that are other resources are left out."""
    yield from _backend("", "", "", objects.mapping(ingress, "spec", "defaultBackend"))
    for rule in objects.mappings(ingress, "spec", "rules"):
        for path in objects.mappings(rule, "http", "paths"):
            host, where = objects.text(rule, "host"), objects.text(path, "path", default="/")
            yield from _backend(host, where, objects.text(path, "pathType"), objects.mapping(path, "backend"))


def _backend(host: str, path: str, path_type: str, backend: KubeObject) -> Iterator[Backend]:
    service = objects.text(backend, "service", "name")
    port = objects.integer(backend, "service", "port", "number") or objects.text(backend, "service", "port", "name")
    if service and port != _USE_ANNOTATION:
        yield Backend(host, path, path_type, service, port)


@analyzer("ingresses", needs=(INGRESSES, INGRESS_CLASSES, SERVICES), conditions=CONDITIONS[:3])
def ingress_references(snapshot: Snapshot) -> Iterator[Finding]:
    """Check the class and the backends of every Ingress."""
    for ingress in snapshot.members(INGRESSES):
        if snapshot.age(objects.created_at(ingress)) >= GRACE and objects.deleted_at(ingress) is None:
            yield from _class_findings(snapshot, ingress)
            yield from _backend_findings(snapshot, ingress)


@analyzer("ingress-certificates", needs=(INGRESSES, SECRETS), conditions=(TLS_SECRET_MISSING,))
def ingress_certificates(snapshot: Snapshot) -> Iterator[Finding]:
    """Check that the Secrets of certificates exist, where Secrets may be read."""
    for ingress in snapshot.members(INGRESSES):
        if snapshot.age(objects.created_at(ingress)) >= GRACE and objects.deleted_at(ingress) is None:
            yield from _certificate_findings(snapshot, ingress)


@analyzer("ingress-hosts", needs=(INGRESSES,), conditions=(HOST_CLASH,))
def ingress_hosts(snapshot: Snapshot) -> Iterator[Finding]:
    """Find Ingresses that want the same host and path."""
    claimed: dict[tuple[str, ...], tuple[KubeObject, Backend]] = {}
    for ingress in sorted(snapshot.members(INGRESSES), key=_birth):
        if _shares_on_purpose(ingress):
            continue
        for backend in backends_of(ingress):
            key = (_class_of(ingress), backend.host, backend.path, backend.path_type)
            first, first_backend = claimed.setdefault(key, (ingress, backend))
            if backend.host and _clash(first, first_backend, ingress, backend):
                yield _clash_finding(first, first_backend, ingress, backend)


# ---- class


def _class_findings(snapshot: Snapshot, ingress: KubeObject) -> Iterator[Finding]:
    named = objects.text(ingress, "spec", "ingressClassName")
    # The old annotation is matched by controllers themselves and needs no IngressClass.
    if _OLD_CLASS in _annotations(ingress) or not snapshot.is_complete(INGRESS_CLASSES):
        return
    classes = snapshot.members(INGRESS_CLASSES)
    if named and snapshot.get(INGRESS_CLASSES, "", named) is not None:
        return
    if not named and any(_annotations(item).get(_DEFAULT_CLASS) == "true" for item in classes):
        return
    served = bool(_addresses(ingress))
    if served and not named:
        return
    ref = objects.ref(ingress)
    known = ", ".join(sorted(objects.name(item) for item in classes)) or "none"
    what = f'names class "{named}", which does not exist' if named else "names no class, and no class is the default"
    yield finding(
        CLASS_MISSING,
        title=f"{cases.display(ref)} {what}",
        objects=(ref,),
        evidence=(
            quote(f"{cases.display(ref)} spec.ingressClassName", named or "not set"),
            quote("ingressclasses", known),
        ),
        next_checks=("get ingressclasses", f"describe ingress {ref.name} -n {ref.namespace}"),
        severity=_class_severity(named=bool(named), served=served),
    )


def _class_severity(*, named: bool, served: bool) -> Severity:
    if served:
        return Severity.RISK
    # Some controllers take Ingresses without a class, so that is less certain than a name that does not exist.
    return Severity.OUTAGE if named else Severity.DEGRADED


# ---- backends


def _backend_findings(snapshot: Snapshot, ingress: KubeObject) -> Iterator[Finding]:
    namespace = objects.namespace(ingress)
    if not snapshot.is_complete(SERVICES, namespace):
        return
    for backend in dict.fromkeys(backends_of(ingress)):
        service = snapshot.get(SERVICES, namespace, backend.service)
        if service is None:
            yield _backend_missing(snapshot, ingress, backend)
        elif backend.port and not _has_port(service, backend.port):
            yield _port_missing(ingress, backend, service)


def _has_port(service: KubeObject, port: int | str) -> bool:
    ports = objects.mappings(service, "spec", "ports")
    if objects.text(service, "spec", "type") == "ExternalName" and not ports:
        return True
    return any(port in (objects.integer(item, "port"), objects.text(item, "name")) for item in ports)


def _backend_missing(snapshot: Snapshot, ingress: KubeObject, backend: Backend) -> Finding:
    ref = objects.ref(ingress)
    names = ", ".join(objects.name(item) for item in snapshot.members(SERVICES, ref.namespace)[:30]) or "none"
    return finding(
        BACKEND_MISSING,
        title=f'{cases.display(ref)} sends {_route(backend)} to Service "{backend.service}", which does not exist',
        objects=(ref, ResourceRef(kind="Service", namespace=ref.namespace, name=clean(backend.service))),
        evidence=(
            quote(f"{cases.display(ref)} backend of {_route(backend)}", f"service {backend.service}:{backend.port}"),
            quote(f"services in namespace {ref.namespace}", names),
        ),
        next_checks=(f"get services -n {ref.namespace}", f"describe ingress {ref.name} -n {ref.namespace}"),
        key=backend.service,
    )


def _port_missing(ingress: KubeObject, backend: Backend, service: KubeObject) -> Finding:
    ref = objects.ref(ingress)
    ports = [
        f"{objects.integer(port, 'port')} ({objects.text(port, 'name') or 'no name'})"
        for port in objects.mappings(service, "spec", "ports")
    ]
    return finding(
        BACKEND_PORT_MISSING,
        title=f"{cases.display(ref)} sends {_route(backend)} to port {backend.port} of Service {backend.service}, which"
        f" has {', '.join(ports[:5]) or 'no ports'}",
        objects=(ref, objects.ref(service)),
        evidence=(
            quote(f"{cases.display(ref)} backend of {_route(backend)}", f"service {backend.service}:{backend.port}"),
            quote(f"{cases.display(objects.ref(service))} spec.ports", ", ".join(ports) or "none"),
        ),
        next_checks=(f"describe service {backend.service} -n {ref.namespace}",),
        key=f"{backend.service}:{backend.port}",
    )


def _route(backend: Backend) -> str:
    return clean(f"{backend.host or '*'}{backend.path}", limit=120) if backend.path else "everything else"


# ---- certificates


def _certificate_findings(snapshot: Snapshot, ingress: KubeObject) -> Iterator[Finding]:
    namespace = objects.namespace(ingress)
    if not snapshot.is_complete(SECRETS, namespace):
        return
    for entry in objects.mappings(ingress, "spec", "tls"):
        name = objects.text(entry, "secretName")
        trouble = _certificate_trouble(snapshot, namespace, name) if name else ""
        if trouble:
            ref = objects.ref(ingress)
            hosts = ", ".join(objects.strings(entry, "hosts")[:5])
            yield finding(
                TLS_SECRET_MISSING,
                title=f'{cases.display(ref)} takes its certificate from Secret "{name}", which {trouble}',
                objects=(ref, ResourceRef(kind="Secret", namespace=namespace, name=clean(name))),
                evidence=(quote(f"{cases.display(ref)} spec.tls", f"{name} for {hosts or 'all hosts'}: {trouble}"),),
                next_checks=(f"describe ingress {ref.name} -n {namespace}", f"get certificates -n {namespace}"),
                key=name,
            )


def _certificate_trouble(snapshot: Snapshot, namespace: str, name: str) -> str:
    secret = snapshot.get(SECRETS, namespace, name)
    if secret is None:
        return "does not exist"
    kind = objects.text(secret, "type", default="Opaque")
    # Controllers also take an Opaque Secret with the right keys.
    if kind == "kubernetes.io/tls" or (kind == "Opaque" and "tls.crt" in objects.mapping(secret, "data")):
        return ""
    return f"is of type {clean(kind, limit=100)} and holds no certificate"


# ---- clashes


def _shares_on_purpose(ingress: KubeObject) -> bool:
    annotations = _annotations(ingress)
    canary = any(key.endswith("/canary") and value == "true" for key, value in annotations.items())
    return canary or any(key.endswith(("/mergeable-ingress-type", "/group.name")) for key in annotations)


def _class_of(ingress: KubeObject) -> str:
    return objects.text(ingress, "spec", "ingressClassName") or _annotations(ingress).get(_OLD_CLASS, "")


def _clash(first: KubeObject, first_backend: Backend, second: KubeObject, second_backend: Backend) -> bool:
    if objects.ref(first) == objects.ref(second):
        return False
    if objects.namespace(first) == objects.namespace(second) and first_backend.service == second_backend.service:
        return False
    # Some controllers give each Ingress a load balancer of its own: then nothing is shared.
    apart = _addresses(first) and _addresses(second) and not _addresses(first) & _addresses(second)
    return not apart


def _clash_finding(first: KubeObject, first_backend: Backend, second: KubeObject, second_backend: Backend) -> Finding:
    one, other = objects.ref(first), objects.ref(second)
    return finding(
        HOST_CLASH,
        title=f"{cases.display(other)} wants {_route(second_backend)}, which {cases.display(one)} has already",
        objects=(other, one),
        evidence=(
            quote(f"{cases.display(one)} backend of {_route(first_backend)}", f"service {first_backend.service}"),
            quote(f"{cases.display(other)} backend of {_route(second_backend)}", f"service {second_backend.service}"),
        ),
        next_checks=("get ingresses -A",),
        key=f"{second_backend.host}{second_backend.path}",
    )


def _annotations(member: KubeObject) -> dict[str, str]:
    return objects.string_map(member, "metadata", "annotations")


def _addresses(ingress: KubeObject) -> frozenset[str]:
    points = objects.mappings(ingress, "status", "loadBalancer", "ingress")
    return frozenset(objects.text(point, "ip") or objects.text(point, "hostname") for point in points) - {""}


def _birth(ingress: KubeObject) -> tuple[str, str, str]:
    return objects.text(ingress, "metadata", "creationTimestamp"), objects.namespace(ingress), objects.name(ingress)


ANALYZERS: tuple[Analyzer, ...] = (ingress_references, ingress_certificates, ingress_hosts)
