"""Reading certificates to trust: what counts, and what is refused by name."""

from __future__ import annotations

import ssl
import time
from datetime import timedelta
from pathlib import Path

import pytest

from kubently import trust
from kubently.settings import TrustSettings
from kubently.trust import sources
from kubently.trust.sources import CertificateSourceError, Piece

A, B = trust.make_authority("a"), trust.make_authority("b")
LEAF = trust.issue(A, ["localhost"]).cert.removesuffix(A.cert)
KEY = A.key
NOW = time.time()


def der(pem: bytes) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.decode())


def read(**settings: object) -> list[bytes]:
    pieces = sources.read(TrustSettings(**settings))  # type: ignore[arg-type]
    return [certificate for piece in pieces for certificate in sources.parse(piece, now=NOW).certificates]


@pytest.mark.parametrize(
    ("content", "count"),
    [
        (A.cert, 1),
        (A.cert + B.cert, 2),
        (b"# a comment\n\n" + A.cert.replace(b"\n", b"\r\n") + b"words between\n" + B.cert, 2),
        (A.cert.rstrip(), 1),
        (der(A.cert), 1),
    ],
)
def test_certificates_of_a_file_are_read(content: bytes, count: int, tmp_path: Path) -> None:
    file = tmp_path / "ca"
    file.write_bytes(content)

    assert read(ca_cert=str(file)) == [der(A.cert), der(B.cert)][:count]


def test_certificates_are_counted() -> None:
    found = sources.parse(Piece("x", A.cert + B.cert + LEAF), now=NOW)
    late = sources.parse(Piece("x", A.cert + B.cert), now=NOW + timedelta(days=4000).total_seconds())

    assert (len(found.certificates), found.expired, found.not_ca) == (3, 0, 1)
    assert (len(late.certificates), late.expired, late.not_ca) == (2, 2, 0)
    assert str(found) == "3 loaded, 0 expired, 1 not CA: x"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"hello", "neither PEM nor DER"),
        (b"\x30\x03\x02\x01\x01", "block 1 is none"),
        (der(A.cert)[:-1], "block 1 is none"),
        (der(A.cert) + b"\x00", "block 1 is none"),
        (A.cert[:-30], "a block has no end"),
        (A.cert + B.cert[:100], "a block has no end"),
        (A.cert.replace(b"M", b"*", 1), "block 1 is no base64"),
        (A.cert + LEAF.replace(b"CERTIFICATE", b"X509 CRL"), "block 2 is a X509 CRL"),
        (A.cert + KEY, "holds a private key"),
        (KEY, "holds a private key"),
        (KEY[:-20], "holds a private key"),
    ],
)
def test_what_is_no_certificate_is_refused_with_file_and_cause(content: bytes, words: str, tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_bytes(content)

    with pytest.raises(CertificateSourceError) as caught:
        read(ca_cert=str(file))

    assert caught.value.message.startswith(f"KUBENTLY_CA_CERT ({file}) ")
    assert words in caught.value.message
    assert caught.value.hint


def test_text_is_read_and_not_repeated_when_it_is_wrong() -> None:
    assert read(ca_cert=A.cert.decode()) == [der(A.cert)]
    with pytest.raises(CertificateSourceError) as caught:
        read(ca_cert=KEY.decode())

    assert caught.value.message == "the text of KUBENTLY_CA_CERT holds a private key, which no bundle of CAs may"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ca_cert": "/none/ca.crt"}, "the CA file /none/ca.crt cannot be read: No such file or directory"),
        ({"cert_file": Path("/none/f")}, "the CA file /none/f cannot be read: No such file or directory"),
        ({"cert_dirs": (Path("/none/d"),)}, "the CA folder /none/d cannot be read: No such file or directory"),
        ({"ca_exclusive": True}, "KUBENTLY_CA_MODE=exclusive trusts nothing but KUBENTLY_CA_CERT, which is not set"),
    ],
)
def test_missing_source_is_named(settings: dict[str, object], words: str) -> None:
    with pytest.raises(CertificateSourceError) as caught:
        read(**settings)

    assert caught.value.message == words


def test_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_bytes(A.cert + b" " * sources.MAX_BYTES)

    with pytest.raises(CertificateSourceError, match="it is larger than 4 MiB"):
        read(ca_cert=str(file))


def test_folders_are_read_whole_with_names_hashed_or_not(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    (one / "a.PEM").write_bytes(A.cert)
    (one / "0a1b2c3d.0").symlink_to("a.PEM")
    (one / "README").write_text("no certificate")
    (one / "..data").mkdir()
    (two / "89abcdef.1").write_bytes(B.cert)

    assert read(cert_dirs=(one, two)) == [der(A.cert), der(B.cert)]
    assert read(ca_cert=str(one)) == [der(A.cert)]
    assert read(ca_cert=f"{one}:{two / '89abcdef.1'}") == [der(A.cert), der(B.cert)]


def test_folder_without_certificates_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("nothing here")

    with pytest.raises(CertificateSourceError, match=r"holds no files named \*\.pem or \*\.crt"):
        read(ca_cert=str(tmp_path))


def test_exclusive_leaves_the_other_sources_unread() -> None:
    assert read(ca_cert=A.cert.decode(), ca_exclusive=True, cert_file=Path("/none")) == [der(A.cert)]


def test_bundle_is_all_of_it_as_pem(tmp_path: Path) -> None:
    (tmp_path / "a.crt").write_bytes(der(A.cert))
    (tmp_path / "b.pem").write_bytes(B.cert)

    assert trust.bundle(str(tmp_path)).encode().replace(b"\n", b"") == (A.cert + B.cert).replace(b"\n", b"")
