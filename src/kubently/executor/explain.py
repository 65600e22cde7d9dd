"""Says which rule decides about a request, and what the cluster's own access rules say of it; sends nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast, get_args

from pydantic import ValidationError

from kubently.errors import InvalidRequestError
from kubently.executor.caller import Caller
from kubently.executor.kubeapi import KubeApi
from kubently.executor.native import Native
from kubently.kube import objects, paths, policy, reviews
from kubently.schema import Authority, PolicyAnswer, PolicyQuestion, PolicyVerdict
from kubently.tunnel import Message

_REVIEWS = f"/apis/{reviews.API_VERSION}/{reviews.ACCESS}".encode()
_VERBS = frozenset(get_args(paths.Verb))
_MAX_ANSWER = 256 * 1024
"""Bytes of an answered review; what is longer cannot be read."""


class Explainer:
    """Answers what ``kubently policy test`` asks."""

    def __init__(self, kube_api: KubeApi, native: Native) -> None:
        self._kube_api = kube_api
        self._native = native

    async def explain(self, question: object, caller: Caller) -> PolicyAnswer:
        """Decide about the request that *question* (JSON) describes. Raises InvalidRequestError."""
        request = await self._request(_parse(question), caller)
        decision = self._kube_api.decide(request, caller)
        denied = isinstance(decision, policy.Deny)
        verdicts = [
            PolicyVerdict(
                by=Authority.POLICY, allowed=not denied, rule=decision.rule, reason=str(decision) if denied else ""
            )
        ]
        if not denied:
            verdicts.append(await self._ask_cluster(request, caller))
        return PolicyAnswer(request=str(request), verdicts=tuple(verdicts))

    async def _request(self, question: PolicyQuestion, caller: Caller) -> paths.ApiRequest:
        if question.verb not in _VERBS:
            raise InvalidRequestError(f"{question.verb!r} is no verb", hint=f"use one of {', '.join(sorted(_VERBS))}")
        verb = cast("paths.Verb", question.verb)
        if question.path:
            return _request_for_path(verb, question.path)
        type_word, _, subresource = question.resource.partition("/")
        found = await self._native.find_resource(type_word, caller)
        if found is None:
            raise InvalidRequestError(
                f"this cluster has no resource {type_word[:80]!r}", hint="kubently run CLUSTER -- api-resources"
            )
        is_everywhere = question.all_namespaces or not found.is_namespaced
        namespace = "" if is_everywhere else question.namespace
        return paths.ApiRequest(
            verb=verb,
            is_resource_request=True,
            group=found.group,
            version=found.version,
            resource=found.plural,
            subresource=subresource,
            # A Namespace object is in the namespace of its name.
            namespace=question.name if found.plural == "namespaces" else namespace,
            name=question.name,
        )

    async def _ask_cluster(self, request: paths.ApiRequest, caller: Caller) -> PolicyVerdict:
        status, answer = await self._post(_REVIEWS, reviews.access_review(request), caller)
        if status >= 300:
            reason = objects.text(answer, "message") or f"the API server answered {status}"
            return PolicyVerdict(by=Authority.CLUSTER, allowed=False, reason=reason)
        given = objects.mapping(answer, "status")
        return PolicyVerdict(
            by=Authority.CLUSTER, allowed=objects.flag(given, "allowed"), reason=objects.text(given, "reason")
        )

    async def _post(self, path: bytes, value: object, caller: Caller) -> tuple[int, Any]:
        """Post a review as a client would; it is short, and so is its answer."""
        status, body = 0, bytearray()

        async def receive() -> Message:
            return {"type": "http.request", "body": json.dumps(value).encode(), "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            body.extend(message.get("body", b"")[: _MAX_ANSWER - len(body)])

        headers = [(b"content-type", b"application/json"), (b"accept", b"application/json")]
        scope = {"method": "POST", "query_string": b"", "headers": headers}
        await self._kube_api.serve(scope, receive, send, path=path, caller=caller)
        try:
            return status, json.loads(bytes(body))
        except ValueError:
            return 502, {"message": "the API server's answer cannot be read"}


def _request_for_path(verb: paths.Verb, path: str) -> paths.ApiRequest:
    """Describe a path as it is described when it is asked for; that of a resource may not pass for discovery."""
    request = paths.parse(paths.ApiRequest(verb=verb, is_resource_request=False).method, path)
    return request if request.is_resource_request and verb != "watch" else replace(request, verb=verb)


def _parse(question: object) -> PolicyQuestion:
    try:
        return PolicyQuestion.model_validate(question)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidRequestError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
