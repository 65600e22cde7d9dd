"""Where the other replicas arrive: a request for a cluster that this replica holds goes into its tunnel.

Never further: what is not here is refused (421), and who asked looks again. Counterpart of ``fleet.peers``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import anyio
from anyio.abc import TaskGroup

from kubently import tracing, wire
from kubently.auth.peers import Caller, PeerTrust
from kubently.errors import (
    ConfigError,
    ExecutorOfflineError,
    KubentlyError,
    PermissionDeniedError,
    TunnelClosedError,
    TunnelError,
)
from kubently.fleet.fleet import Fleet
from kubently.fleet.peers import CLUSTER, INSTANCE, LOST, MISDIRECTED, POLL, WORD, decode_poll
from kubently.schema import ClusterId, problems
from kubently.tunnel import Heartbeat, Session, Stream
from kubently.tunnel.transports import polling
from kubently.tunnel.transports.poll_server import Polls
from kubently.tunnel.transports.stream import StreamLink
from kubently.wire import frames

log = logging.getLogger(__name__)

MAX_STREAMS = 4096
"""Requests of one replica at once."""
HANDSHAKE_TIMEOUT = 5.0
OURS = b"x-kubently-"
"""Headers that begin so are ours: another replica's are replaced by what this one knows of the caller."""

Stamp = Callable[[Caller, ClusterId], Iterable[wire.Field]]


class PeerServer:
    """Serves the other replicas. ``stamp`` gives the fields that tell an executor for whom a request is made."""

    def __init__(
        self,
        fleet: Fleet,
        trust: PeerTrust,
        heartbeat: Heartbeat,
        tasks: TaskGroup,
        *,
        polls: Polls,
        stamp: Stamp,
        clock: Callable[[], float],
    ) -> None:
        self._fleet = fleet
        self._polls = polls
        self._trust = trust
        self._heartbeat = heartbeat
        self._tasks = tasks
        self._stamp = stamp
        self._clock = clock
        self._sessions: set[Session] = set()

    @contextlib.asynccontextmanager
    async def listen(self, address: tuple[str, int]) -> AsyncIterator[int]:
        """Serve on *address* while the block runs and give the port. Raises ConfigError."""
        try:
            server = await asyncio.get_running_loop().create_server(
                self._arrive,
                *address,
                ssl=self._trust.listening,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
            )
        except OSError as error:
            raise ConfigError(
                f"{address[0]}:{address[1]} cannot be listened on for other replicas: {error.strerror}",
                hint="change KUBENTLY_PEER_LISTEN",
            ) from error
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for session in tuple(self._sessions):
                session.close("this replica stops", code=1001)

    def _arrive(self) -> StreamLink:
        return _ArrivingLink(self._begin)

    def _begin(self, link: StreamLink) -> None:
        session = Session(
            wire.Role.EXECUTOR,
            link,
            clock=self._clock,
            max_streams=MAX_STREAMS,
            on_request=self._requested,
            on_closed=lambda _: self._sessions.discard(session),
        )
        link.handler = session
        self._sessions.add(session)
        self._heartbeat.watch(session)
        session.flush()

    def _requested(self, stream: Stream) -> None:
        self._tasks.start_soon(self._serve, stream)

    async def _serve(self, stream: Stream) -> None:
        try:
            place = tracing.of_fields(stream.fields)
            with tracing.Span("peer", tracing.Kind.SERVER, parent=place), anyio.CancelScope() as scope:
                stream.on_failed = scope.cancel
                if not stream.is_closed:
                    await self._carry(stream)
        finally:
            stream.on_failed = None
            stream.release()

    async def _carry(self, stream: Stream) -> None:
        if stream.fields and stream.fields[0][0] == POLL:
            await self._answer_poll(stream)
            return
        try:
            inner = self._open(stream.fields)
        except KubentlyError as error:
            await _refuse(stream, error)
            return
        try:
            stream.respond([(b":status", b"200")])
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_request, stream, inner)
                await _answer(inner, stream)
                tasks.cancel_scope.cancel()
        finally:
            inner.reset()

    async def _answer_poll(self, stream: Stream) -> None:
        try:
            body = b""
            while (piece := await stream.read()) and len(body) <= polling.MAX_BODY:
                body += piece
            answer = await self._polls.answer(decode_poll(stream.fields, body))
            stream.respond([(b":status", b"200")])
            await stream.write(answer, end_stream=True)
        except KubentlyError as error:
            await _refuse(stream, error)

    def _open(self, fields: tuple[wire.Field, ...]) -> Stream:
        told = dict(fields[:3])
        if set(told) != {CLUSTER, INSTANCE, WORD}:
            raise PermissionDeniedError("a replica did not say for whom it asks what")
        cluster = ClusterId(told[CLUSTER].decode("latin-1"))
        caller = self._trust.hear(told[WORD], cluster)
        stamped = tuple(self._stamp(caller, cluster))
        ours = {name for name, _ in stamped}
        passed_on = (field for field in fields[3:] if field[0] not in ours and not field[0].startswith(OURS))
        return self._fleet.open_here(cluster, [*passed_on, *stamped], instance=told[INSTANCE].decode("latin-1"))


class _ArrivingLink(StreamLink):
    """Begins its session once TLS stands, which is when its peer has proven to be a replica."""

    def __init__(self, begin: Callable[[StreamLink], None]) -> None:
        super().__init__()
        self._begin = begin

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._begin(self)


async def _refuse(stream: Stream, error: KubentlyError) -> None:
    log.info("another replica's request is refused", extra={"code": error.code, "reason": str(error)})
    status = MISDIRECTED if isinstance(error, ExecutorOfflineError) else problems.status_of(error)
    body: dict[str, Any] = problems.to_problem(error)
    with contextlib.suppress(TunnelError):
        stream.respond([(b":status", str(status).encode())])
        await stream.write(json.dumps(body).encode(), end_stream=True)


async def _request(stream: Stream, inner: Stream) -> None:
    """What the other replica sends of the request; its failure is heard by whoever waits for the answer."""
    try:
        while chunk := await stream.read():
            await inner.write(chunk)
        await inner.write(b"", end_stream=True)
    except TunnelError as error:
        log.debug("a request's body was not passed on", extra={"reason": str(error)})


async def _answer(inner: Stream, stream: Stream) -> None:
    try:
        block = frames.encode_fields(await inner.head())
        await stream.write(frames.U32.pack(len(block)) + block)
        while chunk := await inner.read():
            await stream.write(chunk)
        await stream.write(b"", end_stream=True)
    except TunnelClosedError as error:
        stream.reset(LOST, error.message)
    except TunnelError as error:
        stream.reset(wire.ErrorCode.INTERNAL_ERROR, error.message)
