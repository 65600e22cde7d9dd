"""What the audit log costs a request: two records, by where they are kept and how many requests are under way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks import machine
from kubently.broker import Audit, open_auditing
from kubently.journal import segments, verify
from kubently.schema import Principal, Role
from kubently.settings import AuditSettings
from kubently.store import MemoryStore, SqliteStore
from kubently.trust import client_context

_WHO = Principal(name="key:benchmark", role=Role.ADMIN)


async def run(*, quick: bool = False) -> None:
    """Print a table."""
    number = 2000 if quick else 20_000
    print("\naudit: CPU of two records (us of one core a request, all threads), and their latency")
    for name, folder, store in (
        ("in memory", None, "memory"),
        ("journal on tmpfs", "/dev/shm", "memory"),
        ("journal on disk", "/var/tmp", "memory"),
        ("journal on disk, shipped to SQLite", "/var/tmp", "sqlite"),
    ):
        if folder and not os.access(folder, os.W_OK):
            print(f"  {name:36} skipped: {folder} cannot be written")
            continue
        for concurrency in (1, 32, 256):
            async with _auditing(folder, store) as audit:
                await _measure(f"{name}, {concurrency} at once", audit, number, concurrency)
    print(f"  {machine.describe()}")


@contextlib.asynccontextmanager
async def _auditing(folder: str | None, store: str) -> AsyncIterator[Audit]:
    with tempfile.TemporaryDirectory(dir=folder) as made:
        settings = AuditSettings(folder=Path(made) / "audit" if folder else None)
        opened = MemoryStore(clock=time.monotonic) if store == "memory" else SqliteStore(Path(made) / "store.db")
        async with open_auditing(settings, opened, make_context=client_context) as auditing:
            yield auditing.audit
        await opened.aclose()
        if settings.folder is not None and segments.journals(settings.folder):
            assert all(verdict.holds for verdict in verify.verify_path(settings.folder))


async def _measure(name: str, audit: Audit, number: int, concurrency: int) -> None:
    waits: list[float] = []

    async def client() -> None:
        for _ in range(number // concurrency):
            begun = time.perf_counter()
            entry = await audit.start(_WHO, "prod-eu", "command", "get pods -n shop", request_id="4f2a9c1e")
            waits.append(time.perf_counter() - begun)
            await asyncio.sleep(0)
            await entry.end("exited 0")

    cpu, loop_cpu, wall = time.process_time(), time.thread_time(), time.perf_counter()
    await asyncio.gather(*(client() for _ in range(concurrency)))
    await audit.flush()
    cpu, loop_cpu, wall = time.process_time() - cpu, time.thread_time() - loop_cpu, time.perf_counter() - wall
    waits.sort()
    each = len(waits) / 1e6
    print(
        f"  {name:44} {cpu / each:6.1f} us ({loop_cpu / each:5.1f} on the loop)  {len(waits) / wall:8.0f}/s  "
        f"p50 {1e3 * waits[len(waits) // 2]:.2f} ms  p99 {1e3 * waits[len(waits) * 99 // 100]:.2f} ms"
    )
