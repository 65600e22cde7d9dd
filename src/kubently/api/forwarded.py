"""What proxies in front of us say of the client. Only trusted ones are listened to; from anybody else it is noise."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from kubently.errors import ExecutorCertificateError
from kubently.settings import IPNetwork
from kubently.tunnel import Scope

MAX_VALUE = 32 * 1024
"""Bytes of a header that carries a certificate."""
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
_CERT = re.compile(r'(?:^|;)Cert="([^"]*)"')


def is_from_trusted(scope: Scope, trusted: Sequence[IPNetwork]) -> bool:
    """Whether the other end of the connection is one of the proxies."""
    return _is_in(_peer(scope), trusted)


def client_address(scope: Scope, trusted: Sequence[IPNetwork]) -> str:
    """The client's address: the last of X-Forwarded-For that no trusted proxy has, else the connection's own."""
    address = _peer(scope)
    hops = ",".join(_values(scope, b"x-forwarded-for")).split(",")
    for hop in reversed([hop.strip() for hop in hops if hop.strip()]):
        if not _is_in(address, trusted):
            break
        if not _is_address(hop):
            break
        address = hop
    return address


def client_certificate(scope: Scope, header: str, trusted: Sequence[IPNetwork]) -> bytes | None:
    """The client certificate (DER) that a trusted proxy hands on in *header*; None without one.

    Raises ExecutorCertificateError for one that cannot be read: a header that a client made up never gets here.
    """
    if header == "none" or not is_from_trusted(scope, trusted):
        return None
    values = _values(scope, header.encode())
    if not any(value.strip() for value in values):
        return None
    if len(values) > 1 or len(values[0]) > MAX_VALUE:
        raise ExecutorCertificateError(f"the header {header} came twice, or is over {MAX_VALUE} bytes")
    try:
        return _READERS[header](values[0].strip())
    except ValueError as error:  # binascii.Error is one
        raise ExecutorCertificateError(
            f"the client certificate in the header {header} cannot be read: {error}",
            hint="check which header the proxy sends, and KUBENTLY_CLIENT_CERT_HEADER",
        ) from error


def _rfc9440(value: str) -> bytes | None:
    """A byte sequence of structured fields: base64 between colons."""
    if len(value) < 2 or not (value.startswith(":") and value.endswith(":")):
        raise ValueError("it is no byte sequence")
    return base64.b64decode(value[1:-1], validate=True)


def _nginx(value: str) -> bytes | None:
    """nginx's ``$ssl_client_escaped_cert``: PEM, percent-encoded."""
    return _pem(value)


def _envoy(value: str) -> bytes | None:
    """Envoy's elements, one a hop; the last was written by the proxy that speaks to us."""
    found = _CERT.search(_last_element(value))
    if found is None:
        raise ValueError("its last element has no Cert; let the proxy forward the whole certificate")
    return _pem(found[1])


def _last_element(value: str) -> str:
    """What follows the last comma outside quotes."""
    quoted, start = False, 0
    for at, char in enumerate(value):
        if char == '"':
            quoted = not quoted
        elif char == "," and not quoted:
            start = at + 1
    return value[start:].strip()


def _pem(value: str) -> bytes:
    found = _PEM.search(unquote_to_bytes(value))
    if found is None:
        raise ValueError("it holds no PEM certificate")
    return binascii.a2b_base64(b"".join(found[1].split()), strict_mode=True)


_READERS = {"client-cert": _rfc9440, "x-forwarded-client-cert": _envoy, "ssl-client-cert": _nginx}


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _is_address(text: str) -> bool:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not getattr(found, "scope_id", None)  # which may be any text


def _is_in(address: str, networks: Sequence[IPNetwork]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found.version == network.version and found in network for network in networks)
