"""What continuous diagnosis costs an API server with thousands of pods, beside client-go's informer.

Requests are counted in the API server's own audit log: those until the picture stands, and those of an idle time after.
The informer of the test bed keeps pods alone, so its requests are compared with ours about pods.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import anyio
from tests.e2e.harness import ApiProcess, Cli, Fleet, read_until, started
from tests.testbed import binaries
from tests.testbed.cluster import AuditRecord, Cluster
from tests.testbed.processes import until

from benchmarks import large_cluster, machine

_OURS, _INFORMER = "bench:executor", "bench:informer"
_PROGRAMS = ("etcd", "kube-apiserver")


async def run(*, quick: bool = False) -> None:
    """Print the table."""
    pods, idle = (1000, 30.0) if quick else (5000, 120.0)
    if not all(binaries.is_there(program) for program in _PROGRAMS):
        print("\ncontinuous diagnosis: skipped, there is no API server (make testbed)")
        return
    with tempfile.TemporaryDirectory(prefix="kubently-bench-") as name:
        cluster = Cluster("large", Path(name) / "cluster", nodes=0)
        try:
            cluster.launch()
            cluster.wait_api()
            made = await large_cluster.fill(cluster, pods=pods)
            print(f"\ncontinuous diagnosis of {pods} pods and {made - pods} other objects")
            informer = _of_informer(cluster, idle) if binaries.is_there("informer") else None
            _report(*_of_mode(Path(name), cluster, idle), informer, idle)
        finally:
            cluster.down()


Counted = tuple[Sequence[AuditRecord], Sequence[AuditRecord]]
"""Requests until it stood, and in the idle time after."""


def _of_mode(folder: Path, cluster: Cluster, idle: float) -> tuple[Counted, float, int, float]:
    """Requests, seconds until the first analysis, the API's memory then and its share of a CPU while idle."""
    api = ApiProcess(folder / "api", extra={"KUBENTLY_CONTINUOUS": "all"})
    fleet = Fleet(api, Cli.of(api, folder / "home"), folder / "executors")
    try:
        api.start()
        began, since = time.perf_counter(), cluster.audit_position()
        fleet.add("large", cluster.kubeconfig(_OURS, ["system:masters"]))
        until(lambda: _is_analysed(api), "the first analysis", timeout=300)
        seconds = time.perf_counter() - began
        first = cluster.audit(user=_OURS, since=since)
        since = cluster.audit_position()
        assert api.process is not None
        cpu = machine.cpu_seconds(api.process.pid)
        time.sleep(idle)
        share = (machine.cpu_seconds(api.process.pid) - cpu) / idle
        memory = machine.pss_bytes(api.process.pid)
        return (first, cluster.audit(user=_OURS, since=since)), seconds, memory, share
    finally:
        fleet.stop()


def _is_analysed(api: ApiProcess) -> bool:
    clusters = api.client().get("/api/v1/findings")["clusters"]
    return bool(clusters and clusters[0].get("analysed_at"))


def _of_informer(cluster: Cluster, idle: float) -> Counted:
    """client-go's informer of all pods."""
    kubeconfig = cluster.kubeconfig(_INFORMER, ["system:masters"])
    argv: list[str | Path] = [binaries.find("informer"), f"--kubeconfig={kubeconfig}", "--namespace="]
    since = cluster.audit_position()
    with started(argv, {"HOME": str(kubeconfig.parent)}) as process:
        read_until(process, b'"synced"', timeout=60)
        first = cluster.audit(user=_INFORMER, since=since)
        since = cluster.audit_position()
        time.sleep(idle)
        return first, cluster.audit(user=_INFORMER, since=since)


def _report(ours: Counted, seconds: float, memory: int, share: float, informer: Counted | None, idle: float) -> None:
    first, later = ours
    print(f"  the first analysis stood after {seconds:.1f} s; the API's memory then {memory >> 20} MiB")
    verbs = Counter(record.verb for record in first if _counts(record))
    watched = {(record.group, record.resource) for record in first if record.verb == "watch"}
    print(
        f"  requests until then: {verbs['list']} pages of lists, {verbs['watch']} watches of {len(watched)} resources"
    )
    kinds = Counter(record.uri.partition("?")[0] for record in later if _counts(record))
    asked = ", ".join(f"{count} of {path}" for path, count in kinds.items()) or "none"
    print(f"  requests in {idle:g} idle seconds: {asked}; the API's share of a CPU {share:.1%}")
    if informer is None:
        return
    for name, (until_synced, idle_after) in (("ours", ours), ("client-go's informer", informer)):
        pods = [record for record in until_synced if record.resource == "pods" and _counts(record)]
        verbs = Counter(record.verb for record in pods if not record.subresource)
        quiet = sum(_counts(record) for record in idle_after if record.resource == "pods")
        print(f"  about pods, {name:21} {verbs['list']:3} pages, {verbs['watch']} watch, then {quiet} while idle")


def _counts(record: AuditRecord) -> bool:
    """Whether it is a request's one record: a watch is noted when it starts and when it ends."""
    return record.stage == "ResponseStarted" if record.verb == "watch" else record.stage == "ResponseComplete"


if __name__ == "__main__":
    anyio.run(lambda: run(quick="--quick" in sys.argv))
