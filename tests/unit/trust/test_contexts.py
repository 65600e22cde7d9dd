"""Client contexts: each with a real handshake on loopback."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
from tests.unit.trust.servers import serving, tls_answer

from kubently import trust
from kubently.errors import ConfigError


def _dial(port: int, *, ca: str = "", host: str = "localhost") -> str:
    """Connect with TLS and give its version."""
    context = trust.client_context(ca=ca)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        return connection.version() or ""


@pytest.fixture(scope="module")
def authority() -> trust.Pair:
    return trust.make_authority("test")


@pytest.mark.parametrize("as_file", [True, False])
def test_own_ca_is_trusted_as_file_and_as_text(authority: trust.Pair, tmp_path: Path, *, as_file: bool) -> None:
    file = tmp_path / "ca.crt"
    file.write_bytes(authority.cert)

    with serving(tls_answer(trust.issue(authority, ["localhost"]), tmp_path)) as port:
        assert _dial(port, ca=str(file) if as_file else authority.cert.decode()) == "TLSv1.3"


def test_address_is_verified_as_well_as_a_name(authority: trust.Pair, tmp_path: Path) -> None:
    with serving(tls_answer(trust.issue(authority, ["127.0.0.1"]), tmp_path)) as port:
        assert _dial(port, ca=authority.cert.decode(), host="127.0.0.1")


def test_context_verifies_and_wants_tls_1_2() -> None:
    context = trust.client_context()

    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no certificate", "holds no usable certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "holds no usable certificate"),
        (b"\xff\xfe", "neither PEM nor DER"),
        (b"", "is empty"),
    ],
)
def test_ca_file_without_a_certificate(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_bytes(content)

    with pytest.raises(ConfigError, match=message):
        trust.client_context(ca=str(file))


def test_ca_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.crt cannot be read") as caught:
        trust.client_context(ca=str(tmp_path / "none.crt"))

    assert caught.value.hint == "check KUBENTLY_CA_CERT"
