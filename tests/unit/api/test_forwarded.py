"""What proxies say counts when they are trusted, and is noise from anybody else."""

from __future__ import annotations

import base64
import ipaddress
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubently import trust
from kubently.api.forwarded import client_address, client_certificate
from kubently.errors import ExecutorCertificateError

TRUSTED = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))
PEM = trust.make_authority("a proxy's client").cert
DER = base64.b64decode(b"".join(PEM.splitlines()[1:-1]))
ESCAPED = quote(PEM.decode(), safe="")


def scope(peer: str | None, *headers: tuple[str, str]) -> dict[str, Any]:
    client = (peer, 40000) if peer else None
    return {"client": client, "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers]}


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.1.2.3", ["198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["198.51.100.1, 10.9.9.9"], "198.51.100.1"),
        ("10.1.2.3", ["6.6.6.6, 198.51.100.1, 10.9.9.9"], "198.51.100.1"),
        ("10.1.2.3", ["6.6.6.6", "198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["10.9.9.9"], "10.9.9.9"),
        ("10.1.2.3", ["unknown"], "10.1.2.3"),
        ("10.1.2.3", ["fe80::1%any text, 10.9.9.9"], "10.9.9.9"),
        ("10.1.2.3", ["198.51.100.1, <script>"], "10.1.2.3"),
        ("::ffff:10.1.2.3", ["198.51.100.1"], "198.51.100.1"),
        ("fd00::1", ["2001:db8::7"], "2001:db8::7"),
        (None, ["198.51.100.1"], ""),
    ],
)
def test_the_address_is_the_last_that_no_trusted_proxy_has(
    peer: str | None, forwarded: list[str], address: str
) -> None:
    headers = [("x-forwarded-for", value) for value in forwarded]
    assert client_address(scope(peer, *headers), TRUSTED) == address


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("client-cert", f":{base64.b64encode(DER).decode()}:"),
        ("ssl-client-cert", ESCAPED),
        ("x-forwarded-client-cert", f'Hash=ab;Cert="{ESCAPED}";Subject="O=a,CN=b"'),
        ("x-forwarded-client-cert", f'Cert="aaaa",By=spiffe://x;Cert="{ESCAPED}"'),
    ],
)
def test_a_certificate_counts_from_a_trusted_proxy_only(header: str, value: str) -> None:
    assert client_certificate(scope("10.1.2.3", (header, value)), header, TRUSTED) == DER
    assert client_certificate(scope("203.0.113.9", (header, value)), header, TRUSTED) is None
    assert client_certificate(scope("10.1.2.3", (header, value)), header, ()) is None
    assert client_certificate(scope("10.1.2.3", (header, value)), "none", TRUSTED) is None


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("client-cert", ["no colons"]),
        ("client-cert", [":***:"]),
        ("client-cert", [":"]),
        ("ssl-client-cert", ["-----BEGIN CERTIFICATE-----"]),
        ("ssl-client-cert", ["x" * 40_000]),
        ("ssl-client-cert", [ESCAPED, ESCAPED]),
        ("x-forwarded-client-cert", ['Hash=ab;Subject="CN=prod"']),
        ("x-forwarded-client-cert", [f'Cert="{ESCAPED}",Hash=ab']),  # the last hop vouches for no certificate
    ],
)
def test_one_that_cannot_be_read_is_refused_and_not_taken_for_none(header: str, values: list[str]) -> None:
    with pytest.raises(ExecutorCertificateError):
        client_certificate(scope("10.1.2.3", *((header, value) for value in values)), header, TRUSTED)


@pytest.mark.parametrize("header", ["client-cert", "ssl-client-cert", "x-forwarded-client-cert"])
def test_an_empty_header_is_no_certificate(header: str) -> None:
    assert client_certificate(scope("10.1.2.3", (header, " ")), header, TRUSTED) is None


@given(st.sampled_from(["client-cert", "ssl-client-cert", "x-forwarded-client-cert"]), st.binary(max_size=2000))
def test_no_bytes_crash_the_reader(header: str, value: bytes) -> None:
    hostile = {"client": ("10.1.2.3", 1), "headers": [(header.encode(), value)]}
    try:
        client_certificate(hostile, header, TRUSTED)
    except ExecutorCertificateError:
        pass
