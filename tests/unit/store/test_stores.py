"""Every store passes the conformance suite; SQLite also survives restarts and says when it fails."""

import asyncio
import sqlite3
import threading
import time
from pathlib import Path

import anyio
import pytest

from kubently.errors import ConfigError, StoreUnavailableError
from kubently.store import ABSENT, MemoryStore, SqliteStore, memory, open_store, sqlite
from kubently.testing import check_store

pytestmark = pytest.mark.anyio


async def test_memory_conforms() -> None:
    await check_store(MemoryStore(clock=time.monotonic))


async def test_sqlite_conforms(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")

    await check_store(store)

    await store.aclose()


async def test_sqlite_survives_a_restart(tmp_path: Path) -> None:
    first = SqliteStore(tmp_path / "store.db")
    await first.put("key", b"value", ttl=60)
    position = await first.append("log", b"one")
    await first.aclose()

    second = SqliteStore(tmp_path / "store.db")

    assert await second.get("key") == b"value"
    assert [e.value for e in await second.tail("log")] == [b"one"]
    assert await second.append("log", b"two") > position
    await second.aclose()


async def test_sqlite_is_private(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")

    assert (tmp_path / "store.db").stat().st_mode & 0o777 == 0o600
    await store.aclose()


async def test_one_of_many_writers_wins(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    won: list[int] = []

    async def compete(i: int) -> None:
        if await store.put("lock", str(i).encode(), expected=ABSENT):
            won.append(i)

    async with anyio.create_task_group() as tasks:
        for i in range(50):
            tasks.start_soon(compete, i)

    assert len(won) == 1
    assert await store.get("lock") == str(won[0]).encode()
    await store.aclose()


async def test_a_broken_file_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"not a database, but long enough to be taken for one" * 20)

    with pytest.raises(StoreUnavailableError, match=r"store\.db cannot be opened"):
        SqliteStore(tmp_path / "store.db")


async def test_a_locked_file_fails_the_write_and_heals(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    store._connection.execute("PRAGMA busy_timeout=50")
    thief = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    thief.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreUnavailableError, match="locked"):
        await store.put("key", b"value")
    thief.execute("ROLLBACK")
    thief.close()

    assert await store.put("key", b"value")
    await store.aclose()


async def test_a_closed_store_refuses(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    await store.aclose()
    await store.aclose()

    with pytest.raises(StoreUnavailableError, match="closed"):
        await store.get("key")


@pytest.mark.parametrize("url", ["redis:x", "sqlite:", "nonsense"])
async def test_an_unknown_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="names no store"):
        open_store(url)


async def test_open_store_takes_memory_and_sqlite(tmp_path: Path) -> None:
    assert isinstance(open_store("memory:"), MemoryStore)
    store = open_store(f"sqlite://{tmp_path}/deep/store.db")
    assert isinstance(store, SqliteStore)
    await store.aclose()


async def test_a_job_that_fails_in_an_unforeseen_way_fails_alone(tmp_path: Path) -> None:
    """A number that SQLite cannot hold raises OverflowError, which is no sqlite3.Error; the thread must outlive it."""
    store = SqliteStore(tmp_path / "store.db")

    with anyio.fail_after(5):
        with pytest.raises(StoreUnavailableError, match="too large"):
            await store.tail("log", after=10**30)
        assert await store.put("key", b"value")
        assert await store.get("key") == b"value"

    await store.aclose()


async def test_expired_pairs_leave_the_file(tmp_path: Path) -> None:
    now = [1000.0]
    store = SqliteStore(tmp_path / "store.db", clock=lambda: now[0])
    await store.put("brief", b"x", ttl=10)
    await store.put("long", b"x", ttl=10_000)
    now[0] += 100

    for i in range(sqlite.SWEEP_EVERY):
        await store.put("other", str(i).encode(), ttl=10)
    await store.aclose()

    rows = sqlite3.connect(tmp_path / "store.db")
    assert [key for (key,) in rows.execute("SELECT key FROM pairs ORDER BY key")] == ["long", "other"]
    rows.close()


async def test_expired_pairs_leave_the_memory() -> None:
    now = [0.0]
    store = MemoryStore(clock=lambda: now[0])
    await store.put("brief", b"x", ttl=10)
    now[0] += 100

    for i in range(memory.SWEEP_EVERY):
        await store.put("other", str(i).encode(), ttl=10)

    assert "brief" not in store._values


async def test_a_store_whose_event_loop_is_gone_does_not_lose_its_thread(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    release = threading.Event()

    async def leave() -> None:
        with anyio.move_on_after(0.01):
            await store._do(lambda db: release.wait(5))

    await anyio.to_thread.run_sync(asyncio.run, leave())
    release.set()

    with anyio.fail_after(5):
        assert await store.put("key", b"value")
    await store.aclose()
