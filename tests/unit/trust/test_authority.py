"""The CA of our own: what it makes, and where it keeps itself."""

from __future__ import annotations

import ipaddress
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from kubently import trust
from kubently.errors import ConfigError


def _load(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def test_authority_may_sign_leaves_and_nothing_else() -> None:
    cert = _load(trust.make_authority("test").cert)

    basic = cert.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = cert.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    assert (usage.key_cert_sign, usage.crl_sign, usage.digital_signature) == (True, True, False)
    assert cert.subject == cert.issuer
    assert cert.subject.rfc4514_string() == "CN=test"


def test_issued_certificate_names_hosts_and_addresses() -> None:
    authority = trust.make_authority("test")

    pair = trust.issue(authority, ["localhost", "127.0.0.1", "::1"])

    leaf, ca = x509.load_pem_x509_certificates(pair.cert)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("127.0.0.1"),
        ipaddress.ip_address("::1"),
    ]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert ca == _load(authority.cert)
    leaf.verify_directly_issued_by(ca)


def test_key_belongs_to_its_certificate() -> None:
    pair = trust.issue(trust.make_authority("test"), ["localhost"])

    key = serialization.load_pem_private_key(pair.key, password=None)

    public = x509.load_pem_x509_certificates(pair.cert)[0].public_key()
    assert key.public_key() == public


def test_lifetime_counts_from_now_with_room_for_clocks() -> None:
    pair = trust.issue(trust.make_authority("test"), ["localhost"], lifetime=timedelta(hours=1))

    leaf = x509.load_pem_x509_certificates(pair.cert)[0]
    now = datetime.now(UTC)
    assert leaf.not_valid_before_utc < now - timedelta(minutes=4)
    assert now + timedelta(minutes=59) < leaf.not_valid_after_utc <= now + timedelta(hours=1)


def test_serial_numbers_differ() -> None:
    authority = trust.make_authority("test")

    serials = {x509.load_pem_x509_certificates(trust.issue(authority, ["a"]).cert)[0].serial_number for _ in range(3)}

    assert len(serials) == 3


def test_authority_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"

    first = trust.keep_authority(folder, "test")
    second = trust.keep_authority(folder, "another name")

    assert first == second
    assert stat.S_IMODE((folder / "ca.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (folder / "ca.crt").read_bytes() == first.cert


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")

    with pytest.raises(ConfigError, match=f"the CA in {file / 'ca'} cannot be read or made"):
        trust.keep_authority(file / "ca", "test")


def test_key_file_that_was_open_to_others_is_closed(tmp_path: Path) -> None:
    pair = trust.make_authority("test")
    old = os.umask(0)
    try:
        pair.write(tmp_path / "crt", tmp_path / "key")
    finally:
        os.umask(old)

    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
