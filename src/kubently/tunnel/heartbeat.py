"""One timer for all sessions of a process: pings the silent, gives up on the dead.

Twenty seconds is below the idle limit of the usual proxies (60 s), and a link silent for 45 s is half-open: TCP itself
would take minutes to say so.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import anyio

from kubently.tunnel.session import Session

PING_AFTER = 20.0
DEAD_AFTER = 45.0


class Heartbeat:
    """Watches sessions. ``ping_after`` and ``dead_after`` are seconds of silence."""

    def __init__(
        self, *, clock: Callable[[], float], ping_after: float = PING_AFTER, dead_after: float | None = None
    ) -> None:
        self._clock = clock
        self.ping_after = ping_after
        self.dead_after = max(DEAD_AFTER, 1.5 * ping_after) if dead_after is None else dead_after
        self._sessions: set[Session] = set()

    def watch(self, session: Session) -> None:
        """Begin to watch *session*; the beat after it closed lets it go."""
        self._sessions.add(session)

    def forget(self, session: Session) -> None:
        """Leave *session* to itself from now on."""
        self._sessions.discard(session)

    def beat(self) -> None:
        """Look at every session once."""
        now = self._clock()
        for session in list(self._sessions):
            if session.is_closed:
                self._sessions.discard(session)
            else:
                # By the next look it would be later than promised, and callers look once more for another session.
                session.tick(now, ping_after=self.ping_after, dead_after=self.dead_after - 2 * self._interval)

    async def run(self) -> None:
        """Look at every session often enough for the two limits; runs until cancelled."""
        while True:
            await anyio.sleep(self._interval * random.uniform(0.8, 1.0))
            self.beat()

    @property
    def _interval(self) -> float:
        return min(2.0, self.ping_after / 4)
