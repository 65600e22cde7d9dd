"""The OpenID provider as the API sees it: what it publishes, and whether an ID token is one of its.

What comes from it is bounded in size and time, redirects are not followed, and every URL must be https (or loopback,
for tests and development). Its keys are read anew when a token names an unknown one, so that a rotation needs no
restart; at most a few times a minute, so that nobody's made-up key ids become the provider's load.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import httpx

from kubently import trust
from kubently.auth import oidc_tokens
from kubently.auth.oidc_tokens import Key, UnknownKeyError
from kubently.errors import OidcUnavailableError
from kubently.settings import OidcSettings, is_safe_url
from kubently.trust import proxies

DISCOVERY = "/.well-known/openid-configuration"
TIMEOUT = 10.0
"""Seconds for all that one login asks of the provider."""
MAX_ANSWER = 256 * 1024
KEEP = 900.0
"""Seconds after which keys and endpoints are read anew."""
FETCHES = 6
"""Requests to the provider in `WINDOW` seconds; a reading is up to two."""
WINDOW = 60.0
_HEADERS = {"accept": "application/json", "accept-encoding": "identity"}
"""Nothing compressed: a small answer could become a large one before it is counted."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the provider publishes about itself."""

    jwks_uri: str
    has_device_flow: bool


class Provider:
    """One OpenID provider. *clock* is monotonic, *now* gives seconds of the epoch."""

    def __init__(self, settings: OidcSettings, *, clock: Callable[[], float], now: Callable[[], float]) -> None:
        self._settings = settings
        self._clock, self._now = clock, now
        self._keeper = trust.Keeper(settings.trust)
        self._keeper.context()  # a CA that cannot be read ends the start
        self._expected = oidc_tokens.Expected(settings.issuer, settings.client_id, settings.audiences)
        self._lock = anyio.Lock()
        self._asked: deque[float] = deque(maxlen=FETCHES)
        self._metadata: tuple[float, Metadata] | None = None
        self._keys: tuple[float, tuple[Key, ...]] | None = None

    async def verify(self, token: str, *, nonce: str = "") -> Mapping[str, Any]:
        """The claims of an ID token. Raises IdentityTokenError, OidcUnavailableError."""
        try:
            with anyio.fail_after(TIMEOUT):
                seen, keys = await self._read_keys(newer_than=None)
                try:
                    return self._verify(token, keys, nonce)
                except UnknownKeyError:
                    if not self._may_ask():
                        raise
                _, keys = await self._read_keys(newer_than=seen)
                return self._verify(token, keys, nonce)
        except TimeoutError as error:
            raise self._unavailable(f"did not answer within {TIMEOUT:g} s") from error

    async def metadata(self) -> Metadata:
        """What it publishes about itself. Raises OidcUnavailableError."""
        try:
            with anyio.fail_after(TIMEOUT):
                async with self._lock:
                    return await self._read_metadata()
        except TimeoutError as error:
            raise self._unavailable(f"did not answer within {TIMEOUT:g} s") from error

    def _verify(self, token: str, keys: tuple[Key, ...], nonce: str) -> Mapping[str, Any]:
        return oidc_tokens.verify(token, keys, self._expected, nonce=nonce, now=self._now())

    async def _read_keys(self, *, newer_than: float | None) -> tuple[float, tuple[Key, ...]]:
        async with self._lock:
            if self._keys and self._is_fresh(self._keys[0]) and (newer_than is None or self._keys[0] > newer_than):
                return self._keys
            published = await self._read_metadata()
            keys = oidc_tokens.read_keys(await self._fetch(published.jwks_uri))
            self._keys = (self._clock(), keys)  # those that are gone from the document are gone here
            return self._keys

    async def _read_metadata(self) -> Metadata:
        if self._metadata and self._is_fresh(self._metadata[0]):
            return self._metadata[1]
        document = await self._fetch(self._settings.issuer.rstrip("/") + DISCOVERY)
        metadata = self._checked(document)
        self._metadata = (self._clock(), metadata)
        return metadata

    def _checked(self, document: Any) -> Metadata:
        if not isinstance(document, dict) or document.get("issuer") != self._settings.issuer:
            told = document.get("issuer") if isinstance(document, dict) else None
            raise self._unavailable(
                f"calls itself {str(told)[:200]!r}", hint="KUBENTLY_OIDC_ISSUER must be the issuer to the letter"
            )
        for name in ("jwks_uri", "authorization_endpoint", "token_endpoint", "device_authorization_endpoint"):
            url = document.get(name)
            if url is None and name == "device_authorization_endpoint":
                continue
            if not isinstance(url, str) or not is_safe_url(url):
                raise self._unavailable(f"publishes no usable {name}: {str(url)[:200]!r}", hint="it must be https")
        return Metadata(document["jwks_uri"], "device_authorization_endpoint" in document)

    async def _fetch(self, url: str) -> Any:
        if not self._may_ask():
            raise self._unavailable(f"was asked {FETCHES} times within {WINDOW:g} s", hint="try again in a minute")
        self._asked.append(self._clock())
        try:
            async with (
                httpx.AsyncClient(verify=self._keeper.context(), trust_env=False, proxy=self._proxy(url)) as client,
                client.stream("GET", url, headers=_HEADERS, timeout=TIMEOUT) as response,
            ):
                if response.status_code != 200:
                    raise self._unavailable(f"answered {response.status_code} at {url}; redirects are not followed")
                return json.loads(await _bounded(response))
        except httpx.HTTPError as error:
            raise self._unavailable(f"cannot be reached: {error or type(error).__name__}") from error
        except (ValueError, RecursionError) as error:
            raise self._unavailable(f"answered at {url} with what is no JSON of at most {MAX_ANSWER} bytes") from error

    def _proxy(self, url: str) -> httpx.Proxy | None:
        proxy = proxies.choose(self._settings.trust.proxies, url)
        if proxy is None:
            return None
        fields = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else None
        return httpx.Proxy(str(proxy), headers=fields, ssl_context=self._keeper.context() if proxy.secure else None)

    def _may_ask(self) -> bool:
        return len(self._asked) < FETCHES or self._clock() - self._asked[0] > WINDOW

    def _is_fresh(self, instant: float) -> bool:
        return self._clock() - instant < KEEP

    def _unavailable(self, why: str, *, hint: str = "") -> OidcUnavailableError:
        return OidcUnavailableError(
            f"the OpenID provider {self._settings.issuer} {why}",
            hint=hint or "who is logged in stays so; try again, or use an API key",
        )


async def _bounded(response: httpx.Response) -> bytes:
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > MAX_ANSWER:
            raise ValueError("too long")
    return bytes(body)
