"""What a failed connection means: a stable code, one sentence with what was observed, and one thing to do.

Every code stands in `CODES`, from which the documentation is made. Nothing is looked up here: the facts are given.
"""

from __future__ import annotations

import errno
import http.client
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from kubently.trust import inspection
from kubently.trust.facts import Certificate, Facts

CODES: Mapping[str, str] = {
    "tls-expired": "A certificate of the API's chain has expired.",
    "tls-not-yet-valid": "A certificate of the API's chain is not valid yet.",
    "tls-wrong-host": "The API's certificate is for other names.",
    "tls-no-san": "The API's certificate has no subjectAltName; a common name is not read.",
    "tls-ip-in-url": "The URL has an address, which the API's certificate does not list.",
    "tls-self-signed": "The API shows a self-signed certificate, which is not trusted.",
    "tls-unknown-ca": "The API's certificate is signed by a CA that is not trusted.",
    "tls-inspected": "A product that inspects TLS on the way signs the certificate that is shown.",
    "tls-missing-intermediate": "The API does not send an intermediate certificate of its chain.",
    "tls-weak": "A key or signature of the API's chain is too weak.",
    "tls-bad-signer": "A certificate of the API's chain may not sign others, or not so deep.",
    "tls-wrong-usage": "The API's certificate is not for servers.",
    "tls-not-conformant": "The chain lacks what strict verification wants, such as key identifiers.",
    "tls-refused": "The API's certificate was refused for another reason.",
    "tls-client-cert-required": "The API wants a client certificate, and none is configured.",
    "tls-client-cert-refused": "The API does not accept our client certificate.",
    "tls-client-cert-expired": "Our client certificate has expired.",
    "tls-version": "The API offers no TLS version that is accepted here.",
    "tls-unknown-name": "The API's TLS end does not know the name that is asked for (SNI).",
    "tls-plain-http": "An https URL leads to a port that speaks plain HTTP.",
    "tls-not-spoken": "An https URL leads to a port that does not speak TLS.",
    "tls-expected": "An http URL leads to a port that speaks TLS.",
    "tls-cut": "The connection was cut during or right after the TLS handshake.",
    "tls-handshake": "The TLS handshake failed for another reason.",
    "dial-dns": "The host's name is not found.",
    "dial-refused": "Nothing listens at the address.",
    "dial-timeout": "There was no answer in time.",
    "dial-closed": "The connection was closed without an answer.",
    "dial-no-answer": "What answered is no HTTP.",
    "dial-failed": "The address cannot be reached.",
}
"""Every code, and what it means."""

# The subjects of the certificates that ingress-nginx and Traefik make for hosts that they have none for.
_DEFAULTS = ("Kubernetes Ingress Controller Fake Certificate", "TRAEFIK DEFAULT CERT")

