"""What the executor serves through its tunnel: ``POST /commands`` and ``/k8s/...``."""

from __future__ import annotations

import json
import logging
from typing import Any

from kubently.errors import CommandUnknownError, InvalidRequestError, KubentlyError, NotFoundError
from kubently.executor.kubeapi import Caller, KubeApi
from kubently.executor.kubectl import Kubectl
from kubently.executor.outcomes import Kept, Outcomes
from kubently.kube import kubectl as argv_policy
from kubently.kube.policy import SecretsMode
from kubently.schema import Ending, problems
from kubently.tunnel import Receive, Scope, Send, read_json
from kubently.wire import records

log = logging.getLogger(__name__)

_MAX_REQUEST = 256 * 1024


class ExecutorApp:
    """The ASGI application behind the tunnel."""

    def __init__(self, kube_api: KubeApi, kubectl: Kubectl, outcomes: Outcomes, *, secrets: SecretsMode) -> None:
        self._kube_api = kube_api
        self._kubectl = kubectl
        self._outcomes = outcomes
        self._secrets = secrets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of the control plane; a refusal is a problem document."""
        headers = dict(scope["headers"])
        caller = Caller(
            principal=headers.get(b"x-kubently-principal", b"").decode("latin-1"),
            request_id=headers.get(b"x-request-id", b"").decode("latin-1"),
        )
        path: bytes = scope["raw_path"]
        try:
            if path.startswith(b"/k8s/"):
                await self._kube_api.serve(scope, receive, send, path=path[4:], caller=caller)
            elif path == b"/commands" and scope["method"] == "POST":
                await self._command(receive, send, caller)
            else:
                raise NotFoundError(f"the executor serves no {scope['method']} {path.decode('latin-1')[:200]}")
        except KubentlyError as error:
            log.info("request refused", extra={"code": error.code, "reason": str(error), "principal": caller.principal})
            body = json.dumps(problems.to_problem(error, request_id=caller.request_id)).encode()
            headers_out = [(b"content-type", problems.MEDIA_TYPE.encode())]
            await send({"type": "http.response.start", "status": problems.status_of(error), "headers": headers_out})
            await send({"type": "http.response.body", "body": body})

    async def _command(self, receive: Receive, send: Send, caller: Caller) -> None:
        request = await read_json(receive, limit=_MAX_REQUEST)
        if not isinstance(request, dict):
            raise InvalidRequestError("the command is no JSON object")
        command_id = str(request.get("id", ""))
        kept = self._outcomes.find(command_id) if command_id else None
        if kept is not None:
            await _start_records(send)
            async for record in self._outcomes.follow(kept):
                await send({"type": "http.response.body", "body": record, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            return
        if request.get("replay"):
            raise CommandUnknownError("this executor does not remember that command; whether it ran is unknown")
        argv = request.get("argv")
        if not isinstance(argv, list) or not all(isinstance(a, str) for a in argv):
            raise InvalidRequestError("argv is not a list of strings")
        command = argv_policy.parse(argv, secrets=self._secrets)
        timeout = float(request.get("timeout", 60))
        await self._run(send, caller, command, timeout, self._outcomes.begin(command_id) if command_id else None)

    async def _run(
        self, send: Send, caller: Caller, command: argv_policy.KubectlCommand, timeout: float, kept: Kept | None
    ) -> None:
        await _start_records(send)

        async def emit(record: bytes) -> None:
            if kept is not None:
                self._outcomes.add(kept, record)
            await send({"type": "http.response.body", "body": record, "more_body": True})

        status = _status(Ending.CANCELLED)
        try:
            status = await self._kubectl.run(command, timeout=timeout, caller=caller, emit=emit)
        except KubentlyError as error:
            status = _status(Ending.FAILED, error=problems.to_problem(error, request_id=caller.request_id))
        finally:
            if kept is not None:
                self._outcomes.end(kept, status)
        await send({"type": "http.response.body", "body": status})


def _status(ending: Ending, **more: Any) -> bytes:
    return records.encode(records.STATUS, json.dumps({"ending": ending, "exit_code": None, **more}).encode())


async def _start_records(send: Send) -> None:
    headers = [(b"content-type", records.MEDIA_TYPE.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
