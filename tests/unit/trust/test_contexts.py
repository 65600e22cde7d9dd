"""Client contexts, and what failed dials mean in words: each with a real handshake on loopback."""

from __future__ import annotations

import socket
import ssl
from datetime import timedelta
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


def _explained(port: int, *, ca: str = "", host: str = "localhost") -> tuple[str, str]:
    with pytest.raises(OSError) as caught:
        _dial(port, ca=ca, host=host)
    return trust.explain(caught.value, "https://kubently.example")


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


def test_unknown_ca(authority: trust.Pair, tmp_path: Path) -> None:
    with serving(tls_answer(trust.issue(authority, ["localhost"]), tmp_path)) as port:
        message, hint = _explained(port)

    assert message.startswith("the certificate of https://kubently.example is signed by a CA that is not trusted here")
    assert "KUBENTLY_CA_CERT" in hint


def test_another_ca_of_the_same_name(authority: trust.Pair, tmp_path: Path) -> None:
    other = trust.make_authority("test").cert.decode()

    with serving(tls_answer(trust.issue(authority, ["localhost"]), tmp_path)) as port:
        message, _ = _explained(port, ca=other)

    assert "https://kubently.example" in message


def test_expired(authority: trust.Pair, tmp_path: Path) -> None:
    expired = trust.issue(authority, ["localhost"], lifetime=timedelta(minutes=-1))

    with serving(tls_answer(expired, tmp_path)) as port:
        message, hint = _explained(port, ca=authority.cert.decode())

    assert message == "the certificate of https://kubently.example has expired"
    assert hint == "renew it, and check the clock on both ends"


@pytest.mark.parametrize(("names", "host"), [(["localhost"], "other.example"), (["localhost"], "127.0.0.2")])
def test_another_name(authority: trust.Pair, tmp_path: Path, names: list[str], host: str) -> None:
    with serving(tls_answer(trust.issue(authority, names), tmp_path)) as port:
        message, hint = _explained(port, ca=authority.cert.decode(), host=host)

    assert message.startswith("the certificate of https://kubently.example is for another name")
    assert host in message
    assert hint == "use a name that the certificate lists"


def test_no_tls_there() -> None:
    def plain(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.recv(65536)

    with serving(plain) as port:
        message, hint = _explained(port)

    assert message == "https://kubently.example does not speak TLS on that port"
    assert "http://" in hint


def test_old_tls_only(authority: trust.Pair, tmp_path: Path) -> None:
    pair = trust.issue(authority, ["localhost"])
    pair.write(tmp_path / "crt", tmp_path / "key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    client = trust.client_context(ca=authority.cert.decode())
    client.maximum_version = ssl.TLSVersion.TLSv1_2

    def answer(connection: socket.socket) -> None:
        context.wrap_socket(connection, server_side=True)

    with (
        serving(answer) as port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        pytest.raises(ssl.SSLError) as caught,
    ):
        client.wrap_socket(plain, server_hostname="localhost")

    message, hint = trust.explain(caught.value, "https://kubently.example")
    assert message.startswith("the TLS handshake with https://kubently.example failed")
    assert hint == "check both ends' TLS versions"


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    message, hint = _explained(port)

    assert message == "nothing listens at https://kubently.example"
    assert "whether the API runs" in hint


@pytest.mark.parametrize(
    ("error", "url", "message"),
    [
        (TimeoutError(), "https://h", "https://h did not answer in time"),
        (ConnectionResetError(), "http://h", "http://h closed the connection"),
        (ConnectionResetError(104, "Connection reset by peer"), "https://h", "https://h cannot be reached: Connection"),
        (socket.gaierror(-2, "Name or service not known"), "https://h", "https://h cannot be reached: Name or service"),
        (OSError("odd"), "https://h", "https://h cannot be reached: odd"),
    ],
)
def test_other_failures(error: OSError, url: str, message: str) -> None:
    said, hint = trust.explain(error, url)

    assert said.startswith(message)
    assert hint


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (9, "is not valid yet"),
        (10, "has expired"),
        (18, "signed by a CA that is not trusted here"),
        (64, "is for another name"),
        (23, "was refused"),
    ],
)
def test_reasons_of_verification(code: int, message: str) -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "openssl's words"

    assert message in trust.explain(error, "https://h")[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no certificate", "holds no usable certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "holds no usable certificate"),
        (b"\xff\xfe", "cannot be read"),
        (b"", "holds no usable certificate"),
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