_CLIENT_ALERTS = (
    "ALERT_UNKNOWN_CA", "ALERT_BAD_CERTIFICATE", "ALERT_CERTIFICATE_", "ALERT_UNSUPPORTED_CERTIFICATE",
    "ALERT_ACCESS_DENIED", "ALERT_DECRYPT_ERROR",
)  # fmt: skip
_VERSION_REASONS = ("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "VERSION_TOO_LOW", "WRONG_SSL_VERSION")
_NO_TLS_REASONS = ("WRONG_VERSION_NUMBER", "UNEXPECTED_MESSAGE", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a connection failed."""

    code: str
    message: str
    """What happened, with what was observed; a sentence without a full stop."""
    hint: str
    """The one thing to do."""


def explain(error: Exception, url: str, facts: Facts | None = None) -> Explanation:
    """Say what *error* means, which came of connecting to *url*."""
    case = _Case(error, url, facts or Facts())
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFICATION.get(error.verify_code, _refused)(case)
    if case.url.startswith(("http://", "ws://")) and case.facts.speaks == "tls":
        return Explanation("tls-expected", f"{url} speaks TLS on that port", "write https:// in the URL")
    if isinstance(error, ssl.SSLError):
        return _handshake(case)
    if not isinstance(error, OSError):
        return Explanation("dial-no-answer", f"{url} did not answer as HTTP: {str(error)[:200]!r}", "check the URL")
    return _connection(error, case)


@dataclass(frozen=True, slots=True)
class _Case:
    error: Exception
    url: str
    facts: Facts

    @property
    def host(self) -> str:
        return self.facts.server_name or urlsplit(self.url).hostname or self.url

    @property
    def leaf(self) -> Certificate | None:
        return self.facts.presented[0] if self.facts.presented else None

    @property
    def reason(self) -> str:
        error = self.error
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message or str(error)
        return str(getattr(error, "reason", None) or error)

    def which(self, certificate: Certificate | None) -> str:
        """The words for one certificate of the chain."""
        if certificate is None or certificate is self.leaf:
            return f"the certificate of {self.url}"
        return f'the certificate "{certificate.subject}" in the chain of {self.url}'


# ---------------------------------------------------------------------- certificates


def _expired(case: _Case) -> Explanation:
    found = next((c for c in case.facts.presented if c.not_after < case.facts.now), None)
    when = f" {_ago(found.not_after, case.facts.now)} ago ({_date(found.not_after)})" if found else ""
    verb = "expired" if found else "has expired"
    if found is None and case.facts.presented:
        message = f"a trusted CA above the certificate of {case.url} has expired"
        return Explanation("tls-expired", message, "replace it in KUBENTLY_CA_CERT by the CA's new certificate")
    return Explanation(
        "tls-expired",
        f"{case.which(found)} {verb}{when}",
        f"renew it where the API's TLS ends; if it is new, correct the clock here ({_date(case.facts.now)})",
    )


def _not_yet_valid(case: _Case) -> Explanation:
    found = next((c for c in case.facts.presented if c.not_before > case.facts.now), None)
    when = f"is valid only from {_date(found.not_before)}" if found else "is not valid yet"
    return Explanation(
        "tls-not-yet-valid",
        f"{case.which(found)} {when}; the clock here says {_date(case.facts.now)}",
        "correct the clock here, or that of whoever issued the certificate",
    )


def _wrong_host(case: _Case) -> Explanation:
    if case.leaf and not case.leaf.names:
        return Explanation(
            "tls-no-san",
            f'the certificate of {case.url} lists no names: "{case.leaf.subject}" stands in its common name, '
            "which is not read",
            "issue it anew with subjectAltName",
        )
    names = f": it is for {', '.join(case.leaf.names)}, not for {case.host}" if case.leaf else f" ({case.reason})"
    return Explanation(
        "tls-wrong-host",
        f"the certificate of {case.url} is for another name{names}",
        "use a name that the certificate lists, in the URL or as KUBENTLY_TLS_SERVER_NAME",
    )


def _wrong_address(case: _Case) -> Explanation:
    if case.leaf and not case.leaf.names:
        return _wrong_host(case)
    names = f"it is for {', '.join(case.leaf.names)}" if case.leaf else case.reason
    return Explanation(
        "tls-ip-in-url",
        f"the certificate of {case.url} does not list the address {case.host}: {names}",
        "use a name that the certificate lists, in the URL or as KUBENTLY_TLS_SERVER_NAME",
    )


def _inspected(case: _Case, product: str) -> Explanation:
    leaf = case.facts.presented[0]
    return Explanation(
        "tls-inspected",
        f'{product} inspects TLS on the way to {case.url}: "{leaf.issuer}", which is not trusted here, signs what it '
        "shows",
        f"let {product} pass {case.host} uninspected; or trust its CA with KUBENTLY_CA_CERT (or --ca), and so let it "
        "read all",
    )


def _self_signed(case: _Case) -> Explanation:
    if product := inspection.product_of(case.facts.presented):
        return _inspected(case, product)
    if case.leaf is None:
        return Explanation(
            "tls-self-signed",
            f"{case.url} shows a self-signed certificate that is not trusted here",
            "trust it with KUBENTLY_CA_CERT (or --ca)",
        )
    shown = f'"{case.leaf.subject}", SHA-256 {case.leaf.sha256}'
    if case.leaf.subject in _DEFAULTS:
        return Explanation(
            "tls-self-signed",
            f"{case.url} shows an ingress controller's default certificate ({shown})",
            f"give the ingress a TLS Secret that exists and names {case.host}",
        )
    return Explanation(
        "tls-self-signed",
        f"{case.url} shows a self-signed certificate that is not trusted here ({shown})",
        "trust it with KUBENTLY_CA_CERT (or --ca); if it is an ingress controller's default certificate, the TLS "
        f"Secret for {case.host} is missing",
    )


def _unknown_ca(case: _Case) -> Explanation:
    facts, said = case.facts, f"the certificate of {case.url} is signed by a CA that is not trusted here"
    if product := inspection.product_of(facts.presented):
        return _inspected(case, product)
    fix = "give its CA with KUBENTLY_CA_CERT (or --ca)"
    if not case.leaf:
        return Explanation("tls-unknown-ca", f"{said} ({case.reason})", fix)
    if facts.missing and facts.gap:
        return Explanation(
            "tls-missing-intermediate",
            f'{case.url} sends an incomplete chain: "{facts.missing}", which signed "{case.leaf.subject}" or the '
            f"last of its chain, is not in it; {facts.gap}",
            "put the intermediate certificates behind the API's own in its tls.crt",
        )
    name = facts.missing or facts.presented[-1].subject
    if facts.missing_is_trusted:
        return Explanation("tls-unknown-ca", f'{said}: "{name}" is trusted with another key', fix)
    alone = f"{fix}; if it is an intermediate, the API must send it too" if len(facts.presented) == 1 else fix
    return Explanation("tls-unknown-ca", f'{said}: "{name}" is not among the {facts.trusted} CAs that are', alone)


def _weak(case: _Case) -> Explanation:
    keys = f": {', '.join(map(_strength, case.facts.presented))}" if case.facts.presented else ""
    return Explanation(
        "tls-weak",
        f"a key or signature in the chain of {case.url} is too weak ({case.reason}{keys})",
        "issue the certificate anew with ECDSA P-256 or RSA 2048, and SHA-256",
    )


def _strength(certificate: Certificate) -> str:
    return f"{certificate.key} signed with {certificate.signature}" if certificate.signature else certificate.key


def _bad_signer(case: _Case) -> Explanation:
    signer = case.leaf.issuer if case.leaf else ""
    who = f'"{signer}", which signed the certificate of {case.url},' if signer else f"a signer of {case.url}"
    return Explanation(
        "tls-bad-signer",
        f"{who} may not sign it ({case.reason})",
        "sign with a CA certificate: CA:TRUE, keyCertSign, and a path length that suffices",
    )


def _wrong_usage(case: _Case) -> Explanation:
    return Explanation(
        "tls-wrong-usage",
        f"the certificate of {case.url} is not for servers ({case.reason})",
        "issue it anew with the extended key usage serverAuth",
    )


def _not_conformant(case: _Case) -> Explanation:
    return Explanation(
        "tls-not-conformant",
        f"the chain of {case.url} lacks what strict verification wants ({case.reason})",
        "issue the CA anew with subject and authority key identifiers",
    )


def _refused(case: _Case) -> Explanation:
    return Explanation(
        "tls-refused",
        f"the certificate of {case.url} was refused: {case.reason}",
        "check the chain with openssl s_client -showcerts",
    )


# By X509_V_ERR_* of OpenSSL's x509_vfy.h.
_VERIFICATION: Mapping[int, Callable[[_Case], Explanation]] = {
    **dict.fromkeys((2, 7, 19, 20, 21, 30), _unknown_ca),
    9: _not_yet_valid,
    10: _expired,
    18: _self_signed,
    **dict.fromkeys((25, 32, 79), _bad_signer),
    26: _wrong_usage,
    62: _wrong_host,
    64: _wrong_address,
    **dict.fromkeys((66, 67, 68), _weak),
    **dict.fromkeys(range(80, 95), _not_conformant),
}


# ---------------------------------------------------------------------- handshakes


def _handshake(case: _Case) -> Explanation:
    url, reason, facts = case.url, case.reason, case.facts
    if any(words in reason for words in _NO_TLS_REASONS):
        return _no_tls(case)
    if any(words in reason for words in _VERSION_REASONS):
        return Explanation(
            "tls-version",
            f"{url} offers no TLS version that is accepted here, {facts.min_version} or later ({reason})",
            f"let the API's TLS end speak TLS {facts.min_version} or later",
        )
    if "UNRECOGNIZED_NAME" in reason:
        return Explanation(
            "tls-unknown-name",
            f"{url} knows no host {case.host} (SNI)",
            "use a name that it serves, in the URL or as KUBENTLY_TLS_SERVER_NAME",
        )
    if "CERTIFICATE_REQUIRED" in reason or facts.wants_client or _is_about_client(reason, facts):
        return client_refusal(url, reason, facts)
    if isinstance(case.error, ssl.SSLEOFError) or "UNEXPECTED_EOF" in reason:
        return _cut(case)
    return Explanation(
        "tls-handshake", f"the TLS handshake with {url} failed: {reason}", "check both ends' TLS versions and ciphers"
    )


def _no_tls(case: _Case) -> Explanation:
    if case.facts.speaks == "http":
        return Explanation(
            "tls-plain-http",
            f"{case.url} does not speak TLS on that port, but plain HTTP",
            "use the port that serves TLS; or http://, only where the network is trusted",
        )
    return Explanation(
        "tls-not-spoken",
        f"{case.url} does not speak TLS on that port",
        "check the port, or use http:// for a plain listener",
    )


def _is_about_client(reason: str, facts: Facts) -> bool:
    if "ALERT_BAD_CERTIFICATE" in reason:  # of none, too: Go's servers before 1.20 say so of a missing one
        return True
    return facts.sends_client and any(words in reason for words in _CLIENT_ALERTS)


def client_refusal(url: str, reason: str, facts: Facts) -> Explanation:
    """What *url* has against our client certificate, or against there being none: of an alert, or of nginx's 400."""
    if not facts.sends_client:
        return Explanation(
            "tls-client-cert-required",
            f"{url} wants a client certificate, and none is configured ({reason})",
            "set KUBENTLY_CLIENT_CERT and KUBENTLY_CLIENT_KEY",
        )
    if facts.client_expired_at:
        since = _ago(facts.client_expired_at, facts.now)
        return Explanation(
            "tls-client-cert-expired",
            f"{url} does not accept our client certificate: it expired {since} ago ({_date(facts.client_expired_at)})",
            "renew the certificate in KUBENTLY_CLIENT_CERT",
        )
    return Explanation(
        "tls-client-cert-refused",
        f"{url} does not accept our client certificate ({reason})",
        "have it signed by the CA that the API trusts for clients",
    )


def _cut(case: _Case) -> Explanation:
    return Explanation(
        "tls-cut",
        f"{case.url} cut the connection during or right after the TLS handshake",
        "look for a firewall or proxy that inspects TLS; a server that wants a client certificate may do so too",
    )


# ---------------------------------------------------------------------- connections


def _connection(error: OSError, case: _Case) -> Explanation:
    url = case.url
    if isinstance(error, socket.gaierror):
        where = f"; this machine asks {case.facts.resolver}" if case.facts.resolver else ""
        name = f"the name {urlsplit(url).hostname} of {url} is not found ({error.strerror or error})"
        if error.errno == socket.EAI_AGAIN:
            # SERVFAIL, or no answer at all: the C library does not tell them apart.
            return Explanation(
                "dial-dns",
                f"{name}: the name servers give no answer{where}",
                "check that the name servers can be reached from here, and those of the name's domain",
            )
        return Explanation(
            "dial-dns",
            f"{name}: there is no such name, or it has no address{where}",
            "check the name and its spelling, and whether it is known in this network only elsewhere",
        )
    if isinstance(error, TimeoutError):
        return Explanation(
            "dial-timeout",
            f"{url} did not answer in time",
            "check the address, and firewalls, network policies and proxies on the way",
        )
    if isinstance(error, ConnectionRefusedError) or _numbers(error) == {errno.ECONNREFUSED}:
        return Explanation("dial-refused", f"nothing listens at {url}", "check the address and whether the API runs")
    if isinstance(error, ConnectionError) and case.facts.wants_client:
        return client_refusal(url, case.reason, case.facts)
    if isinstance(error, http.client.RemoteDisconnected) or url.startswith(("http://", "ws://")):
        if isinstance(error, ConnectionError):
            hint = "check what stands between here and the API" if url.startswith(("https", "wss")) else _TRY_HTTPS
            return Explanation("dial-closed", f"{url} closed the connection", hint)
    elif isinstance(error, ConnectionError):
        return _cut(case)
    return Explanation(
        "dial-failed", f"{url} cannot be reached: {error.strerror or error}", "check the address, and the routes to it"
    )


_TRY_HTTPS = "it may speak TLS there: try https://"


def _numbers(error: OSError) -> set[int]:
    """The numbers in the text of an error that stands for several: asyncio says so when no address could be reached."""
    return {int(number) for number in re.findall(r"\[Errno (\d+)\]", str(error))}


# ---------------------------------------------------------------------- time


def _date(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"


def _ago(instant: datetime, now: datetime) -> str:
    seconds = (now - instant).total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"
