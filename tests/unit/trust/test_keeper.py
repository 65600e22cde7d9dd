"""Changes of what is trusted, and of who we are: taken, refused, taken back."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from kubently import trust
from kubently.errors import ConfigError
from kubently.settings import TrustSettings
from kubently.trust import ClientCertificateError, Keeper

A, B = trust.make_authority("a"), trust.make_authority("b")


class Watched:
    """A keeper, and what it told."""

    def __init__(self, **settings: Any) -> None:
        self.refused: list[ConfigError] = []
        self.loaded = 0
        self.keeper = Keeper(TrustSettings(**settings), on_loaded=self._on_loaded, on_refused=self.refused.append)

    def _on_loaded(self, _: object) -> None:
        self.loaded += 1

    def cas(self) -> set[str]:
        """Common names of the CAs that are trusted now."""
        return {dict(part[0] for part in ca["subject"])["commonName"] for ca in self.keeper.context().get_ca_certs()}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "ca.crt"
    file.write_bytes(A.cert)
    return file


def test_same_context_as_long_as_nothing_changes(file: Path) -> None:
    one = Watched(ca_cert=str(file), ca_exclusive=True)

    first = one.keeper.context()
    file.write_bytes(A.cert)

    assert one.keeper.context() is first
    assert one.loaded == 1


def test_additions_and_removals_are_taken(file: Path) -> None:
    one = Watched(ca_cert=str(file), ca_exclusive=True)

    seen = [one.cas()]
    for content in (A.cert + B.cert, B.cert):
        file.write_bytes(content)
        seen.append(one.cas())

    assert seen == [{"a"}, {"a", "b"}, {"b"}]


def test_change_of_the_same_size_and_time_is_seen(file: Path) -> None:
    one = Watched(ca_cert=str(file), ca_exclusive=True)
    one.keeper.context()
    other = B.cert.ljust(len(A.cert), b"\n")
    before = file.stat()

    file.write_bytes(other)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert one.cas() == {"b"}


def test_link_of_a_mounted_secret_that_is_swapped_is_followed(tmp_path: Path) -> None:
    for name, ca in (("..1", A), ("..2", B)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ca.crt").write_bytes(ca.cert)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "ca.crt").symlink_to("..data/ca.crt")
    by_file = Watched(ca_cert=str(tmp_path / "ca.crt"), ca_exclusive=True)
    by_folder = Watched(ca_cert=str(tmp_path), ca_exclusive=True)
    assert by_file.cas() == by_folder.cas() == {"a"}

    (tmp_path / "..tmp").symlink_to("..2")
    os.replace(tmp_path / "..tmp", tmp_path / "..data")

    assert by_file.cas() == by_folder.cas() == {"b"}


def test_file_added_to_a_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a.crt").write_bytes(A.cert)
    one = Watched(ca_cert=str(tmp_path), ca_exclusive=True)
    assert one.cas() == {"a"}

    (tmp_path / "b.pem").write_bytes(B.cert)

    assert one.cas() == {"a", "b"}


@pytest.mark.parametrize("broken", [b"", b"garbage", A.cert + A.key, None])
def test_broken_change_is_refused_once_and_the_old_kept(broken: bytes | None, file: Path) -> None:
    one = Watched(ca_cert=str(file), ca_exclusive=True)
    first = one.keeper.context()

    if broken is None:
        file.unlink()
    else:
        file.write_bytes(broken)

    assert [one.keeper.context() for _ in range(3)] == [first] * 3
    assert len(one.refused) == 1
    assert str(file) in one.refused[0].message
    file.write_bytes(b"other garbage")
    one.keeper.context()
    assert len(one.refused) == 2
    file.write_bytes(B.cert)
    assert one.cas() == {"b"}


def test_first_that_is_broken_is_an_error_each_time(file: Path) -> None:
    file.write_bytes(b"")
    one = Watched(ca_cert=str(file))

    for _ in range(2):
        with pytest.raises(ConfigError, match="is empty"):
            one.keeper.context()

    assert one.refused == []


def write_pair(folder: Path, cert: bytes, key: bytes) -> dict[str, Path]:
    (folder / "tls.crt").write_bytes(cert)
    (folder / "tls.key").write_bytes(key)
    return {"client_cert": folder / "tls.crt", "client_key": folder / "tls.key"}


def test_half_of_a_renewed_client_pair_is_refused_until_the_other_half_comes(tmp_path: Path) -> None:
    old, new = trust.issue(A, ["old"]), trust.issue(A, ["new"])
    one = Watched(**write_pair(tmp_path, old.cert, old.key))
    first = one.keeper.context()

    (tmp_path / "tls.crt").write_bytes(new.cert)
    half = one.keeper.context()
    (tmp_path / "tls.key").write_bytes(new.key)
    whole = one.keeper.context()

    assert half is first
    assert whole is not first
    assert [error.code for error in one.refused] == ["tls-client-pair"]
    assert "is not the key of the certificate" in one.refused[0].message


@pytest.mark.parametrize(
    ("cert", "key", "words"),
    [
        (b"", A.key, "cannot be used"),
        (A.cert, b"-----BEGIN ENCRYPTED PRIVATE KEY-----", "is encrypted, and there is nobody to ask"),
        (A.cert, b"garbage", "cannot be used"),
        (A.cert, B.key, "is not the key of the certificate"),
    ],
)
def test_client_pair_that_cannot_be_used_is_named(cert: bytes, key: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(ClientCertificateError, match=words) as caught:
        Watched(**write_pair(tmp_path, cert, key)).keeper.context()

    assert str(tmp_path) in caught.value.message


def test_client_pair_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClientCertificateError, match=r"none\.crt of the client certificate cannot be read: No such"):
        Watched(client_cert=tmp_path / "none.crt", client_key=tmp_path / "none.key").keeper.context()


@pytest.mark.parametrize("settings", [{}, {"cert_file": True}, {"ca_exclusive": True}])
def test_rules_are_the_same_whatever_the_sources(settings: dict[str, Any], file: Path) -> None:
    given = {name: file if name == "cert_file" else value for name, value in settings.items()}
    context = Watched(ca_cert=str(file), **given).keeper.context()

    flags = ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST | ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    assert context.verify_flags == flags
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert not context.hostname_checks_common_name
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_unverified_context_accepts_anybody() -> None:
    context = Watched(verify=False).keeper.context()

    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)
