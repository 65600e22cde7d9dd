"""The file store beside another process, on a full disk, killed at any moment, and with clocks that jump."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from kubently.errors import StoreUnavailableError
from kubently.store import SqliteStore
from kubently.store.sqlite import never_back

pytestmark = pytest.mark.anyio

_LOCK = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""

_FILL = """
import asyncio, pathlib, resource, sys
from kubently.errors import StoreUnavailableError
from kubently.store import SqliteStore

async def main():
    store = SqliteStore(pathlib.Path(sys.argv[1]))
    await store.put("first", b"1")
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    written = 0
    try:
        for number in range(1000):
            await store.put(f"key:{number:04}", b"x" * 5000)
            written += 1
    except StoreUnavailableError as error:
        print(error.code, error.retryable, error.hint, "|", error)
    try:
        await store.append("log", b"x" * 5000)
    except StoreUnavailableError:
        print("still full")
    print(await store.get("first"), len(await store.scan("key:")) == written)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(await store.put("after", b"2"), await store.get("after"))
    await store.aclose()

asyncio.run(main())
"""

_WRITE = """
import asyncio, itertools, pathlib, sys
from kubently.store import SqliteStore

async def main():
    store = SqliteStore(pathlib.Path(sys.argv[1]))
    async def write(lane):
        for number in itertools.count():
            await store.put(f"lane:{lane}", str(number).encode())
            position = await store.append("log", f"{lane} {number}".encode())
            print(lane, number, position, flush=True)
    await asyncio.gather(*(write(lane) for lane in range(8)))

asyncio.run(main())
"""


@contextmanager
def script(text: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that works on the file."""
    with subprocess.Popen(
        [sys.executable, "-c", text, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def integrity(path: Path) -> str:
    """What SQLite says of the file."""
    db = sqlite3.connect(path)
    try:
        return str(db.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        db.close()


async def test_a_file_that_another_process_locks_is_read_on_and_written_again(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    await store.put("key", b"1")
    with script(_LOCK, path) as thief:
        assert thief.stdout is not None
        assert thief.stdout.readline() == "locked\n"

        assert await store.get("key") == b"1"
        with anyio.fail_after(15), pytest.raises(StoreUnavailableError, match="locked") as caught:
            await store.put("key", b"2")
        assert "other process" in caught.value.hint
        assert await store.get("key") == b"1"

    assert await store.put("key", b"3")
    await store.aclose()
    assert integrity(path) == "ok"


def test_a_full_disk_fails_what_is_written_and_loses_nothing(tmp_path: Path) -> None:
    """A limit of the file's size stands for the disk's: the write fails in the same place."""
    path = tmp_path / "store.db"

    done = subprocess.run([sys.executable, "-c", _FILL, str(path)], capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    failure, still, read, after = done.stdout.splitlines()
    assert failure.startswith("store-unavailable True check the disk")
    assert str(path) in failure
    assert still == "still full"
    assert read == "b'1' True"
    assert after == "True b'2'"
    assert integrity(path) == "ok"


async def test_nothing_that_was_acknowledged_is_lost_by_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with script(_WRITE, path) as writer:
        assert writer.stdout is not None
        told = [writer.stdout.readline().split() for _ in range(400)]
        writer.kill()

    assert integrity(path) == "ok"
    store = SqliteStore(path)
    kept = {entry.position: entry.value.decode() for entry in await store.tail("log", limit=100_000)}
    assert all(kept[int(position)] == f"{lane} {number}" for lane, number, position in told)
    for lane in range(8):
        last = max(int(number) for other, number, _ in told if int(other) == lane)
        assert int(await store.get(f"lane:{lane}") or b"-1") >= last
    assert await store.append("log", b"after") > max(kept)
    await store.aclose()


async def test_a_clock_that_is_set_back_lets_nothing_live_longer(tmp_path: Path) -> None:
    wall, steady = [1_000_000.0], [0.0]
    store = SqliteStore(tmp_path / "store.db", clock=never_back(lambda: wall[0], lambda: steady[0]))
    await store.put("token", b"x", ttl=60)

    wall[0] -= 3600
    steady[0] += 59
    assert await store.get("token") == b"x"
    steady[0] += 1
    assert await store.get("token") is None
    await store.aclose()


async def test_a_clock_that_is_set_forward_ends_what_has_a_ttl_and_no_more(tmp_path: Path) -> None:
    wall = [1_000_000.0]
    store = SqliteStore(tmp_path / "store.db", clock=never_back(lambda: wall[0], lambda: 0.0))
    await store.put("token", b"x", ttl=60)
    await store.put("key", b"x")
    before = await store.append("log", b"1")

    wall[0] += 10 * 365 * 86400
    assert await store.get("token") is None
    assert await store.get("key") == b"x"
    assert await store.append("log", b"2") > before
    wall[0] -= 10 * 365 * 86400
    assert await store.put("token", b"y", ttl=60)
    assert await store.get("token") == b"y"
    await store.aclose()
