"""How much at once: every limit has a name, a refusal and a counter."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

from kubently.errors import TooManyCommandsError


class Slots:
    """Counts what runs at once under each key; one more than *most* is refused."""

    def __init__(self, name: str, most: int) -> None:
        self.name = name
        self._most = most
        self._used: Counter[str] = Counter()
        self.refused = 0

    @contextlib.contextmanager
    def take(self, key: str) -> Iterator[None]:
        """Hold a slot of *key* while the block runs. Raises TooManyCommandsError."""
        if self._used[key] >= self._most:
            self.refused += 1
            raise TooManyCommandsError(
                f"{self._most} requests run on {key} already",
                hint="try again in a moment",
                details={"limit": self.name},
                retry_after=1,
            )
        self._used[key] += 1
        try:
            yield
        finally:
            self._used[key] -= 1
            if not self._used[key]:
                del self._used[key]
