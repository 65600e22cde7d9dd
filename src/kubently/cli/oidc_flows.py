"""From a person to an ID token: by the browser of this machine (RFC 8252, PKCE), or by any other (RFC 8628)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import secrets
import time
import webbrowser
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from kubently.client.identity_provider import IdentityProvider, LoginRefusedError, printable
from kubently.errors import KubentlyError

PATIENCE = 300.0
"""Seconds for a person to log in."""
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_MAX_PATH = 16 * 1024
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Kubently</title>
<style>body {{ font: 18px/1.5 system-ui, sans-serif; max-width: 32rem; margin: 20vh auto; color-scheme: light dark }}
</style><h1>{title}</h1><p>{text}</p></html>"""

Say = Callable[[str], None]


class LoginLateError(KubentlyError):
    """Nobody logged in at the provider in time."""

    code = "login-late"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the provider gave."""

    id_token: str
    refresh_token: str
    nonce: str = ""


def by_browser(provider: IdentityProvider, scopes: str, *, say: Say, opens: bool) -> Tokens:
    """Authorization code with PKCE and a redirect to loopback. Raises LoginRefusedError, LoginLateError."""
    verifier, state, nonce = (secrets.token_urlsafe(48) for _ in range(3))
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    with _Callback(state) as callback:
        redirect = f"http://127.0.0.1:{callback.server_port}/callback"
        query = {
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": redirect,
            "scope": scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        url = f"{provider.endpoint('authorization_endpoint')}?{urlencode(query)}"
        say(f"log in with your browser:\n\n  {url}\n")
        if opens:
            webbrowser.open(url)
        code = callback.wait()
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "code_verifier": verifier}
    tokens = _tokens(provider.post("token_endpoint", form), nonce)
    if not hmac.compare_digest(str(_claims(tokens.id_token).get("nonce")).encode(), nonce.encode()):
        raise LoginRefusedError("the ID token is not for this login (nonce)", hint="kubently login again")
    return tokens


def by_device(
    provider: IdentityProvider,
    scopes: str,
    *,
    say: Say,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Tokens:
    """Device flow: the person opens a page anywhere. Raises LoginRefusedError, LoginLateError."""
    begun = provider.post("device_authorization_endpoint", {"scope": scopes})
    code, where = str(begun.get("device_code", "")), printable(begun.get("verification_uri"))
    say(f"open {where} on any device and enter the code {printable(begun.get('user_code'))}")
    if complete := printable(begun.get("verification_uri_complete")):
        say(f"or open {complete}")
    interval = _seconds(begun.get("interval"), 5.0)
    end = clock() + min(_seconds(begun.get("expires_in"), PATIENCE), 1800.0)
    while clock() + interval < end:
        sleep(interval)
        try:
            return _tokens(provider.post("token_endpoint", {"grant_type": _DEVICE_GRANT, "device_code": code}), "")
        except LoginRefusedError as error:
            if error.details.get("error") == "slow_down":
                interval += 5  # RFC 8628 section 3.5
            elif error.details.get("error") == "expired_token":
                break
            elif error.details.get("error") == "access_denied":
                raise LoginRefusedError("the login was denied at the OpenID provider") from error
            elif error.details.get("error") != "authorization_pending":
                raise
    raise LoginLateError("nobody entered the code in time", hint="kubently login again")


def renew(provider: IdentityProvider, refresh_token: str) -> Tokens:
    """A new ID token without a person. Raises LoginRefusedError."""
    answer = provider.post("token_endpoint", {"grant_type": "refresh_token", "refresh_token": refresh_token})
    return _tokens({"refresh_token": refresh_token, **answer}, "")


def _tokens(answer: Mapping[str, Any], nonce: str) -> Tokens:
    token = answer.get("id_token")
    if not isinstance(token, str) or not token:
        raise LoginRefusedError("the OpenID provider gave no ID token", hint="is openid among the scopes it allows?")
    return Tokens(token, str(answer.get("refresh_token") or ""), nonce)


def _claims(token: str) -> Mapping[str, Any]:
    """What an ID token says, unverified: the API verifies it, and it came from the token endpoint itself."""
    try:
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _seconds(value: object, default: float) -> float:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    return max(1.0, float(value)) if usable else default  # type: ignore[arg-type]  # it is a number then


class _Callback(http.server.HTTPServer):
    """Waits on loopback for the one redirect that carries our state; all else is a 404 and changes nothing."""

    def __init__(self, state: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state = state
        self.answer: Mapping[str, str] | None = None

    def wait(self) -> str:
        """The code. Raises LoginRefusedError, LoginLateError."""
        end = time.monotonic() + PATIENCE
        while self.answer is None:
            self.timeout = end - time.monotonic()
            if self.timeout <= 0:
                raise LoginLateError(f"nobody logged in within {PATIENCE:g} s", hint="kubently login again")
            self.handle_request()
        if "code" in self.answer:
            return self.answer["code"]
        said = printable(self.answer.get("error_description"))
        error = printable(self.answer.get("error")) or "no code"
        raise LoginRefusedError(f"the OpenID provider refuses: {error}{f' ({said})' if said else ''}")

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser's spare connection that was cut is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Callback
    timeout = 5
    """Seconds for a request: a connection that says nothing must not hold the real one up."""

    def do_GET(self) -> None:
        """Take the redirect."""
        parts = urlsplit(self.path[:_MAX_PATH])
        values = {name: found[0] for name, found in parse_qs(parts.query).items()}
        is_ours = hmac.compare_digest(values.get("state", "").encode(), self.server.state.encode())
        if parts.path != "/callback" or not is_ours:
            self._say(404, "Not found", "This address waits for a login and knows nothing else.")
            return
        self.server.answer = values
        if "code" in values:
            self._say(200, "You are logged in", "You can close this page and go back to the terminal.")
        else:
            self._say(200, "You are not logged in", "The terminal says why.")

    def _say(self, status: int, title: str, text: str) -> None:
        body = _PAGE.format(title=title, text=text).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """The path carries the code: nothing is logged."""
