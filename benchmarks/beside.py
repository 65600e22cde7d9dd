"""Kubently beside public tunnels and beside no tunnel, in one run and under the same load.

Client, API server's stand-in and both ends of each tunnel share this machine; every hop has TLS. Small questions take
turns one by one, longer measures in another order each round. What a tunnel does not do at all stands below the table.
``python -m benchmarks.beside``; with ``--quick`` for small numbers, with ``--long`` also a minute with stopped agents.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from benchmarks import kubernetes, machine, tunnels
from benchmarks.beside_load import Row, bulk, many, small
from benchmarks.beside_trouble import idle_agents, slow_reader, stopped_agent
from benchmarks.tunnels import KUBENTLY

_LIMIT = 900.0
"""Seconds after which questions through the ways are given up, whoever of them hangs."""


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
