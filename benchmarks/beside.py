"""Kubently beside public tunnels and beside no tunnel, in one run and under the same load.

Client, API server's stand-in and both ends of each tunnel share this machine; every hop has TLS. Small questions take
turns one by one, longer measures in another order each round. What a tunnel does not do at all stands below the table.
``python -m benchmarks.beside``; with ``--quick`` for small numbers, with ``--long`` also a minute with stopped agents.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from benchmarks import idle, kubernetes, machine, scale, tunnels, upstream
from benchmarks.client import Connection

KUBENTLY = "Kubently"
AGENTS = 200
WATCHED = 60.0
"""Seconds for which callers are watched while the agent is stopped."""
_STUCK = 3.0
"""Seconds after which a small question beside a slow reader counts as stuck, and no more are asked."""
_LIMIT = 900.0
"""Seconds after which questions through the ways are given up, whoever of them hangs."""

Row = tuple[str, Mapping[str, str]]
"""What was measured, and the cell of each way."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    questions: int
    at_once: int
    rounds: int
    beside: int

    @classmethod
    def of(cls, *, quick: bool) -> Size:
        """Some seconds for each way, or a minute."""
        return cls(100, 400, 1, 150) if quick else cls(1000, 3000, 5, 1000)


@contextlib.asynccontextmanager
async def ways(tools: Sequence[type[tunnels.Tunnel]]) -> AsyncIterator[list[tunnels.Way]]:
    """The direct way, Kubently and the *tools*, all up."""
    async with kubernetes.running(tls=True) as bench:
        target = urlsplit(bench.direct.url).port or 0
        assert bench.direct.tls is not None
        with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
            own = bench.tunnel
            found = [
                tunnels.Way("direct", bench.direct.open),
                tunnels.Way(KUBENTLY, own.open, own.prefix, bench.api_pid, bench.executor_pid),
            ]
            for tool in tools:
                folder = Path(name, tool.name)
                folder.mkdir()
                found.append(tool(folder, target, stack).way(bench.direct.tls))
            for way in found:
                await way.wait()
            yield found


async def small(all_ways: Sequence[tunnels.Way], count: int) -> Row:
    """One small GET at a time."""
    connections = [await way.open() for way in all_ways]
    taken: dict[str, list[float]] = defaultdict(list)
    for turn in range(count + 20):
        for way, connection in zip(all_ways, connections, strict=True):
            seconds = await _timed(connection, way)
            if turn >= 20:
                taken[way.name].append(seconds)
    for connection in connections:
        connection.close()
    return "small GET, one at a time: p50 ms", _milliseconds(taken)


async def _timed(connection: Connection, way: tunnels.Way) -> float:
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


async def slow_reader(all_ways: Sequence[tunnels.Way], count: int, settle: float) -> list[Row]:
    """Small GETs beside a reader that stops in the middle of a large body."""
    rows: tuple[dict[str, str], dict[str, str], dict[str, str]] = ({}, {}, {})
    for way in all_ways:
        asking, reader = await way.open(), await way.open()
        before = [await _timed(asking, way) for _ in range(count)]
        memory = machine.pss_bytes(way.server) if way.server else 0
        reader.send(way.prefix + upstream.HUGE)
        while reader.received < 2**20:
            await asyncio.sleep(0.01)
        reader.pause()
        await asyncio.sleep(settle)
        rows[0][way.name] = _p99(before)
        rows[1][way.name] = await _beside(asking, way, count)
        if way.server:
            rows[2][way.name] = f"{(machine.pss_bytes(way.server) - memory) / 2**20:+.1f}"
        reader.close()
        asking.close()
    return [
        ("small GET: p99 ms", rows[0]),
        ("  while another reader has stopped", rows[1]),
        ("  growth of the tunnel's server, MiB", rows[2]),
    ]


async def _beside(asking: Connection, way: tunnels.Way, count: int) -> str:
    try:
        async with asyncio.timeout(None) as limit:
            taken = []
            for _ in range(count):
                limit.reschedule(asyncio.get_running_loop().time() + _STUCK)
                taken.append(await _timed(asking, way))
    except TimeoutError:
        return f"over {_STUCK * 1000:.0f}"
    return _p99(taken)


def _p99(taken: Sequence[float]) -> str:
    return f"{sorted(taken)[int(len(taken) * 0.99)] * 1000:.1f}"


async def stopped_agent(all_ways: Sequence[tunnels.Way]) -> list[Row]:
    """How long callers wait for anything when the agent's process is stopped and its connection stays."""
    behind = [way for way in all_ways if way.agent is not None]
    connections = [await way.open() for way in behind]
    for way in behind:
        os.kill(way.agent or 0, signal.SIGSTOP)
    try:
        known = asyncio.gather(*(_until_told(_timed(c, way)) for c, way in zip(connections, behind, strict=True)))
        new = asyncio.gather(*(_until_told(_opened(way)) for way in behind))
        found = await known, await new
    finally:
        for way in behind:
            os.kill(way.agent or 0, signal.SIGCONT)
    names = [way.name for way in behind]
    return [
        ("agent stopped: a caller on a connection it has waits s", dict(zip(names, found[0], strict=True))),
        ("  a new caller waits s", dict(zip(names, found[1], strict=True))),
    ]


