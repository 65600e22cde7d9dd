"""``POST /api/v1/clusters/{id}/commands`` and ``POST /api/v1/commands``: raw ASGI, because they are the hot path."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from anyio.streams.memory import MemoryObjectSendStream
from prometheus_client import Counter
from pydantic import ValidationError

from kubently.api import ndjson, requests
from kubently.api.services import Services
from kubently.broker import Running, fanout
from kubently.errors import InvalidRequestError, KubentlyError
from kubently.listen import while_connected
from kubently.schema import ClusterId, Command, Ending, FleetCommand, Outcome, Principal, problems
from kubently.tunnel import Receive, Scope, Send, read_json
from kubently.wire import records

MAX_COLLECTED = 64 * 1024 * 1024
"""Bytes of each channel that are held for one JSON answer; an executor cuts its output far earlier, if it is honest."""

_NAMES = {records.STDOUT: "stdout", records.STDERR: "stderr"}
C = TypeVar("C", bound=Command)
Write = Callable[[dict[str, Any]], Awaitable[None]]


class CommandRoutes:
    """The two routes. Both raise KubentlyError only while nothing was sent."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._endings: dict[str, Counter] = {}
        """The metric's counters by ending: finding one by its label takes longer than to count."""

    async def one(
        self, scope: Scope, receive: Receive, send: Send, *, principal: Principal, cluster: ClusterId, request_id: str
    ) -> None:
        """Run a command on one cluster: the outcome as JSON, or NDJSON as it comes where that is accepted."""
        command = _parse(Command, await read_json(receive))
        key = requests.header(scope, b"idempotency-key")
        if len(key) > 256:
            raise InvalidRequestError("the Idempotency-Key is longer than 256 characters", hint="a UUID is enough")
        if ndjson.MEDIA_TYPE in requests.header(scope, b"accept"):
            lines = ndjson.Lines(send, request_id)
            async with ndjson.answering(scope, lines):
                await self._events(principal, cluster, command, request_id, key, lines.write)
            return
        with while_connected(scope):
            outcome = await self._collect(principal, cluster, command, request_id, key)
            body = outcome.model_dump_json(exclude_defaults=False).encode()
            await requests.send_json(send, 200, body, headers={"x-request-id": request_id})

    async def many(self, scope: Scope, receive: Receive, send: Send, *, principal: Principal, request_id: str) -> None:
        """Run a command on many clusters: NDJSON, first the clusters, then output and outcomes as they come."""
        command = _parse(FleetCommand, await read_json(receive))
        clusters = fanout.select(
            self._services.fleet, principal, names=command.clusters, selector=command.selector, everything=command.all
        )
        single = Command(argv=command.argv, timeout=command.timeout)

        async def work(cluster: ClusterId, out: MemoryObjectSendStream[dict[str, Any]]) -> None:
            await self._events(principal, cluster, single, request_id, "", out.send)

        lines = ndjson.Lines(send, request_id)
        async with ndjson.answering(scope, lines):
            await lines.write({"clusters": clusters})
            async with contextlib.aclosing(fanout.gather(clusters, work)) as events:
                async for event in events:
                    await lines.write(event)

    async def _events(
        self, principal: Principal, cluster: ClusterId, command: Command, request_id: str, key: str, write: Write
    ) -> None:
        """Run the command and write its output, then its outcome; a failure is an outcome too."""
        started = time.monotonic()
        running: Running | None = None
        try:
            async with self._services.commands.run(
                principal, cluster, command, request_id=request_id, key=key
            ) as running:
                async for channel, data in running:
                    await write({"cluster": cluster, **ndjson.text(_NAMES[channel], data)})
            assert running.outcome is not None
            outcome, ending = running.outcome, str(running.outcome.ending)
        except KubentlyError as error:
            outcome, ending = _failed(running.id if running else "", cluster, error, request_id), error.code
        self._count(ending, started)
        await write({"cluster": cluster, "outcome": _bare(outcome)})

    async def _collect(
        self, principal: Principal, cluster: ClusterId, command: Command, request_id: str, key: str
    ) -> Outcome:
        started = time.monotonic()
        output = {records.STDOUT: _Collected(), records.STDERR: _Collected()}
        try:
            async with self._services.commands.run(
                principal, cluster, command, request_id=request_id, key=key
            ) as running:
                async for channel, data in running:
                    output[channel].add(data)
        except KubentlyError as error:
            self._count(error.code, started)
            raise
        assert running.outcome is not None
        self._count(running.outcome.ending, started)
        texts = _texts(output[records.STDOUT].whole(), output[records.STDERR].whole())
        cut = any(channel.is_cut for channel in output.values())
        return running.outcome.model_copy(update={**texts, "truncated": running.outcome.truncated or cut})

    def _count(self, ending: str, started: float) -> None:
        counter = self._endings.get(ending)
        if counter is None:
            counter = self._endings[ending] = self._services.metrics.commands.labels(ending=ending)
        counter.inc()
        self._services.metrics.command_seconds.observe(time.monotonic() - started)


class _Collected:
    """One channel's output, held up to a limit."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._total = 0

    @property
    def is_cut(self) -> bool:
        return self._total > len(self._kept)

    def add(self, data: bytes) -> None:
        self._total += len(data)
        self._kept += data[: MAX_COLLECTED - len(self._kept)]

    def whole(self) -> bytes:
        if not self.is_cut:
            return bytes(self._kept)
        marker = f"\n[kubently: cut after {len(self._kept)} bytes; the output was {self._total} bytes]\n"
        return bytes(self._kept) + marker.encode()


def _parse(model: type[C], value: Any) -> C:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise InvalidRequestError(
            f"{where}: {first['msg']}", hint='send {"argv": ["get", "pods"], "timeout": 60}'
        ) from error


def _bare(outcome: Outcome) -> dict[str, Any]:
    return outcome.model_dump(mode="json", exclude={"stdout", "stderr", "base64"}, exclude_none=True)


def _failed(command_id: str, cluster: str, error: KubentlyError, request_id: str) -> Outcome:
    endings = {
        "command-denied": Ending.DENIED,
        "command-unknown": Ending.UNKNOWN,
        "command-timeout": Ending.TIMED_OUT,
    }
    return Outcome(
        id=command_id,
        cluster=cluster,
        ending=endings.get(error.code, Ending.FAILED),
        error=problems.to_problem(error, request_id=request_id),
    )


def _texts(stdout: bytes, stderr: bytes) -> dict[str, Any]:
    try:
        return {"stdout": stdout.decode(), "stderr": stderr.decode()}
    except UnicodeDecodeError:
        encoded = {"stdout": base64.b64encode(stdout).decode(), "stderr": base64.b64encode(stderr).decode()}
        return {**encoded, "base64": True}
