"""Collects the facts of a failed connection: certificates are read here, and the probe is sent.

It imports ``cryptography``, which takes longer than a request, so it is imported when something has failed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import http.client
import socket
import ssl
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID

from kubently.settings import TrustSettings
from kubently.trust import nested, proxies
from kubently.trust.facts import Certificate, Facts
from kubently.trust.identity import UNREADABLE
from kubently.trust.keeper import Keeper
from kubently.trust.probe import Probe, probe

_MAX_TEXT, _MAX_NAMES = 100, 8
_MAX_RESOLVER = 4096
_TIMEOUT = 5.0


def observe(error: Exception, url: str, settings: TrustSettings, context: ssl.SSLContext | None) -> Facts:
    """What can be found out about *error* of connecting to *url*, within 5 s. *context* is the one that was used.

    A probe is sent only where it says something: after failures of TLS, and where a plain connection broke off.
    """
    common = Facts(
        server_name=settings.server_name,
        min_version=settings.min_version,
        sends_client=settings.client_cert is not None,
        client_expired_at=_client_expiry(settings.client_cert) if settings.client_cert else None,
    )
    if isinstance(error, socket.gaierror):
        return dataclasses.replace(common, resolver=_resolver(Path("/etc/resolv.conf")))
    parts = urlsplit(url)
    secure = parts.scheme in ("https", "wss")
    if not _tells(error, secure=secure) or not parts.hostname:
        return common
    port = parts.port or (443 if secure else 80)
    cut = secure and isinstance(error, ConnectionError | ssl.SSLEOFError)
    dial = functools.partial(_dial, proxies.choose(settings.proxies, url), parts.hostname, port, context)
    seen = probe(dial, settings.server_name or parts.hostname, timeout=_TIMEOUT, listen=cut)
    return _judge(common, seen, context.get_ca_certs(binary_form=True) if context else [])


def presented(
    url: str, settings: TrustSettings, *, timeout: float = _TIMEOUT, sni: bool = True
) -> tuple[Certificate, ...]:
    """The chain that *url* (https) shows, leaf first, verified by nobody; empty when there is none to be seen.

    Without *sni* no name is asked for. Raises ConfigError for settings that cannot be used.
    """
    parts = urlsplit(url)
    host, proxy = parts.hostname or "", proxies.choose(settings.proxies, url)
    context = Keeper(settings).context() if proxy and proxy.secure else None
    dial = functools.partial(_dial, proxy, host, parts.port or 443, context)
    seen = probe(dial, (settings.server_name or host) if sni else None, timeout=timeout)
    return tuple(filter(None, (_describe(found) for der in seen.chain if (found := _load(der)))))


def read_certificates(content: bytes) -> tuple[Certificate, ...]:
    """The certificates in PEM or DER, in their order; empty where none can be read."""
    with warnings.catch_warnings(), contextlib.suppress(*UNREADABLE):
        warnings.simplefilter("ignore")
        if b"-----BEGIN" in content:
            return tuple(filter(None, map(_describe, x509.load_pem_x509_certificates(content))))
    found = _load(content)
    described = _describe(found) if found else None
    return (described,) if described else ()


def _dial(proxy: proxies.Proxy | None, host: str, port: int, context: ssl.SSLContext | None) -> socket.socket:
    if proxy is None:
        return socket.create_connection((host, port), _TIMEOUT)
    return nested.open_through(proxy, host, port, timeout=_TIMEOUT, tls=context)


def _tells(error: Exception, *, secure: bool) -> bool:
    if secure:
        return isinstance(error, ssl.SSLError | ConnectionResetError | ConnectionAbortedError | BrokenPipeError)
    # A refused connection, a time-out or a name that is not found says enough.
    broken = isinstance(error, ConnectionResetError | ConnectionAbortedError | http.client.HTTPException)
    return broken or not isinstance(error, OSError)


def _judge(common: Facts, seen: Probe, trusted: Sequence[bytes]) -> Facts:
    # One that parses may have names that do not; such a one cannot be described, nor placed in the chain.
    chain = [found for der in seen.chain if (found := _load(der)) and _describe(found)]
    anchors = {ca.subject.public_bytes(): ca for der in trusted if (ca := _load(der))}
    last = _last(chain)
    missing = last.issuer if last and last.issuer != last.subject else None
    return dataclasses.replace(
        common,
        presented=tuple(filter(None, map(_describe, chain))),
        speaks=_speaks(seen),
        wants_client=seen.wants_client,
        trusted=len(anchors),
        missing=_name(missing) if missing else "",
        missing_is_trusted=bool(missing and missing.public_bytes() in anchors),
        gap=_gap(chain, last, anchors) if last and missing and missing.public_bytes() not in anchors else "",
    )


def _speaks(seen: Probe) -> str:
    if seen.finished or seen.chain or seen.first[:1] in (b"\x15", b"\x16"):  # alert, handshake
        return "tls"
    if seen.first.startswith(b"HTTP/"):
        return "http"
    return "other" if seen.first else ""


def _last(chain: Sequence[x509.Certificate]) -> x509.Certificate | None:
    """Where the chain that begins at the leaf ends, whatever its order."""
    if not chain:
        return None
    by_subject = {certificate.subject.public_bytes(): certificate for certificate in reversed(chain)}
    last = chain[0]
    for _ in chain:
        above = by_subject.get(last.issuer.public_bytes())
        if above is None or above is last:
            break
        last = above
    return last


def _gap(chain: Sequence[x509.Certificate], last: x509.Certificate, anchors: Mapping[bytes, x509.Certificate]) -> str:
    """Evidence that what is missing above *last* is an intermediate; its name alone is none."""
    others = [certificate for certificate in chain[1:] if certificate is not last]
    if any(other.issuer.public_bytes() in anchors or other.issuer == other.subject for other in others):
        return "what it sends above does not join on"
    extensions = _extensions(last)
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.AuthorityKeyIdentifier):
            for name in value.authority_cert_issuer or ():
                if isinstance(name, x509.DirectoryName) and name.value.public_bytes() in anchors:
                    return f'the CA above it, "{_name(name.value)}", is trusted'
    organisation = _organisation(last.issuer)
    kin = next((ca for ca in anchors.values() if organisation and _organisation(ca.subject) == organisation), None)
    if kin is not None:
        return f'"{_name(kin.subject)}" of the same organisation is trusted'
    for extension in extensions:
        if isinstance(extension.value, x509.AuthorityInformationAccess) and any(
            access.access_method == AuthorityInformationAccessOID.CA_ISSUERS for access in extension.value
        ):
            return "the certificate says where to fetch it"
    return ""


# ---------------------------------------------------------------------- certificates as text


def _load(der: bytes) -> x509.Certificate | None:
    with warnings.catch_warnings(), contextlib.suppress(*UNREADABLE):
        warnings.simplefilter("ignore")  # of old roots with odd serial numbers
        return x509.load_der_x509_certificate(der)
    return None


def _describe(certificate: x509.Certificate) -> Certificate | None:
    with contextlib.suppress(*UNREADABLE):
        return Certificate(
            subject=_name(certificate.subject),
            issuer=_name(certificate.issuer),
            names=_names(certificate),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            self_signed=certificate.issuer == certificate.subject,
            sha256=certificate.fingerprint(hashes.SHA256()).hex(),
            key=_key(certificate),
            issuer_organisation=_text(_organisation(certificate.issuer)),
            signature=_signature(certificate),
        )
    return None


def _signature(certificate: x509.Certificate) -> str:
    with contextlib.suppress(*UNREADABLE):
        digest = certificate.signature_hash_algorithm
        return digest.name.upper().replace("SHA", "SHA-", 1) if digest else ""
    return ""


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    for extension in _extensions(certificate):
        if isinstance(extension.value, x509.SubjectAlternativeName):
            named = [name for name in extension.value if isinstance(name, x509.DNSName | x509.IPAddress)]
            return tuple(_text(str(name.value)) for name in named[:_MAX_NAMES])
    return ()


def _extensions(certificate: x509.Certificate) -> Sequence[x509.Extension[x509.ExtensionType]]:
    with contextlib.suppress(*UNREADABLE):
        return tuple(certificate.extensions)
    return ()


def _key(certificate: x509.Certificate) -> str:
    with contextlib.suppress(*UNREADABLE):
        key = certificate.public_key()
        if isinstance(key, rsa.RSAPublicKey):
            return f"RSA {key.key_size}"
        if isinstance(key, ec.EllipticCurvePublicKey):
            return f"ECDSA {key.key_size}"
        return type(key).__name__.removesuffix("PublicKey").strip("_")
    return "unknown"


def _name(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return _text(str(common[0].value)) if common else _text(name.rfc4514_string()) or "(no subject)"


def _organisation(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
    return str(found[0].value) if found else ""


def _text(value: str) -> str:
    """Printable and short: whoever made the certificate chose it."""
    return "".join(c if c.isprintable() and c != '"' else "\N{REPLACEMENT CHARACTER}" for c in value[:_MAX_TEXT])


# ---------------------------------------------------------------------- this machine


def _client_expiry(path: Path) -> datetime | None:
    with contextlib.suppress(OSError, *UNREADABLE):
        expires = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
        return expires if expires < datetime.now(UTC) else None
    return None


def _resolver(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError), path.open() as file:
        lines = file.read(_MAX_RESOLVER).splitlines()
        return ", ".join(" ".join(line.split()) for line in lines if line.startswith(("nameserver", "search")))
    return ""
