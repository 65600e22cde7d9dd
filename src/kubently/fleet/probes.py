"""Sessions of doctors: they are asked what they came for, and are nothing else.

Such a session said ``purpose: probe`` in SETTINGS and is admitted like an executor's, but is never counted as one. Its
counterpart is ``doctor.stream``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from collections.abc import Callable, Mapping

import anyio
from anyio.abc import TaskGroup

from kubently.errors import TunnelError
from kubently.fleet.hello import Hello
from kubently.schema import ClusterId
from kubently.tunnel import Session, Stream

log = logging.getLogger(__name__)

PURPOSE = "probe"
SIZE = 1024 * 1024
"""Bytes of one echo."""
TIME_LIMIT = 25.0
"""Seconds of one probe that is not about silence, so that a doctor's own check (30 s) sees its end."""
_PIECE = 64 * 1024


class Probes:
    """One at a time for each cluster; ``tasks`` outlives every session. ``on_result`` hears how each came out."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._running: set[ClusterId] = set()
        self.on_result: Callable[[str], object] = lambda _: None

    def begin(self, cluster: ClusterId, session: Session, hello: Hello, view: Mapping[str, str]) -> None:
        """Probe *session* as *hello* asks, and close it in any case. *view* is what the edge sees of it."""
        if cluster in self._running:
            session.close("another probe of this cluster is under way", code=1013)
            return
        self._running.add(cluster)
        self._tasks.start_soon(self._run, cluster, session, hello, view)

    async def _run(self, cluster: ClusterId, session: Session, hello: Hello, view: Mapping[str, str]) -> None:
        verdict = "the probe did not end in time"
        try:
            with anyio.move_on_after(TIME_LIMIT + hello.hold):
                if hello.probe == "hold":
                    verdict = await _hold(session, hello.hold)
                elif hello.probe == "view":
                    verdict = await _tell(session, view)
                else:
                    verdict = "the echo was intact" if await _echo(session) else "the echo was changed"
        except TunnelError as error:
            verdict = f"the probe failed: {error.message}"
        finally:
            self._running.discard(cluster)
            self.on_result("ok" if verdict in _GOOD else "failed")
            log.info("probe", extra={"cluster": cluster, "probe": hello.probe, "reason": verdict})
            session.close(verdict[:120])


_GOOD = ("held", "told", "the echo was intact")


async def _hold(session: Session, seconds: float) -> str:
    """Be silent."""
    with anyio.move_on_after(seconds):
        while not session.is_closed:  # noqa: ASYNC110  # a session has no event; a tenth of a second is exact enough
            await anyio.sleep(0.1)
    return "cut" if session.is_closed else "held"


async def _tell(session: Session, view: Mapping[str, str]) -> str:
    """Tell what is seen of the other end, in two pieces a second apart."""
    stream = session.open([(b":method", b"POST"), (b":path", b"/probe/view"), (b"content-type", b"application/json")])
    await stream.write(json.dumps(dict(view)).encode())
    await anyio.sleep(1.0)
    await stream.write(b"\n", end_stream=True)
    await stream.head()
    return "told"


async def _echo(session: Session) -> bool:
    content = secrets.token_bytes(SIZE)
    digest = hashlib.sha256(content).hexdigest().encode()
    stream = session.open([(b":method", b"POST"), (b":path", b"/probe/echo"), (b"x-probe-sha256", digest)])
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
