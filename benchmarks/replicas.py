"""What a hop through another replica costs: the same requests, asked of the one that holds the cluster and of another.

Needs ``redis-server``; without it the benchmark says so and measures nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping

from benchmarks import idle, machine
from benchmarks.ends import CLUSTER
from benchmarks.hub import Asking, Processes, Window, measure
from kubently.client import Api
from kubently.errors import KubentlyError

BAR = 2.0
"""Milliseconds, at the median, by which a small GET may take longer through the other replica."""


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """A Redis of its own, by URL. Raises RuntimeError where there is none."""
    program = shutil.which("redis-server")
    if program is None:
        raise RuntimeError("redis-server is not installed")
    port = machine.free_port()
    with tempfile.TemporaryDirectory() as folder:
        words = (program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder)
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            machine.stop(process)


@contextlib.asynccontextmanager
async def windows() -> AsyncIterator[Mapping[str, Window]]:
    """Both ways to ask, by name."""
    with redis_server() as store, contextlib.ExitStack() as apis:
        settings = {"store": store, "KUBENTLY_PEER_LISTEN": "127.0.0.1:0", "KUBENTLY_REQUEST_RATE_PER_KEY": "0"}
        holder, port = apis.enter_context(idle.api_process(1, **settings))
        other, other_port = apis.enter_context(idle.api_process(1, **settings))
        async with contextlib.AsyncExitStack() as stack:
            processes = Processes(stack)
            await processes.start("executor", str(port))
            token = await asyncio.to_thread(_token, other_port)
            found = {}
            for name, process, at in (("local", holder, port), ("peer", other, other_port)):
                for what, key in (("get", token), ("command", idle.KEY)):
                    asking = Asking(await processes.start("rest", str(at), what, key), process.pid)
                    await asking.ready()
                    found[f"{what} {name}"] = asking.window
            yield found


def _token(port: int) -> str:
    api = Api(f"http://127.0.0.1:{port}", idle.KEY)
    machine.wait_for(lambda: _is_known(api))
    token: str = api.post(f"/api/v1/clusters/{CLUSTER}/kubernetes-token", {})["token"]
    return token


def _is_known(api: Api) -> bool:
    try:
        return any(cluster["state"] == "connected" for cluster in api.get("/api/v1/clusters"))
    except KubentlyError:
        return False


async def run(*, quick: bool) -> None:
    """Print how much longer what takes."""
    if shutil.which("redis-server") is None:
        print("skipped: the cost of a hop between replicas, because redis-server is not installed")
        return
    async with windows() as everything:
        found = await measure(everything, 2 if quick else 5, {1: 200, 32: 1000} if quick else {1: 1000, 32: 4000})
    print("through another replica than the one that holds the cluster:")
    for what in ("get", "command"):
        local, peer = found[1][f"{what} local"], found[1][f"{what} peer"]
        added = [(far - near) * 1000 for far, near in zip(peer.p50, local.p50, strict=True)]
        bar = f" (bar {BAR:g})" if what == "get" else ""
        print(
            f"  {what}: p50 {statistics.median(local.p50) * 1000:.2f} ms here, "
            f"+{statistics.median(added):.2f} ms through the peer{bar}; "
            f"CPU of the replica that is asked, 32 at once: "
            f"{statistics.median(found[32][f'{what} local'].cpu) * 1e6:.0f} us here, "
            f"{statistics.median(found[32][f'{what} peer'].cpu) * 1e6:.0f} us through the peer"
        )
