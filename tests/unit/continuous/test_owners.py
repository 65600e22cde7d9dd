"""Of several replicas one watches a cluster, and a history is written by one."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from kubently.continuous.histories import Histories
from kubently.continuous.history import History
from kubently.continuous.owners import Owners
from kubently.store import MemoryStore

pytestmark = pytest.mark.anyio
AT = datetime(2026, 3, 2, 10, tzinfo=UTC)


def history(*, not_kept: int = 0) -> History:
    return History(cluster="prod", unbroken_since=AT, analysed_at=AT, not_kept=not_kept)


async def test_the_first_that_claims_a_cluster_has_it_until_it_leaves() -> None:
    store = MemoryStore(clock=time.monotonic)
    one, other = Owners(store, "one"), Owners(store, "other")

    first = (await one.claim("prod"), await other.claim("prod"), await one.claim("prod"))
    elsewhere = await other.claim("test")
    await one.leave("prod")
    then = (await other.claim("prod"), await one.claim("prod"))

    assert first == (True, False, True)
    assert elsewhere
    assert then == (True, False)


async def test_nobody_leaves_for_another() -> None:
    store = MemoryStore(clock=time.monotonic)
    one, other = Owners(store, "one"), Owners(store, "other")
    await one.claim("prod")

    await other.leave("prod")

    assert not await other.claim("prod")


async def test_a_claim_always_holds_where_there_is_no_other_replica() -> None:
    assert await Owners(None, "one").claim("prod")


async def test_a_history_is_not_written_over_what_somebody_else_wrote() -> None:
    store = MemoryStore(clock=time.monotonic)
    one, other = (Histories(store, keep=timedelta(days=1)) for _ in range(2))
    seen_by_one, seen_by_other = await one.load("prod"), await other.load("prod")

    written = await one.save(history(not_kept=1), seen_by_one)
    refused = await other.save(history(not_kept=2), seen_by_other)

    assert written is not None
    assert refused is None
    found = (await other.load("prod")).history
    assert found is not None
    assert found.not_kept == 1


async def test_a_history_that_makes_no_sense_counts_as_none_and_is_replaced() -> None:
    store = MemoryStore(clock=time.monotonic)
    histories = Histories(store, keep=timedelta(days=1))
    await store.put("findings:prod", b'{"cluster": 1}')

    stored = await histories.load("prod")
    written = await histories.save(history(), stored)

    assert stored.history is None
    assert written is not None
