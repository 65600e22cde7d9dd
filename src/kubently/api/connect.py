"""Where executors arrive: ``/executor/v1/tunnel``, a WebSocket with the cluster's token."""

from __future__ import annotations

import json
import logging

from kubently.api import requests
from kubently.api.services import Services
from kubently.errors import InvalidRequestError, KubentlyError, UnauthenticatedError
from kubently.schema import ClusterId, parse_cluster_id, problems
from kubently.tunnel import Receive, Scope, Send
from kubently.tunnel.transports.websocket import SUBPROTOCOL, AsgiLink

log = logging.getLogger(__name__)


async def connect(scope: Scope, receive: Receive, send: Send, services: Services) -> None:
    """Let an executor in and serve its session until it ends; a refusal is a problem document before the upgrade."""
    await receive()  # websocket.connect
    try:
        cluster, digest = await _authenticate(scope, services)
    except KubentlyError as error:
        services.metrics.accepts.labels(result=error.code).inc()
        client = scope.get("client")
        log.warning("executor refused", extra={"reason": str(error), "client": client[0] if client else ""})
        await _refuse(scope, send, error)
        return
    services.metrics.accepts.labels(result="ok").inc()
    link = AsgiLink()
    # Known to the fleet before anything else happens, so that a revocation from now on finds it.
    link.handler = services.fleet.accept(cluster, link, token_digest=digest)
    await link.serve(receive, send, subprotocol=SUBPROTOCOL)


async def _authenticate(scope: Scope, services: Services) -> tuple[ClusterId, str]:
    if SUBPROTOCOL not in scope.get("subprotocols", ()):
        raise InvalidRequestError(f"the subprotocol {SUBPROTOCOL} was not asked for", hint="update the executor")
    cluster = parse_cluster_id(requests.header(scope, b"x-kubently-cluster"))
    scheme, _, token = requests.header(scope, b"authorization").partition(" ")
    digest = await services.tokens.verify(cluster, token.strip()) if scheme.lower() == "bearer" else None
    if digest is None:
        raise UnauthenticatedError(
            f"the executor token is not valid for {cluster}",
            hint=f"check KUBENTLY_TOKEN and the cluster id; kubently token create {cluster} makes a token",
        )
    return cluster, digest


async def _refuse(scope: Scope, send: Send, error: KubentlyError) -> None:
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 4000 + problems.status_of(error), "reason": str(error)[:120]})
        return
    body = json.dumps(problems.to_problem(error)).encode()
    headers = [(b"content-type", problems.MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "websocket.http.response.start", "status": problems.status_of(error), "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
