"""How much at once and how fast: every limit has a name, a refusal (429 with Retry-After) and a counter.

Limits hold for one replica. What several keys share is shared fairly: a key may hold at most three times as much as is
left free, so that whoever comes next finds room without a quota for each (dynamic thresholds: Choudhury and Hahne,
"Dynamic queue length thresholds for shared-memory packet switches", 1998).
"""

from __future__ import annotations

import contextlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import anyio

from kubently.errors import TooManyCommandsError, TooManyExecutorsError
from kubently.settings import LimitSettings

K = TypeVar("K")

SHARE = 3
"""How many times what is left free one key may hold."""
MAX_KEYS = 10_000
"""Keys whose rate is remembered; the one that was not seen for longest is forgotten."""


class Slots:
    """Counts what runs at once in each place (a cluster, say): at most *most*, and of one key its fair share."""

    def __init__(self, name: str, most: int, *, is_shared: bool = True) -> None:
        self.name = name
        self.most = most
        self.is_shared = is_shared
        """Whether several keys want the same place."""
        self.refused = 0
        self._used: Counter[str] = Counter()
        self._held: Counter[tuple[str, str]] = Counter()

    @property
    def used(self) -> int:
        """How many are taken, in all places."""
        return self._used.total()

    @contextlib.contextmanager
    def take(self, place: str, key: str) -> Iterator[None]:
        """Hold a slot of *place* for *key* while the block runs. Raises TooManyCommandsError."""
        self.hold(place, key)
        try:
            yield
        finally:
            self.drop(place, key)

    def hold(self, place: str, key: str) -> None:
        """Take a slot of *place* for *key*, until `drop`. Raises TooManyCommandsError."""
        used, held = self._used[place], self._held[place, key]
        if used >= self.most or (self.is_shared and held >= SHARE * (self.most - used)):
            self.refused += 1
            raise self._refusal(place, used, held)
        self._used[place] = used + 1
        self._held[place, key] = held + 1

    def drop(self, place: str, key: str) -> None:
        """Give a slot back."""
        _drop(self._used, place)
        _drop(self._held, (place, key))

    def _refusal(self, place: str, used: int, held: int) -> TooManyCommandsError:
        where = f" on {place}" if place else ""
        said = f"{used} of {self.most} requests at once run{where}, {held} of them of this key"
        return TooManyCommandsError(said, hint="try again in a moment", details={"limit": self.name}, retry_after=1)


def _drop(counter: Counter[K], key: K) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]


class Rate:
    """Counts what each key begins: *rate* a second, and twice as much at once after a pause; 0 is no limit.

    ``clock`` gives monotonic seconds.
    """

    def __init__(self, name: str, rate: float, *, clock: Callable[[], float]) -> None:
        self.name = name
        self.rate = rate
        self.refused = 0
        self._burst = max(1.0, 2 * rate)
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()
        """When each key will have all of its burst again."""

    def spend(self, key: str) -> None:
        """Count one. Raises TooManyCommandsError."""
        if wait := self.wait(key):
            raise TooManyCommandsError(
                f"more than {self.rate:g} requests a second came with this key",
                hint="ask less often, or for more at once: a list instead of many gets",
                details={"limit": self.name},
                retry_after=max(1, round(wait)),
            )

    def wait(self, key: str) -> float:
        """Count one and give 0, or the seconds after which one may pass."""
        if not self.rate:
            return 0.0
        now = self._clock()
        full_at = max(self._full_at.pop(key, now), now) + 1 / self.rate
        wait = full_at - now - self._burst / self.rate
        if wait > 1e-6:  # what sums of fractions leave
            self._full_at[key] = full_at - 1 / self.rate
            self.refused += 1
            return wait
        self._full_at[key] = full_at
        if len(self._full_at) > MAX_KEYS:
            self._full_at.popitem(last=False)
        return 0.0


class Pace:
    """Slows one stream down to *rate* bytes a second, after *burst* bytes: waiting is back-pressure to its source."""

    def __init__(self, rate: float, *, burst: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._full_at = clock()

    async def spend(self, count: int) -> bool:
        """Wait until *count* bytes more may pass; says whether that took any time."""
        if not self._rate:
            return False
        now = self._clock()
        self._full_at = max(self._full_at, now) + count / self._rate
        wait = self._full_at - now - self._burst / self._rate
        if wait <= 0:
            return False
        await anyio.sleep(wait)
        return True


@dataclass(frozen=True, slots=True)
class Limits:
    """All of one replica's."""

    commands: Slots
    """Commands on one cluster."""
    kubernetes: Slots
    """Kubernetes requests to one cluster."""
    streams: Slots
    """Both, to all clusters."""
    per_key: Slots
    """Both, of one key."""
    rate: Rate
    """Both, begun by one key."""
    accepts: Rate
    """Executors that are let in."""
    settings: LimitSettings
    clock: Callable[[], float]

    @classmethod
    def of(cls, settings: LimitSettings, *, clock: Callable[[], float]) -> Limits:
        """Those that *settings* name."""
        return cls(
            Slots("commands-per-cluster", settings.commands_per_cluster),
            Slots("kubernetes-requests-per-cluster", settings.requests_per_cluster),
            Slots("requests-per-replica", settings.requests),
            Slots("requests-per-key", settings.requests_per_key, is_shared=False),
            Rate("request-rate-per-key", settings.request_rate_per_key, clock=clock),
            Rate("accept-rate", settings.accept_rate, clock=clock),
            settings,
            clock,
        )

    @property
    def named(self) -> tuple[Slots | Rate, ...]:
        """Each with its name and its count of refusals."""
        return self.commands, self.kubernetes, self.streams, self.per_key, self.rate, self.accepts

    def admit(self, kind: Slots, cluster: str, key: str) -> Admitted:
        """Let one request of *kind* run while the block lasts. Raises TooManyCommandsError that names the limit."""
        return Admitted(self, kind, cluster, key)

    def let_in(self) -> None:
        """Count an executor that may come in. Raises TooManyExecutorsError."""
        if wait := self.accepts.wait(""):
            raise TooManyExecutorsError(
                f"more than {self.accepts.rate:g} executors a second come to this replica",
                hint="the executor dials again by itself",
                details={"limit": self.accepts.name},
                retry_after=max(1, round(wait)),
            )

    def follow(self) -> Pace:
        """For one stream that follows a log."""
        return Pace(self.settings.follow_rate, burst=self.settings.follow_burst, clock=self.clock)


class Admitted:
    """One request's slots of all kinds, while the block lasts; each of three nested blocks would cost more than all."""

    __slots__ = ("_held", "_limits", "_wanted")

    def __init__(self, limits: Limits, kind: Slots, cluster: str, key: str) -> None:
        self._limits = limits
        self._wanted = ((limits.per_key, key, ""), (limits.streams, "", key), (kind, cluster, key))
        self._held = 0

    def __enter__(self) -> None:
        self._limits.rate.spend(self._wanted[0][1])
        try:
            for slots, place, key in self._wanted:
                slots.hold(place, key)
                self._held += 1
        except BaseException:
            self._drop()
            raise

    def __exit__(self, *_: object) -> None:
        self._drop()

    def _drop(self) -> None:
        for slots, place, key in self._wanted[: self._held]:
            slots.drop(place, key)
