"""What the executor serves through its tunnel: ``POST /commands``, ``POST /policy`` and ``/k8s/...``."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any, Protocol

from kubently.errors import CommandUnknownError, InvalidRequestError, KubentlyError, NotFoundError, TunnelError
from kubently.executor import caller as callers
from kubently.executor.caller import Caller
from kubently.executor.explain import Explainer
from kubently.executor.kubeapi import KubeApi
from kubently.executor.outcomes import Kept, Outcomes
from kubently.executor.output import Emit
from kubently.kube import kubectl as argv_policy
from kubently.kube.policy import SecretsMode
from kubently.schema import MAX_TIMEOUT, Ending, problems
from kubently.tunnel import Message, Receive, Scope, Send, read_json
from kubently.wire import records

log = logging.getLogger(__name__)

_MAX_REQUEST = 256 * 1024
_MAX_ID = 64


class Runner(Protocol):
    """Runs commands."""

    async def run(self, command: argv_policy.KubectlCommand, *, timeout: float, caller: Caller, emit: Emit) -> bytes:
        """Run *command*, give its output to *emit* as it comes, and return the status record."""
        ...


class ExecutorApp:
    """The ASGI application behind the tunnel."""

    def __init__(
        self,
        kube_api: KubeApi,
        runner: Runner,
        outcomes: Outcomes,
        explainer: Explainer,
        *,
        secrets: SecretsMode,
    ) -> None:
        self._kube_api = kube_api
        self._explainer = explainer
        self._runner = runner
        self._outcomes = outcomes
        self._secrets = secrets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of the control plane; a refusal is a problem document."""
        caller = Caller()
        path: bytes = scope["raw_path"]
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            caller = callers.read(scope["headers"])
            if path.startswith(b"/k8s/"):
                await self._kube_api.serve(scope, receive, noted, path=path[4:], caller=caller)
            elif path == b"/commands" and scope["method"] == "POST":
                await self._command(receive, noted, caller)
            elif path == b"/policy" and scope["method"] == "POST":
                await self._explain(receive, noted, caller)
            else:
                raise NotFoundError(f"the executor serves no {scope['method']} {path.decode('latin-1')[:200]}")
        except KubentlyError as error:
            if started:  # the head is out: the stream is reset, which tells the other end that the body is not whole
                log.warning("an answer was broken off", extra={"code": error.code, "reason": str(error)})
                return
            log.info("request refused", extra={"code": error.code, "reason": str(error), "principal": caller.principal})
            body = json.dumps(problems.to_problem(error, request_id=caller.request_id)).encode()
            headers_out = [(b"content-type", problems.MEDIA_TYPE.encode())]
            await send({"type": "http.response.start", "status": problems.status_of(error), "headers": headers_out})
            await send({"type": "http.response.body", "body": body})

    async def _explain(self, receive: Receive, send: Send, caller: Caller) -> None:
        answer = await self._explainer.explain(await read_json(receive, limit=_MAX_REQUEST), caller)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer.model_dump_json().encode()})

    async def _command(self, receive: Receive, send: Send, caller: Caller) -> None:
        request = _parse(await read_json(receive, limit=_MAX_REQUEST))
        command = argv_policy.parse(request.argv, secrets=self._secrets)  # first: a refusal is one at each repetition
        kept = self._outcomes.find(request.id) if request.id else None
        if kept is not None:
            if not kept.caller.is_as(caller):  # a key of the same name may have other limits than the one before it
                raise CommandUnknownError("that command was another key's; what became of it is not told")
            await _start_records(send)
            async for record in self._outcomes.follow(kept):
                await send({"type": "http.response.body", "body": record, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            return
        if request.is_replay:
            raise CommandUnknownError("this executor does not remember that command; whether it ran is unknown")
        kept = self._outcomes.begin(request.id, caller) if request.id else None
        await self._run(send, caller, command, request.timeout, kept)

    async def _run(
        self, send: Send, caller: Caller, command: argv_policy.KubectlCommand, timeout: float, kept: Kept | None
    ) -> None:
        async def emit(record: bytes) -> None:
            if kept is not None:
                self._outcomes.add(kept, record)
            await send({"type": "http.response.body", "body": record, "more_body": True})

        status = _status(Ending.CANCELLED)
        try:
            await _start_records(send)
            status = await self._runner.run(command, timeout=timeout, caller=caller, emit=emit)
        except TunnelError:  # the caller left; whoever asks again hears that it was cancelled
            raise
        except KubentlyError as error:
            status = _status(Ending.FAILED, error=problems.to_problem(error, request_id=caller.request_id))
        finally:
            if kept is not None:
                self._outcomes.end(kept, status)
        await send({"type": "http.response.body", "body": status})


@dataclass(frozen=True, slots=True)
class _Request:
    """What the control plane asks for."""

    id: str
    argv: list[str]
    timeout: float
    is_replay: bool


def _parse(request: Any) -> _Request:
    """Read a command's request. Raises InvalidRequestError: what comes through the tunnel is not believed either."""
    if not isinstance(request, dict):
        raise InvalidRequestError("the command is no JSON object")
    command_id, argv, timeout = request.get("id", ""), request.get("argv"), request.get("timeout", 60.0)
    if not isinstance(command_id, str) or len(command_id) > _MAX_ID:
        raise InvalidRequestError(f"the id is no text of at most {_MAX_ID} characters")
    if not isinstance(argv, list) or not all(isinstance(word, str) and _is_argument(word) for word in argv):
        raise InvalidRequestError("argv is not a list of strings that can be arguments")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= MAX_TIMEOUT:
        raise InvalidRequestError(f"the timeout is no number of seconds up to {MAX_TIMEOUT:g}")
    return _Request(command_id, argv, float(timeout), bool(request.get("replay")))


def _is_argument(word: str) -> bool:
    """Whether the operating system takes it: no NUL, and no half of a surrogate pair."""
    return "\0" not in word and not any("\ud800" <= c <= "\udfff" for c in word)


def _status(ending: Ending, **more: Any) -> bytes:
    return records.encode(records.STATUS, json.dumps({"ending": ending, "exit_code": None, **more}).encode())


async def _start_records(send: Send) -> None:
    headers = [(b"content-type", records.MEDIA_TYPE.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
