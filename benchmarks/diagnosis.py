"""A diagnosis of a large cluster beside the API server's own time for the same lists, and of many clusters at once."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import anyio
import httpx
import uvloop
from tests.e2e.harness import ApiProcess, Cli, Fleet
from tests.testbed import binaries
from tests.testbed.cluster import Cluster

from benchmarks import large_cluster, machine
from kubently import analyzers, kubeclient
from kubently.analyzers import Resource
from kubently.client import Api
from kubently.main import up

_PAGE = 500
_PROGRAMS = ("etcd", "kube-apiserver")


async def run(*, quick: bool = False) -> None:
    """Print both tables."""
    pods, clusters = (500, 10) if quick else (5000, 100)
    if all(binaries.is_there(program) for program in _PROGRAMS):
        await _large(pods)
    else:
        print("\ndiagnosis of a large cluster: skipped, there is no API server (make testbed)")
    await _many(clusters)


# ---- one large cluster


async def _large(pods: int) -> None:
    with tempfile.TemporaryDirectory(prefix="kubently-bench-") as name, _cluster(Path(name) / "cluster") as cluster:
        made = await large_cluster.fill(cluster, pods=pods)
        print(f"\ndiagnosis of {pods} pods and {made - pods} other objects, three times each, the median")
        async with large_cluster.client(cluster) as http:
            listing = [await _list_alone(http) for _ in range(3)]
            collecting, analysing = await _in_process(http)
        with _fleet(Path(name), cluster) as (api, pid):
            before = machine.pss_bytes(pid)
            seconds, worst, found, peak = await _through_tunnel(api, pid)
        base = statistics.median(listing)
        for what, took in (
            ("the API server's own lists, 8 at a time", base),
            ("collected directly", collecting),
            ("analysed", analysing),
            (f"kubently diagnose, through the tunnel, {found} findings", seconds),
        ):
            print(f"  {what:54} {took:6.2f} s  {took / base:4.1f} x")
        print(f"  the API's memory: {before >> 20} MiB before, {peak >> 20} MiB at most meanwhile")
        print(f"  the longest that GET /healthz waited meanwhile {worst * 1000:.0f} ms")


@contextlib.contextmanager
def _cluster(folder: Path) -> Iterator[Cluster]:
    """An API server without controllers, scheduler and nodes."""
    cluster = Cluster("large", folder, nodes=0)
    try:
        cluster.launch()
        cluster.wait_api()
        yield cluster
    finally:
        cluster.down()


@contextlib.contextmanager
def _fleet(folder: Path, cluster: Cluster) -> Iterator[tuple[Api, int]]:
    api = ApiProcess(folder / "api")
    fleet = Fleet(api, Cli.of(api, folder / "home"), folder / "executors")
    try:
        api.start()
        fleet.add("large", cluster.kubeconfig("admin"))
        api.wait_connected("large")
        assert api.process is not None
        yield api.client(), api.process.pid
    finally:
        fleet.stop()


def _needed() -> list[Resource]:
    needed = {resource for item in analyzers.ANALYZERS for resource in item.needs}
    return sorted((resource for resource in needed if not resource.is_addon), key=str)


async def _list_alone(http: httpx.AsyncClient) -> float:
    """Seconds for all pages of all lists, thrown away as they come."""
    slots = asyncio.Semaphore(8)

    async def pages(resource: Resource) -> None:
        async with slots:
            token = ""
            while True:
                query = {"limit": str(_PAGE), **({"continue": token} if token else {})}
                body = await http.get(resource.path(), params=query)
                # The token stands in the list's metadata, before the items.
                head = body.content[:2000]
                begin = head.find(b'"continue":"')
                if begin < 0:
                    return
                token = head[begin + 12 :].partition(b'"')[0].decode()

    started = time.perf_counter()
    await asyncio.gather(*map(pages, _needed()))
    return time.perf_counter() - started


async def _in_process(http: httpx.AsyncClient) -> tuple[float, float]:
    collecting, analysing = [], []
    for _ in range(3):
        gc.collect()
        started = time.perf_counter()
        snapshot = await kubeclient.collect(
            kubeclient.KubeClient(http), analyzers=analyzers.ANALYZERS, now=datetime.now(UTC), timeout=120
        )
        collected = time.perf_counter()
        analyzers.diagnose(snapshot)
        collecting.append(collected - started)
        analysing.append(time.perf_counter() - collected)
    return statistics.median(collecting), statistics.median(analysing)


async def _through_tunnel(api: Api, pid: int) -> tuple[float, float, int, int]:
    """Median seconds, the longest wait of another request meanwhile, findings, and the most memory that was seen."""
    seconds: list[float] = []
    waits: list[float] = []
    peak, found = 0, 0
    for _ in range(3):
        started = time.perf_counter()
        asked = asyncio.create_task(asyncio.to_thread(_diagnose, api, {"clusters": ["large"]}))
        while not asked.done():
            began = time.perf_counter()
            await asyncio.to_thread(api.get, "/healthz")
            waits.append(time.perf_counter() - began)
            peak = max(peak, machine.pss_bytes(pid))
            await asyncio.sleep(0.01)
        found = sum(len(line["diagnosis"]["findings"]) for line in asked.result())
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), max(waits), found, peak


def _diagnose(api: Api, body: object) -> list[dict[str, dict[str, list[object]]]]:
    return list(api.stream("/api/v1/diagnoses", body, timeout=300))


# ---- many clusters


async def _many(count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="kubently-bench-") as name:
        folder = Path(name)
        archives = tuple(_copies(folder, count))
        async with _archived(folder, archives) as fleet:
            one = [await _timed(fleet, {"clusters": [archive.name]}) for archive in archives[:3]]
            many = [await _timed(fleet, {"all": True}) for _ in range(2)]
    each, whole = statistics.median(one), min(many)
    print(f"\n{count} clusters at once, archived ones of some 150 objects, all executors in the API's process")
    ratio = whole / (each * count)
    print(
        f"  one cluster {each:.2f} s; all {whole:.2f} s, {whole / count * 1000:.0f} ms each: {ratio:.2f} of one by one"
    )


def _copies(folder: Path, count: int) -> Iterator[Path]:
    bundled = Path(str(resources.files("kubently.archive") / "bundled" / "prod-eu"))
    for number in range(count):
        copy = folder / f"cluster-{number}"
        shutil.copytree(bundled, copy)
        manifest = copy / "archive.yaml"
        manifest.write_text(manifest.read_text().replace("name: prod-eu", f"name: cluster-{number}"))
        yield copy


@contextlib.asynccontextmanager
async def _archived(folder: Path, archives: Sequence[Path]) -> AsyncIterator[up.Running]:
    state = folder / "state"
    options = up.Options((), False, folder / "none", False, tuple(archives), 0, state, diagnose=False)
    async with up.running(options) as fleet:
        while not all(fleet.is_connected(member.cluster) for member in fleet.members):
            await anyio.sleep(0.05)
        yield fleet


async def _timed(fleet: up.Running, body: object) -> float:
    started = time.perf_counter()
    lines = await asyncio.to_thread(_diagnose, fleet.client, body)
    assert all(line.get("diagnosis") for line in lines), lines
    return time.perf_counter() - started


if __name__ == "__main__":
    print(machine.describe())
    uvloop.run(run(quick="--quick" in sys.argv))
    print(machine.describe())
