"""The edge: one ASGI application for REST, tunnel and Kubernetes API.

What is hot or streams is raw ASGI and goes straight to its handler; the cold rest is FastAPI, whose OpenAPI document
describes all of it. Every request gets an id, and every refusal becomes a problem document (a ``Status`` object under
/clusters/{id}/k8s) here and nowhere else.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import anyio
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from kubently import __version__, logs, tracing
from kubently.api import connect, docs, enrol, health, kubeproxy, login, polls, requests
from kubently.api.commands import CommandRoutes
from kubently.api.routes import ROUTERS
from kubently.api.routes.context import SCOPE_KEY, Context
from kubently.api.services import Services
from kubently.errors import ApiDrainingError, InvalidRequestError, KubentlyError, NotFoundError, PermissionDeniedError
from kubently.schema import Principal, parse_cluster_id, problems
from kubently.tunnel import Receive, Scope, Send
from kubently.tunnel.transports.websocket import PATH as TUNNEL_PATH

log = logging.getLogger(__name__)

_KUBERNETES = re.compile(rb"/clusters/([^/]+)/k8s(/.*)?")
_MAX_BODY = 256 * 1024
"""Bytes of a request's body on the cold routes."""
_COMMANDS = re.compile(r"/api/v1/clusters/([^/]+)/commands")


