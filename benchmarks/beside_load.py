"""Questions through each of several ways to the API server, in turns: rows of `benchmarks.beside`."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from benchmarks import machine, tunnels, upstream
from benchmarks.client import Connection

Row = tuple[str, Mapping[str, str]]
"""What was measured, and the cell of each way."""


async def small(all_ways: Sequence[tunnels.Way], count: int) -> Row:
    """One small GET at a time."""
    connections = [await way.open() for way in all_ways]
    taken: dict[str, list[float]] = defaultdict(list)
    for turn in range(count + 20):
        for way, connection in zip(all_ways, connections, strict=True):
            seconds = await timed(connection, way)
            if turn >= 20:
                taken[way.name].append(seconds)
    for connection in connections:
        connection.close()
    return "small GET, one at a time: p50 ms", _milliseconds(taken)


async def timed(connection: Connection, way: tunnels.Way) -> float:
    """Ask for something small; seconds until it was there."""
    started = time.perf_counter()
    await connection.get(way.prefix + upstream.SMALL)
    return time.perf_counter() - started


async def many(all_ways: Sequence[tunnels.Way], count: int, rounds: int) -> list[Row]:
    """Small GETs on 32 connections."""
    rates: dict[str, list[float]] = defaultdict(list)
    servers: dict[str, list[float]] = defaultdict(list)
    agents: dict[str, list[float]] = defaultdict(list)
    for way in _turns(all_ways, rounds):
        connections = [await way.open() for _ in range(32)]
        left = iter(range(count))

        async def ask(connection: Connection, way: tunnels.Way = way, left: Iterator[int] = left) -> None:
            for _ in left:
                await connection.get(way.prefix + upstream.SMALL)

        before, started = [machine.cpu_clock(pid) for pid in way.ends], time.perf_counter()
        await asyncio.gather(*map(ask, connections))
        rates[way.name].append(count / (time.perf_counter() - started))
        used = [machine.cpu_clock(pid) - had for pid, had in zip(way.ends, before, strict=True)]
        for costs, seconds in zip((servers, agents), used, strict=False):  # the direct way has no ends
            costs[way.name].append(seconds / count)
        for connection in connections:
            connection.close()
    return [
        ("small GETs, 32 at a time: a second", {n: f"{statistics.median(r):.0f}" for n, r in rates.items()}),
        ("  CPU of the tunnel's server, ms each", _milliseconds(servers)),
        ("  CPU of its agent, ms each", _milliseconds(agents)),
    ]


def _milliseconds(found: Mapping[str, Sequence[float]]) -> Mapping[str, str]:
    return {name: f"{statistics.median(seconds) * 1000:.2f}" for name, seconds in found.items()}


async def bulk(all_ways: Sequence[tunnels.Way], rounds: int) -> list[Row]:
    """Ten bodies of 10 MiB at a time."""
    rates: dict[str, list[float]] = defaultdict(list)
    for way in _turns(all_ways, rounds):
        connections = [await way.open() for _ in range(10)]
        started = time.perf_counter()
        sizes = await asyncio.gather(*(c.get(way.prefix + upstream.LARGE) for c in connections))
        rates[way.name].append(sum(sizes) / (time.perf_counter() - started) / 1e6)
        for connection in connections:
            connection.close()
    ratios = {
        name: statistics.median(own / base for own, base in zip(each, rates["direct"], strict=True))
        for name, each in rates.items()
    }
    return [
        ("10 bodies of 10 MiB: MB/s", {n: f"{statistics.median(r):.0f}" for n, r in rates.items()}),
        ("  of the direct way's", {n: f"{ratio:.2f}" for n, ratio in ratios.items()}),
    ]


def _turns(all_ways: Sequence[tunnels.Way], rounds: int) -> list[tunnels.Way]:
    return [way for _ in range(rounds) for way in random.sample(all_ways, len(all_ways))]
