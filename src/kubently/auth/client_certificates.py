"""Client certificates that TLS has proven, at our own listener or at a gateway in front of it: whose are they?

A certificate is bound to a cluster when its subject's common name or one of its DNS names is the cluster id, or one of
its URIs ends with ``/cluster/<id>`` or ``:cluster:<id>``; nothing else counts, prefixes and patterns least of all.
"""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

from kubently.errors import ExecutorCertificateError, ExecutorCertificateExpiredError
from kubently.schema import ClusterId
from kubently.trust import identity


def require_bound(certificate: x509.Certificate, cluster: ClusterId, *, now: datetime) -> None:
    """Let a certificate pass that is bound to *cluster* and not over at *now*.

    Raises ExecutorCertificateError, ExecutorCertificateExpiredError.
    """
    try:
        names, end = _names(certificate), certificate.not_valid_after_utc
    except identity.UNREADABLE as error:
        raise ExecutorCertificateError("the client certificate cannot be read") from error
    if not any(_names_cluster(name, cluster) for name in names):
        shown = ", ".join(names)[:200] or "nobody"
        raise ExecutorCertificateError(
            f"the client certificate is for {shown}, not for {cluster}",
            hint="its common name, a DNS name or a URI ending in /cluster/ID must be the cluster id",
        )
    if now > end:
        raise ExecutorCertificateExpiredError(f"the client certificate for {cluster} ended at {end:%F %TZ}")


def _names(certificate: x509.Certificate) -> list[str]:
    names = [str(a.value) for a in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return names
    return [
        *names,
        *found.get_values_for_type(x509.DNSName),
        *found.get_values_for_type(x509.UniformResourceIdentifier),
    ]


def _names_cluster(name: str, cluster: ClusterId) -> bool:
    return name == cluster or name.endswith((f"/cluster/{cluster}", f":cluster:{cluster}"))
