"""Certificates of a test cluster: one CA, server certificates, and client certificates whose subject is the user.

They are as plain as those of many clusters: no key identifiers, no key usage. kubectl accepts that, so Kubently must.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = timedelta(days=2)
_BOTH = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])


class Authority:
    """A CA; its certificate is ``cert`` (PEM)."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _subject(name, ())
        built = _builder(self._name, self._name, self._key.public_key())
        built = built.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.cert = _cert_pem(built.sign(self._key, hashes.SHA256()))

    @property
    def key(self) -> bytes:
        """The CA's private key (PEM)."""
        return key_pem(self._key)

    def issue(self, user: str, groups: Sequence[str] = (), *, names: Sequence[str] = ()) -> tuple[bytes, bytes]:
        """Certificate and key (PEM) of *user*, who is in *groups*; with *names* also good for a server."""
        key = ec.generate_private_key(ec.SECP256R1())
        built = _builder(_subject(user, groups), self._name, key.public_key())
        built = built.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        built = built.add_extension(_BOTH, critical=False)
        if names:
            built = built.add_extension(x509.SubjectAlternativeName([_general(n) for n in names]), critical=False)
        return _cert_pem(built.sign(self._key, hashes.SHA256())), key_pem(key)


def client_context(ca: bytes) -> ssl.SSLContext:
    """A context that trusts such a CA (PEM) and no other."""
    context = ssl.create_default_context(cadata=ca.decode())
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def signing_keys() -> tuple[bytes, bytes]:
    """Private and public key (PEM) of the service accounts' tokens."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return key_pem(key), public


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def write(path: Path, data: bytes) -> Path:
    """Write a file that only its owner reads."""
    path.touch(mode=0o600)
    path.write_bytes(data)
    return path


def _subject(user: str, groups: Sequence[str]) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _LIFETIME)
    )


def _cert_pem(cert: x509.Certificate) -> bytes:
    return cert.public_bytes(serialization.Encoding.PEM)
