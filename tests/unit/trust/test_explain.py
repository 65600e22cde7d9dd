"""The sentences that need no peer, and that the documentation is complete."""

from __future__ import annotations

import errno
import http.client
import re
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from kubently import trust
from kubently.cli import state
from kubently.trust import Facts

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
