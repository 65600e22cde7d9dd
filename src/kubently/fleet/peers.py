"""The other replicas, asked: a request for a cluster that one of them holds goes there directly, and never further.

Each replica is asked over one connection that speaks the tunnel's own protocol, so that a hop has the same credit,
cancellation and signs of life as a tunnel. The stream's head says whether the other one holds the cluster; what the
cluster answers comes in its body: the answer's head behind its length, then the answer's body as it is.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio

from kubently import wire
from kubently.auth.peers import Caller, PeerTrust
from kubently.errors import (
    KubentlyError,
    RemoteProtocolError,
    StreamResetError,
    TunnelClosedError,
    TunnelSessionGoneError,
)
from kubently.fleet.directory import Directory, Lease, Replica
from kubently.schema import ClusterId, problems
from kubently.tunnel import Heartbeat, Session, Stream, status_of
from kubently.tunnel.transports import polling
from kubently.tunnel.transports.stream import StreamLink
from kubently.wire import frames

log = logging.getLogger(__name__)

CLUSTER, INSTANCE, WORD = b":cluster", b":instance", b":word"
"""What a replica says in front of the request: where it goes, to which run of an executor, and for whom."""
POLL = b":poll"
"""In front of a long-poll request of an executor whose session is at the other replica: what it wants."""
MISDIRECTED = 421
"""Status of a request for a cluster that is not here (RFC 9110 section 15.5.20)."""
LOST = wire.ErrorCode.STREAM_CLOSED
"""With it the other replica ends a stream whose executor was lost; other ends are the executor's own."""

CONNECT_TIMEOUT = 1.0
ACCEPT_TIMEOUT = 2.0
"""Seconds for the other replica to say whether it holds the cluster."""
UNREACHABLE_FOR = 2.0
"""Seconds for which a replica that could not be reached is not tried again."""
PING_AFTER, DEAD_AFTER = 2.0, 6.0
"""Of the connections between replicas, which are near each other."""
_MAX_PROBLEM = 64 * 1024


@dataclass(frozen=True, slots=True)
class RemoteExecutor:
    """The run of an executor that another replica reaches."""

    instance: str
    capabilities: Mapping[str, str]
    replica: str


class PeerStream:
    """An ``Exchange`` that another replica carries on."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._buffer = b""
        self._head: tuple[wire.Field, ...] | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the answer came to its end."""
        return self._stream.has_ended and self._head is not None

    @property
    def is_read(self) -> bool:
        """Whether all of the answer was read, its end included."""
        return self._head is not None and not self._buffer and self._stream.is_read

    async def head(self) -> tuple[wire.Field, ...]:
        """Wait for the answer's head."""
        if self._head is None:
            size = frames.U32.size
            await self._fill(size)
            await self._fill(size := size + frames.U32.unpack_from(self._buffer)[0])
            block, self._buffer = self._buffer[frames.U32.size : size], self._buffer[size:]
            self._head = frames.decode_fields(block)
        return self._head

    async def read(self) -> bytes:
        """Wait for the next piece of the answer's body; empty at its end."""
        await self.head()
        if self._buffer:
            piece, self._buffer = self._buffer, b""
            return piece
        return await self._read()

    async def write(self, data: bytes, *, end_stream: bool = False) -> None:
        """Send a piece of the request's body, waiting for credit."""
        try:
            await self._stream.write(data, end_stream=end_stream)
        except StreamResetError as error:
            raise _translated(error) from error

    def reset(self) -> None:
        """Say that nothing more is wanted."""
        self._stream.reset()

    async def _fill(self, size: int) -> None:
        while len(self._buffer) < size:
            if not (piece := await self._read()):
                raise RemoteProtocolError("another replica's answer ended before its head")
            self._buffer += piece

    async def _read(self) -> bytes:
        try:
            return await self._stream.read()
        except StreamResetError as error:
            raise _translated(error) from error


