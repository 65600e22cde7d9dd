"""A read-only Kubernetes API server over an archive, as an ASGI application.

What to answer is decided without I/O in `decide`; the application reads the request, sends the answer and keeps
streams open. It knows one user, who may read everything except Secrets. The Date header is the archive's instant:
that is the cluster's own clock, from which clients count ages.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from email.utils import format_datetime
from typing import Any

from kubently.archive import (
    answers,
    asked,
    catalog,
    coverage,
    discovery,
    format,
    lists,
    logs,
    negotiate,
    openapi,
    reviews,
    watch,
)
from kubently.kube import partial

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# The largest thing that can be posted is a self review, which is below a kilobyte.
MAX_BODY_BYTES = 64 * 1024

_WRITE_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
_CONNECTIONS = ("exec", "attach", "portforward", "proxy")
_HEALTH = ("/healthz", "/livez", "/readyz")


def create_app(archive: format.Archive, *, token: str | None) -> App:
    """Return an API server for *archive*; with a *token*, every request must carry it as its bearer token."""
    return _Server(archive, token)


def decide(archive: format.Archive, request: asked.Asked) -> answers.Answer:
    """Return the answer to an authenticated request.

    Raises RefusedError for everything that is not answered with 200 or 201.
    """
    target = asked.target(request.path)
    if target is None:
        return _decide_plain(archive, request)
    if not target.plural:
        _check_read(request)
        found = discovery.group_version(archive, target.group, target.version)
        return _or_missing(found, request)
    resource = archive.find(target.group, target.version, target.plural)
    if resource is None or (target.namespace and not resource.namespaced):
        raise answers.no_such_path()
    if request.method == "POST" and resource in catalog.REVIEWS and not target.name:
        return reviews.as_review(archive, resource, request)
    _check_allowed(resource, target, request)
    lacks = coverage.missing(archive, resource, target)
    return _warned(_read(archive, resource, target, request), lacks)


# ---- paths outside of resources


def _decide_plain(archive: format.Archive, request: asked.Asked) -> answers.Answer:
    path = request.path.rstrip("/")
    _check_read(request)
    if path in _HEALTH:
        return answers.Answer(200, (b"ok",), answers.TEXT)
    if path == "/version":
        return answers.answer(discovery.version(archive), pretty=True)
    if path in ("/api", "/apis"):
        # kubectl asks for the aggregated form, and would warn a person at every command.
        is_plain = path == "/apis" and not negotiate.discovery_version(request.headers.get("accept", ""))
        lacks = coverage.missing_types(archive) if is_plain else None
        return _warned(discovery.as_root(archive, request, core=path == "/api"), lacks)
    if path == "/openapi/v2" or path == "/openapi/v3" or path.startswith("/openapi/v3/"):
        return openapi.as_document(archive, request)
    segments = path.split("/")
    if len(segments) == 3 and segments[1] == "apis":
        return _or_missing(discovery.group(archive, segments[2]), request)
    if path.startswith(("/api/", "/apis/")):
        raise answers.no_such_path()
    return _missing_page()


def _warned(answer: answers.Answer, lacks: partial.Partial | None) -> answers.Answer:
    if lacks is None:
        return answer
    return dataclasses.replace(answer, headers={**(answer.headers or {}), "warning": partial.warning(lacks)})


def _or_missing(document: dict[str, Any] | None, request: asked.Asked) -> answers.Answer:
    return _missing_page() if document is None else answers.answer(document, pretty=request.pretty)


def _missing_page() -> answers.Answer:
    return answers.Answer(404, (b"404 page not found\n",), answers.TEXT)


def _check_read(request: asked.Asked) -> None:
    if request.method != "GET":
        raise answers.method_not_allowed()


# ---- resources


def _check_allowed(resource: catalog.Resource, target: asked.Target, request: asked.Asked) -> None:
    """Refuse as an RBAC-guarded server refuses somebody who may only read, and not read Secrets."""
    verb = _verb(target, request)
    if verb not in catalog.READ or resource.qualified == "secrets" or target.subresource in _CONNECTIONS:
        raise _forbidden(verb, resource, target)
    if verb not in resource.verbs:
        raise answers.method_not_allowed()


def _verb(target: asked.Target, request: asked.Asked) -> str:
    if request.method == "GET":
        return "get" if target.name else "watch" if request.flag("watch") else "list"
    if request.method == "DELETE":
        return "delete" if target.name else "deletecollection"
    if request.method not in _WRITE_VERBS:
        raise answers.method_not_allowed()
    return _WRITE_VERBS[request.method]


def _forbidden(verb: str, resource: catalog.Resource, target: asked.Target) -> answers.RefusedError:
    plural = f"{resource.plural}/{target.subresource}" if target.subresource else resource.plural
    scope = f'in the namespace "{target.namespace}"' if target.namespace else "at the cluster scope"
    sentence = f'User "{reviews.USER}" cannot {verb} resource "{plural}" in API group "{resource.group}" {scope}'
    return answers.forbidden(resource.qualified, target.name, sentence)


def _read(
    archive: format.Archive, resource: catalog.Resource, target: asked.Target, request: asked.Asked
) -> answers.Answer:
    if target.name:
        return _read_one(archive, resource, target, request)
    if request.flag("watch"):
        return watch.as_watch(archive, resource, target, request)
    return lists.as_list(archive, resource, target, request)


def _read_one(
    archive: format.Archive, resource: catalog.Resource, target: asked.Target, request: asked.Asked
) -> answers.Answer:
    if resource.namespaced != bool(target.namespace):
        raise answers.no_such_path()
    if not target.subresource:
        return lists.as_object(archive, resource, target, request)
    if target.subresource not in (sub.name for sub in resource.subresources):
        raise answers.no_such_path()
    if target.subresource == "log":
        return logs.as_log(archive, lists.get(archive, resource, target), request)
    return lists.as_object(archive, resource, target, request)


# ---- the application


class _Server:
    def __init__(self, archive: format.Archive, token: str | None) -> None:
        self._archive = archive
        self._authorization = None if token is None else f"Bearer {token}".encode()
        self._date = format_datetime(archive.captured_at.replace(microsecond=0), usegmt=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._answer_to(scope, await _body(scope, receive))
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [(name.encode(), value.encode()) for name, value in self._headers(answer)],
            }
        )
        for chunk in answer.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if answer.hold:
            if not answer.chunks:
                # Lets the client see the head before the first event, which may never come.
                await send({"type": "http.response.body", "body": b"", "more_body": True})
            await _until_disconnect(receive, timeout=answer.hold)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _answer_to(self, scope: Scope, body: bytes) -> answers.Answer:
        headers = _header_map(scope["headers"])
        query = asked.parse_query(scope.get("query_string", b"").decode("latin-1"))
        request = asked.Asked(scope["method"], scope["path"], query, headers, body)
        try:
            self._authenticate(headers.get("authorization", ""))
            return decide(self._archive, request)
        except answers.RefusedError as refused:
            content = answers.encode(refused.status(), pretty=request.pretty)
            return answers.Answer(refused.code, (content,))

    def _authenticate(self, authorization: str) -> None:
        if self._authorization is None:
            return
        if not hmac.compare_digest(authorization.encode(), self._authorization):
            raise answers.RefusedError(401, "Unauthorized", "Unauthorized")

    def _headers(self, answer: answers.Answer) -> list[tuple[str, str]]:
        headers = {
            "cache-control": "no-cache, private",
            **(answer.headers or {}),
            "content-type": answer.content_type,
            "date": self._date,
        }
        if not answer.hold and isinstance(answer.chunks, tuple):
            headers["content-length"] = str(sum(map(len, answer.chunks)))
        return list(headers.items())


def _header_map(pairs: list[tuple[bytes, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


async def _body(scope: Scope, receive: Receive) -> bytes:
    """Return a posted body, cut where no valid one could reach."""
    if scope["method"] != "POST":
        return b""
    body, more = b"", True
    while more and len(body) <= MAX_BODY_BYTES:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body[:MAX_BODY_BYTES]


async def _until_disconnect(receive: Receive, *, timeout: float) -> None:
    """Wait for the client to go, or for the time to be over."""
    try:
        async with asyncio.timeout(timeout):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
