"""Records that other replicas write reach this one, whenever they are written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kubently.fleet.registry import PREFIX, Registration, Registry
from kubently.schema import ClusterId
from kubently.store import MemoryStore

pytestmark = pytest.mark.anyio
PROD = ClusterId("prod")
NOW = datetime(2026, 3, 1, tzinfo=UTC)


class SlowlyRead(MemoryStore):
    """Something happens after it was scanned and before the answer is there."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def scan(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        found = await super().scan(prefix)
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return found


async def written(store: MemoryStore, registration: Registration) -> None:
    """By another replica."""
    other = Registry(store)
    other.remember(registration)
    await other.save(registration.cluster)


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_is_written_while_it_begins_to_follow_is_known() -> None:
    store = MemoryStore(clock=time.monotonic)
    registry = Registry(store)
    hints = registry.hints()
    await registry.load()
    await written(store, Registration(PROD, {"env": "prod"}, NOW))

    task = asyncio.ensure_future(registry.follow(hints, lambda: ()))
    await turns()

    assert registry.get(PROD) == Registration(PROD, {"env": "prod"}, NOW)
    await store.delete(PREFIX + PROD)
    await turns()
    assert registry.get(PROD) is None
    task.cancel()


async def test_what_was_heard_while_all_was_read_stands() -> None:
    store = SlowlyRead(clock=time.monotonic)
    registry = Registry(store)
    old, new = Registration(PROD, {}, NOW), Registration(PROD, {"env": "prod"}, NOW)
    other = Registration(ClusterId("other"), {}, NOW)
    await written(store, old)
    await registry.load()
    task = asyncio.ensure_future(registry.follow(registry.hints(), lambda: ()))

    async def meanwhile() -> None:
        await written(store, new)
        await written(store, other)
        await turns()

    store.meanwhile = meanwhile
    await registry.reconcile(())

    assert registry.all() == [other, new]
    task.cancel()


async def test_where_hints_were_missed_all_is_read_again() -> None:
    store = MemoryStore(clock=time.monotonic)
    registry = Registry(store)
    mine = Registration(ClusterId("mine"), {}, NOW)
    registry.remember(mine)
    await written(store, replace(mine, labels={"of": "before"}))
    registry.remember(replace(mine, cluster=ClusterId("gone")))
    await written(store, Registration(PROD, {}, NOW))

    async def hints() -> AsyncIterator[str]:
        yield PREFIX

    await registry.follow(hints(), lambda: {mine.cluster})

    assert registry.all() == [mine, Registration(PROD, {}, NOW)]