class Peers:
    """Asks the other replicas. ``clock`` gives monotonic seconds."""

    def __init__(self, directory: Directory, trust: PeerTrust, *, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._trust = trust
        self._clock = clock
        self._lines: dict[str, _Line] = {}
        self.heartbeat = Heartbeat(clock=clock, ping_after=PING_AFTER, dead_after=DEAD_AFTER)
        self.failures: Counter[str] = Counter()
        """How often a replica was asked in vain, by reason: stale, unreachable or lost."""

    async def open(
        self, cluster: ClusterId, fields: Iterable[wire.Field], *, instance: str, caller: Caller, end_stream: bool
    ) -> tuple[PeerStream, RemoteExecutor] | None:
        """Send a request's head by the first replica that still holds *cluster*; None where nobody does.

        With *instance*, only that run of an executor will do. Raises what the other replica refuses it with.
        """
        for replica, lease in self._directory.holders(cluster):
            if not self._line(replica).may_be_tried:
                continue
            for executor in _executors(lease, replica):
                if instance in ("", executor.instance):
                    stream = await self._ask(replica, lease, executor, fields, caller, end_stream=end_stream)
                    if stream is not None:
                        return stream, executor
                    break
        return None

    async def poll(self, name: str, poll: polling.Poll) -> bytes:
        """Hand a long-poll request on to the replica of that name, which has its session.

        Raises TunnelSessionGoneError where that one is gone, and what it refuses it with.
        """
        replica = next((replica for replica in self._directory.replicas() if replica.name == name), None)
        try:
            if replica is None:
                raise TunnelClosedError(f"there is no replica {name[:80]}")
            stream = (await self._line(replica).session()).open(encode_poll(poll))
            try:
                with anyio.fail_after(poll.hold + ACCEPT_TIMEOUT):
                    await stream.write(poll.body, end_stream=True)
                    status, body = status_of(await stream.head()), b""
                    while piece := await stream.read():
                        body += piece
            finally:
                stream.reset()
        except (OSError, TunnelClosedError, StreamResetError) as error:
            raise TunnelSessionGoneError(
                f"the replica that had this long-poll session cannot be reached: {error}",
                hint="the executor begins a new one",
            ) from error
        if status != 200:
            raise problems.from_problem(status, _object(body))
        return body

    def sessions(self) -> list[Session]:
        """Those that stand."""
        found = (line.standing for line in self._lines.values())
        return [session for session in found if session is not None and not session.is_closed]

    def close(self) -> None:
        """End all connections."""
        for session in self.sessions():
            session.close("this replica stops")

    async def _ask(
        self,
        replica: Replica,
        lease: Lease,
        executor: RemoteExecutor,
        fields: Iterable[wire.Field],
        caller: Caller,
        *,
        end_stream: bool,
    ) -> PeerStream | None:
        """The stream, or None where that replica does not hold the cluster any more, or is gone."""
        word = self._trust.vouch(caller, lease.cluster)
        told = [(CLUSTER, lease.cluster.encode()), (INSTANCE, executor.instance.encode()), (WORD, word), *fields]
        try:
            session = await self._line(replica).session()
            stream = session.open(told, end_stream=end_stream)
            try:
                with anyio.fail_after(ACCEPT_TIMEOUT):
                    status = status_of(await stream.head())
                    if status == 200:
                        return PeerStream(stream)
                    problem = await _problem(stream)
            except BaseException:
                stream.reset()
                raise
        except (OSError, TunnelClosedError, StreamResetError) as error:  # TimeoutError and ssl.SSLError are OSErrors
            self.failures["unreachable"] += 1
            log.warning("another replica cannot be asked", extra={"replica": replica.name, "reason": str(error)})
            self._directory.purge(lease)
            return None
        if status == MISDIRECTED:
            self.failures["stale"] += 1
            self._directory.purge(lease)
            return None
        raise problems.from_problem(status, problem)

    def _line(self, replica: Replica) -> _Line:
        line = self._lines.get(replica.name)
        if line is None:
            living = {other.name for other in self._directory.replicas()}
            for name in [name for name in self._lines if name not in living]:
                if (gone := self._lines.pop(name).standing) is not None:
                    gone.close("that replica is gone")
            line = self._lines[replica.name] = _Line(self)
        line.replica = replica
        return line


class _Line:
    """The connection to one replica, made when it is first wanted."""

    replica: Replica

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self.standing: Session | None = None
        """The connection; it may be closed."""
        self._connecting = anyio.Lock()
        self._failed_until = 0.0

    @property
    def may_be_tried(self) -> bool:
        """Whether it did not fail a moment ago."""
        return self._peers._clock() >= self._failed_until

    async def session(self) -> Session:
        """A session that streams may be opened in. Raises OSError, TunnelClosedError."""
        if self.standing is None or self.standing.is_closed:
            async with self._connecting:
                if self.standing is None or self.standing.is_closed:
                    self.standing = await self._connect()
        return self.standing

    async def _connect(self) -> Session:
        peers, replica = self._peers, self.replica
        if not self.may_be_tried:  # while this one waited for its turn
            raise TunnelClosedError(f"{replica.name} could not be reached a moment ago")
        settled = anyio.Event()
        link = StreamLink()
        session = link.handler = Session(
            wire.Role.CONTROL,
            link,
            clock=peers._clock,
            on_settled=lambda _: settled.set(),
            on_closed=lambda _: settled.set(),
        )
        try:
            with anyio.fail_after(CONNECT_TIMEOUT):
                await asyncio.get_running_loop().create_connection(
                    lambda: link, replica.host, replica.port, ssl=peers._trust.dialling, server_hostname=replica.name
                )
                session.flush()
                await settled.wait()
        except BaseException:
            session.close("no connection came about")
            self._failed_until = peers._clock() + UNREACHABLE_FOR
            raise
        if session.is_closed:
            self._failed_until = peers._clock() + UNREACHABLE_FOR
            raise TunnelClosedError(f"{replica.name} closed the connection")
        peers.heartbeat.watch(session)
        log.info("connected to another replica", extra={"replica": replica.name})
        return session


def _executors(lease: Lease, replica: Replica) -> list[RemoteExecutor]:
    found = []
    for each in lease.executors():
        told = each.get("capabilities", {})
        capabilities = (
            {name: text for name, text in told.items() if isinstance(text, str)} if isinstance(told, dict) else {}
        )
        found.append(RemoteExecutor(str(each.get("instance", "")), capabilities, replica.name))
    return found


def _translated(error: StreamResetError) -> KubentlyError:
    if error.details.get("code") == LOST.name:
        return TunnelClosedError(error.message)
    return error


async def _problem(stream: Stream) -> dict[str, Any]:
    body = b""
    while (piece := await stream.read()) and len(body) < _MAX_PROBLEM:
        body += piece
    return _object(body)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def encode_poll(poll: polling.Poll) -> list[wire.Field]:
    """The head of a long-poll request that is handed on; its body follows as it is."""
    fields = {POLL: poll.action, b"session": poll.session, b"owner": poll.owner}
    numbers = {b"sequence": str(poll.sequence), b"hold": str(poll.hold)}
    return [(name, text.encode("latin-1", "replace")) for name, text in (fields | numbers).items()]


def decode_poll(fields: Iterable[wire.Field], body: bytes) -> polling.Poll:
    """What `encode_poll` wrote. Raises RemoteProtocolError."""
    told = {name: value.decode("latin-1") for name, value in fields}
    try:
        return polling.Poll(
            told[POLL], told[b"session"], told[b"owner"], int(told[b"sequence"]), float(told[b"hold"]), body
        )
    except (KeyError, ValueError) as error:
        raise RemoteProtocolError("another replica's long-poll request cannot be read") from error
