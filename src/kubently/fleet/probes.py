"""A doctor's session: it sends back what it is sent, and is nothing else.

Such a session said ``purpose: probe`` in SETTINGS and is admitted like an executor's, but is never counted as one. Its
counterpart is ``doctor.stream``.
"""

from __future__ import annotations

import hashlib
import logging
import secrets

import anyio
from anyio.abc import TaskGroup

from kubently.errors import TunnelError
from kubently.schema import ClusterId
from kubently.tunnel import Session, Stream

log = logging.getLogger(__name__)

PURPOSE = "probe"
SIZE = 1024 * 1024
"""Bytes of one echo."""
TIME_LIMIT = 25.0
"""Seconds of one probe, so that a doctor's own check (30 s) sees its end."""
_PIECE = 64 * 1024


class Probes:
    """One at a time for each cluster; ``tasks`` outlives every session."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._running: set[ClusterId] = set()

    def begin(self, cluster: ClusterId, session: Session) -> None:
        """Probe *session*, and close it in any case."""
        if cluster in self._running:
            session.close("another probe of this cluster is under way", code=1013)
            return
        self._running.add(cluster)
        self._tasks.start_soon(self._run, cluster, session)

    async def _run(self, cluster: ClusterId, session: Session) -> None:
        verdict = "the echo did not come in time"
        try:
            with anyio.move_on_after(TIME_LIMIT):
                verdict = "the echo was intact" if await _echo(session) else "the echo was changed"
        except TunnelError as error:
            verdict = f"the echo failed: {error.message}"
        finally:
            self._running.discard(cluster)
            log.info("probe", extra={"cluster": cluster, "reason": verdict})
            session.close(verdict[:120])


async def _echo(session: Session) -> bool:
    content = secrets.token_bytes(SIZE)
    digest = hashlib.sha256(content).hexdigest().encode()
    stream = session.open([(b":method", b"POST"), (b":path", b"/probe"), (b"x-probe-sha256", digest)])
    came, size = hashlib.sha256(), 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_write, stream, content)
        while piece := await _read(stream):
            came.update(piece)
            size += len(piece)
            if size > SIZE:
                break
        tasks.cancel_scope.cancel()
    return came.hexdigest().encode() == digest


async def _read(stream: Stream) -> bytes:
    try:
        return await stream.read()
    except TunnelError:  # what was lost is what the digest misses
        return b""


async def _write(stream: Stream, content: bytes) -> None:
    try:
        for start in range(0, len(content), _PIECE):
            await stream.write(content[start : start + _PIECE], end_stream=start + _PIECE >= len(content))
    except TunnelError as error:
        log.debug("the other end of a probe went", extra={"reason": str(error)})
