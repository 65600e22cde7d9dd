"""What the executor serves through its tunnel: ``POST /commands``, ``POST /policy`` and ``/k8s/...``."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from typing import Any, Protocol

import anyio

from kubently import tracing
from kubently.errors import (
    CommandUnknownError,
    InvalidRequestError,
    KubentlyError,
    NotFoundError,
    TunnelClosedError,
    TunnelError,
)
from kubently.executor import caller as callers
from kubently.executor.caller import Caller
from kubently.executor.explain import Explainer
from kubently.executor.kubeapi import KubeApi
from kubently.executor.outcomes import Kept, Outcomes
from kubently.executor.output import Emit
from kubently.kube import kubectl as argv_policy
from kubently.kube.policy import SecretsMode
from kubently.schema import MAX_TIMEOUT, Ending, problems
from kubently.tunnel import ON_LOSS, Message, Receive, Scope, Send, read_json
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
            with tracing.Span(_name(path), tracing.Kind.SERVER, parent=caller.trace) as span:
                span.note("kubently.request_id", caller.request_id)
                await self._route(scope, receive, noted, replace(caller, trace=tracing.current.get()))
        except KubentlyError as error:
            if started:  # the head is out: the stream is reset, which tells the other end that the body is not whole
                log.warning("an answer was broken off", extra={"code": error.code, "reason": str(error)})
                return
            log.info("request refused", extra={"code": error.code, "reason": str(error), "principal": caller.principal})
            body = json.dumps(problems.to_problem(error, request_id=caller.request_id)).encode()
            headers_out = [(b"content-type", problems.MEDIA_TYPE.encode())]
            await send({"type": "http.response.start", "status": problems.status_of(error), "headers": headers_out})
            await send({"type": "http.response.body", "body": body})

    async def _route(self, scope: Scope, receive: Receive, send: Send, caller: Caller) -> None:
        path: bytes = scope["raw_path"]
        if path.startswith(b"/k8s/"):
            await self._kube_api.serve(scope, receive, send, path=path[4:], caller=caller)
        elif path == b"/commands" and scope["method"] == "POST":
            await self._command(scope, receive, send, caller)
        elif path == b"/policy" and scope["method"] == "POST":
            await self._explain(receive, send, caller)
        else:
            raise NotFoundError(f"the executor serves no {scope['method']} {path.decode('latin-1')[:200]}")

    async def _explain(self, receive: Receive, send: Send, caller: Caller) -> None:
        answer = await self._explainer.explain(await read_json(receive, limit=_MAX_REQUEST), caller)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer.model_dump_json().encode()})

    async def _command(self, scope: Scope, receive: Receive, send: Send, caller: Caller) -> None:
        request = _parse(await read_json(receive, limit=_MAX_REQUEST))
        command = argv_policy.parse(request.argv, secrets=self._secrets)  # first: a refusal is one at each repetition
        kept = self._outcomes.find(request.id) if request.id else None
        if kept is not None:
            await self._follow(scope, send, caller, kept, request)
            return
        if request.is_replay or any(request.seen):
            raise CommandUnknownError("this executor does not remember that command; whether it ran is unknown")
        kept = self._outcomes.begin(request.id, caller) if request.id else None
        run = _Run(self._outcomes, kept, send)
        with run.scope:
            if kept is not None:
                scope[ON_LOSS](run.lost)
            await self._run(run, caller, command, request.timeout)

    async def _run(self, run: _Run, caller: Caller, command: argv_policy.KubectlCommand, timeout: float) -> None:
        status = _status(Ending.CANCELLED)
        try:
            await run.tell({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            status = await self._runner.run(command, timeout=timeout, caller=caller, emit=run.emit)
        except TunnelError:  # the caller left; whoever asks again hears that it was cancelled
            raise
        except KubentlyError as error:
            status = _status(Ending.FAILED, error=problems.to_problem(error, request_id=caller.request_id))
        finally:
            if run.kept is not None:
                self._outcomes.end(run.kept, status)
        await run.tell({"type": "http.response.body", "body": status})

    async def _follow(self, scope: Scope, send: Send, caller: Caller, kept: Kept, request: _Request) -> None:
        """Tell of a command that runs or ran, from where its caller has heard it."""
        if not kept.caller.is_as(caller):  # a key of the same name may have other limits than the one before it
            raise CommandUnknownError("that command was another key's; what became of it is not told")
        to_skip = dict(zip((records.STDOUT, records.STDERR), request.seen, strict=True))
        was_lost = False

        def lost() -> None:
            nonlocal was_lost
            was_lost = True
            follower.cancel()

        kept.readers += 1
        try:
            with anyio.CancelScope() as follower:
                scope[ON_LOSS](lost)
                await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                async for record in self._outcomes.follow(kept):
                    if kept.dropped and any(request.seen):
                        raise CommandUnknownError("the output of this command is no longer kept")
                    if rest := _without(record, to_skip):
                        await send({"type": "http.response.body", "body": rest, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        finally:
            kept.readers -= 1
            kept.left(at_once=not was_lost)


def _name(path: bytes) -> str:
    """Of a span: few of them, whatever is asked for."""
    return "executor " + next(
        (word for word in ("k8s", "commands", "policy") if path[1:].startswith(word.encode())), ""
    )


class _Run:
    """One run of a command, and the stream that it was asked for on."""

    def __init__(self, outcomes: Outcomes, kept: Kept | None, send: Send) -> None:
        self._outcomes = outcomes
        self._send = send
        self._is_lost = False
        self.kept = kept
        self.scope = anyio.CancelScope()

    async def emit(self, record: bytes) -> None:
        """Keep a record, and send it as long as the stream is there."""
        if self.kept is not None:
            self._outcomes.add(self.kept, record)
        await self.tell({"type": "http.response.body", "body": record, "more_body": True})

    async def tell(self, message: Message) -> None:
        """Send, unless the tunnel was lost: who follows hears it from what is kept."""
        if self._is_lost:
            return
        try:
            await self._send(message)
        except TunnelClosedError:
            if not self._is_lost:  # a call without an id ends with its tunnel
                raise

    def lost(self) -> None:
        """The tunnel is gone: go on until nobody has asked for this command for a while."""
        assert self.kept is not None
        self._is_lost = True
        self.kept.go_on(self.scope.cancel)


@dataclass(frozen=True, slots=True)
class _Request:
    """What the control plane asks for."""

    id: str
    argv: list[str]
    timeout: float
    is_replay: bool
    seen: tuple[int, int]
    """Bytes of standard output and error that the caller has; they are not told again."""


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
    seen = request.get("seen", [0, 0])
    if not (isinstance(seen, list) and len(seen) == 2 and all(type(count) is int and count >= 0 for count in seen)):
        raise InvalidRequestError("seen is not a pair of byte counts")
    return _Request(command_id, argv, float(timeout), bool(request.get("replay")), (seen[0], seen[1]))


def _is_argument(word: str) -> bool:
    """Whether the operating system takes it: no NUL, and no half of a surrogate pair."""
    return "\0" not in word and not any("\ud800" <= c <= "\udfff" for c in word)


def _status(ending: Ending, **more: Any) -> bytes:
    return records.encode(records.STATUS, json.dumps({"ending": ending, "exit_code": None, **more}).encode())


def _without(record: bytes, to_skip: dict[int, int]) -> bytes:
    """The record without what is to be skipped of its channel, which is counted down; empty where nothing is left."""
    ((channel, payload),) = records.Reader().feed(record)
    skipped = min(to_skip.get(channel, 0), len(payload))
    if not skipped:
        return record
    to_skip[channel] -= skipped
    return records.encode(channel, payload[skipped:]) if len(payload) > skipped else b""


_HEADERS = [(b"content-type", records.MEDIA_TYPE.encode())]
