"""Is this ID token good? A decision without I/O: keys, instant and expectations come from outside.

The header of a token chooses one of the provider's published keys by its id, and nothing else: the algorithm must be
one that fits that key's type (so neither ``none`` nor an HMAC with the public key can be chosen), and keys that a token
brings along or points to are never looked at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from kubently.errors import IdentityTokenError, OidcUnavailableError

MAX_TOKEN = 16 * 1024
MAX_KEYS = 64
MAX_AGE = 600.0
"""Seconds after its making at which an ID token opens no session any more."""
LEEWAY = 60.0
"""Seconds that clocks may differ."""

_ALGORITHMS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("RSA", ""): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
_MAX_NUMBER = 1400
"""Characters of an RSA modulus: 8192 bits. A larger one makes each check slow."""
_HINT = "kubently login again"


@dataclass(frozen=True, slots=True)
class Key:
    """One key that a provider publishes, and what it may sign with."""

    id: str
    key: Any
    algorithms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say."""

    issuer: str
    client_id: str
    audiences: tuple[str, ...]


class UnknownKeyError(IdentityTokenError):
    """The token names a key that is not among those that were last read."""


def read_keys(document: Any) -> tuple[Key, ...]:
    """The usable signing keys of a JWKS document; others are passed over. Raises OidcUnavailableError without any."""
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise OidcUnavailableError(f"the provider's JWKS is no list of at most {MAX_KEYS} keys")
    keys = tuple(key for entry in entries if isinstance(entry, dict) and (key := _key(entry)))
    if not keys:
        raise OidcUnavailableError("the provider's JWKS holds no key that ID tokens can be signed with")
    return keys


def verify(token: str, keys: Sequence[Key], expected: Expected, *, nonce: str = "", now: float) -> Mapping[str, Any]:
    """The claims of *token*. Raises IdentityTokenError; UnknownKeyError where newer keys may help."""
    header = _header(token)
    key = _chosen(header, keys)
    algorithm = header.get("alg")
    if algorithm not in key.algorithms:
        raise _refused(f"it is signed with {str(algorithm)[:20]!r}, which its key does not allow")
    try:
        # Times and names are checked below: the library reads the clock itself.
        unchecked = {f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}
        options = {**unchecked, "enforce_minimum_key_length": True}
        claims = jwt.decode(token, key.key, algorithms=[algorithm], options=options)  # type: ignore[arg-type]  # a TypedDict there
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise _refused(f"its signature does not hold ({type(error).__name__})") from error
    _check_names(claims, expected, nonce)
    _check_times(claims, now)
    return claims


def _key(entry: Mapping[str, Any]) -> Key | None:
    curve = entry.get("crv") if entry.get("kty") in ("EC", "OKP") else ""
    allowed = _ALGORITHMS.get((str(entry.get("kty")), str(curve)))
    told, use = entry.get("alg"), entry.get("use", "sig")
    if (
        allowed is None
        or use != "sig"
        or len(str(entry.get("n", ""))) > _MAX_NUMBER
        or len(str(entry.get("e", ""))) > 8
    ):
        return None
    algorithms = tuple(name for name in allowed if told in (None, name))
    if not algorithms or "d" in entry:
        return None
    try:
        return Key(str(entry.get("kid", "")), jwt.PyJWK(dict(entry), algorithms[0]).key, algorithms)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        return None


def _header(token: str) -> Mapping[str, Any]:
    if len(token) > MAX_TOKEN or token.count(".") != 2 or not token.isascii():
        raise _refused("it is no signed JWT")
    try:
        header: Mapping[str, Any] = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise _refused("it is no signed JWT") from error
    if "crit" in header or str(header.get("typ", "JWT")).upper() != "JWT":
        raise _refused(f"it is no ID token (typ {str(header.get('typ'))[:20]!r})")
    return header


def _chosen(header: Mapping[str, Any], keys: Sequence[Key]) -> Key:
    name = header.get("kid")
    if name is None and len(keys) == 1:
        return keys[0]
    for key in keys:
        if name is not None and key.id == name:
            return key
    raise UnknownKeyError(f"the ID token is refused: the provider publishes no key {str(name)[:80]!r}", hint=_HINT)


def _check_names(claims: Mapping[str, Any], expected: Expected, nonce: str) -> None:
    issuer, audience = claims.get("iss"), claims.get("aud")
    if issuer != expected.issuer:
        raise _refused(f"its issuer is {str(issuer)[:200]!r}, not {expected.issuer}")
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or not set(map(str, named)) & set(expected.audiences):
        raise _refused(f"it is for {json.dumps(audience)[:200]}, not for {' or '.join(expected.audiences)}")
    party = claims.get("azp")
    if (party is None and len(named) > 1) or (
        party is not None and party not in (expected.client_id, *expected.audiences)
    ):
        raise _refused(f"it was made for the application {str(party)[:200]!r}")
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise _refused("it names nobody (sub)")
    if nonce and claims.get("nonce") != nonce:
        raise _refused("its nonce is not that of this login")


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    expires, issued, begins = _instant(claims, "exp"), _instant(claims, "iat"), _instant(claims, "nbf")
    if expires is None or issued is None:
        raise _refused("it does not say when it was made and when it ends (iat, exp)")
    if expires + LEEWAY < now:
        raise _refused("it has expired")
    if issued - LEEWAY > now or (begins is not None and begins - LEEWAY > now):
        raise _refused("it is from the future: the provider's clock and the API's differ")
    if issued + MAX_AGE + LEEWAY < now:
        raise _refused(f"it is older than {MAX_AGE:g} s")


def _instant(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise _refused(f"its {name} is no time")
    return float(value)


def _refused(why: str) -> IdentityTokenError:
    return IdentityTokenError(f"the ID token is refused: {why}", hint=_HINT)