class Edge:
    """The ASGI application over *services*."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._commands = CommandRoutes(services)
        self._rest = create_rest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or one executor."""
        if scope["type"] == "websocket":
            if scope["path"] == TUNNEL_PATH:
                await connect.connect(scope, receive, send, self._services)
            else:
                await receive()
                await send({"type": "websocket.close", "code": 1008, "reason": "there is no WebSocket here"})
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        surface = "kubernetes" if scope["path"].startswith("/clusters/") else "rest"
        parent = tracing.of_fields(scope["headers"])
        with tracing.Span(f"{scope['method']} {surface}", tracing.Kind.SERVER, parent=parent) as span:
            await self._answer(scope, receive, send, surface, span)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, surface: str, span: tracing.Span) -> None:
        request_id = requests.take_request_id(scope)
        token = logs.request_id.set(request_id)
        proxied = self._services.metrics.proxied_bytes.inc if surface == "kubernetes" else None
        started, seen = time.monotonic(), _Seen(send, proxied)
        try:
            await self._route(scope, receive, seen.send, request_id)
        except KubentlyError as error:
            if not seen.status:
                await self._refuse(surface, seen.send, error, request_id)
        except kubeproxy.BrokenAnswerError as error:
            log.warning("an answer was broken off", extra={"reason": str(error)})
        except anyio.get_cancelled_exc_class():  # by the server, whose grace is over; a client's leave ends further in
            if not seen.status:
                stops = ApiDrainingError("this API stops", hint="ask again: another replica answers", retry_after=1)
                with anyio.CancelScope(shield=True):
                    await self._refuse(surface, seen.send, stops, request_id)
        except Exception:
            log.exception("a request failed")
            if not seen.status:
                await self._refuse(surface, seen.send, _unforeseen(), request_id)
        finally:
            span.note("url.path", scope["path"])
            span.note("kubently.request_id", request_id)
            span.note("http.response.status_code", seen.status)
            if seen.started_at:
                self._services.metrics.response_start[surface].observe(seen.started_at - started)
            self._services.metrics.requests.labels(surface=surface, status=seen.status).inc()
            if log.isEnabledFor(logging.DEBUG):
                log.debug(
                    "request",
                    extra={
                        "method": scope["method"],
                        "path": scope["path"],
                        "status": seen.status,
                        "seconds": round(time.monotonic() - started, 4),
                    },
                )
            logs.request_id.reset(token)

    async def _refuse(self, surface: str, send: Send, error: KubentlyError, request_id: str) -> None:
        if surface == "kubernetes":
            status = kubeproxy.as_status(error)
            await requests.send_json(send, int(status["code"]), status, headers={"x-request-id": request_id})
        else:
            await requests.send_problem(send, error, request_id=request_id)

    async def _route(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        path: str = scope["path"]
        if answer := health.OPEN.get(path):  # by any name: the kubelet asks the pod by its address
            await answer(scope, send, self._services)
            return
        if path in polls.PATHS:  # by any name, as WebSockets: a proxy may have changed it, and the token decides
            await polls.serve(scope, receive, send, self._services)
            return
        polls.check_upgrade(scope)
        self._check_host(scope)
        if match := _KUBERNETES.fullmatch(scope["raw_path"]):
            await self._kubernetes(scope, receive, send, request_id, match[1], match[2] or b"/")
        elif path == enrol.PATH:
            await enrol.enrol(scope, receive, send, self._services, request_id=request_id)
        elif path in login.OPEN:
            await login.OPEN[path](scope, receive, send, self._services, request_id)
        elif path in docs.PAGES:
            await docs.PAGES[path](self._rest, send)
        elif kubeproxy.is_astray(scope):
            await requests.send_json(send, 403, kubeproxy.astray_status(path), headers={"x-request-id": request_id})
        else:
            principal = await requests.authenticate(scope, self._services)
            await self._authenticated(scope, receive, send, request_id, principal)

    async def _authenticated(
        self, scope: Scope, receive: Receive, send: Send, request_id: str, principal: Principal
    ) -> None:
        path: str = scope["path"]
        posted = scope["method"] == "POST"
        if posted and (match := _COMMANDS.fullmatch(path)):
            cluster = parse_cluster_id(match[1])
            await self._commands.one(scope, receive, send, principal=principal, cluster=cluster, request_id=request_id)
        elif posted and path == "/api/v1/commands":
            await self._commands.many(scope, receive, send, principal=principal, request_id=request_id)
        elif path == "/metrics":
            await health.metrics(send, self._services)
        elif path.startswith("/api/"):
            scope[SCOPE_KEY] = Context(self._services, principal, request_id)
            await self._rest(scope, await requests.buffered(receive, limit=_MAX_BODY), send)
        else:
            raise NotFoundError(f"there is nothing at {path[:200]}", hint="/docs lists what there is")

    async def _kubernetes(
        self, scope: Scope, receive: Receive, send: Send, request_id: str, cluster: bytes, path: bytes
    ) -> None:
        cluster_id = parse_cluster_id(cluster.decode("latin-1"))
        principal = await requests.authenticate_for(scope, self._services, cluster_id)
        await kubeproxy.serve(
            scope,
            receive,
            send,
            self._services,
            principal=principal,
            cluster=cluster_id,
            path=path,
            request_id=request_id,
        )

    def _check_host(self, scope: Scope) -> None:
        """Refuse names that are not ours, and pages of other sites: what a rebound DNS name would bring."""
        hosts = self._services.settings.hosts
        origin = requests.header(scope, b"origin")
        host = requests.header(scope, b"host").lower()
        if hosts and requests.host_name(host) not in hosts:
            raise PermissionDeniedError(
                f"this API is not {host[:100]!r}", hint="use one of the names in KUBENTLY_HOSTS"
            )
        if origin and _netloc(origin) != host:
            raise PermissionDeniedError(f"requests from the origin {origin[:100]!r} are not served")


class _Seen:
    """Notes which status was sent, and tells *proxied* of each piece of a body."""

    def __init__(self, send: Send, proxied: Callable[[int], None] | None) -> None:
        self._send = send
        self._proxied = proxied
        self.status = 0
        self.started_at = 0.0
        """When it was, by the monotonic clock; 0 as long as there is none."""

    async def send(self, message: Scope) -> None:
        if message["type"] == "http.response.start":
            self.status, self.started_at = message["status"], time.monotonic()
        elif self._proxied is not None:
            self._proxied(len(message["body"]))
        await self._send(message)


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _unforeseen() -> KubentlyError:
    return KubentlyError("the API failed in an unforeseen way", hint="its log says more, under the id of this request")


def create_rest() -> FastAPI:
    """The FastAPI part; also what the OpenAPI document is made of."""
    app = FastAPI(
        title="Kubently", version=__version__, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )
    for router in ROUTERS:
        app.include_router(router)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body") or "the body"
        return _problem(request, InvalidRequestError(f"{where}: {first['msg']}", hint="/docs describes each request"))

    @app.exception_handler(KubentlyError)
    async def ours(request: Request, error: KubentlyError) -> JSONResponse:
        return _problem(request, error)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code in (404, 405):
            what = f"{request.method} {request.scope['path'][:200]}"
            return _problem(request, NotFoundError(f"there is no {what}", hint="see /docs"))
        return _problem(request, InvalidRequestError(str(error.detail), hint="/docs describes each request"))

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        return _problem(request, _unforeseen())  # Starlette raises it again, and the edge logs it

    return app


def _problem(request: Request, error: KubentlyError) -> JSONResponse:
    context: Context = request.scope[SCOPE_KEY]
    problem = problems.to_problem(error, request_id=context.request_id)
    headers = {"x-request-id": context.request_id}
    return JSONResponse(problem, problems.status_of(error), headers, media_type=problems.MEDIA_TYPE)
