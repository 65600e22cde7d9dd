"""Whatever an executor sends about its identity: let in, or refused with an error of ours."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from kubently.auth import Blocklist, Enrolments, ExecutorTokens, Identities, open_authority
from kubently.auth.authority import read_request
from kubently.auth.identities import Possession
from kubently.errors import KubentlyError
from kubently.schema import ClusterId
from kubently.store import open_store
from kubently.trust import identity

PROD = ClusterId("prod")
KEY = identity.make_key()
REQUEST = identity.make_request(KEY, PROD)


def now() -> datetime:
    return datetime.now(UTC)


async def _identities() -> Identities:
    store = open_store("memory:")
    authority = await open_authority(store, None, lifetime=timedelta(days=1), now=now)
    return Identities(store, ExecutorTokens(store), Enrolments(store, now=now), Blocklist(store, now=now), authority)


async def _enrolled() -> tuple[Identities, bytes]:
    identities = await _identities()
    token, _ = await identities.enrolments.create(PROD, ttl=60)
    made = await identities.enrol(PROD, token, REQUEST.decode(), kube_system_uid="")
    certificate = x509.load_pem_x509_certificate(made.certificate.encode())
    return identities, certificate.public_bytes(serialization.Encoding.DER)


IDENTITIES, DER = anyio.run(_enrolled)


def changed(data: st.DataObject, good: bytes) -> bytes:
    content = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    return bytes(content)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_request_with_bytes_changed_is_refused_or_the_same(data: st.DataObject) -> None:
    try:
        request = read_request(changed(data, REQUEST), PROD)
    except KubentlyError as error:
        assert error.code == "certificate-request-refused"
    else:
        assert request.subject == identity.subject(PROD)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=3000))
def test_a_request_of_any_bytes_is_refused(content: bytes) -> None:
    with pytest.raises(KubentlyError):
        read_request(content, PROD)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_certificate_with_bytes_changed_lets_nobody_in(data: st.DataObject) -> None:
    shown = changed(data, DER)

    async def ask() -> None:
        for attempt in (
            IDENTITIES.by_certificate(PROD, base64.b64encode(shown).decode(), lambda _: True),
            IDENTITIES.by_client_certificate(PROD, shown, is_verified=False),
        ):
            try:
                admitted = await attempt
            except KubentlyError:
                continue
            assert shown == DER, admitted

    anyio.run(ask)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=400))
def test_text_that_is_no_certificate_or_token_lets_nobody_in(text: str) -> None:
    async def ask() -> None:
        with pytest.raises(KubentlyError):
            await IDENTITIES.by_certificate(PROD, text, lambda _: True)
        with pytest.raises(KubentlyError):
            await IDENTITIES.enrol(PROD, text, REQUEST.decode(), kube_system_uid=text)
        assert await IDENTITIES.by_token(PROD, text) is None

    anyio.run(ask)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300),
        st.builds(lambda h, s: identity.encode("proof", host=h, signature=s), st.text(), st.text()),
    )
)
def test_no_words_prove_a_key(payload: bytes) -> None:
    async def renew(der: bytes, cluster: ClusterId, request: str) -> object:
        raise AssertionError("nobody proved anything")

    one = Possession(DER, PROD, lambda _: True, renew=renew)  # type: ignore[arg-type]
    with pytest.raises(KubentlyError):
        one.prove(payload)
    assert not one.is_proven
