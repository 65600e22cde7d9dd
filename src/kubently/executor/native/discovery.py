"""The cluster's resource types, kept for a while."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from kubently.executor.native.asking import DISCOVERY, Asker
from kubently.executor.native.objects import Decoder
from kubently.executor.native.resources import ResourceTable, parse_discovery
from kubently.executor.native.unsure import Unsure

MAX_AGE = 60.0
"""Seconds; kubectl's own cache is kept for six hours, and asked again as here when a type is unknown."""


class Discovery:
    """Asks when it has to; ``clock`` gives monotonic seconds."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._table: ResourceTable | None = None
        self._read_at = 0.0
        self._lock = anyio.Lock()

    async def table(self, ask: Asker, *, newer_than: ResourceTable | None = None) -> ResourceTable:
        """The types, read anew when they are old or no newer than a table that was of no use. Raises Unsure."""
        if (table := self._kept(newer_than)) is not None:
            return table
        async with self._lock:
            if (table := self._kept(newer_than)) is None:
                table = self._table = await _read(ask)
                self._read_at = self._clock()
        return table

    def _kept(self, newer_than: ResourceTable | None) -> ResourceTable | None:
        if self._table is newer_than or self._clock() - self._read_at > MAX_AGE:
            return None
        return self._table


async def _read(ask: Asker) -> ResourceTable:
    documents = []
    for path in ("/api", "/apis"):
        answer = await ask.get(path, accept=DISCOVERY)
        if answer.status != 200:
            raise Unsure("no discovery")
        documents.append(Decoder().decode(bytes(answer.body)))
    return parse_discovery(*documents)
