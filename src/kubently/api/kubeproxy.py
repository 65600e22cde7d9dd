"""``/clusters/{id}/k8s/...``: a cluster's Kubernetes API for kubectl and everything else that speaks it.

Raw ASGI in, raw frames out. Refusals are ``Status`` objects, so that kubectl shows their sentence.
"""

from __future__ import annotations

from typing import Any

from kubently.api.services import Services
from kubently.broker import PolicyDeniedError
from kubently.errors import (
    ClusterNotFoundError,
    ExecutorOfflineError,
    KubentlyError,
    TunnelError,
)
from kubently.kube import headers
from kubently.listen import while_connected
from kubently.schema import ClusterId, Principal, problems
from kubently.tunnel import Receive, Scope, Send, read_body, status_of

_REASONS = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 429: "TooManyRequests"}

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
    ) as stream:
        body = await read_body(receive, limit=_MAX_BODY) if method == "POST" else b""
        with while_connected(scope):
            await stream.write(body, end_stream=True)
            head = await stream.head()
            # The executor has filtered these; a control plane does not take its word for what a front proxy acts on.
            fields = headers.response_headers(head)
            await send({"type": "http.response.start", "status": status_of(head), "headers": fields})
            try:
                while chunk := await stream.read():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except TunnelError as error:
                # The head is out: only a broken connection tells the client that the body is not whole.
                raise BrokenAnswerError(str(error)) from error
            await send({"type": "http.response.body", "body": b""})


class BrokenAnswerError(Exception):
    """The answer cannot be completed; the server closes the connection."""


def as_status(error: KubentlyError) -> dict[str, Any]:
    """The ``Status`` object for an error of ours."""
    if isinstance(error, PolicyDeniedError):
        return error.status
    code = problems.status_of(error)
    details: dict[str, Any] = {"causes": [{"reason": "Kubently", "message": error.code}]}
    if isinstance(error, ExecutorOfflineError) and error.retry_after:
        details["retryAfterSeconds"] = max(1, round(error.retry_after))
    if isinstance(error, ClusterNotFoundError):
        details["kind"] = "clusters"
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"{error.message}; {error.hint}" if error.hint else error.message,
        "reason": _REASONS.get(code, "ServiceUnavailable" if code in (502, 503, 504) else "InternalError"),
        "details": details,
        "code": code,
    }
