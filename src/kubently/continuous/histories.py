"""Histories in the store: ``findings:<cluster>``, one value each, which only its owner of the moment writes.

A write names the value that it replaces. Whoever finds another one there has lost the cluster to another replica, and
goes on from what that one wrote.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import timedelta

from pydantic import ValidationError

from kubently.continuous.history import History
from kubently.store import ABSENT, Store

log = logging.getLogger(__name__)

PREFIX = "findings:"


@dataclass(frozen=True, slots=True)
class Stored:
    """A history as it stands in the store; ``raw`` is None where there is none."""

    history: History | None
    raw: bytes | None = field(repr=False)


class Histories:
    """Reads and writes them. What was not written for *keep* goes."""

    def __init__(self, store: Store, *, keep: timedelta) -> None:
        self._store = store
        self._keep = keep

    async def load(self, cluster: str) -> Stored:
        """The history of *cluster*. Raises StoreError. One that makes no sense counts as none."""
        raw = await self._store.get(PREFIX + cluster)
        if raw is None:
            return Stored(None, None)
        try:
            return Stored(History.model_validate_json(raw), raw)
        except ValidationError as error:
            log.warning("a history cannot be read", extra={"cluster": cluster, "reason": str(error)[:200]})
            return Stored(None, raw)

    async def save(self, history: History, before: Stored) -> Stored | None:
        """Write it in place of *before*; None where that is no longer what stands there. Raises StoreError."""
        raw = history.model_dump_json().encode()
        expected = ABSENT if before.raw is None else before.raw
        key = PREFIX + history.cluster
        if await self._store.put(key, raw, ttl=self._keep.total_seconds(), expected=expected):
            return Stored(history, raw)
        return None
