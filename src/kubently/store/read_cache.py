"""Values by key, as they were read: what is forgotten, and when. No clock, no I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

CAPACITY = 50_000
"""Values kept; the oldest make way."""
ABSENT_CAPACITY = 5_000
"""Keys kept that were not there: anybody can name some, and shall push nobody's out."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One value, and when it was asked for."""

    value: bytes | None
    at: float


class ReadCache:
    """Values by key, bounded. It decides nothing about time."""

    def __init__(self) -> None:
        self._present: dict[str, Kept] = {}
        self._absent: dict[str, Kept] = {}
        self._complete: dict[str, tuple[float, set[str]]] = {}
        """Prefixes of which every pair was read: when, and which keys changed since."""
        self._asked: list[set[str]] = []
        """For each question under way, the keys that change meanwhile."""

    def look(self, key: str) -> Kept | None:
        """What is kept."""
        if kept := self._present.get(key) or self._absent.get(key):
            return kept
        for prefix, (at, changed) in self._complete.items():
            if key.startswith(prefix) and key not in changed:
                return Kept(None, at)
        return None

    @contextmanager
    def asking(self) -> Iterator[set[str]]:
        """While something is asked for: the keys that change meanwhile, whose answers may be old already."""
        changed: set[str] = set()
        self._asked.append(changed)
        try:
            yield changed
        finally:
            self._asked = [other for other in self._asked if other is not changed]

    def keep(self, key: str, kept: Kept, changed: Collection[str]) -> None:
        """Keep an answer, unless its key is among those that *changed* meanwhile."""
        if key in changed or "" in changed:
            return
        self._forget(key)
        into, capacity = (self._absent, ABSENT_CAPACITY) if kept.value is None else (self._present, CAPACITY)
        while len(into) >= capacity:
            del into[next(iter(into))]
        into[key] = kept

    def keep_all(self, prefix: str, pairs: Mapping[str, bytes], at: float, changed: Collection[str]) -> None:
        """Keep every pair under *prefix*, and that there is no other."""
        if "" in changed or len(pairs) > CAPACITY // 4:
            return
        for key in [key for kept in (self._present, self._absent) for key in kept if key.startswith(prefix)]:
            self._forget(key)
        for key, value in pairs.items():
            self.keep(key, Kept(value, at), changed)
        self._complete[prefix] = at, set(changed)

    def drop(self, key: str) -> None:
        """Forget *key*, of which a change was heard; the empty one means all."""
        for changed in self._asked:
            changed.add(key)
        if not key:
            self._present.clear()
            self._absent.clear()
            self._complete.clear()
            return
        self._forget(key)
        for prefix, (_, changed) in list(self._complete.items()):
            if key.startswith(prefix):
                changed.add(key)
            if len(changed) > ABSENT_CAPACITY:
                del self._complete[prefix]

    def _forget(self, key: str) -> None:
        self._present.pop(key, None)
        self._absent.pop(key, None)
