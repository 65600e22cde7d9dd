"""What every request reads (keys, tokens), kept for a moment between the services and Redis.

A value counts for a second without being asked for again, and goes at once when a hint says that it changed, here or
at another replica. While Redis cannot be reached it counts for a minute more: docs/adr/0019-a-store-that-is-away.md.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence

from kubently.errors import StoreUnavailableError
from kubently.store.base import Entry, Store, StoreHealth
from kubently.store.read_cache import Kept, ReadCache

log = logging.getLogger(__name__)

FRESH = 1.0
"""Seconds for which a value is not asked for again."""
PAUSE = 1.0
"""Seconds for which a store that was away is taken to be so, by whoever has a value to go on with."""
_PROBE = 6.0
"""The same while one caller finds out; more than any command takes."""


class CachedStore:
    """A `Store` that keeps what it read under *prefixes*. ``clock`` gives monotonic seconds.

    *cache* must be told by *store* what others change.
    """

    def __init__(
        self,
        store: Store,
        cache: ReadCache,
        *,
        prefixes: tuple[str, ...],
        grace: float,
        clock: Callable[[], float],
        health: StoreHealth | None = None,
    ) -> None:
        self.health = health or StoreHealth()
        self._store = store
        self._cache = cache
        self._prefixes = prefixes
        self._grace = grace
        self._clock = clock
        self._away_until = 0.0

    async def get(self, key: str) -> bytes | None:
        """See `Store.get`; a value of before where the store cannot be reached, within the grace."""
        if not key.startswith(self._prefixes):
            return await self._store.get(key)
        now = self._clock()
        kept = self._cache.look(key)
        if kept and now - kept.at < FRESH:
            return kept.value
        if kept and now < self._away_until and now - kept.at < self._grace:
            self.health.kept_answers += 1
            return kept.value
        if self.health.is_away:
            self._away_until = now + _PROBE  # one asks whether it is back; a time-out is for it alone
        return await self._ask(key, now)

    async def _ask(self, key: str, now: float) -> bytes | None:
        with self._cache.asking() as changed:
            try:
                value = await self._store.get(key)
            except StoreUnavailableError as error:
                self._note_away(error)
                kept = self._cache.look(key)  # again: it may have been dropped meanwhile
                if kept and self._clock() - kept.at < self._grace:
                    self.health.kept_answers += 1
                    return kept.value
                raise
        self._note_back()
        self._cache.keep(key, Kept(value, now), changed)
        return value

    async def put(self, key: str, value: bytes, *, ttl: float | None = None, expected: bytes | None = None) -> bool:
        """See `Store.put`."""
        try:
            done = await self._store.put(key, value, ttl=ttl, expected=expected)
        finally:  # whatever came of it: a condition that did not hold says that what is kept is old
            self._cache.drop(key)
        self._note_back()
        return done

    async def delete(self, key: str, *, expected: bytes | None = None) -> bool:
        """See `Store.delete`."""
        try:
            return await self._store.delete(key, expected=expected)
        finally:
            self._cache.drop(key)

    async def scan(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        """See `Store.scan`; what `get` asks for under *prefix* within the next second is known then."""
        now = self._clock()
        with self._cache.asking() as changed:
            found = await self._store.scan(prefix)
        self._note_back()
        if prefix.startswith(self._prefixes):
            self._cache.keep_all(prefix, dict(found), now, changed)
        return found

    async def append(self, log: str, value: bytes, *, keep: int = 100_000) -> int:
        """See `Store.append`."""
        return await self._store.append(log, value, keep=keep)

    async def tail(self, log: str, *, after: int = 0, limit: int = 1000) -> Sequence[Entry]:
        """See `Store.tail`."""
        return await self._store.tail(log, after=after, limit=limit)

    async def add(self, key: str, amount: int, *, ttl: float | None = None) -> int:
        """See `Store.add`."""
        try:
            return await self._store.add(key, amount, ttl=ttl)
        finally:
            self._cache.drop(key)

    def subscribe(self, prefix: str) -> AsyncIterator[str]:
        """See `Store.subscribe`."""
        return self._store.subscribe(prefix)

    async def aclose(self) -> None:
        """See `Store.aclose`."""
        await self._store.aclose()

    def _note_away(self, error: StoreUnavailableError) -> None:
        if not self.health.is_away:
            log.warning("the store is away", extra={"reason": str(error)})
        self.health.is_away = True
        self._away_until = self._clock() + PAUSE

    def _note_back(self) -> None:
        if self.health.is_away:
            log.warning("the store is back")
        self.health.is_away = False
        self._away_until = 0.0
