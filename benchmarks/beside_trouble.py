"""Readers and agents that stop, and agents that do nothing: rows of `benchmarks.beside`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path

from benchmarks import idle, machine, scale, tunnels, upstream
from benchmarks.beside_load import Row, timed
from benchmarks.client import Connection

AGENTS = 200
WATCHED = 60.0
"""Seconds for which callers are watched while the agent is stopped."""
_STUCK = 3.0
"""Seconds after which a small question beside a slow reader counts as stuck, and no more are asked."""


async def slow_reader(all_ways: Sequence[tunnels.Way], count: int, settle: float) -> list[Row]:
    """Small GETs beside a reader that stops in the middle of a large body."""
    rows: tuple[dict[str, str], dict[str, str], dict[str, str]] = ({}, {}, {})
    for way in all_ways:
        asking, reader = await way.open(), await way.open()
        before = [await timed(asking, way) for _ in range(count)]
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
                taken.append(await timed(asking, way))
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
        known = asyncio.gather(*(_until_told(timed(c, way)) for c, way in zip(connections, behind, strict=True)))
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
    return await timed(await way.open(), way)


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
    found = {tunnels.KUBENTLY: _idle_executors(settle)}
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
