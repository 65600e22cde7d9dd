"""One command on one cluster, from the caller's identity to the audit record of its end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import json
import logging
import os
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from kubently import wire
from kubently.auth import Caller
from kubently.broker import answers, narrowing
from kubently.broker.admission import Admission
from kubently.broker.audit import Audit, Entry
from kubently.broker.limits import Limits
from kubently.errors import (
    CommandTimeoutError,
    CommandUnknownError,
    IdempotencyConflictError,
    KubentlyError,
    RemoteProtocolError,
    StreamResetError,
    TunnelClosedError,
    TunnelError,
)
from kubently.fleet import Fleet
from kubently.kube import kubectl as argv_policy
from kubently.kube import policy, redact
from kubently.schema import ClusterId, Command, Ending, Outcome, Permission, Principal
from kubently.store import ABSENT, Store
from kubently.tunnel import Exchange
from kubently.wire import records

log = logging.getLogger(__name__)

BACKSTOP = 10.0
"""Seconds past a command's own time-out after which the control plane gives up by itself."""

RESUME_WAIT = 1.0
"""Seconds to wait for the executor whose session was lost in the middle of a command: its caller then hears of it."""

RESUMES = 5
"""Sessions that are tried one after the other, should they be cut as well."""

KEY_TTL = 540.0
"""Seconds for which an Idempotency-Key is remembered: less than executors keep their outcomes."""

_SHORT = 1024
"""Characters of an argument list up to which what was worked out about it is remembered."""

_STATUS_FIELDS = frozenset(Outcome.model_fields) - {"id", "cluster", "stdout", "stderr", "base64"}
"""What an executor's word counts for."""


Resume = Callable[[TunnelClosedError, Sequence[int]], Awaitable[Exchange]]
"""Gives the stream of the same run over another session, from the given bytes of output on, or raises the error."""


class Running:
    """A command under way: iterate over its output, then read ``outcome``."""

    def __init__(self, command_id: str, cluster: ClusterId, stream: Exchange, resume: Resume) -> None:
        self.id = command_id
        self.cluster = cluster
        self.outcome: Outcome | None = None
        """How it ended; None while it runs."""
        self._stream = stream
        self._resume = resume
        self._seen = {records.STDOUT: 0, records.STDERR: 0}

    async def start(self) -> None:
        """Wait until the executor has taken it. Raises CommandError, TunnelError."""
        try:
            await answers.check_head(self._stream)
        except TunnelClosedError as error:
            self._stream = await self._resume(error, (0, 0))

    async def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]:
        """Pieces of output as (channel, bytes). Raises TunnelError when the executor is lost."""
        reader = records.Reader()
        while True:
            try:
                chunk = await self._stream.read()
            except TunnelClosedError as error:
                self._stream = await self._resume(error, tuple(self._seen.values()))
                reader = records.Reader()
                continue
            if not chunk:
                break
            for channel, payload in reader.feed(chunk):
                if channel == records.STATUS:
                    self.outcome = _outcome(self.id, self.cluster, payload)
                    continue
                self._seen[channel] += len(payload)
                yield channel, payload
        if self.outcome is None:
            raise StreamResetError("the executor's answer was broken off")

    def close(self) -> None:
        """Say that nothing more is wanted."""
        self._stream.reset()


