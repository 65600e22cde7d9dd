"""Every store passes the conformance suite; SQLite also survives restarts and says when it fails."""

import sqlite3
import time
from pathlib import Path

import anyio
import pytest

from kubently.errors import ConfigError, StoreUnavailableError
from kubently.store import ABSENT, MemoryStore, SqliteStore, open_store
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


@pytest.mark.parametrize("url", ["redis://x", "sqlite:", "nonsense"])
async def test_an_unknown_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="names no store"):
        open_store(url)


async def test_open_store_takes_memory_and_sqlite(tmp_path: Path) -> None:
    assert isinstance(open_store("memory:"), MemoryStore)
    store = open_store(f"sqlite://{tmp_path}/deep/store.db")
    assert isinstance(store, SqliteStore)
    await store.aclose()