async def _opened(way: tunnels.Way) -> float:
    return await _timed(await way.open(), way)


async def _until_told(asking: Coroutine[object, object, float]) -> str:
    started = time.monotonic()
    try:
        async with asyncio.timeout(WATCHED):
            await asking
    except TimeoutError:
        return f"over {WATCHED:.0f}"
    except (OSError, RuntimeError):
        return f"{time.monotonic() - started:.1f}"
    return "an answer came"


def idle_agents(tools: Sequence[type[tunnels.Tunnel]], settle: float) -> Row:
    """Memory of the server for each agent that does nothing."""
    found = {KUBENTLY: _idle_executors(settle)}
    for tool in tools:
        with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
            tunnel = tool(Path(name), 1, stack)
            server = tunnel.serve()
            tunnels.wait_for_port(tunnel.port)
            time.sleep(settle)
            before, had = machine.pss_bytes(server), tunnels.sockets(server)
            tunnel.crowd(AGENTS)
            tunnels.wait_for_sockets(server, had + AGENTS * tool.sockets_each)
            time.sleep(settle)
            found[tool.name] = machine.pss_bytes(server) - before
    return f"{AGENTS} idle agents: KiB each", {n: f"{grown / AGENTS / 1024:.0f}" for n, grown in found.items()}


def _idle_executors(settle: float) -> int:
    with scale.plant(AGENTS, tls=True) as made:
        idle._warm(made.client)
        before = machine.pss_bytes(made.api.pid)
        made.ask(AGENTS // scale.PROCESSES)
        machine.wait_for(lambda: idle._executors(made.client) == AGENTS)
        time.sleep(settle)
        return machine.pss_bytes(made.api.pid) - before


ABSENT = (
    ("knows which person or program asks", "yes", "no", "no", "no: the API server before it may"),
    ("records each request, with its outcome", "yes", "no", "no", "no: as above"),
    ("rules for requests, at the hub and at the agent", "yes", "no", "no", "no"),
    ("which cluster is asked for", "in the path", "a port each", "a name, in code", "any agent, or by address"),
    (
        "what an agent proves",
        "key or token of its own",
        "password, certificate if set",
        "up to the program",
        "certificate",
    ),
    ("several servers", "yes", "no", "mesh of peers", "agents dial all of them"),
)
"""What each does beside carrying bytes, for all *TOOLS* in their order, Kubently first."""


def show(rows: Sequence[Row], names: Sequence[str]) -> None:
    """Print a table, a column for each of *names*; what does not apply is ``-``."""
    print(_line("", names))
    for label, cells in rows:
        print(_line(label, [cells.get(name, "-") for name in names]))


def _line(label: str, cells: Sequence[str]) -> str:
    return f"  {label:54}" + "".join(f"{cell:>14}" for cell in cells)


def _show_absent() -> None:
    names = (KUBENTLY, *(tool.name for tool in tunnels.TOOLS))
    print("\n  Kubently reads requests; the others carry bytes:")
    for label, *cells in ABSENT:
        print(f"  {label}: " + "; ".join(f"{name} {cell}" for name, cell in zip(names, cells, strict=True)))


async def measure(tools: Sequence[type[tunnels.Tunnel]], *, quick: bool, long: bool) -> list[Row]:
    """All rows of the table."""
    size, settle = Size.of(quick=quick), 0.5 if quick else 3.0
    async with asyncio.timeout(_LIMIT), ways(tools) as found:
        rows = [
            await small(found, size.questions),
            *await many(found, size.at_once, size.rounds),
            *await bulk(found, size.rounds),
            *await slow_reader(found, size.beside, settle),
        ]
    rows.append(idle_agents(tools, settle))
    if long:
        async with ways(tools) as found:
            rows += await stopped_agent(found)
    return rows


async def run(*, quick: bool, long: bool = False) -> None:
    """Print one table of all that is built here; what is not is named."""
    print("\nbeside public tunnels, everything on this machine and with TLS:")
    tools = []
    for tool in tunnels.TOOLS:
        if missing := tool.missing():
            print(f"  skipped: {tool.name}, because {', '.join(missing)} is not built (make testbed)")
        else:
            tools.append(tool)
    if quick and not tools:
        return
    print(f"  before: {machine.describe()}")
    rows = await measure(tools, quick=quick, long=long)
    show(rows, ["direct", KUBENTLY, *(tool.name for tool in tools)])
    _show_absent()
    print(f"  after: {machine.describe()}")


if __name__ == "__main__":
    uvloop.run(run(quick="--quick" in sys.argv, long="--long" in sys.argv))
