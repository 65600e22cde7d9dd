"""Learns from sessions that something on the way has cut, without I/O or clock.

Two things cut connections: a limit on their age (a proxy's route time-out), and a limit on silence. Three cuts that are
alike tell which. Against the first helps a replacement in time, against the second a ping in time. A limit on silence
looks like one on age to a session that never said anything, so pings are tried first.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

ALIKE = 1.2
"""Cuts are alike when the longest is at most so many times the shortest."""
ENOUGH = 3
SHORTEST = 0.5
"""Seconds: what ends sooner did not end by a limit on time."""
LONGEST = 2 * 3600.0
MIN_PING = 5.0
FORGET_AFTER = 3600.0
"""Seconds after which what was learned is learned again: whoever looks after the proxy may have mended it."""


@dataclass(slots=True)
class Cuts:
    """The cuts on the way to one URL. ``max_age`` is set once an age is known, ``ping_after`` once silence is."""

    max_age: float | None = None
    ping_after: float | None = None
    _ages: deque[float] = field(default_factory=lambda: deque(maxlen=ENOUGH))
    _silences: deque[float] = field(default_factory=lambda: deque(maxlen=ENOUGH))
    _learned_at: float | None = None

    def note(self, age: float, silence: float, *, ping_after: float, now: float) -> str:
        """A session was cut at *age* after *silence*; gives what is newly known, as a sentence, or nothing.

        *ping_after* is the silence after which pings are sent now.
        """
        if not SHORTEST <= age <= LONGEST:
            return ""
        self._ages.append(age)
        self._silences.append(silence)
        idle = _alike(self._silences)
        # Silent since its last ping or since its beginning: a ping in time may have kept it.
        if idle > MIN_PING < ping_after and idle > 0.8 * min(ping_after, age):
            self._silences.clear()
            self.ping_after, self._learned_at = max(MIN_PING, ping_after / 2), now
            return f"cuts connections after about {idle:.0f} s of silence: pings now come every {self.ping_after:g} s"
        if (found := _alike(self._ages)) and (self.max_age is None or found < self.max_age / ALIKE):
            self.max_age, self._learned_at = found, now
            return f"cuts connections after {found:.2g} s: raise its time-out"
        return ""

    def expire(self, now: float) -> None:
        """Forget what was learned long ago."""
        if self._learned_at is not None and now - self._learned_at > FORGET_AFTER:
            self.max_age = self.ping_after = self._learned_at = None
            self._ages.clear()
            self._silences.clear()


def _alike(values: deque[float]) -> float:
    """The shortest of enough values that are alike, else 0."""
    if len(values) < ENOUGH or min(values) <= 0 or max(values) > ALIKE * min(values):
        return 0.0
    return min(values)
