"""What every raw route needs: who calls, and answers as JSON or problem documents."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from kubently.api.services import Services
from kubently.auth import kube_tokens, logins
from kubently.broker import new_request_id
from kubently.errors import KubentlyError, SessionExpiredError, UnauthenticatedError
from kubently.schema import ClusterId, Principal, problems
from kubently.tunnel import Message, Receive, Scope, Send, read_body

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


_FIELDS = "kubently.fields"
"""Under this name a scope has its headers by name, once one was looked for."""


def header(scope: Scope, name: bytes) -> str:
    """The first header of that lower-case name; empty without one."""
    fields: dict[bytes, bytes] | None = scope.get(_FIELDS)
    if fields is None:
        fields = scope[_FIELDS] = dict(reversed(scope["headers"]))
    value = fields.get(name)
    return value.decode("latin-1") if value else ""


def host_name(host: str) -> str:
    """The name of a Host header in lower case, without port and brackets."""
    host = host.lower()
    return (host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]) or host


def take_request_id(scope: Scope) -> str:
    """The caller's X-Request-Id where it is sane, else a new one."""
    given = header(scope, b"x-request-id")
    return given if _REQUEST_ID.fullmatch(given) else new_request_id()


def credential(scope: Scope) -> str:
    """The caller's secret, from ``Authorization: Bearer`` or ``X-API-Key``. Raises UnauthenticatedError without one."""
    key = header(scope, b"x-api-key")
    scheme, _, token = header(scope, b"authorization").partition(" ")
    if not key and scheme.lower() == "bearer":
        key = token.strip()
    if not key:
        raise UnauthenticatedError(
            "no API key was given",
            hint="send it as Authorization: Bearer KEY; for the CLI set KUBENTLY_API_KEY or run kubently login",
        )
    return key


async def authenticate(scope: Scope, services: Services) -> Principal:
    """Who calls, by an API key or a session. Raises UnauthenticatedError, NoRoleError."""
    secret = credential(scope)
    principal = await services.callers.authenticate(secret)
    if principal is None and secret.startswith(logins.PREFIX):
        raise SessionExpiredError("the session has expired or was revoked", hint="run kubently login")
    if principal is None:
        raise UnauthenticatedError("the API key is not known", hint="it may have been revoked; ask for a new one")
    return principal


async def authenticate_for(scope: Scope, services: Services, cluster: ClusterId) -> Principal:
    """Who calls a cluster's Kubernetes API: by an API key, a session, or a token made for that cluster."""
    secret = credential(scope)
    if not secret.startswith(kube_tokens.PREFIX):
        return await authenticate(scope, services)
    principal = await services.kube_tokens.authenticate(secret, cluster)
    if principal is None:
        raise UnauthenticatedError(
            "the token is expired, revoked or for another cluster",
            hint=f"kubently kubeconfig {cluster} sets up kubectl to renew it by itself",
        )
    return principal


async def buffered(receive: Receive, *, limit: int) -> Receive:
    """Read the body now and give it again, once. Raises InvalidRequestError over *limit* bytes."""
    first: list[Message] = [{"type": "http.request", "body": await read_body(receive, limit=limit)}]

    async def again() -> Message:
        return first.pop() if first else await receive()

    return again


async def send_json(
    send: Send,
    status: int,
    value: Any,
    *,
    media_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> None:
    """Answer with JSON, or with bytes that are JSON already."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    fields = {
        "content-type": media_type,
        "content-length": str(len(body)),
        "cache-control": "no-store",
        **(headers or {}),
    }
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(k.encode(), v.encode()) for k, v in fields.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def send_problem(send: Send, error: KubentlyError, *, request_id: str) -> int:
    """Answer with a problem document and say which status it had."""
    status = problems.status_of(error)
    headers = {"x-request-id": request_id}
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    if status == 429 and error.retry_after:
        headers["retry-after"] = str(max(1, round(error.retry_after)))
    problem = problems.to_problem(error, request_id=request_id)
    await send_json(send, status, problem, media_type=problems.MEDIA_TYPE, headers=headers)
    return status
