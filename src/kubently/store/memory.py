"""A store in dictionaries: for tests and for an API that may forget."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

from kubently.store.base import ABSENT, Entry
from kubently.store.hints import Hints

SWEEP_EVERY = 1000
"""Pairs with a ttl that are written between two removals of expired ones."""


class MemoryStore:
    """A `Store` that lives as long as its process. ``clock`` gives monotonic seconds."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._values: dict[str, tuple[bytes, float | None]] = {}
        self._logs: dict[str, deque[Entry]] = {}
        self._positions = itertools.count(1)
        self._expiring = 0
        self._hints = Hints()

    async def get(self, key: str) -> bytes | None:
        """See `Store.get`."""
        return self._peek(key)

    async def put(self, key: str, value: bytes, *, ttl: float | None = None, expected: bytes | None = None) -> bool:
        """See `Store.put`."""
        if expected is not None and (ABSENT if (now := self._peek(key)) is None else now) != expected:
            return False
        self._values[key] = value, self._expiry(ttl)
        self._hints.publish(key)
        return True

    async def delete(self, key: str, *, expected: bytes | None = None) -> bool:
        """See `Store.delete`."""
        present = self._peek(key)
        if present is None or (expected is not None and present != expected):
            return False
        del self._values[key]
        self._hints.publish(key)
        return True

    async def scan(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        """See `Store.scan`."""
        found = ((key, self._peek(key)) for key in sorted(self._values) if key.startswith(prefix))
        return [(key, value) for key, value in found if value is not None]

    async def append(self, log: str, value: bytes, *, keep: int = 100_000) -> int:
        """See `Store.append`."""
        entries = self._logs.setdefault(log, deque())
        entries.append(Entry(next(self._positions), value))
        while len(entries) > keep:
            entries.popleft()
        return entries[-1].position

    async def tail(self, log: str, *, after: int = 0, limit: int = 1000) -> Sequence[Entry]:
        """See `Store.tail`."""
        entries = self._logs.get(log, ())
        if after < 0:
            return list(entries)[after:][:limit]
        return list(itertools.islice((e for e in entries if e.position > after), limit))

    async def add(self, key: str, amount: int, *, ttl: float | None = None) -> int:
        """See `Store.add`."""
        present = self._peek(key)
        total = int(present or b"0") + amount
        expires = self._values[key][1] if present is not None else self._expiry(ttl)
        self._values[key] = str(total).encode(), expires
        return total

    def subscribe(self, prefix: str) -> AsyncIterator[str]:
        """See `Store.subscribe`."""
        return self._hints.subscribe(prefix)

    async def aclose(self) -> None:
        """See `Store.aclose`."""
        self._hints.close()

    def _expiry(self, ttl: float | None) -> float | None:
        if ttl is None:
            return None
        self._expiring += 1
        if self._expiring % SWEEP_EVERY == 0:
            for key in list(self._values):
                self._peek(key)
        return self._clock() + ttl

    def _peek(self, key: str) -> bytes | None:
        value, expires = self._values.get(key, (None, None))
        if expires is not None and expires <= self._clock():
            del self._values[key]
            return None
        return value
