"""What is public about the certificates in a Secret, as annotations that take the place of the data."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

PREFIX = "kubently.io/certificate-"
"""Annotations whose names begin like this are ours: what a cluster says there is never passed on."""

_KEYS = ("tls.crt", "ca.crt")
_MAX_PEM_BYTES = 256 * 1024
_MAX_CERTIFICATES = 200
_MAX_NAMES = 100
_MAX_CHARS = 1000


def facts(data: Mapping[str, Any]) -> dict[str, str]:
    """Return an annotation for each certificate that stands in a Secret's *data* under a usual key.

    Its value is JSON: subject, issuer, notBefore, notAfter, dnsNames, serial, fingerprintSha256 of the first
    certificate and how many there are; or what is wrong, without any of the content.
    """
    return {f"{PREFIX}{key}": json.dumps(_facts(data[key])) for key in _KEYS if key in data}


def _facts(encoded: object) -> Mapping[str, Any]:
    if not isinstance(encoded, str) or len(encoded) > _MAX_PEM_BYTES:
        return {"error": f"larger than {_MAX_PEM_BYTES} bytes"}
    try:
        pem = base64.b64decode(encoded, validate=True)
        found = x509.load_pem_x509_certificates(pem)
        return _of(found[0]) | {"certificates": len(found)} if len(found) <= _MAX_CERTIFICATES else _TOO_MANY
    except (*_UNREADABLE, binascii.Error, ValueError):
        # The reason may repeat a part of what stands there.
        return {"error": "no certificate that can be read"}


_UNREADABLE = (
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    # What the library raises for a part of a name that is of a type which only another part may have.
    TypeError,
)
_TOO_MANY = {"error": f"more than {_MAX_CERTIFICATES} certificates"}


def _of(certificate: x509.Certificate) -> dict[str, Any]:
    return {
        "subject": _short(certificate.subject.rfc4514_string()),
        "issuer": _short(certificate.issuer.rfc4514_string()),
        "notBefore": certificate.not_valid_before_utc.strftime(_INSTANT),
        "notAfter": certificate.not_valid_after_utc.strftime(_INSTANT),
        "dnsNames": [_short(name) for name in _dns_names(certificate)[:_MAX_NAMES]],
        "serial": f"{certificate.serial_number:x}",
        "fingerprintSha256": certificate.fingerprint(hashes.SHA256()).hex(),
    }


_INSTANT = "%Y-%m-%dT%H:%M:%SZ"


def _dns_names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return extension.value.get_values_for_type(x509.DNSName)


def _short(text: str) -> str:
    return text if len(text) <= _MAX_CHARS else text[:_MAX_CHARS] + "..."
