"""The OpenID provider as the command line sees it: what it publishes, and its token endpoint.

Every URL must be https (loopback excepted), redirects are not followed, answers are bounded, and the client certificate
and server name that are meant for the API stay out of it.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from kubently import __version__, trust
from kubently.client.proxied import ProxiedConnection
from kubently.errors import KubentlyError, OidcUnavailableError
from kubently.settings import TrustSettings, is_safe_url
from kubently.trust import proxies

MAX_ANSWER = 256 * 1024
TIMEOUT = 20.0
_DISCOVERY = "/.well-known/openid-configuration"


class LoginRefusedError(KubentlyError):
    """The provider, or the person there, said no; ``details["error"]`` is the provider's code."""

    code = "login-refused"


class IdentityProvider:
    """One provider, for one client of it."""

    def __init__(self, issuer: str, client_id: str, client_secret: str, settings: TrustSettings) -> None:
        self.issuer = issuer
        self.client_id = client_id
        self._secret = client_secret
        # The key to the API is not the provider's to see, and an unverified provider could be anybody.
        settings = dataclasses.replace(settings, server_name="", client_cert=None, client_key=None, verify=True)
        self._trust = trust.Keeper(settings)
        self._document: Mapping[str, Any] = {}

    def discover(self) -> None:
        """Read what the provider publishes. Raises OidcUnavailableError."""
        document = self._ask("GET", self.issuer.rstrip("/") + _DISCOVERY, None)[1]
        if document.get("issuer") != self.issuer:
            raise self._unavailable(f"calls itself {str(document.get('issuer'))[:200]!r}")
        self._document = document

    def has(self, endpoint: str) -> bool:
        """Whether it publishes such an endpoint."""
        return endpoint in self._document

    def endpoint(self, name: str) -> str:
        """The URL of an endpoint. Raises OidcUnavailableError for none, and for one that is not safe."""
        url = self._document.get(name)
        if not isinstance(url, str) or not is_safe_url(url):
            raise self._unavailable(f"publishes no usable {name}: {str(url)[:200]!r}")
        return url

    def post(self, endpoint: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        """POST a form with the client's id. Raises LoginRefusedError, OidcUnavailableError."""
        secret = {"client_secret": self._secret} if self._secret else {}
        status, answer = self._ask("POST", self.endpoint(endpoint), {**form, "client_id": self.client_id, **secret})
        if status == 200:
            return answer
        error = printable(answer.get("error")) or f"status {status}"
        said = printable(answer.get("error_description"))
        raise LoginRefusedError(
            f"the OpenID provider refuses: {error}{f' ({said})' if said else ''}",
            hint="kubently login again; if it goes on, the client's settings at the provider may be wrong",
            details={"error": error},
        )

    def _ask(self, method: str, url: str, form: Mapping[str, str] | None) -> tuple[int, Mapping[str, Any]]:
        if not is_safe_url(url):
            raise self._unavailable(f"is no https URL: {url[:200]!r}")
        connection = self._connection(url)
        parts = urlsplit(url)
        fields = {"Accept": "application/json", "User-Agent": f"kubently/{__version__}"}
        if form is not None:
            fields["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request(method, parts.path or "/", urlencode(form) if form is not None else None, fields)
            response = connection.getresponse()
            body = response.read(MAX_ANSWER + 1)
        except (OSError, http.client.HTTPException) as error:
            raise self._unavailable(f"cannot be reached: {error or type(error).__name__}") from error
        finally:
            connection.close()
        return response.status, self._read(method, response.status, body)

    def _read(self, method: str, status: int, body: bytes) -> Mapping[str, Any]:
        if 300 <= status < 400 or (method == "GET" and status != 200) or status >= 500 or len(body) > MAX_ANSWER:
            raise self._unavailable(f"answered {status} with {len(body)} bytes; redirects are not followed")
        try:
            document = json.loads(body) if body.strip() else {}
        except (ValueError, RecursionError) as error:
            raise self._unavailable(f"answered {status} with what is no JSON") from error
        if not isinstance(document, dict):
            raise self._unavailable(f"answered {status} with what is no JSON object")
        return document

    def _connection(self, url: str) -> http.client.HTTPConnection:
        parts = urlsplit(url)
        host, secure = parts.hostname or "", parts.scheme == "https"
        proxy = proxies.choose(self._trust.settings.proxies, url)
        if proxy is not None:
            return ProxiedConnection(proxy, host, parts.port, TIMEOUT, self._trust, secure=secure)
        if not secure:
            return http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT)
        return http.client.HTTPSConnection(host, parts.port, timeout=TIMEOUT, context=self._trust.context())

    def _unavailable(self, why: str) -> OidcUnavailableError:
        return OidcUnavailableError(
            f"the OpenID provider {self.issuer} {why}", hint="check that this machine reaches it, by browser too"
        )


def printable(value: object) -> str:
    """What a provider says, fit for a terminal."""
    return "".join(c for c in str(value or "")[:300] if c.isprintable())
