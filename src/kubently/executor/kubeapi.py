"""The cluster's API behind the policy: every request is read, decided, written anew and only then sent.

The executor's word is the last one: the control plane decides too, but what it lets through is decided again here. Used
by the tunnel's ``/k8s`` and by the loopback proxy of the kubectl children.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from kubently.errors import InvalidRequestError, KubentlyError
from kubently.executor import redaction
from kubently.executor.apiserver import ApiServer, Response, UpstreamError
from kubently.executor.caller import Caller
from kubently.kube import headers, members, objects, paths, policy, reviews, statuses
from kubently.tunnel import Receive, Scope, Send, read_body

log = logging.getLogger(__name__)

_MAX_BODY = 64 * 1024
"""Bytes of a request body: only the three self reviews have one."""


class KubeApi:
    """Decides and forwards."""

    def __init__(self, api_server: ApiServer, rules: policy.Policy) -> None:
        self._api_server = api_server
        self._rules = rules

    def decide(self, request: paths.ApiRequest, caller: Caller) -> policy.Decision:
        """Say whether *caller* may make *request*."""
        return policy.decide(request, self._rules, caller.limits)

    async def serve(self, scope: Scope, receive: Receive, send: Send, *, path: bytes, caller: Caller) -> None:
        """Answer one request; refusals and failures are ``Status`` objects, as Kubernetes clients expect."""
        try:
            request = paths.parse(scope["method"], path, scope["query_string"])
            decision = self.decide(request, caller)
            if isinstance(decision, policy.Deny):
                log.info("kubernetes request denied", extra={"rule": decision.rule, "principal": caller.principal})
                await _send_status(send, policy.deny_status(decision, request))
                return
            creates = request.verb == "create"
            forwarded = headers.request_headers(scope["headers"], with_body=creates)
            if self._rules.impersonation is not None:
                forwarded += self._rules.impersonation.headers(caller.principal)
        except InvalidRequestError as error:
            await _send_status(send, statuses.of(error))
            return
        target = b"?".join(part for part in paths.build(request) if part)
        try:
            body = await read_body(receive, limit=_MAX_BODY) if creates else b""
            review = _review(request, forwarded, body)
            if request.resource == reviews.ACCESS and (deny := self._access_denial(review, caller)):
                await _send_json(send, 201, reviews.denied_answer(review, deny))
                return
            rewriter = self._rewriter(request, review, caller)
            if rewriter is not None:
                forwarded = redaction.readable(request, forwarded)
            response = await self._api_server.request(request.method.encode(), target, forwarded, body)
        except KubentlyError as error:
            await _send_status(send, statuses.of(error))
            return
        try:
            # An error's body is a Status: it holds no object, and is no list.
            await _relay(response, send, rewriter if 200 <= response.status < 300 else None)
        finally:
            response.close()

    def _access_denial(self, review: Mapping[str, Any], caller: Caller) -> policy.Deny | None:
        return reviews.access_denial(review, self._rules, caller.limits)

    def _rewriter(
        self, request: paths.ApiRequest, review: Mapping[str, Any], caller: Caller
    ) -> members.Rewriter | None:
        if request.resource == reviews.RULES:
            namespace = objects.text(review, "spec", "namespace")
            return members.WholeRewriter(
                lambda answer: reviews.restrict_rules(answer, namespace, self._rules, caller.limits)
            )
        return redaction.rewriter_for(request, self._rules)


def _review(request: paths.ApiRequest, fields: list[headers.Field], body: bytes) -> Mapping[str, Any]:
    """Read what a request asks about the caller's rights; empty for every other request."""
    if request.verb != "create" or request.resource not in (reviews.ACCESS, reviews.RULES):
        return {}
    return reviews.parse(body, dict(fields).get(b"content-type", b"").decode("latin-1"), request.resource)


async def _relay(response: Response, send: Send, rewriter: members.Rewriter | None) -> None:
    fields = headers.response_headers(response.headers, body_changed=rewriter is not None)
    await send({"type": "http.response.start", "status": response.status, "headers": fields})
    try:
        while chunk := await response.read():
            if body := await redaction.feed(rewriter, chunk) if rewriter else chunk:
                await send({"type": "http.response.body", "body": body, "more_body": True})
        rest = await redaction.finish(rewriter) if rewriter else b""
    except ValueError as error:
        # What cannot be read cannot be redacted, so it does not leave; the broken answer tells the client.
        raise UpstreamError(f"the API server's answer cannot be redacted: {error}") from error
    await send({"type": "http.response.body", "body": rest})


async def _send_status(send: Send, status: Mapping[str, Any]) -> None:
    await _send_json(send, int(status["code"]), status)


async def _send_json(send: Send, status: int, value: Mapping[str, Any]) -> None:
    body = json.dumps(value).encode()
    fields = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})
