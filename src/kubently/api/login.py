"""What needs no key: how to log in, and ``POST /api/v1/login``, which makes a session of an ID token."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from pydantic import ValidationError

from kubently.api import forwarded, requests
from kubently.api.services import Services
from kubently.auth import Logins
from kubently.errors import InvalidRequestError, KubentlyError, NotFoundError, OidcUnavailableError
from kubently.schema import AuthMethods, LoginRequest, NewSession, OidcMethod
from kubently.tunnel import Receive, Scope, Send, read_body

log = logging.getLogger(__name__)

_MAX_BODY = 32 * 1024
_CACHE = "public, max-age=300"


async def _methods(scope: Scope, receive: Receive, send: Send, services: Services, request_id: str) -> None:
    oidc = await _oidc(services.logins) if services.logins else None
    told = AuthMethods(methods=("api-key", "oidc") if oidc else ("api-key",), oidc=oidc)
    headers = {"x-request-id": request_id, "cache-control": _CACHE}
    await requests.send_json(send, 200, told.model_dump_json().encode(), headers=headers)


async def _oidc(logins: Logins) -> OidcMethod:
    settings = logins.settings
    flows: tuple[str, ...] = ("authorization_code",)
    try:
        if (await logins.provider.metadata()).has_device_flow:
            flows = ("authorization_code", "device_code")
    except OidcUnavailableError as error:
        log.warning("OpenID provider unavailable", extra={"reason": error.message})
    return OidcMethod(
        issuer=settings.issuer,
        client_id=settings.client_id,
        public_client_secret=settings.public_client_secret,
        scopes=settings.scopes,
        flows=flows,
    )


async def _login(scope: Scope, receive: Receive, send: Send, services: Services, request_id: str) -> None:
    if scope["method"] != "POST":
        raise InvalidRequestError("/api/v1/login takes POST only", hint="kubently login uses it")
    if services.logins is None:
        raise NotFoundError("this API has no OpenID provider", hint="use an API key: kubently profile add")
    wish = _read(await read_body(receive, limit=_MAX_BODY))
    client = forwarded.client_address(scope, services.settings.trusted_proxies)
    # What nobody signed does not reach the audit log: else anybody could fill it.
    try:
        person, principal = await services.logins.identify(wish.id_token, nonce=wish.nonce)
    except KubentlyError as error:
        log.warning("login refused", extra={"code": error.code, "reason": error.message, "client": client})
        raise
    async with services.audit.recorded(principal, "", "login", client, request_id=request_id) as entry:
        info, token = await services.logins.open(wish.id_token, person)
        entry.outcome = f"session {info.id}"
    made = NewSession(info=info, token=token, expires_in=services.logins.settings.login_ttl)
    await requests.send_json(send, 201, made.model_dump_json().encode(), headers={"x-request-id": request_id})


def _read(body: bytes) -> LoginRequest:
    try:
        return LoginRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise InvalidRequestError(f"{where}: {first['msg']}", hint="send id_token as JSON") from error


OPEN: dict[str, Callable[[Scope, Receive, Send, Services, str], Awaitable[None]]] = {
    "/.well-known/kubently-auth": _methods,
    "/api/v1/login": _login,
}
"""Paths that need no key."""
