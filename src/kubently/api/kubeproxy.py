"""``/clusters/{id}/k8s/...``: a cluster's Kubernetes API for kubectl and everything else that speaks it.

Raw ASGI in, raw frames out. Refusals are ``Status`` objects, so that kubectl shows their sentence.
"""

from __future__ import annotations

import re
from typing import Any

from kubently.api import requests
from kubently.api.services import Services
from kubently.auth import kube_tokens
from kubently.broker import PolicyDeniedError
from kubently.errors import KubentlyError, TunnelError
from kubently.kube import headers, statuses
from kubently.listen import while_connected
from kubently.schema import ClusterId, Principal
from kubently.tunnel import Receive, Scope, Send, read_body, status_of

_OF_API_SERVERS = re.compile(r"/(?:api|apis(?:/.*)?|version|openapi/v[23](?:/.*)?)/?")
"""What API servers have and we do not; /api/v1/... is ours."""

_MAX_BODY = 64 * 1024
"""Bytes of a request body: only the three self reviews have one."""


async def serve(
    scope: Scope,
    receive: Receive,
    send: Send,
    services: Services,
    *,
    principal: Principal,
    cluster: ClusterId,
    path: bytes,
    request_id: str,
) -> None:
    """Carry one request. Raises KubentlyError only while nothing was sent."""
    method: str = scope["method"]
    async with services.kubernetes.open(
        principal, cluster, method, path, scope["query_string"], scope["headers"], request_id=request_id
    ) as asked:
        body = await read_body(receive, limit=_MAX_BODY) if method == "POST" else b""
        with while_connected(scope):
            head = await asked.answer(body)
            # The executor has filtered these; a control plane does not take its word for what a front proxy acts on.
            # The server writes a Date of its own; the cluster's clock is told beside it.
            fields = [
                (headers.CLUSTER_DATE, value) if name == b"date" else (name, value)
                for name, value in headers.response_headers(head)
            ]
            await send({"type": "http.response.start", "status": status_of(head), "headers": fields})
            more = True
            try:
                while more:
                    chunk = await asked.read()
                    more = bool(chunk) and not asked.is_read
                    await send({"type": "http.response.body", "body": chunk, "more_body": more})
            except TunnelError as error:
                # The head is out: only a broken connection tells the client that the body is not whole.
                raise BrokenAnswerError(str(error)) from error


def is_astray(scope: Scope) -> bool:
    """Whether a Kubernetes client asks outside of its cluster's path, as ``kubectl get --raw`` may.

    It sends a token that is good for nothing else, or asks for what only an API server has.
    """
    secret = requests.header(scope, b"authorization").partition(" ")[2].strip()
    return secret.startswith(kube_tokens.PREFIX) or bool(_OF_API_SERVERS.fullmatch(scope["path"]))


def astray_status(path: str) -> dict[str, Any]:
    """The ``Status`` object that says where the cluster's API is."""
    message = (
        f"{path[:200]} is outside of a cluster's path: Kubently serves its API under /clusters/<id>/k8s; "
        "ask with a resource instead of --raw"
    )
    return statuses.failure(
        "Forbidden", 403, message, {"causes": [{"reason": "Kubently", "message": "outside-of-cluster-path"}]}
    )


class BrokenAnswerError(Exception):
    """The answer cannot be completed; the server closes the connection."""


def as_status(error: KubentlyError) -> dict[str, Any]:
    """The ``Status`` object for an error of ours."""
    if isinstance(error, PolicyDeniedError):
        return error.status
    return statuses.of(error)
