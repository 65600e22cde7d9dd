"""Dumb persistence behind eight verbs over bytes. What a key means lives with its owner.

``kubently.testing.check_store`` is the conformance suite that every implementation passes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

ABSENT = b"\0absent"
"""As ``expected``: only if there is no such key."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of a log; ``position`` rises."""

    position: int
    value: bytes


@dataclass(slots=True)
class StoreHealth:
    """How a store that other processes serve is doing, for metrics."""

    failures: Counter[str] = field(default_factory=Counter)
    """Commands that failed, by reason."""
    kept_answers: int = 0
    """Reads that were answered by what was kept, while the store could not be reached."""
    is_away: bool = False
    is_hearing: bool = False
    """Whether hints of other processes come in."""


class Store(Protocol):
    """Persistence shared by all replicas. Any method raises StoreUnavailableError when the store cannot be reached."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None when it is absent or expired."""
        ...

    async def put(self, key: str, value: bytes, *, ttl: float | None = None, expected: bytes | None = None) -> bool:
        """Set the value; *ttl* in seconds. With *expected*, only if that is the present value (`ABSENT`: none).

        Says whether it was set, and publishes the key to subscribers.
        """
        ...

    async def delete(self, key: str, *, expected: bytes | None = None) -> bool:
        """Remove the key, with *expected* only if that is its value. Says whether it was removed; publishes the key."""
        ...

    async def scan(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        """All pairs whose key begins with *prefix*, in order of key."""
        ...

    async def append(self, log: str, value: bytes, *, keep: int = 100_000) -> int:
        """Add a record to a log and return its position; about *keep* newest ones are kept."""
        ...

    async def tail(self, log: str, *, after: int = 0, limit: int = 1000) -> Sequence[Entry]:
        """Records with a position above *after*, oldest first. A negative *after* counts from the end."""
        ...

    async def add(self, key: str, amount: int, *, ttl: float | None = None) -> int:
        """Add to a counter and return its new value; *ttl* is set when the counter begins."""
        ...

    def subscribe(self, prefix: str) -> AsyncIterator[str]:
        """Keys under *prefix* that were put or deleted from now on, as hints: some may be missed or told twice.

        The *prefix* itself as a hint means that any key under it may have changed: it is told once the way to the
        other replicas stands, after each loss of it, and when there were too many hints to keep. Who writes by other
        means than a `Store` tells nobody.
        """
        ...

    async def aclose(self) -> None:
        """Release what the store holds. Idempotent."""
        ...
