"""A served certificate follows its files, and never to a pair that cannot be used."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from kubently import trust
from kubently.errors import ConfigError


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "tls.crt", tmp_path / "tls.key"


def pair(*, days: int = 1) -> trust.Pair:
    return trust.issue(trust.make_authority("test"), ["localhost"], lifetime=timedelta(days=days))


def shown(certificate: trust.ServedCertificate) -> bytes:
    """The leaf that a new handshake gets."""
    ours, theirs = socket.socketpair()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    server = threading.Thread(target=lambda: certificate.context.wrap_socket(theirs, server_side=True).close())
    server.start()
    with client.wrap_socket(ours) as connection:
        leaf = connection.getpeercert(binary_form=True)
    server.join(10)
    assert leaf
    return leaf


def leaf_of(made: trust.Pair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(made.cert.decode().partition("-----END CERTIFICATE-----")[0] + _END)


_END = "-----END CERTIFICATE-----\n"


def test_new_files_are_shown_to_new_handshakes(files: tuple[Path, Path]) -> None:
    first, second = pair(), pair(days=7)
    first.write(*files)
    certificate = trust.ServedCertificate(*files)
    assert shown(certificate) == leaf_of(first)
    before = certificate.not_after

    second.write(*files)

    assert certificate.refresh()
    assert shown(certificate) == leaf_of(second)
    assert certificate.not_after > before
    assert not certificate.refresh(), "it is known by now"


def test_half_a_change_is_refused_until_it_is_whole(files: tuple[Path, Path]) -> None:
    first, second = pair(), pair()
    first.write(*files)
    certificate = trust.ServedCertificate(*files)

    files[0].write_bytes(second.cert)
    assert not certificate.refresh()
    assert "KEY_VALUES_MISMATCH" in certificate.problem
    assert shown(certificate) == leaf_of(first)

    files[1].write_bytes(second.key)
    assert certificate.refresh()
    assert certificate.problem == ""
    assert shown(certificate) == leaf_of(second)


@pytest.mark.parametrize("content", [b"", b"nonsense", f"-----BEGIN CERTIFICATE-----\nAAAA\n{_END}".encode()])
def test_what_is_no_certificate_is_refused_and_the_old_one_kept(content: bytes, files: tuple[Path, Path]) -> None:
    first = pair()
    first.write(*files)
    certificate = trust.ServedCertificate(*files)

    files[0].write_bytes(content)

    assert not certificate.refresh()
    assert certificate.problem
    assert shown(certificate) == leaf_of(first)


def test_a_file_that_is_away_for_a_while_does_no_harm(files: tuple[Path, Path]) -> None:
    first = pair()
    first.write(*files)
    certificate = trust.ServedCertificate(*files)

    files[1].unlink()
    assert not certificate.refresh()
    assert "cannot be read" in certificate.problem
    first.write(*files)
    certificate.refresh()

    assert certificate.problem == ""
    assert shown(certificate) == leaf_of(first)


def test_at_the_start_there_is_no_old_one_to_keep(files: tuple[Path, Path]) -> None:
    pair().write(*files)
    files[1].write_bytes(pair().key)

    with pytest.raises(ConfigError, match="cannot be used"):
        trust.ServedCertificate(*files)


def test_old_versions_and_weak_suites_are_not_offered(files: tuple[Path, Path]) -> None:
    pair().write(*files)
    context = trust.ServedCertificate(*files).context

    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert all("ECDHE" in cipher["name"] or cipher["protocol"] == "TLSv1.3" for cipher in context.get_ciphers())
