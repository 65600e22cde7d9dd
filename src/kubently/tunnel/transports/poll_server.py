"""The control side's end of the long-poll transport (see ``polling``), without HTTP: that is the API's.

A session lives in this process, and its name says so: a replica that gets a request of another one's hands it on.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable

import anyio

from kubently.errors import RemoteProtocolError, TunnelSessionGoneError
from kubently.tunnel.link import LinkHandler
from kubently.tunnel.transports import polling

ABANDONED_AFTER = 45.0
"""Seconds without a request after which a session is over, and for which one that is over is remembered."""
MAX_KEPT = 64
"""Sessions of one owner that are remembered, those that are over among them."""


class PollLink:
    """A ``Link``; what waits in it is bounded by ``is_writable`` and one batch that nobody has acknowledged."""

    def __init__(self, on_forgotten: Callable[[], None], *, abandoned_after: float = ABANDONED_AFTER) -> None:
        self.handler: LinkHandler
        self._on_forgotten = on_forgotten
        self._abandoned_after = abandoned_after
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._batch = b""
        self._given = 0
        """Number of the batch given last, which is kept until the next is asked for."""
        self._applied = 0
        """Number of the request applied last."""
        self._poll = 0
        """Counts requests for a batch: only the newest is held."""
        self._wake = anyio.Event()
        self._over = ""
        """Why the session is over, where it is."""
        self._timer = self._set_timer()

    @property
    def is_over(self) -> bool:
        """Whether either end has closed it."""
        return bool(self._over)

    # ------------------------------------------------------------------ Link

    @property
    def is_writable(self) -> bool:
        """Whether less than a batch waits."""
        return not self._over and self._queued_bytes < polling.BATCH

    def send(self, message: bytes) -> None:
        """Queue for the next batch."""
        if not self._over:
            self._queue.append(message)
            self._queued_bytes += len(message)
            self._rouse()

    def close(self, code: int, reason: str) -> None:
        """End the session; who polls next is given what waits, and then the reason."""
        if not self._over:
            self._over = reason or f"the API closed the session with code {code}"
            self._rouse()
            asyncio.get_running_loop().call_soon(self.handler.lost, self._over)

    # ------------------------------------------------------------------ requests

    def up(self, sequence: int, body: bytes) -> None:
        """Take the frames of request number *sequence*; one that was applied already is left alone.

        Raises TunnelSessionGoneError, and RemoteProtocolError where the number or the body is wrong, which also ends
        the session.
        """
        self._seen()
        if self._over:
            raise TunnelSessionGoneError(self._over)
        if sequence <= self._applied:
            return
        try:
            if sequence != self._applied + 1:
                raise RemoteProtocolError(f"request {sequence} came after {self._applied}: those between are missing")
            frames = polling.unpack(body)
        except RemoteProtocolError as error:
            self.close(1002, str(error))
            raise
        self._applied = sequence
        for frame in frames:
            self.handler.received(frame)

    async def down(self, sequence: int, *, hold: float) -> bytes:
        """Batch number *sequence*, waiting *hold* seconds for one; empty where there is none yet: ask for it again.

        Asking for a number says that all before it arrived. Raises TunnelSessionGoneError when all was given and the
        session is over, and RemoteProtocolError (which ends it) for a number that cannot be.
        """
        self._seen()
        if sequence == self._given and self._batch:
            return self._batch
        if sequence <= self._given:
            return b""  # a late copy of a request that was answered
        if sequence != self._given + 1:
            error = RemoteProtocolError(f"batch {sequence} was asked for after {self._given}")
            self.close(1002, str(error))
            raise error
        self._batch = b""
        if not await self._wait(hold):
            return b""
        if not self._queue:
            raise TunnelSessionGoneError(self._over)
        return self._next_batch(sequence)

    def leave(self, reason: str) -> None:
        """The executor closed the session."""
        self._end(reason)
        self.forget()

    def forget(self) -> None:
        """Remember it no more."""
        self._timer.cancel()
        self._on_forgotten()

    # ------------------------------------------------------------------ steps

    async def _wait(self, hold: float) -> bool:
        """Whether there is something to tell this poll within *hold* seconds; of two polls the newer is told."""
        self._poll += 1
        mine = self._poll
        self._rouse()  # an older one goes away empty
        with anyio.move_on_after(hold):
            while not self._queue and not self._over and mine == self._poll:
                await self._wake.wait()
        self._seen()
        return mine == self._poll and bool(self._queue or self._over)

    def _next_batch(self, sequence: int) -> bytes:
        frames, size = [], 0
        while self._queue and size < polling.BATCH:
            frames.append(self._queue.popleft())
            size += len(frames[-1])
        self._queued_bytes -= size
        self._given, self._batch = sequence, polling.pack(frames)
        if not self._over:
            self.handler.writable()
        return self._batch

    def _rouse(self) -> None:
        self._wake.set()
        self._wake = anyio.Event()

    def _seen(self) -> None:
        self._timer.cancel()
        self._timer = self._set_timer()

    def _set_timer(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(self._abandoned_after, self._abandoned)

    def _abandoned(self) -> None:
        self._end(f"no request of the session came for {self._abandoned_after:g} s")
        self._on_forgotten()

    def _end(self, reason: str) -> None:
        if not self._over:
            self._over = reason
            self._rouse()
            self.handler.lost(reason)


class Polls:
    """The long-poll sessions of this process, by their secret names."""

    def __init__(self, *, abandoned_after: float = ABANDONED_AFTER) -> None:
        self.replica = ""
        """This process among several, with which the names of its sessions begin."""
        self._abandoned_after = abandoned_after
        self._links: dict[str, tuple[str, PollLink]] = {}

    def __len__(self) -> int:
        return len(self._links)

    def open(self, owner: str) -> tuple[str, PollLink]:
        """A new session of *owner*: its name and its link, whose handler the caller sets before anything else."""
        theirs = [link for other, link in self._links.values() if other == owner]
        over = [link for link in theirs if link.is_over]
        for link in over[: max(0, len(theirs) + 1 - MAX_KEPT)]:
            link.forget()
        name = f"{self.replica}.{secrets.token_urlsafe(32)}"
        link = PollLink(lambda: self._forget(name), abandoned_after=self._abandoned_after)
        self._links[name] = owner, link
        return name, link

    def place(self, name: str) -> str:
        """The other replica that has the session of that name; empty for this one."""
        replica = name.partition(".")[0]
        return "" if replica == self.replica else replica

    async def answer(self, poll: polling.Poll) -> bytes:
        """Do what a request of a session here wants. Raises TunnelSessionGoneError, RemoteProtocolError."""
        link = self.find(poll.session, poll.owner)
        if poll.action == "down":
            return await link.down(poll.sequence, hold=poll.hold)
        if poll.action == "close":
            link.leave("the executor closed the session")
        else:
            link.up(poll.sequence, poll.body)
        return b""

    def find(self, name: str, owner: str) -> PollLink:
        """The session of that name. Raises TunnelSessionGoneError, also where it is somebody else's."""
        found = self._links.get(name)
        if found is None or not secrets.compare_digest(found[0].encode(), owner.encode()):
            raise TunnelSessionGoneError(
                "there is no such long-poll session here",
                hint="the executor begins a new one",
            )
        return found[1]

    def _forget(self, name: str) -> None:
        self._links.pop(name, None)
