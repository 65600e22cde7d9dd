"""The sentences that need no peer, and that the documentation is complete."""

from __future__ import annotations

import errno
import http.client
import re
import socket
import ssl
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kubently import trust
from kubently.cli import state
from kubently.trust import Facts, facts

PAGE = Path(__file__).resolve().parents[3] / "docs" / "howto" / "trust.md"


def test_page_has_every_code_and_no_other() -> None:
    table = PAGE.read_text().partition("<!-- codes -->")[2].partition("<!-- end -->")[0]

    assert dict(re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", table, flags=re.M)) == dict(trust.CODES)


@pytest.mark.parametrize("code", trust.CODES)
def test_code_says_that_the_api_is_unavailable(code: str) -> None:
    assert state.exit_code(code) == state.UNAVAILABLE


@pytest.mark.parametrize(
    ("error", "url", "code", "message"),
    [
        (TimeoutError(), "https://h", "dial-timeout", "https://h did not answer in time"),
        (ConnectionRefusedError(111, "x"), "https://h", "dial-refused", "nothing listens at https://h"),
        (
            OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1'), [Errno 111] Connect call failed"),
            "https://h",
            "dial-refused",
            "nothing listens at https://h",
        ),
        (ConnectionResetError(104, "reset"), "http://h", "dial-closed", "http://h closed the connection"),
        (ConnectionResetError(104, "reset"), "https://h", "tls-cut", "https://h cut the connection"),
        (http.client.RemoteDisconnected("gone"), "https://h", "dial-closed", "https://h closed the connection"),
        (socket.gaierror(-3, "Temporary failure"), "https://h:1", "dial-dns", "the name h of https://h:1 is not found"),
        (OSError(errno.EHOSTUNREACH, "No route"), "https://h", "dial-failed", "https://h cannot be reached: No route"),
        (OSError("odd"), "https://h", "dial-failed", "https://h cannot be reached: odd"),
        (http.client.BadStatusLine("SSH-2.0"), "http://h", "dial-no-answer", "http://h did not answer as HTTP"),
        (ssl.SSLError(1, "[SSL: NO_CIPHERS] x"), "https://h", "tls-handshake", "the TLS handshake with https://h"),
        (ssl.SSLError(1, "UNRECOGNIZED_NAME"), "https://h:1/p", "tls-unknown-name", "https://h:1/p knows no host h"),
    ],
)
def test_connection_that_failed(error: Exception, url: str, code: str, message: str) -> None:
    said = trust.explain(error, url)

    assert said.code == code
    assert said.message.startswith(message)
    assert said.hint


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (9, "tls-not-yet-valid"),
        (10, "tls-expired"),
        (18, "tls-self-signed"),
        (19, "tls-unknown-ca"),
        (20, "tls-unknown-ca"),
        (26, "tls-wrong-usage"),
        (62, "tls-wrong-host"),
        (64, "tls-ip-in-url"),
        (66, "tls-weak"),
        (79, "tls-bad-signer"),
        (85, "tls-not-conformant"),
        (23, "tls-refused"),
    ],
)
def test_certificate_of_which_nothing_more_is_known(number: int, code: str) -> None:
    """The probe may find nobody there any more."""
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = number, "openssl's words"

    said = trust.explain(error, "https://h")

    assert said.code == code
    assert "https://h" in said.message
    assert said.hint


@pytest.mark.parametrize(("sends", "code"), [(False, "tls-handshake"), (True, "tls-client-cert-refused")])
def test_alert_about_a_certificate_is_about_ours_only_where_we_have_one(*, sends: bool, code: str) -> None:
    error = ssl.SSLError(1, "[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca")

    assert trust.explain(error, "https://h", Facts(sends_client=sends)).code == code


def test_resolver_is_named_when_a_name_is_not_found() -> None:
    said = trust.explain(
        socket.gaierror(-2, "Name or service not known"), "https://h", Facts(resolver="search a.b, nameserver 10.0.0.1")
    )

    assert said.message.endswith("; this machine asks search a.b, nameserver 10.0.0.1")


def test_client_and_trust_are_imported_without_cryptography() -> None:
    """It takes longer than a request: only a failure imports it."""
    code = "import sys, kubently.client, kubently.trust; print('cryptography' in sys.modules)"

    out = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)

    assert out.stdout == "False\n"


def certificate(**more: object) -> facts.Certificate:
    now = datetime.now(UTC)
    known = {"subject": "api.example", "issuer": "Root", "names": (), "not_before": now, "not_after": now}
    told = {"self_signed": False, "sha256": "00", "key": "RSA 2048", **known, **more}
    return facts.Certificate(**told)  # type: ignore[arg-type]


def refused(number: int, *presented: facts.Certificate) -> trust.Explanation:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = number, "said OpenSSL"
    return trust.explain(error, "https://api.example", Facts(presented=presented, trusted=1))


@pytest.mark.parametrize("number", [18, 19, 20])
@pytest.mark.parametrize(
    ("issuer", "organisation", "product"),
    [
        ("Zscaler Intermediate Root CA (zscaler.net) (t)", "Zscaler Inc.", "Zscaler"),
        ("ca.acme.goskope.com", "Acme", "Netskope"),
        ("FG100E4Q17000000", "Fortinet", "Fortinet"),
        ("Cisco Umbrella Secondary SubCA lax-SG", "Cisco", "Cisco Umbrella"),
    ],
)
def test_a_product_that_inspects_is_named(number: int, issuer: str, organisation: str, product: str) -> None:
    said = refused(number, certificate(issuer=issuer, issuer_organisation=organisation))

    assert said.code == "tls-inspected"
    assert said.message.startswith(f"{product} inspects TLS on the way to https://api.example: ")
    assert issuer in said.message


@pytest.mark.parametrize("issuer", ["Corporate Root", "hiboss.example", "Amazon RSA 2048 M02"])
def test_a_ca_that_is_no_products_is_unknown(issuer: str) -> None:
    assert refused(20, certificate(issuer=issuer)).code == "tls-unknown-ca"


def test_a_weak_digest_is_named() -> None:
    said = refused(68, certificate(signature="SHA-1"))

    assert said.code == "tls-weak"
    assert "RSA 2048 signed with SHA-1" in said.message


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (socket.EAI_NONAME, "there is no such name, or it has no address; this machine asks search a.example"),
        (socket.EAI_AGAIN, "the name servers give no answer; this machine asks search a.example"),
    ],
)
def test_a_name_that_is_none_differs_from_name_servers_that_fail(number: int, words: str) -> None:
    said = trust.explain(socket.gaierror(number, "x"), "https://h", Facts(resolver="search a.example"))

    assert said.code == "dial-dns"
    assert said.message.endswith(words)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"default backend - 404", "default backend of an ingress controller"),
        (b"404 page not found\n", "an ingress controller without a route"),
        (b"no such /.well-known/acme-challenge/", "a solver of ACME challenges"),
        (b"other", "no Kubently API at that path"),
    ],
)
def test_who_answers_404_is_told_apart(body: bytes, words: str) -> None:
    said = trust.explain_answer("https://h", 404, body)

    assert said is not None
    assert said.code == "not-kubently"
    assert words in said.message
