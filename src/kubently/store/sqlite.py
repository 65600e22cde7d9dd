"""The embedded default: one SQLite file that survives a restart.

Write-ahead log with one writer thread; writes that wait together are committed together, so a burst costs one commit.
A caller's await ends after its commit. One pair is read on the event loop itself, through a connection of its own: a
reader of the write-ahead log waits for nobody, and what each request reads (keys, tokens) would else cost as many
changes of thread. A locked file or a full disk is a StoreUnavailableError, never a lost write.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from kubently.errors import StoreUnavailableError
from kubently.store.base import ABSENT, Entry
from kubently.store.hints import Hints

_SCHEMA = """
CREATE TABLE IF NOT EXISTS pairs (key TEXT PRIMARY KEY, value BLOB NOT NULL, expires REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries (position INTEGER PRIMARY KEY AUTOINCREMENT, log TEXT NOT NULL, value BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS entries_by_log ON entries (log, position);
CREATE INDEX IF NOT EXISTS pairs_by_expiry ON pairs (expires) WHERE expires IS NOT NULL;
"""
_BATCH = 500
_TRIM_EVERY = 1000
"""Appends between two trims of a log."""
SWEEP_EVERY = 1000
"""Pairs with a ttl that are written between two removals of expired ones."""

T = TypeVar("T")
_Work = Callable[[sqlite3.Connection], Any]
_Job = tuple[_Work, "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class SqliteStore:
    """A `Store` in one file. Expiry uses the wall clock, because it must hold over restarts."""

    def __init__(self, path: Path, *, clock: Callable[[], float] | None = None) -> None:
        self._path = path
        self._clock = clock or never_back(time.time, time.monotonic)
        self._hints = Hints()
        self._jobs: queue.Queue[_Job | None] = queue.Queue(maxsize=10_000)
        self._closed = False
        self._appended = self._expiring = 0
        try:
            self._connection = _open(path)
            self._reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
            self._reader.execute("PRAGMA query_only=ON")
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailableError(
                f"the store {path} cannot be opened: {error}", hint="check the path, its permissions and the disk"
            ) from error
        self._thread = threading.Thread(target=self._work, name="sqlite-store", daemon=True)
        self._thread.start()

    async def get(self, key: str) -> bytes | None:
        """See `Store.get`."""
        if self._closed:
            raise StoreUnavailableError("the store is closed")
        try:
            return self._read(self._reader, key)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    async def put(self, key: str, value: bytes, *, ttl: float | None = None, expected: bytes | None = None) -> bool:
        """See `Store.put`."""

        def work(db: sqlite3.Connection) -> bool:
            if expected is not None and (ABSENT if (now := self._read(db, key)) is None else now) != expected:
                return False
            expires = None if ttl is None else self._clock() + ttl
            db.execute("REPLACE INTO pairs VALUES (?, ?, ?)", (key, value, expires))
            if ttl is not None:
                self._sweep(db)
            return True

        done = await self._do(work)
        if done:
            self._hints.publish(key)
        return done

    async def delete(self, key: str, *, expected: bytes | None = None) -> bool:
        """See `Store.delete`."""

        def work(db: sqlite3.Connection) -> bool:
            present = self._read(db, key)
            if present is None or (expected is not None and present != expected):
                return False
            db.execute("DELETE FROM pairs WHERE key = ?", (key,))
            return True

        done = await self._do(work)
        if done:
            self._hints.publish(key)
        return done

    async def scan(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        """See `Store.scan`."""

        def work(db: sqlite3.Connection) -> list[tuple[str, bytes]]:
            rows = db.execute(
                "SELECT key, value FROM pairs WHERE key >= ? AND key < ? AND (expires IS NULL OR expires > ?) "
                "ORDER BY key",
                (prefix, prefix + "\U0010ffff", self._clock()),
            )
            return [(key, bytes(value)) for key, value in rows]

        return await self._do(work)

    async def append(self, log: str, value: bytes, *, keep: int = 100_000) -> int:
        """See `Store.append`."""

        def work(db: sqlite3.Connection) -> int:
            position = db.execute("INSERT INTO entries (log, value) VALUES (?, ?)", (log, value)).lastrowid
            assert position is not None
            self._appended += 1
            if self._appended % _TRIM_EVERY == 0 or keep < _TRIM_EVERY:
                db.execute(
                    "DELETE FROM entries WHERE log = ? AND position <= "
                    "(SELECT position FROM entries WHERE log = ? ORDER BY position DESC LIMIT 1 OFFSET ?)",
                    (log, log, keep),
                )
            return position

        return await self._do(work)

    async def tail(self, log: str, *, after: int = 0, limit: int = 1000) -> Sequence[Entry]:
        """See `Store.tail`."""

        def work(db: sqlite3.Connection) -> list[Entry]:
            if after < 0:
                rows = db.execute(
                    "SELECT position, value FROM entries WHERE log = ? ORDER BY position DESC LIMIT ?", (log, -after)
                ).fetchall()[::-1][:limit]
            else:
                rows = db.execute(
                    "SELECT position, value FROM entries WHERE log = ? AND position > ? ORDER BY position LIMIT ?",
                    (log, after, limit),
                ).fetchall()
            return [Entry(position, bytes(value)) for position, value in rows]

        return await self._do(work)

    async def add(self, key: str, amount: int, *, ttl: float | None = None) -> int:
        """See `Store.add`."""

        def work(db: sqlite3.Connection) -> int:
            present = self._read(db, key)
            total = int(present or b"0") + amount
            if present is None:
                expires = None if ttl is None else self._clock() + ttl
                db.execute("REPLACE INTO pairs VALUES (?, ?, ?)", (key, str(total).encode(), expires))
                if ttl is not None:
                    self._sweep(db)
            else:
                db.execute("UPDATE pairs SET value = ? WHERE key = ?", (str(total).encode(), key))
            return total

        return await self._do(work)

    def subscribe(self, prefix: str) -> AsyncIterator[str]:
        """See `Store.subscribe`."""
        return self._hints.subscribe(prefix)

    async def aclose(self) -> None:
        """Finish what is queued and close the file. Idempotent."""
        self._hints.close()
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
            self._reader.close()

    # ------------------------------------------------------------------ the writer thread

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise StoreUnavailableError("the store is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        try:
            self._jobs.put_nowait((work, future, loop))
        except queue.Full:
            raise StoreUnavailableError("the store is overloaded: 10,000 operations wait", retry_after=1) from None
        return await future

    def _work(self) -> None:
        closing = False
        while not closing:
            batch = [self._jobs.get()]
            while len(batch) < _BATCH and not self._jobs.empty():
                batch.append(self._jobs.get_nowait())
            closing = None in batch
            self._run_batch([job for job in batch if job is not None])
        self._connection.close()

    def _run_batch(self, jobs: list[_Job]) -> None:
        outcomes: list[tuple[_Job, Any]] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes = [(job, self._run(job)) for job in jobs]
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            failure = self._failed(error)
            failure.__cause__ = error
            outcomes = [(job, failure) for job in jobs]
        for (_, future, loop), outcome in outcomes:
            with contextlib.suppress(RuntimeError):  # that loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_settle, future, outcome)

    def _run(self, job: _Job) -> Any:
        self._connection.execute("SAVEPOINT job")
        try:
            return job[0](self._connection)
        except sqlite3.OperationalError:  # the disk or a lock: all of the batch fails
            raise
        except Exception as error:  # this job's fault (a number that SQLite cannot hold): the thread lives on
            self._connection.execute("ROLLBACK TO job")
            failure = StoreUnavailableError(f"the store cannot do that: {error}")
            failure.__cause__ = error
            return failure
        finally:
            self._connection.execute("RELEASE job")

    def _failed(self, error: sqlite3.Error) -> StoreUnavailableError:
        is_locked = getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
        hint = (
            "see which other process has it open: it is for one" if is_locked else "check the disk: room, mount, faults"
        )
        return StoreUnavailableError(f"the store {self._path} failed: {error}", hint=hint, retry_after=1)

    def _sweep(self, db: sqlite3.Connection) -> None:
        self._expiring += 1
        if self._expiring % SWEEP_EVERY == 0:
            db.execute("DELETE FROM pairs WHERE expires <= ?", (self._clock(),))

    def _read(self, db: sqlite3.Connection, key: str) -> bytes | None:
        row = db.execute(
            "SELECT value FROM pairs WHERE key = ? AND (expires IS NULL OR expires > ?)", (key, self._clock())
        ).fetchone()
        return bytes(row[0]) if row else None


def never_back(wall: Callable[[], float], steady: Callable[[], float]) -> Callable[[], float]:
    """*wall*, or what it would be had nobody set it back: what expires must not live longer for that."""
    begin = wall() - steady()
    return lambda: max(wall(), begin + steady())


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Made private before anything is written; the files beside it (write-ahead log, shared memory) take its mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    path.chmod(0o600)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.executescript(_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection


def _settle(future: asyncio.Future[Any], outcome: Any) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
