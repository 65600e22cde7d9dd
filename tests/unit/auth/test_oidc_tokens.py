"""Whatever comes as a token is judged, and nothing but a good one is taken."""

from __future__ import annotations

import base64
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from kubently.auth import oidc_tokens
from kubently.auth.oidc_tokens import Expected, Key
from kubently.errors import IdentityTokenError, OidcUnavailableError

NOW = 1_800_000_000.0
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
P256, P384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
EDWARDS = ed25519.Ed25519PrivateKey.generate()
EXPECTED = Expected("https://id.example", "kubently", ("kubently",))
CLAIMS = {"iss": EXPECTED.issuer, "aud": "kubently", "sub": "alice", "iat": NOW, "exp": NOW + 300}


def jwk(key: object, name: str, **more: str) -> dict[str, object]:
    kinds = {rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm, ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm}
    kind = next((k for base, k in kinds.items() if isinstance(key, base)), jwt.algorithms.OKPAlgorithm)
    return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": name, **more}  # type: ignore[attr-defined]


KEYS = oidc_tokens.read_keys(
    {"keys": [jwk(RSA, "rsa"), jwk(P256, "p256"), jwk(P384, "p384", alg="ES384"), jwk(EDWARDS, "ed")]}
)


def verify(token: str, keys: tuple[Key, ...] = KEYS) -> object:
    return oidc_tokens.verify(token, keys, EXPECTED, now=NOW)


@pytest.mark.parametrize(
    ("algorithm", "key", "name"),
    [
        *((f"{kind}{bits}", RSA, "rsa") for kind in ("RS", "PS") for bits in (256, 384, 512)),
        ("ES256", P256, "p256"),
        ("ES384", P384, "p384"),
        ("EdDSA", EDWARDS, "ed"),
    ],
)
def test_the_algorithms_of_the_keys_are_taken(algorithm: str, key: object, name: str) -> None:
    token = jwt.encode(CLAIMS, key, algorithm=algorithm, headers={"kid": name})  # type: ignore[arg-type]

    assert verify(token) == CLAIMS


def test_a_key_signs_with_nothing_but_what_it_is_published_for() -> None:
    keys = oidc_tokens.read_keys({"keys": [jwk(RSA, "rsa", alg="RS256", use="sig")]})
    token = jwt.encode(CLAIMS, RSA, algorithm="RS512", headers={"kid": "rsa"})

    with pytest.raises(IdentityTokenError, match="RS512"):
        verify(token, keys)


def test_without_a_key_id_there_must_be_one_key() -> None:
    token = jwt.encode(CLAIMS, RSA, algorithm="RS256")
    one = oidc_tokens.read_keys({"keys": [jwk(RSA, "rsa")]})

    assert verify(token, one) == CLAIMS
    with pytest.raises(IdentityTokenError):
        verify(token)


@pytest.mark.parametrize("more", [{"use": "enc"}, {"alg": "HS256"}, {"kty": "oct"}, {"crv": "P-521", "kty": "EC"}])
def test_keys_for_something_else_are_passed_over(more: dict[str, str]) -> None:
    with pytest.raises(OidcUnavailableError):
        oidc_tokens.read_keys({"keys": [{**jwk(RSA, "rsa"), **more}]})


def test_a_short_key_is_refused() -> None:
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # that is the point
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = jwt.encode(CLAIMS, short, algorithm="RS256", headers={"kid": "short"})

    with pytest.raises(IdentityTokenError):
        verify(token, oidc_tokens.read_keys({"keys": [jwk(short, "short")]}))


@given(st.one_of(st.text(), st.binary().map(lambda raw: raw.decode("latin-1"))))
def test_any_text_is_refused_and_nothing_else_happens(token: str) -> None:
    with pytest.raises(IdentityTokenError):
        verify(token)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
HEADERS = st.fixed_dictionaries(
    {}, optional={"alg": JSON, "kid": st.sampled_from(["rsa", "p256"]) | JSON, "typ": JSON, "crit": JSON, "b64": JSON}
)


@given(header=HEADERS | JSON, claims=JSON, signature=st.binary(max_size=600))
def test_any_parts_are_refused_and_nothing_else_happens(header: object, claims: object, signature: bytes) -> None:
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    token = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)

    with pytest.raises(IdentityTokenError):
        verify(token)


@given(st.dictionaries(st.sampled_from(["iss", "aud", "azp", "sub", "iat", "exp", "nbf", "nonce"]), JSON, min_size=1))
def test_any_signed_claims_are_judged(changed: dict[str, object]) -> None:
    """A provider of one's own is trusted with its claims, and not with our process."""
    token = jwt.PyJWS().encode(json.dumps({**CLAIMS, **changed}).encode(), RSA, "RS256", headers={"kid": "rsa"})

    try:
        claims = verify(token)
    except IdentityTokenError:
        return
    assert isinstance(claims, dict)
    assert (claims["iss"], isinstance(claims["sub"], str)) == (EXPECTED.issuer, True)


@given(
    JSON | st.fixed_dictionaries({"keys": st.lists(JSON | st.dictionaries(st.sampled_from(list(jwk(RSA, "x"))), JSON))})
)
def test_any_published_keys_are_read_or_refused(document: object) -> None:
    try:
        keys = oidc_tokens.read_keys(document)
    except OidcUnavailableError:
        return
    assert keys
