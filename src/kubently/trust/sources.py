"""Where certificates to trust come from, read strictly: what is no certificate is named, never skipped.

`read` does the I/O and gives bytes; `parse` decides what they are. The bytes of all sources tell whether something
changed, whichever way it was replaced: a file written anew, or the symbolic link of a mounted Secret.
"""

from __future__ import annotations

import binascii
import os
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kubently.errors import ConfigError
from kubently.settings import TrustSettings

MAX_BYTES = 4 * 1024 * 1024
"""Of one file; the public roots are 0.2 MiB."""
MAX_FILES = 2000
"""Of one folder."""

# OpenSSL's c_rehash makes the eight digits; trust stores for Go have plain names.
_NAME = re.compile(r"[^.].*\.(pem|crt)|[0-9a-f]{8}\.[0-9]+", re.IGNORECASE)
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,64})-----(.*?)-----END \1-----", re.DOTALL)
_BEGIN = b"-----BEGIN "


class CertificateSourceError(ConfigError):
    """Certificates that are to be trusted cannot be used: a file is missing, empty, or holds something else."""

    code = "tls-source"


class ClientCertificateError(ConfigError):
    """Our own client certificate or its key cannot be used."""

    code = "tls-client-pair"


@dataclass(frozen=True, slots=True)
class Piece:
    """One file's bytes, or the text of a variable."""

    name: str
    """For people: the variable, and the path."""
    content: bytes


@dataclass(frozen=True, slots=True)
class Source:
    """The certificates of one piece, and what they are."""

    name: str
    certificates: tuple[bytes, ...]
    """DER."""
    expired: int = 0
    not_ca: int = 0

    def __str__(self) -> str:
        return f"{len(self.certificates)} loaded, {self.expired} expired, {self.not_ca} not CA: {self.name}"


def read(settings: TrustSettings) -> tuple[Piece, ...]:
    """What is to be trusted beside, or instead of, the system's roots. Raises CertificateSourceError."""
    pieces = list(_given("KUBENTLY_CA_CERT", settings.ca_cert)) if settings.ca_cert else []
    if settings.ca_exclusive:
        if not pieces:
            raise CertificateSourceError(
                "KUBENTLY_CA_MODE=exclusive trusts nothing but KUBENTLY_CA_CERT, which is not set",
                hint="set KUBENTLY_CA_CERT, or leave the mode additive",
            )
        return tuple(pieces)
    if settings.cert_file:
        pieces.append(_file("SSL_CERT_FILE", settings.cert_file))
    for folder in settings.cert_dirs:
        pieces += _folder("SSL_CERT_DIR", folder)
    return tuple(pieces)


def parse(piece: Piece, *, now: float) -> Source:
    """The piece's certificates; *now* is seconds of the epoch. Raises CertificateSourceError."""
    certificates = tuple(_certificates(piece))
    scratch = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for number, certificate in enumerate(certificates, 1):
        try:
            scratch.load_verify_locations(cadata=certificate)
        except (ssl.SSLError, ValueError) as error:
            raise _wrong(piece, f"holds no usable certificate: block {number} is none") from error
    found = scratch.cert_store_stats()
    try:
        expired = sum(ssl.cert_time_to_seconds(str(ca["notAfter"])) < now for ca in scratch.get_ca_certs())
    except (ssl.SSLError, ValueError) as error:  # OpenSSL takes certificates whose time or names nobody can read
        raise _wrong(piece, "holds a certificate whose end or names cannot be read") from error
    return Source(piece.name, certificates, expired=expired, not_ca=found["x509"] - found["x509_ca"])


def bundle(given: str) -> str:
    """What *given* (as ``KUBENTLY_CA_CERT``) holds, as PEM. Raises CertificateSourceError."""
    return "".join(
        ssl.DER_cert_to_PEM_cert(certificate)
        for piece in _given("KUBENTLY_CA_CERT", given)
        for certificate in parse(piece, now=0.0).certificates
    )


def read_file(path: Path) -> bytes:
    """At most MAX_BYTES of a file. Raises OSError, and ValueError for one that is larger."""
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES // 2**20} MiB")
    return content


def _given(variable: str, value: str) -> Iterator[Piece]:
    if "-----BEGIN" in value:
        yield Piece(f"the text of {variable}", value.encode())
        return
    for path in (Path(part) for part in value.split(os.pathsep) if part):
        if path.is_dir():
            yield from _folder(variable, path)
        else:
            yield _file(variable, path)


def _folder(variable: str, folder: Path) -> list[Piece]:
    try:
        paths = sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name) and path.is_file())
    except OSError as error:
        raise CertificateSourceError(
            f"the CA folder {folder} cannot be read: {error.strerror or error}", hint=f"check {variable} and its mount"
        ) from error
    files = {path.resolve(): path for path in paths}  # a hashed name is a link to a plain one
    if not files or len(files) > MAX_FILES:
        said = f"more than {MAX_FILES}" if files else "no"
        raise CertificateSourceError(
            f"the CA folder {folder} holds {said} files named *.pem or *.crt", hint=f"check {variable} and its mount"
        )
    return [_file(variable, path) for path in files.values()]


def _file(variable: str, path: Path) -> Piece:
    try:
        return Piece(f"{variable} ({path})", read_file(path))
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise CertificateSourceError(f"the CA file {path} cannot be read: {cause}", hint=f"check {variable}") from error


def _certificates(piece: Piece) -> Iterator[bytes]:
    if not piece.content.strip():
        raise _wrong(piece, "is empty and so holds no usable certificate")
    if _BEGIN not in piece.content:
        if piece.content[:1] != b"\x30":  # a DER SEQUENCE
            raise _wrong(piece, "holds no usable certificate: it is neither PEM nor DER")
        yield piece.content
        return
    blocks = _BLOCK.findall(piece.content)
    if any(label.endswith(b"PRIVATE KEY") for label, _ in blocks) or b"PRIVATE KEY-----" in piece.content:
        raise CertificateSourceError(
            f"{piece.name} holds a private key, which no bundle of CAs may",
            hint="remove it there; if others could read it, replace it",
        )
    if len(blocks) != piece.content.count(_BEGIN):
        raise _wrong(piece, "holds no usable certificate: a block has no end")
    for number, (label, body) in enumerate(blocks, 1):
        if label not in (b"CERTIFICATE", b"X509 CERTIFICATE"):
            raise _wrong(piece, f"holds no usable certificate: block {number} is a {label.decode()}")
        try:
            yield binascii.a2b_base64(b"".join(body.split()), strict_mode=True)
        except binascii.Error as error:
            raise _wrong(piece, f"holds no usable certificate: block {number} is no base64") from error


def _wrong(piece: Piece, what: str) -> CertificateSourceError:
    return CertificateSourceError(f"{piece.name} {what}", hint="give PEM certificates, or one DER certificate")
