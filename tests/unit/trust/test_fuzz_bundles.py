"""Whatever stands in a bundle of CAs: certificates, or a sentence that says what is wrong; no crash and no hang."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubently import trust
from kubently.errors import ConfigError
from kubently.settings import TrustSettings
from kubently.trust import observation, sources
from kubently.trust.facts import Facts
from kubently.trust.probe import Probe

ONE = trust.make_authority("fuzz one").cert
TWO = trust.make_authority("fuzz two").cert
LEAF = trust.issue(trust.make_authority("fuzz"), ["localhost"]).cert.partition(b"-----END CERTIFICATE-----\n")[0] + (
    b"-----END CERTIFICATE-----\n"
)
KEY = trust.make_authority("fuzz key").key
BLOCKS = st.sampled_from(
    [
        ONE,
        TWO,
        KEY,
        ONE[:-30],
        ONE[30:],
        ONE.replace(b"\n", b"\r\n"),
        ONE.replace(b"\n", b""),
        b"-----BEGIN CERTIFICATE-----\n",
        b"-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\n" * 50,
        b"\xef\xbb\xbf",
        b"# a comment\n",
        b"\0" * 64,
    ]
)


def load(content: bytes) -> int:
    """How many certificates were read; -1 for a sentence of ours."""
    try:
        return len(sources.parse(sources.Piece("fuzz", content), now=0.0).certificates)
    except ConfigError as error:
        assert error.message
        assert error.hint
        assert b"PRIVATE KEY" not in error.message.encode() or "holds a private key" in error.message
        return -1


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(BLOCKS, st.binary(max_size=300)), max_size=8))
def test_pieces_of_bundles_in_any_order(pieces: list[bytes]) -> None:
    load(b"".join(pieces))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_bundle_with_bytes_changed(data: st.DataObject) -> None:
    content = bytearray(ONE + TWO)
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    assert load(bytes(content)) in (-1, 0, 1, 2)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2000))
def test_der_that_begins_as_one(content: bytes) -> None:
    load(b"\x30\x82" + content)


def test_a_good_bundle_is_read_whole() -> None:
    assert load(ONE + b"\n# and another\n" + TWO) == 2


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_whatever_the_variable_holds(tmp_path_factory: object, value: str) -> None:
    if "\0" in value or not value:
        return
    try:
        trust.Keeper(TrustSettings(ca_cert=value)).context()
    except ConfigError as error:
        assert error.message


def test_a_file_without_end_is_not_read_without_end() -> None:
    try:
        trust.Keeper(TrustSettings(ca_cert=str(Path("/dev/zero")))).context()
    except ConfigError as error:
        assert "larger than" in error.message


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_chain_a_server_shows_is_described(data: st.DataObject) -> None:
    content = bytearray(base64.b64decode(b"".join(LEAF.splitlines()[1:-1])))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    chain = [bytes(content), data.draw(st.binary(max_size=100)), bytes(content)]
    facts = observation._judge(Facts(), Probe(chain=tuple(chain)), chain)
    assert len(facts.presented) <= 2
