"""The Kubernetes API through the tunnel against the same requests sent directly, in one run, interleaved.

Client, API, executor and a stand-in for the API server are processes of their own on loopback, all with TLS; with
``plain`` the same without TLS anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import archives, machine, upstream
from benchmarks.client import Connection
from kubently import trust
from kubently.client import Api
from kubently.executor.kubectl import find_kubectl
from kubently.main import up

KEY = "benchmark-admin-key-of-length"
TOKEN = "benchmark-token-of-enough-length"
PREFIX = "/clusters/bench/k8s"


@dataclass(frozen=True, slots=True)
class Road:
    """One way to the API server."""

    url: str
    prefix: str
    token: str
    tls: ssl.SSLContext | None

    async def open(self) -> Connection:
        """Connect."""
        return await Connection.open(self.url, self.token, tls=self.tls)


@dataclass(frozen=True, slots=True)
class Bench:
    """Both ways, and the API's process."""

    direct: Road
    tunnel: Road
    api_pid: int
    executor_pid: int


@contextlib.asynccontextmanager
async def running(*, tls: bool) -> AsyncIterator[Bench]:
    """Start everything."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        authority = trust.make_authority("benchmark")
        (folder / "ca.crt").write_bytes(authority.cert)
        trust.issue(authority, ["localhost", "127.0.0.1"]).write(folder / "tls.crt", folder / "tls.key")
        context = trust.client_context(ca=str(folder / "ca.crt")) if tls else None
        scheme = "https" if tls else "http"
        ports = _free_ports(2)
        pair = [str(folder / "tls.crt"), str(folder / "tls.key")] if tls else []

        def start(*words: str, env: dict[str, str] | None = None) -> int:
            child = subprocess.Popen([sys.executable, *words], env={**os.environ, **(env or {})})
            stack.callback(machine.stop, child)
            return child.pid

        start("-m", "benchmarks.upstream", str(ports[0]), *pair)
        api_env = {
            "KUBENTLY_LISTEN": f"127.0.0.1:{ports[1]}",
            "KUBENTLY_ADMIN_KEY": KEY,
            "KUBENTLY_STORE": f"sqlite://{folder / 'store.db'}",
            "KUBENTLY_EXECUTOR_TOKENS_DIR": str(folder / "tokens"),
            "KUBENTLY_LOG_LEVEL": "error",
        }
        if tls:
            api_env |= {"KUBENTLY_TLS_CERT": pair[0], "KUBENTLY_TLS_KEY": pair[1]}
        (folder / "tokens").mkdir()
        (folder / "tokens" / "bench").write_text(TOKEN)
        (folder / "kubeconfig").write_text(_kubeconfig(f"{scheme}://localhost:{ports[0]}", folder / "ca.crt", tls=tls))
        api_url = f"{scheme}://localhost:{ports[1]}"
        api_pid = start("-m", "kubently.main", "api", env=api_env)
        executor_env = {
            "HOME": name,
            "KUBENTLY_API_URL": api_url,
            "KUBENTLY_CLUSTER_ID": "bench",
            "KUBENTLY_TOKEN": TOKEN,
            "KUBENTLY_KUBECONFIG": str(folder / "kubeconfig"),
            "KUBENTLY_STATE_DIR": str(folder / "state"),
            "KUBENTLY_LOG_LEVEL": "error",
        }
        if tls:
            executor_env["KUBENTLY_CA_CERT"] = str(folder / "ca.crt")
        executor_pid = start("-m", "kubently.main", "executor", env=executor_env)
        api = Api(api_url, KEY, ca=str(folder / "ca.crt") if tls else None)
        await asyncio.to_thread(machine.wait_for, lambda: _is_connected(api))
        made = await asyncio.to_thread(api.post, "/api/v1/clusters/bench/kubernetes-token", {})
        yield Bench(
            Road(f"{scheme}://localhost:{ports[0]}", "", "", context),
            Road(api_url, PREFIX, made["token"], context),
            api_pid,
            executor_pid,
        )


def _is_connected(api: Api) -> bool:
    try:
        return any(c["state"] == "connected" for c in api.get("/api/v1/clusters"))
    except Exception:
        return False


def _kubeconfig(server: str, ca: Path, *, tls: bool) -> str:
    cluster = {"server": server, **({"certificate-authority": str(ca)} if tls else {})}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": "stand-in"}}],
        }
    )


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


async def run(*, quick: bool) -> None:
    """Print all figures."""
    await _kubectl(5 if quick else 20)
    for tls in (True, False):
        async with running(tls=tls) as bench:
            print(f"Kubernetes API, {'TLS on each hop' if tls else 'plain HTTP'}:")
            await _small(bench, 200 if quick else 2000)
            await _rate(bench, 1000 if quick else 5000)
            await _large(bench, 1 if quick else 3)
            await _watch(bench, 50 if quick else 300)
            await _stopped_reader(bench, 200)


async def _small(bench: Bench, count: int) -> None:
    roads = (bench.direct, bench.tunnel)
    connections = [await road.open() for road in roads]
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(count + 20):
        for road, connection, taken in zip(roads, connections, seconds, strict=True):
            started = time.monotonic()
            await connection.get(road.prefix + upstream.SMALL)
            if turn >= 20:
                taken.append(time.monotonic() - started)
    for connection in connections:
        connection.close()
    direct, through = seconds
    print(f"  small GET direct: {machine.quantiles(direct)}")
    added = statistics.median(through) - statistics.median(direct)
    print(f"  small GET through: {machine.quantiles(through)}; added p50 {added * 1000:.2f} ms (bar 1.0)")


async def _rate(bench: Bench, count: int) -> None:
    connections = [await bench.tunnel.open() for _ in range(32)]
    left = count

    async def ask(connection: Connection) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await connection.get(bench.tunnel.prefix + upstream.SMALL)

    pids = (bench.api_pid, bench.executor_pid)
    before, started = list(map(machine.cpu_seconds, pids)), time.monotonic()
    await asyncio.gather(*map(ask, connections))
    seconds = time.monotonic() - started
    api, agent = (machine.cpu_seconds(pid) - cpu for pid, cpu in zip(pids, before, strict=True))
    for connection in connections:
        connection.close()
    print(
        f"  small GETs at concurrency 32: {count / seconds:.0f}/s (bar 1,000);"
        f" {api / count * 1000:.2f} ms CPU each in the API, {agent / count * 1000:.2f} in the executor"
    )


async def _large(bench: Bench, rounds: int) -> None:
    rates: dict[str, list[float]] = {"direct": [], "tunnel": []}
    for _ in range(rounds):
        for name, road in (("direct", bench.direct), ("tunnel", bench.tunnel)):
            connections = [await road.open() for _ in range(10)]
            started = time.monotonic()
            sizes = await asyncio.gather(*(c.get(road.prefix + upstream.LARGE) for c in connections))
            rates[name].append(sum(sizes) / (time.monotonic() - started) / 2**20)
            for connection in connections:
                connection.close()
    direct, through = (statistics.median(values) for values in rates.values())
    print(
        f"  10 bodies of 10 MiB side by side: direct {direct:.0f} MiB/s, through {through:.0f} MiB/s:"
        f" ratio {through / direct:.2f} (bar 0.15)"
    )


async def _latencies(connection: Connection, count: int) -> list[float]:
    """Seconds between the sending of an event and its arrival."""
    taken: list[float] = []
    pending = b""
    while len(taken) < count:
        *lines, pending = (pending + await connection.read()).split(b"\n")
        now = time.monotonic()
        taken += [now - float(json.loads(line)["object"]["metadata"]["annotations"]["sent"]) for line in lines]
    return taken


async def _watches(road: Road, count: int) -> list[Connection]:
    connections = [await road.open() for _ in range(count)]
    for connection in connections:
        connection.keep = True
        connection.send(road.prefix + upstream.WATCH)
    return connections


async def _watch(bench: Bench, count: int) -> None:
    both = [(await _watches(road, 1))[0] for road in (bench.direct, bench.tunnel)]
    direct, through = await asyncio.gather(*(_latencies(connection, count) for connection in both))
    for connection in both:
        connection.close()
    added = statistics.median(through) - statistics.median(direct)
    print(f"  a watch event arrives p50 {added * 1000:.2f} ms later than directly (bar 2.0)")


async def _stopped_reader(bench: Bench, count: int) -> None:
    """Watches side by side; then one of them is no longer read."""
    watches = await _watches(bench.tunnel, count)
    before = await _round(watches[1:])
    memory = _memory(bench)
    watches[0].pause()
    await _drain(watches[1:], 3)
    after = await _round(watches[1:])
    grown = (_memory(bench) - memory) / 2**20
    for watch in watches:
        watch.close()
    print(
        f"  {count} watches on one tunnel: events late by p50 {statistics.median(before) * 1000:.1f} ms,"
        f" with one reader stopped {statistics.median(after) * 1000:.1f} ms; memory {grown:+.1f} MiB"
    )


async def _round(watches: Sequence[Connection]) -> list[float]:
    return [late for part in await asyncio.gather(*(_latencies(w, 20) for w in watches)) for late in part[1:]]


async def _drain(watches: Sequence[Connection], seconds: float) -> None:
    async def drain(watch: Connection) -> None:
        while True:
            await watch.read()

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*map(drain, watches))


def _memory(bench: Bench) -> int:
    return machine.pss_bytes(bench.api_pid) + machine.pss_bytes(bench.executor_pid)


async def _kubectl(count: int) -> None:
    """``kubectl get pods`` with a static token against an archived cluster, directly and through the tunnel."""
    taken: tuple[list[float], list[float]] = ([], [])
    async with archives.running() as (fleet, state):
        token = (await asyncio.to_thread(_token, fleet))["token"]
        through = state / "through"
        server = f"{fleet.url}/clusters/prod-eu/k8s"
        through.write_text(_kubeconfig(server, fleet.ca, tls=True).replace("stand-in", token))
        roads = (state / "archives" / "prod-eu.kubeconfig", through)
        for turn in range(count + 2):
            for road, seconds in zip(roads, taken, strict=True):
                used = await _kubectl_get(road, state)
                if turn >= 2:
                    seconds.append(used)
    direct, tunnel = map(statistics.median, taken)
    print(f"kubectl get pods with a static token: direct {direct * 1000:.0f} ms, through {tunnel * 1000:.0f} ms:")
    print(f"  ratio {tunnel / direct:.2f} (bar 1.15)")


def _token(fleet: up.Running) -> dict[str, str]:
    made: dict[str, str] = Api(fleet.url, fleet.key, ca=str(fleet.ca)).post(
        "/api/v1/clusters/prod-eu/kubernetes-token", {}
    )
    return made


async def _kubectl_get(kubeconfig: Path, home: Path) -> float:
    started = time.monotonic()
    child = await asyncio.create_subprocess_exec(
        str(find_kubectl("")),
        f"--kubeconfig={kubeconfig}",
        f"--cache-dir={home / 'caches' / kubeconfig.stem}",
        *("get", "pods", "-n", "shop"),
        env={"HOME": str(home), "PATH": ""},
        stdout=asyncio.subprocess.DEVNULL,
    )
    if await child.wait():
        raise RuntimeError(f"kubectl with {kubeconfig.name} ended with {child.returncode}")
    return time.monotonic() - started
