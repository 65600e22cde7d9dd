"""Addresses of Services that workloads are told: by variables, arguments and ConfigMaps, as variables or as files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from kubently.analyzers import containers, settings
from kubently.analyzers.resources import NAMESPACES, SERVICES
from kubently.analyzers.settings import Setting
from kubently.analyzers.snapshot import Snapshot
from kubently.kube.objects import KubeObject
from kubently.schema.findings import ResourceRef

MOST = 200
"""Addresses of one workload that are looked at."""

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_HOST = (
    r"(?P<name>[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)"
    rf"(?:\.(?P<namespace>{_LABEL})(?P<svc>\.svc(?:\.[a-z0-9.-]{{1,100}})?)?)?"
)
_SCHEME = r"(?P<scheme>[a-z][a-z0-9+.-]{0,20})://(?:[^/@\s]{0,200}@)?"
# A name that the cluster's DNS may know, perhaps within a URL; `_is_address` says whether it can be nothing else.
_WHOLE = re.compile(rf"(?:{_SCHEME})?{_HOST}(?::(?P<port>[0-9]{{1,5}}))?(?:/.*)?", re.DOTALL)
# In a file only what carries a scheme, its full name, or a port and stands as a value.
_IN_TEXT = re.compile(
    rf"(?<![\w.-])(?:{_SCHEME}{_HOST}|(?P<name2>[a-z](?:[-a-z0-9]{{0,61}}[a-z0-9])?)\.(?P<namespace2>{_LABEL})"
    rf"(?P<svc2>\.svc(?:\.cluster\.local)?)|(?<=[\"'=\s,@])(?P<name3>[a-z](?:[-a-z0-9]{{0,61}}[a-z0-9])?)"
    rf"(?:\.(?P<namespace3>{_LABEL}))?(?=:[0-9]{{2,5}}(?:[\"',;/\s]|$)))(?::(?P<port>[0-9]{{1,5}}))?(?![\w.-])"
)
_NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
_HOST_VARIABLE = re.compile(r"(?:HOST|HOSTNAME|ADDR|ADDRESS|SERVER|ENDPOINT|UPSTREAM)$", re.IGNORECASE)
_COMMENT = re.compile(r"^\s*(?:#|//|;|--|\*|<!--)")
_OWN_MACHINE = frozenset({"localhost", "host", "ip6-localhost"})
_NO_HOST = frozenset({"docker", "file", "gs", "oci", "s3"})
"""Schemes behind which no host stands."""
_PORTS_BELOW = frozenset({21, 22, 25, 53})
"""Ports under 80 that are used; other small numbers behind a name are the tag of an image."""


@dataclass(frozen=True, slots=True)
class Address:
    """What surely is the address of a Service."""

    where: str
    """As it follows the holder's name: container web variable API_URL, key API_URL."""
    holder: ResourceRef
    """Where it stands: the workload itself, or a ConfigMap."""
    service: ResourceRef
    """Which need not exist."""
    port: int | None
    is_full: bool
    """Whether the name says its namespace, so that it can be no name of elsewhere."""


def addresses_of(snapshot: Snapshot, workload: KubeObject) -> Iterator[Address]:
    """Yield the addresses that the containers of a workload or pod are told, each once, up to `MOST`."""
    yield from islice(dict.fromkeys(_addresses(snapshot, workload)), MOST)


def is_host(label: str) -> bool:
    """Say whether a label can be the name of a Service and is not this machine's."""
    return _NAME.fullmatch(label) is not None and label not in _OWN_MACHINE


def told(snapshot: Snapshot, workload: KubeObject, host: str) -> tuple[ResourceRef, str] | None:
    """Return where a workload is told of a host, whatever stands around it: the holder and the place in it."""
    speaks = re.compile(rf"(?<![\w.-]){re.escape(host)}(?![\w-])")
    told_by = (
        place for place in settings.settings_of(snapshot, workload) if speaks.search(place.text[: settings.TEXT_CHARS])
    )
    first = next(told_by, None)
    return None if first is None else (first.holder, first.where)


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


def _addresses(snapshot: Snapshot, workload: KubeObject) -> Iterator[Address]:
    for place in settings.settings_of(snapshot, workload):
        text = place.text[: settings.TEXT_CHARS].strip()
        lines = text.splitlines()
        wholes = [_WHOLE.fullmatch(part.strip()) for part in text.split(",")] if len(lines) == 1 else []
        for match in wholes:
            yield from _read(snapshot, match, place.where, place.holder) if match is not None else ()
        if any(wholes):
            yield from _bare(snapshot, place, text)
            continue
        for number, line in enumerate(lines, start=1):
            where = f"{place.where}, line {number}," if len(lines) > 1 else place.where
            for match in () if _COMMENT.match(line) else _IN_TEXT.finditer(line):
                yield from _read(snapshot, match, where, place.holder)


def _bare(snapshot: Snapshot, place: Setting, text: str) -> Iterator[Address]:
    """Take a bare name for an address where the variable says so and there is such a Service."""
    ref = ResourceRef(kind="Service", namespace=place.holder.namespace, name=text)
    if _HOST_VARIABLE.search(place.where) and is_host(text) and snapshot.find(ref) is not None:
        yield Address(place.where, place.holder, ref, None, is_full=False)


def _read(snapshot: Snapshot, match: re.Match[str], where: str, holder: ResourceRef) -> Iterator[Address]:
    parts, own = match.groupdict(), holder.namespace
    name, namespace = (
        next((part for key in (field, f"{field}2", f"{field}3") if (part := parts.get(key))), "")
        for field in ("name", "namespace")
    )
    port = int(parts["port"]) if parts["port"] else None
    is_service, scheme = bool(parts["svc"] or parts.get("svc2")), parts["scheme"] or ""
    if name in _OWN_MACHINE or scheme in _NO_HOST:
        return
    if not is_service and not _is_address(snapshot, own, namespace, port, has_scheme=bool(scheme)):
        return
    service = ResourceRef(kind="Service", namespace=namespace or own, name=name)
    yield Address(where, holder, service, port, is_full=bool(namespace))


def _is_address(snapshot: Snapshot, own: str, namespace: str, port: int | None, *, has_scheme: bool) -> bool:
    """Say whether a short name surely is the address of a Service: with a port or a scheme, and of a namespace."""
    if namespace:
        # The pod of a StatefulSet before its Service looks the same.
        is_pod = snapshot.get(SERVICES, own, namespace) is not None
        if is_pod or snapshot.get(NAMESPACES, "", namespace) is None:
            return False
    return has_scheme if port is None else has_scheme or port >= 80 or port in _PORTS_BELOW
