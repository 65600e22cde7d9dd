"""What a store costs its caller: wall and CPU of one operation, by kind of store."""

from __future__ import annotations

import asyncio
import resource
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.testbed.redis_servers import RedisServer

from benchmarks import machine
from kubently.auth import ExecutorTokens
from kubently.schema import ClusterId
from kubently.store import Store, open_store

_VALUE = b"x" * 200
_PREFIXES = ("auth:", "executor:token:")


async def run(*, quick: bool = False) -> None:
    """Print a table."""
    number, clusters = (500, 1000) if quick else (5000, 10_000)
    print("\nstores: one operation after another (us wall, us CPU), and 32 reads at once")
    if shutil.which("redis-server") is None:
        print("  skipped: there is no redis-server")
        return
    with tempfile.TemporaryDirectory() as made, RedisServer(Path(made) / "redis") as server:
        for name, url, cached in (
            ("SQLite", f"sqlite://{made}/store.db", ()),
            ("Redis", server.url, ()),
            ("Redis, kept for a second", server.url, _PREFIXES),
        ):
            async with _opened(url, cached) as store:
                await _measure(name, store, number)
        async with _opened(server.url, _PREFIXES) as store:
            await _poll(store, clusters)
    print(f"  {machine.describe()}")


@asynccontextmanager
async def _opened(url: str, cached: tuple[str, ...]) -> AsyncIterator[Store]:
    store = open_store(url, cached=cached)
    try:
        yield store
    finally:
        await store.aclose()


async def _measure(name: str, store: Store, number: int) -> None:
    await store.put("auth:key", _VALUE)
    operations: tuple[tuple[str, Callable[[int], Awaitable[object]]], ...] = (
        ("get", lambda _: store.get("auth:key")),
        ("put", lambda i: store.put(f"bench:{i}", _VALUE)),
        ("append", lambda _: store.append("bench-log", _VALUE)),
    )
    told = []
    for what, operation in operations:

        async def in_turn(operation: Callable[[int], Awaitable[object]] = operation) -> None:
            for i in range(number):
                await operation(i)

        wall, cpu = await _cost(in_turn)
        told.append(f"{what} {wall / number * 1e6:7.1f} {cpu / number * 1e6:7.1f}")

    async def at_once() -> None:
        await asyncio.gather(*(_lane(store, number // 32) for _ in range(32)))

    wall, _ = await _cost(at_once)
    print(f"  {name:26} {'   '.join(told)}   {number / wall:9.0f} reads/s")


async def _lane(store: Store, number: int) -> None:
    for _ in range(number):
        await store.get("auth:key")


async def _poll(store: Store, clusters: int) -> None:
    """What the API does every five seconds: is each connected executor's token still there?"""
    names = [ClusterId(f"c{i:05}") for i in range(clusters)]
    await asyncio.gather(*(store.put(f"executor:token:{name}", b"sha256:" + b"0" * 64) for name in names))
    tokens = ExecutorTokens(store)

    async def look() -> None:
        await store.scan("executor:token:")
        for name in names:
            await tokens.is_current(name, "sha256:" + "0" * 64)

    wall, cpu = await _cost(look)
    print(f"  {clusters} tokens looked at: {wall * 1000:.0f} ms, {cpu * 1000:.0f} ms of CPU")


async def _cost(work: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), _cpu()
    await work()
    return time.perf_counter() - wall, _cpu() - cpu


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
