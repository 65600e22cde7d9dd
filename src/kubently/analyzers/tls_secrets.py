"""Certificates in Secrets, by the public facts that an executor tells where its policy shows metadata of Secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from kubently.analyzers import cases, ingresses
from kubently.analyzers.base import Analyzer, Condition, analyzer, finding, quote
from kubently.analyzers.resources import INGRESSES, SECRETS
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Finding, Severity

EXPIRED = Condition(
    "ingress/certificate-expired",
    Severity.OUTAGE,
    "The certificate that an Ingress serves has expired: clients refuse it.",
    "Renew it; see why whatever should have renewed it did not.",
)
ENDS_SOON = Condition(
    "ingress/certificate-ends-soon",
    Severity.RISK,
    "The certificate that an Ingress serves ends within a week.",
    "Renew it, or see when its issuer will.",
)
WRONG_HOST = Condition(
    "ingress/certificate-wrong-host",
    Severity.DEGRADED,
    "The certificate of an Ingress is not for the host that the Ingress serves with it.",
    "Name the right Secret, or have a certificate issued for that host.",
)
CONDITIONS = (EXPIRED, ENDS_SOON, WRONG_HOST)

_FACTS = "kubently.io/certificate-tls.crt"
_SOON = timedelta(days=7)


@analyzer("served-certificates", needs=(INGRESSES, SECRETS), conditions=CONDITIONS)
def ingress_certificates(snapshot: Snapshot) -> Iterator[Finding]:
    """Report certificates of Ingresses that clients refuse, or soon will."""
    for ingress in snapshot.members(INGRESSES):
        for entry in objects.mappings(ingress, "spec", "tls"):
            secret = snapshot.get(SECRETS, objects.namespace(ingress), objects.text(entry, "secretName"))
            facts = _facts(secret) if secret is not None else {}
            if secret is not None and facts:
                yield from _judged(snapshot, ingress, secret, facts, objects.strings(entry, "hosts"))


def _facts(secret: KubeObject) -> dict[str, Any]:
    """What is public about the certificate, empty where nothing can be read."""
    try:
        facts = json.loads(objects.annotation(secret, _FACTS) or "{}")
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) and "error" not in facts else {}


def _judged(
    snapshot: Snapshot, ingress: KubeObject, secret: KubeObject, facts: dict[str, Any], hosts: Sequence[str]
) -> Iterator[Finding]:
    end = objects.instant(facts, "notAfter")
    if end is not None and end <= snapshot.read_at:
        yield _finding(EXPIRED, ingress, secret, facts, f"expired {_days(snapshot.read_at - end)} ago")
    elif end is not None and end - snapshot.read_at < _SOON:
        yield _finding(ENDS_SOON, ingress, secret, facts, f"ends in {_days(end - snapshot.read_at)}")
    names = objects.strings(facts, "dnsNames")
    unserved = [host for host in hosts if names and not any(_covers(name, host) for name in names)]
    if unserved:
        words = f"is not for {unserved[0]}, but for {', '.join(names[:3])}"
        yield _finding(WRONG_HOST, ingress, secret, facts, words)


def _covers(name: str, host: str) -> bool:
    """Match as RFC 6125 does: a wildcard stands for one label, the first."""
    if name.startswith("*."):
        return host.partition(".")[2].lower() == name[2:].lower() or host.lower() == name.lower()
    return name.lower() == host.lower()


def _days(span: timedelta) -> str:
    return f"{span.days} days" if span.days > 1 else f"{int(span.total_seconds() // 3600)} hours"


def _finding(
    condition: Condition, ingress: KubeObject, secret: KubeObject, facts: dict[str, Any], words: str
) -> Finding:
    ref, holder = objects.ref(ingress), objects.ref(secret)
    told = ", ".join(f"{key} {facts[key]}" for key in ("subject", "issuer", "notAfter", "dnsNames") if key in facts)
    services = [name for backend in ingresses.backends_of(ingress) if (name := backend.service)]
    return finding(
        condition,
        title=f"{cases.display(ref)}: the certificate in {cases.display(holder)} {words}",
        objects=(ref, holder),
        evidence=(
            quote(f"{cases.display(ref)} spec.tls", f"secretName {holder.name}; serves {', '.join(services[:5])}"),
            quote(f"{cases.display(holder)} tls.crt", told),
        ),
        next_checks=(f"describe ingress {ref.name} -n {ref.namespace}",),
        key=holder.name,
    )


ANALYZERS: tuple[Analyzer, ...] = (ingress_certificates,)