class Commands:
    """Runs commands."""

    def __init__(self, fleet: Fleet, admission: Admission, audit: Audit, store: Store, limits: Limits) -> None:
        self._fleet = fleet
        self._admission = admission
        self._audit = audit
        self._store = store
        self._limits = limits

    @contextlib.asynccontextmanager
    async def run(
        self, principal: Principal, cluster: ClusterId, command: Command, *, request_id: str, key: str = ""
    ) -> AsyncIterator[Running]:
        """Run *command* while the block lasts; leaving it early kills the child in the cluster.

        *key* is the caller's Idempotency-Key: asked again with it, the same command is answered, not run again. Raises
        AuthError, FleetError, CommandError, TunnelError.
        """
        await self._admission.require(principal, cluster, Permission.RUN)
        argv = tuple(command.argv)
        is_short = sum(map(len, argv)) <= _SHORT
        text = _shown(argv) if is_short else _shown.__wrapped__(argv)
        try:
            # A courtesy: the executor decides again, and its word counts.
            (_check if is_short else _check.__wrapped__)(argv, self._admission.policy(cluster))
        except KubentlyError as error:
            await self._audit.deny(principal, cluster, "command", text, request_id=request_id, outcome=error.code)
            raise
        with self._limits.admit(self._limits.commands, cluster, principal.name):
            entry = await self._audit.start(principal, cluster, "command", text, request_id=request_id)
            running: Running | None = None
            try:
                async with asyncio.timeout(command.timeout + BACKSTOP):  # a quarter of what anyio's costs
                    running = await self._begin(principal, cluster, command, entry, request_id, key)
                    await running.start()
                    yield running
            except (KubentlyError, TimeoutError) as error:
                failure = _failure(cluster, command, error, has_begun=running is not None)
                await entry.end(failure.code)
                if failure is error:
                    raise
                raise failure from error
            except BaseException:
                await entry.end(Ending.CANCELLED)
                raise
            finally:
                if running is not None:
                    running.close()
            await entry.end(_summary(running.outcome))

    async def _begin(
        self, principal: Principal, cluster: ClusterId, command: Command, entry: Entry, request_id: str, key: str
    ) -> Running:
        stream, body, instance = await self._send(principal, cluster, command, entry, request_id, key)
        fields = _fields(principal, cluster, request_id)
        caller = Caller(principal, Permission.RUN, request_id)
        resume = functools.partial(self._resume, cluster, caller, fields, body, instance)
        return Running(str(body["id"]), cluster, stream, resume)

    async def _send(
        self, principal: Principal, cluster: ClusterId, command: Command, entry: Entry, request_id: str, key: str
    ) -> tuple[Exchange, Mapping[str, Any], str]:
        """The stream of the answer, what was asked, and the executor's run that was asked."""
        body: dict[str, Any] = {"id": entry.id, "argv": command.argv, "timeout": command.timeout}
        fields = _fields(principal, cluster, request_id)
        caller = Caller(principal, Permission.RUN, request_id)
        bound = await self._bound(principal, cluster, command, key) if key else None
        if bound is not None:
            body |= {"id": bound["id"], "replay": True}
            return await self._replay(cluster, caller, fields, body, bound["instance"]), body, bound["instance"]
        stream, executor = await self._fleet.open(cluster, fields, caller=caller, wait=command.timeout)
        try:
            if key and not await self._bind(principal, cluster, command, key, entry.id, executor.instance):
                stream.reset()
                return await self._send(principal, cluster, command, entry, request_id, key)
            try:
                await stream.write(json.dumps(body).encode(), end_stream=True)
            except TunnelClosedError:
                pass  # whoever waits for the answer hears it, and asks again
        except BaseException:
            stream.reset()
            raise
        return stream, body, executor.instance

    async def _resume(
        self,
        cluster: ClusterId,
        caller: Caller,
        fields: list[wire.Field],
        body: Mapping[str, Any],
        instance: str,
        error: TunnelClosedError,
        seen: Sequence[int],
    ) -> Exchange:
        """Ask the same run of the executor for the same id, over another session: it goes on, or begins, once.

        Raises *error* where that run does not come back soon.
        """
        for _ in range(RESUMES):
            try:
                stream, executor = await self._fleet.open(
                    cluster, fields, caller=caller, wait=RESUME_WAIT, instance=instance
                )
            except KubentlyError:
                break
            try:
                if not executor.capabilities.get("resume"):  # it would begin again, or tell all of it again
                    stream.reset()
                    break
                await stream.write(json.dumps({**body, "seen": list(seen)}).encode(), end_stream=True)
                await answers.check_head(stream)
            except TunnelClosedError:
                continue  # cut as well, meanwhile
            except BaseException:
                stream.reset()
                raise
            log.info("a command goes on over another session", extra={"cluster": cluster, "command": body["id"]})
            return stream
        raise error

    async def _replay(
        self, cluster: ClusterId, caller: Caller, fields: list[wire.Field], body: Mapping[str, Any], instance: str
    ) -> Exchange:
        try:
            stream, _ = await self._fleet.open(cluster, fields, caller=caller, wait=5, instance=instance)
        except KubentlyError as error:
            raise CommandUnknownError(
                f"the executor of {cluster} that took this command is gone; whether it ran to its end is unknown",
                hint="send it again with another Idempotency-Key if it may run twice",
            ) from error
        try:
            await stream.write(json.dumps(body).encode(), end_stream=True)
        except BaseException:
            stream.reset()
            raise
        return stream

    async def _bound(
        self, principal: Principal, cluster: ClusterId, command: Command, key: str
    ) -> dict[str, str] | None:
        stored = await self._store.get(_key_name(principal, cluster, key))
        if stored is None:
            return None
        record: dict[str, str] = json.loads(stored)
        if record["body"] != _digest(command):
            raise IdempotencyConflictError(
                "this Idempotency-Key was used with another command", hint="use a new key for each command"
            )
        return record

    async def _bind(
        self, principal: Principal, cluster: ClusterId, command: Command, key: str, command_id: str, instance: str
    ) -> bool:
        record = json.dumps({"id": command_id, "body": _digest(command), "instance": instance}).encode()
        return await self._store.put(_key_name(principal, cluster, key), record, ttl=KEY_TTL, expected=ABSENT)


