"""The store's copy of all replicas' audit journals: what ``/api/v1/audit`` reads.

An entry of the store's log holds up to `PACKED` lines of one journal, because one append for each would cost more than
the request. A position that is handed out is that of a line: the entry's position and the line's place in it. A line
may be there twice after a crash between shipping it and remembering so; readers know it by replica and sequence number.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from kubently.journal import records
from kubently.schema import AuditRecord
from kubently.store import ABSENT, MemoryStore, Store

log = logging.getLogger(__name__)

LOG = "audit"

PACKED = 16
"""Lines in one entry at most."""

KEPT = 50_000
"""Entries that the store keeps: at least as many lines, more where there was much to do."""

_CHUNK = 1000
"""Entries that are read at once while looking for something."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A line and where it stands in the store's log."""

    position: int
    raw: bytes


Wanted = Callable[[AuditRecord], bool]


class AuditLog:
    """Appends to and reads the log. Every method raises StoreUnavailableError."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.is_immediate = isinstance(store, MemoryStore)
        """Whether `append` is done without ever giving way to others."""

    async def append(self, lines: Sequence[bytes]) -> None:
        """Add lines of one journal, in their order."""
        for start in range(0, len(lines), PACKED):
            await self._store.append(LOG, b"\n".join(lines[start : start + PACKED]), keep=KEPT)

    async def introduce(self, replica: str) -> bool:
        """Say that lines of *replica* come; says whether this store knew that already."""
        return not await self._store.put(f"{LOG}:journal:{replica}", b"1", expected=ABSENT)

    async def lines(self, *, after: int = 0, limit: int = 1000) -> list[Placed]:
        """Lines with a position above *after*, oldest first; negative: the last so many."""
        if after < 0:
            entries = await self._store.tail(LOG, after=after, limit=-after)
            return [line for entry in entries for line in _unpack(entry.position, entry.value)][after:][:limit]
        found: list[Placed] = []
        entries = await self._store.tail(LOG, after=max(after // PACKED - 1, 0), limit=limit + 1)
        for entry in entries:
            found += (line for line in _unpack(entry.position, entry.value) if line.position > after)
        return found[:limit]

    async def read(
        self, *, after: int = 0, limit: int = 100, wanted: Wanted | None = None
    ) -> tuple[list[AuditRecord], int]:
        """Records of requests that are *wanted*, oldest first, and the position to go on from.

        A negative *after* gives the last so many. What journals tell of themselves is left out.
        """
        if after < 0:
            return await self._last(min(-after, limit), wanted or _any)
        found: list[AuditRecord] = []
        while chunk := await self.lines(after=after, limit=_CHUNK):
            for line in chunk:
                after = line.position
                found += _wanted([line], wanted or _any)
                if len(found) == limit:
                    return _once(found), after
        return _once(found), after

    async def _last(self, number: int, wanted: Wanted) -> tuple[list[AuditRecord], int]:
        found: list[AuditRecord] = []
        end = 0
        async for chunk in self._backwards():
            end = end or chunk[-1].position
            found[:0] = _wanted(chunk, wanted)
            if len(found) >= number:
                break
        return _once(found)[-number:], end

    async def _backwards(self) -> AsyncIterator[list[Placed]]:
        begin = before = 0
        while True:
            begin += _CHUNK
            entries = await self._store.tail(LOG, after=-begin, limit=_CHUNK)
            # What was appended meanwhile has moved the rest: what was seen already is left out.
            fresh = [entry for entry in entries if not before or entry.position < before]
            if not fresh:
                return
            before = fresh[0].position
            yield [line for entry in fresh for line in _unpack(entry.position, entry.value)]


def _unpack(position: int, value: bytes) -> list[Placed]:
    return [Placed(position * PACKED + place, raw) for place, raw in enumerate(value.split(b"\n"))]


def _wanted(lines: Iterable[Placed], wanted: Wanted) -> list[AuditRecord]:
    """Records of requests among *lines*. What somebody else put there and makes no sense is left to verification."""
    found = []
    for line in lines:
        try:
            record = AuditRecord.model_validate_json(line.raw)
        except ValidationError:
            log.warning("a line of the audit log cannot be read", extra={"position": line.position})
            continue
        if record.action != records.JOURNAL and wanted(record):
            found.append(record)
    return found


def _any(record: AuditRecord) -> bool:
    return True


def _once(found: list[AuditRecord]) -> list[AuditRecord]:
    """Without what was shipped twice."""
    return list({(r.replica, r.sequence) if r.replica else r.id + r.event: r for r in found}.values())
