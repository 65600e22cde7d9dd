"""Where executors arrive: ``/executor/v1/tunnel``, a WebSocket with the cluster's token.

Who is let in is decided here, whatever carries the session then: the connection itself, taken from the HTTP server, or
ASGI where the server is another, or ``KUBENTLY_TUNNEL_END`` says so.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from kubently import listen
from kubently.api import forwarded, requests
from kubently.api.services import Services
from kubently.auth import Admitted
from kubently.errors import (
    ApiDrainingError,
    ClientCertificateMissingError,
    InvalidRequestError,
    KubentlyError,
    TooManyExecutorsError,
    UnauthenticatedError,
)
from kubently.schema import ClusterId, Refusal, parse_cluster_id, problems
from kubently.trust import identity
from kubently.tunnel import Receive, Scope, Send
from kubently.tunnel.transports.taken import TakenLink
from kubently.tunnel.transports.websocket import SUBPROTOCOL, AsgiLink

log = logging.getLogger(__name__)

_MAX_SENTENCE = 1024


async def connect(scope: Scope, receive: Receive, send: Send, services: Services) -> None:
    """Let an executor in and serve its session until it ends; a refusal is a problem document before the upgrade."""
    await receive()  # websocket.connect
    try:
        if SUBPROTOCOL not in scope.get("subprotocols", ()):
            raise InvalidRequestError(f"the subprotocol {SUBPROTOCOL} was not asked for", hint="update the executor")
        services.fleet.require_open()
        admitted = await admit(scope, services)
        services.limits.let_in()
    except KubentlyError as error:
        await note_refusal(scope, services, error)
        await _refuse(scope, send, error)
        return
    services.metrics.accepts.labels(result="ok").inc()
    view = view_of(scope, services)
    # Known to the fleet before anything else happens, so that a revocation from now on finds it.
    if listen.can_be_taken(scope):
        taken = TakenLink()
        listen.take(scope, taken, subprotocol=SUBPROTOCOL)
        taken.handler = services.fleet.accept(admitted, taken, view=view)
        return
    link = AsgiLink()
    link.handler = services.fleet.accept(admitted, link, view=view)
    await link.serve(receive, send, subprotocol=SUBPROTOCOL)


def view_of(scope: Scope, services: Services) -> Mapping[str, str]:
    """What a doctor may want to know of its connection, as it arrives here."""
    trusted = services.settings.trusted_proxies
    return {
        "client": forwarded.client_address(scope, trusted),
        "trusted_proxy": "yes" if forwarded.is_from_trusted(scope, trusted) else "no",
        "served": services.listener.fingerprint() if scope["scheme"] in ("https", "wss") else "",
    }


async def note_refusal(scope: Scope, services: Services, error: KubentlyError) -> None:
    """Count and log an executor that is not let in, and remember it for its cluster."""
    services.metrics.accepts.labels(result=error.code).inc()
    client = forwarded.client_address(scope, services.settings.trusted_proxies)
    log.warning("executor refused", extra={"reason": str(error), "client": client})
    if isinstance(error, ApiDrainingError | TooManyExecutorsError):
        return
    with contextlib.suppress(KubentlyError):  # a name that is none, or a store that does not answer
        cluster = parse_cluster_id(requests.header(scope, b"x-kubently-cluster"))
        # Anybody can make names up: only those count that somebody gave a token, or that was here.
        if services.fleet.knows(cluster) or await services.tokens.is_known(cluster):
            said = "; ".join(filter(None, (error.message, error.hint)))
            message = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in said[:_MAX_SENTENCE])
            refusal = Refusal(code=error.code, message=message, at=datetime.now(UTC), client=client)
            services.fleet.note_refusal(cluster, refusal)


async def admit(scope: Scope, services: Services) -> Admitted:
    """Which cluster's executor asks to be let in: by client certificate, by a certificate of ours, or by token.

    Raises InvalidRequestError and what `Identities` raises; the certificate of ours is still to be proven.
    """
    cluster = parse_cluster_id(requests.header(scope, b"x-kubently-cluster"))
    if admitted := await _by_client_certificate(scope, services, cluster):
        return admitted
    scheme, _, credential = requests.header(scope, b"authorization").partition(" ")
    if scheme.lower() == identity.SCHEME.lower():
        # Not the scope itself: it would live as long as the session.
        ours = frozenset(services.settings.hosts or (requests.host_name(requests.header(scope, b"host")),))
        return await services.identities.by_certificate(
            cluster, credential.strip(), lambda host: requests.host_name(host) in ours
        )
    found = await services.identities.by_token(cluster, credential.strip()) if scheme.lower() == "bearer" else None
    if found is None:
        raise UnauthenticatedError(
            f"the executor token is not valid for {cluster}",
            hint=f"check KUBENTLY_TOKEN and the cluster id; kubently token create {cluster} makes a token",
        )
    return found


async def _by_client_certificate(scope: Scope, services: Services, cluster: ClusterId) -> Admitted | None:
    settings = services.settings
    if settings.client_certs == "off":
        return None
    own = listen.client_certificate(scope)
    shown = own or forwarded.client_certificate(scope, settings.client_cert_header, settings.trusted_proxies)
    if shown is not None:
        return await services.identities.by_client_certificate(cluster, shown, is_verified=own is not None)
    if settings.client_certs == "require":
        raise ClientCertificateMissingError(
            f"this API lets executors in by client certificate only, and none came for {cluster}",
            hint="set KUBENTLY_CLIENT_CERT and KUBENTLY_CLIENT_KEY; where a proxy ends TLS it must ask for the "
            "certificate and hand it on",
        )
    return None


async def _refuse(scope: Scope, send: Send, error: KubentlyError) -> None:
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 4000 + problems.status_of(error), "reason": str(error)[:120]})
        return
    body = json.dumps(problems.to_problem(error)).encode()
    headers = [(b"content-type", problems.MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "websocket.http.response.start", "status": problems.status_of(error), "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