@lru_cache(maxsize=1024)
def _shown(argv: tuple[str, ...]) -> str:
    """The command as the audit log shows it. Asked of a thousand clusters, or every minute, it is worked out once."""
    return shlex.join(redact.redact_words(argv))


@lru_cache(maxsize=1024)
def _check(argv: tuple[str, ...], rules: policy.Policy) -> None:
    """Raise what the argument policy says against it."""
    argv_policy.parse(argv, secrets=rules.secrets)


def new_request_id() -> str:
    """An id for a request that brought none."""
    return os.urandom(8).hex()


def _fields(principal: Principal, cluster: ClusterId, request_id: str) -> list[wire.Field]:
    return [
        (b":method", b"POST"),
        (b":path", b"/commands"),
        (b"content-type", b"application/json"),
        *narrowing.caller_fields(principal, cluster, request_id),
    ]


def _outcome(command_id: str, cluster: ClusterId, payload: bytes) -> Outcome:
    known = {name: value for name, value in answers.read_object(payload).items() if name in _STATUS_FIELDS}
    try:
        return Outcome(**{**known, "id": command_id, "cluster": cluster})
    except ValueError as error:
        raise RemoteProtocolError("the executor's status makes no sense") from error


def _failure(
    cluster: ClusterId, command: Command, error: KubentlyError | TimeoutError, *, has_begun: bool
) -> KubentlyError:
    """What the caller is told of *error*."""
    if isinstance(error, TimeoutError):
        return CommandTimeoutError(
            f"the command on {cluster} did not end within {command.timeout:g} s", hint="give a longer --timeout"
        )
    return _lost(cluster, error) if has_begun and isinstance(error, TunnelError) else error


def _lost(cluster: ClusterId, error: TunnelError) -> CommandUnknownError:
    return CommandUnknownError(
        f"the executor of {cluster} was lost while the command ran ({error.message})",
        hint="it was read-only: run it again",
        details={"cluster": cluster},
    )


def _summary(outcome: Outcome | None) -> str:
    if outcome is None:
        return Ending.CANCELLED
    if outcome.ending is Ending.EXITED:
        return f"{outcome.ending} {outcome.exit_code}"
    return outcome.ending


def _key_name(principal: Principal, cluster: ClusterId, key: str) -> str:
    # A key that came in the place of another of the same name may have other limits: it gets no outcome of that one.
    limits = (limit.model_dump_json() for limit in principal.limits)
    owner = "\0".join((principal.name, cluster, key, *limits))
    return f"command:key:{hashlib.sha256(owner.encode()).hexdigest()}"


def _digest(command: Command) -> str:
    return hashlib.sha256(command.model_dump_json().encode()).hexdigest()
