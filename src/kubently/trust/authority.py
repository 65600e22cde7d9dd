"""A certificate authority of our own, for loopback listeners and for `kubently up`.

ECDSA P-256 throughout: made in a millisecond, accepted by everything that speaks TLS 1.2 or later.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kubently.errors import ConfigError

CA_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=90)
_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate (chain) and its private key, both PEM."""

    cert: bytes
    key: bytes

    def write(self, cert: Path, key: Path) -> None:
        """Write both files, the key with mode 0600."""
        cert.write_bytes(self.cert)
        with open(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(self.key)

    def load_into(self, context: ssl.SSLContext) -> None:
        """Present it in connections of *context*."""
        # Python's ssl loads a key from files only; this one exists for the length of the call, mode 0600.
        with tempfile.NamedTemporaryFile() as file:
            file.write(self.cert + b"\n" + self.key)
            file.flush()
            context.load_cert_chain(file.name)


def make_authority(name: str) -> Pair:
    """Make a self-signed CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    cert = (
        _builder(subject, subject, key.public_key(), CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Pair(cert.public_bytes(serialization.Encoding.PEM), _pem(key))


def issue(
    authority: Pair, names: Sequence[str], *, lifetime: timedelta = LEAF_LIFETIME, for_clients: bool = False
) -> Pair:
    """Issue a server certificate for DNS names and IP addresses; the chain holds the leaf and the CA.

    With *for_clients*, who has it may also show it where it dials. Raises ValueError for an authority that is none.
    """
    ca = x509.load_pem_x509_certificate(authority.cert)
    ca_key = serialization.load_pem_private_key(authority.key, password=None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, *([ExtendedKeyUsageOID.CLIENT_AUTH] if for_clients else [])]
    key = ec.generate_private_key(ec.SECP256R1())
    cert = (
        _builder(x509.Name([]), ca.subject, key.public_key(), lifetime)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return Pair(cert.public_bytes(serialization.Encoding.PEM) + authority.cert, _pem(key))


def keep_authority(folder: Path, name: str) -> Pair:
    """The CA of *folder* (``ca.crt``, ``ca.key``), made there at the first call. Raises ConfigError."""
    cert, key = folder / "ca.crt", folder / "ca.key"
    try:
        if cert.exists() and key.exists():
            return _checked(Pair(cert.read_bytes(), key.read_bytes()))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        pair = make_authority(name)
        pair.write(cert, key)
    except OSError as error:
        raise ConfigError(f"the CA in {folder} cannot be read or made: {error}") from error
    except ValueError as error:
        raise ConfigError(
            f"the CA in {folder} is broken: {error}", hint="remove ca.crt and ca.key there to have a new one made"
        ) from error
    return pair


def _checked(pair: Pair) -> Pair:
    """Raise ValueError unless the key is that of the certificate."""
    public = x509.load_pem_x509_certificate(pair.cert).public_key()
    if serialization.load_pem_private_key(pair.key, password=None).public_key() != public:
        raise ValueError("ca.key is not the key of ca.crt")
    return pair


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, lifetime: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + lifetime)
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
