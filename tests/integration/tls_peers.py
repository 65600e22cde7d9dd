"""Certificates that are wrong in one way each, and servers that show them."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Answer = Callable[[socket.socket], None]


@dataclass(frozen=True)
class Identity:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


@dataclass(frozen=True)
class Wish:
    """What a certificate is to be."""

    name: str
    names: Sequence[str] = ()
    ca: bool = False
    path_length: int | None = None
    begins: datetime.timedelta = -DAY
    ends: datetime.timedelta = 30 * DAY
    usage: x509.ObjectIdentifier | None = None
    organisation: str = ""
    identifiers: bool = True
    where: str = ""
    """URL of the issuer's certificate."""
    key: Callable[[], Key] = field(default=lambda: ec.generate_private_key(ec.SECP256R1()))


def authority(name: str = "Test Root", *, identifiers: bool = True, organisation: str = "") -> Identity:
    return make(Wish(name, ca=True, identifiers=identifiers, organisation=organisation))


def make(wish: Wish, issuer: Identity | None = None) -> Identity:
    key = wish.key()
    now = datetime.datetime.now(datetime.UTC)
    subject = _name(wish)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + wish.begins)
        .not_valid_after(now + wish.ends)
        .add_extension(x509.BasicConstraints(ca=wish.ca, path_length=wish.path_length), critical=True)
    )
    for extension in _extensions(wish, issuer):
        builder = builder.add_extension(extension, critical=False)
    return Identity(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def _name(wish: Wish) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, wish.name)]
    if wish.organisation:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, wish.organisation))
    return x509.Name(parts)


def _extensions(wish: Wish, issuer: Identity | None) -> list[x509.ExtensionType]:
    found: list[x509.ExtensionType] = []
    if wish.names:
        found.append(x509.SubjectAlternativeName([_general(name) for name in wish.names]))
    if wish.usage:
        found.append(x509.ExtendedKeyUsage([wish.usage]))
    if wish.where:
        url = x509.UniformResourceIdentifier(wish.where)
        found.append(
            x509.AuthorityInformationAccess([x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, url)])
        )
    if issuer and wish.identifiers:
        found.append(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()))
    return found


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def server(name: str = "localhost", issuer: Identity | None = None, **wish: object) -> Identity:
    """A server's certificate for *name*, right but for what *wish* says."""
    wishes = {"names": (name,), "usage": ExtendedKeyUsageOID.SERVER_AUTH, **wish}
    return make(Wish(name, **wishes), issuer)  # type: ignore[arg-type]


def respond(connection: socket.socket) -> None:
    """Answer one request with an empty list."""
    head = b""
    while b"\r\n\r\n" not in head:
        if not (data := connection.recv(4096)):
            return
        head += data
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]")


def tls(
    folder: Path,
    chain: Sequence[Identity],
    *,
    versions: tuple[ssl.TLSVersion, ssl.TLSVersion] | None = None,
    clients: Identity | None = None,
) -> Answer:
    """Show *chain*, leaf first; *clients* is the CA of those that are let in."""
    cert, key = folder / "served.crt", folder / "served.key"
    cert.write_bytes(b"".join(identity.pem for identity in chain))
    key.write_bytes(chain[0].key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(cert, key)
    if versions:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old versions are what is tested
            context.minimum_version, context.maximum_version = versions
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients.pem.decode())

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            respond(wrapped)

    return answer
