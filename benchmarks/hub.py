"""What the API costs a request, as ratios to a raw protocol (R1) and to C (R0), all in one run and in turns.

R1 is the least that Python can do: uvloop, an id, a length, 300 bytes and a future for each request. R0 is the same in
C. CPU is of the asking or the API's process alone, all its threads, user and system; load on the machine inflates both
sides of a ratio alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import idle, machine
from kubently.client import Api

BARS = {"hub": 3.0, "command": 10.0, "get": 10.0}
"""Of the hub the p50 of one at a time, of the others CPU at 32 at once; both in R1."""


_NO_LIMITS = {"KUBENTLY_REQUEST_RATE_PER_KEY": "0", "KUBENTLY_MAX_COMMANDS_PER_CLUSTER": "128"}
"""One key asks for more than one key should."""


@dataclass(slots=True)
class Figures:
    """What was measured of one kind at one concurrency, window by window."""

    p50: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)


Window = Callable[[int, int], Awaitable[tuple[float, float, float]]]
"""Asks (concurrency, count) and gives p50, CPU each in seconds, and how many a second."""


class Asking:
    """A process of `benchmarks.ends` that asks; the CPU counted is its own, or that of *served_by*."""

    def __init__(self, child: asyncio.subprocess.Process, served_by: int | None = None) -> None:
        self._child = child
        self._served_by = served_by

    async def ready(self, word: bytes = b"ready") -> None:
        """Wait until it can be asked."""
        assert self._child.stdout is not None
        if (line := await self._child.stdout.readline()).strip() != word:
            raise RuntimeError(f"a process of the benchmark said {line!r} and not {word!r}")

    async def window(self, concurrency: int, count: int) -> tuple[float, float, float]:
        """Measure once."""
        assert self._child.stdin is not None and self._child.stdout is not None
        before = machine.cpu_clock(self._served_by) if self._served_by else 0.0
        self._child.stdin.write(f"{concurrency} {count}\n".encode())
        found = json.loads(await self._child.stdout.readline())
        cpu = machine.cpu_clock(self._served_by) - before if self._served_by else found["cpu"]
        return statistics.median(found["taken"]), cpu / count, count / found["seconds"]


class Processes:
    """Starts them, and ends them all."""

    def __init__(self, stack: contextlib.AsyncExitStack) -> None:
        self._stack = stack

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        """One of `benchmarks.ends`."""
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.ends", *words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**26,
        )
        self._stack.push_async_callback(_end, child)
        return child


async def _end(child: asyncio.subprocess.Process) -> None:
    child.kill()
    await child.wait()


@contextlib.asynccontextmanager
async def windows(*, store: str = "") -> AsyncIterator[Mapping[str, Window]]:
    """Everything that is measured, up, by name."""
    with tempfile.TemporaryDirectory() as name, idle.api_process(1, store=store, **_NO_LIMITS) as (api, port):
        folder = Path(name)
        (folder / "cluster-0").write_text(idle.TOKEN)
        async with contextlib.AsyncExitStack() as stack:
            processes = Processes(stack)
            raw = await _pair(processes, ("raw",), "raw-echo")
            hub = await _pair(processes, ("hub", name), "executor")
            await processes.start("executor", str(port))
            token = await asyncio.to_thread(_connected, Api(f"http://127.0.0.1:{port}", idle.KEY))
            command = Asking(await processes.start("rest", str(port), "command", idle.KEY), api.pid)
            get = Asking(await processes.start("rest", str(port), "get", token), api.pid)
            for each in (raw, hub, command, get):
                await each.ready()
            physical = {"R0": await asyncio.to_thread(_compile, folder)} if shutil.which("cc") else {}
            if not physical:
                print("  R0 is left out: there is no C compiler (cc)")
            yield {
                **physical,
                "R1": raw.window,
                "hub": hub.window,
                "command": command.window,
                "get": get.window,
            }


async def _pair(processes: Processes, words: tuple[str, ...], other: str) -> Asking:
    port = str(machine.free_port())
    asking = Asking(await processes.start(*words, port))
    await asking.ready(b"listening")
    await processes.start(other, port)
    return asking


def _connected(api: Api) -> str:
    machine.wait_for(lambda: any(c["state"] == "connected" for c in api.get("/api/v1/clusters")))
    token: str = api.post("/api/v1/clusters/cluster-0/kubernetes-token", {})["token"]
    return token


def _compile(folder: Path) -> Window:
    program = folder / "ping_pong"
    source = Path(__file__).with_name("ping_pong.c")
    subprocess.run(["cc", "-O2", "-o", program, source], check=True)

    async def window(concurrency: int, count: int) -> tuple[float, float, float]:
        words = (str(program), "300", str(count), str(concurrency))
        started = time.perf_counter()
        child = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
        told, _ = await child.communicate()
        p50, cpu = (int(word) / 1e9 for word in told.split())
        return p50, cpu, count / (time.perf_counter() - started)

    return window


async def measure(
    all_windows: Mapping[str, Window], rounds: int, counts: Mapping[int, int]
) -> Mapping[int, Mapping[str, Figures]]:
    """Each in turn, in another order each round; by concurrency and name."""
    found = {concurrency: {name: Figures() for name in all_windows} for concurrency in counts}
    for turn in range(-1, rounds):
        for concurrency, count in counts.items():
            for name, window in random.sample(list(all_windows.items()), len(all_windows)):
                p50, cpu, rate = await window(concurrency, count)
                if turn >= 0:  # the first is for warming up
                    figures = found[concurrency][name]
                    figures.p50.append(p50)
                    figures.cpu.append(cpu)
                    figures.rate.append(rate)
    return found


def show(found: Mapping[int, Mapping[str, Figures]]) -> None:
    """Print the table; ratios are medians of the ratios of each round, with the least and the most."""
    for concurrency, figures in found.items():
        print(f"  concurrency {concurrency}:   p50 us (x R1)          CPU us each (x R1 [least-most])         a second")
        base = figures["R1"]
        for name, own in figures.items():
            slow, costs = _ratios(own.p50, base.p50), _ratios(own.cpu, base.cpu)
            print(
                f"    {name:10} {_micro(own.p50):8.1f} ({statistics.median(slow):5.2f})     "
                f"{_micro(own.cpu):8.1f} ({statistics.median(costs):5.2f} [{min(costs):.2f}-{max(costs):.2f}])"
                f"     {statistics.median(own.rate):9.0f}"
            )
    one, many = found[1], found[32]
    ratios = {
        "hub": statistics.median(_ratios(one["hub"].p50, one["R1"].p50)),
        "command": statistics.median(_ratios(many["command"].cpu, many["R1"].cpu)),
        "get": statistics.median(_ratios(many["get"].cpu, many["R1"].cpu)),
    }
    print("  bars, in R1: " + ", ".join(f"{name} {ratios[name]:.1f} of {bar:g}" for name, bar in BARS.items()))


def _ratios(own: list[float], base: list[float]) -> list[float]:
    return [one / other for one, other in zip(own, base, strict=True)]


def _micro(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1e6


async def run(*, quick: bool, store: str = "") -> None:
    """Print all figures; *store* is the API's, by default the one that it takes by itself."""
    async with windows(store=store) as everything:
        counts = {1: 200, 32: 1000} if quick else {1: 1000, 32: 5000}
        found = await measure(everything, 2 if quick else 5, counts)
    print(f"what the API costs a request ({'store ' + store if store else 'its own choice of store'}):")
    show(found)


if __name__ == "__main__":
    print(machine.describe())
    asyncio.run(run(quick="--quick" in sys.argv))
    print(machine.describe())
