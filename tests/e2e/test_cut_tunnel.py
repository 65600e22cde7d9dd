"""A tunnel that is cut in the middle of a list, a watch and a log: who asked hears of it at once, and nothing is left.

Clients are the real kubectl and plain HTTP. The cut is the executor's death, a reset of its connection, or the client
itself going away. Left would be file descriptors and streams of those who live on, and requests at the API server.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from urllib.request import urlopen

import httpx
import pytest

from kubently.executor.apiserver import ApiServer
from kubently.executor.caller import Caller
from kubently.executor.kubeapi import KubeApi
from kubently.executor.target import from_kubeconfig
from kubently.kube.policy import DEFAULT_POLICY
from kubently.testing import run_fleet
from kubently.tunnel import Receive, Scope, Send
from tests.e2e import clients
from tests.e2e.cable import Cable
from tests.e2e.clients import CLUSTER, LARGE
from tests.e2e.content import DIRECT, EXECUTOR
from tests.e2e.harness import ADMIN_KEY, ExecutorProcess, Fleet, finish, started
from tests.e2e.roads import Road
from tests.testbed.binaries import find_kubectl
from tests.testbed.cluster import Cluster
from tests.testbed.processes import free_ports, until

AT_ONCE = 1.0
"""Seconds until the client knows: what we promise."""
_COUNT, _SIZE = 48, 600_000
"""ConfigMaps, and bytes of each."""


@pytest.fixture(scope="module")
def large(alpha: Cluster) -> Iterator[str]:
    """A namespace with a large list; other tests that list everything do without it."""
    alpha.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": LARGE}})
    for first in range(0, _COUNT, 8):
        alpha.create(*(_config_map(f"part-{number}") for number in range(first, first + 8)))
    yield LARGE
    alpha.kubectl("delete", "configmaps", "--all", "-n", LARGE)


def _config_map(name: str) -> dict[str, object]:
    # Nothing that could be compressed, which kubectl asks for, and no long lines, which the redactor masks.
    text = base64.encodebytes(Random(name).randbytes(_SIZE * 3 // 4)).decode()
    metadata = {"name": name, "namespace": LARGE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"text": text}}


# ---------------------------------------------------------------------- what lives on


@dataclass(frozen=True)
class Footprint:
    """What one process holds."""

    descriptors: int
    streams: int = 0


@dataclass
class Tunnel:
    """An executor behind a cable, and what is left of requests through it."""

    fleet: Fleet
    cluster: Cluster
    executor: ExecutorProcess
    cable: Cable
    health: int
    since: int = field(default=0)

    def api(self) -> Footprint:
        """What the API holds."""
        text = Road("localhost", self.fleet.api.port, _context(self.fleet), "", _key()).get("/metrics").body.decode()
        return Footprint(_number(text, "process_open_fds"), _number(text, "kubently_tunnel_streams"))

    def executors(self) -> Footprint:
        """What the executor holds."""
        with urlopen(f"http://127.0.0.1:{self.health}/metrics", timeout=10) as response:
            return Footprint(_number(response.read().decode(), "process_open_fds"))

    def open_at_the_api_server(self) -> list[str]:
        """Long requests that its audit log has seen begin and not end, since the tunnel stands."""
        records = self.cluster.audit(user=EXECUTOR, since=self.since)
        begun = [record.uri for record in records if record.stage == "ResponseStarted"]
        ended = [record.uri for record in records if record.stage in ("ResponseComplete", "Panic")]
        return [uri for uri in begun if begun.count(uri) > ended.count(uri)]


def _number(text: str, name: str) -> int:
    return next(int(float(line.split()[1])) for line in text.splitlines() if line.startswith(f"{name} "))


def _context(fleet: Fleet) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(fleet.api.ca))


def _key() -> dict[str, str]:
    return {"Authorization": f"Bearer {ADMIN_KEY}"}


@pytest.fixture
def tunnel(fleet: Fleet, alpha: Cluster, large: str) -> Iterator[Tunnel]:
    """A cluster of its own (alpha by another name)."""
    (health,) = free_ports(1)
    with Cable.to(fleet.api.port) as cable:
        extra = {
            "KUBENTLY_API_URL": f"https://localhost:{cable.port}",
            "KUBENTLY_HEALTH_LISTEN": f"127.0.0.1:{health}",
        }
        with fleet.temporary(CLUSTER, alpha.kubeconfig(EXECUTOR), extra=extra) as executor:
            Road.through(fleet.api, CLUSTER).get("/api/v1/namespaces/shop/pods")
            yield Tunnel(fleet, alpha, executor, cable, health, alpha.audit_position())


# ---------------------------------------------------------------------- clients and cuts


Client = Callable[[str, Fleet, Cluster, Path], AbstractContextManager[clients.Running]]
CLIENTS: tuple[Client, ...] = (clients.kubectl, clients.plain)
WHATS = ("list", "watch", "log")
SAYS = {
    ("kubectl", "list"): "Please retry. Original error: unexpected EOF",
    ("kubectl", "watch"): "",
    ("kubectl", "log"): "unexpected EOF",
    ("plain", "list"): "IncompleteRead",
    ("plain", "watch"): "IncompleteRead",
    ("plain", "log"): "IncompleteRead",
}
"""What the clients' own words for an answer that was broken off are; a watch's end is none to kubectl, see below."""


def kill(tunnel: Tunnel) -> None:
    """The executor dies."""
    tunnel.executor.kill()


def reset(tunnel: Tunnel) -> None:
    """Its connection breaks; it lives on."""
    tunnel.cable.cut()


CUTS = (kill, reset)


# ---------------------------------------------------------------------- the proof


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("what", WHATS)
def test_a_cut_tunnel_is_an_error_at_once_and_leaves_nothing(
    what: str, client: Client, cut: Callable[[Tunnel], None], tunnel: Tunnel, tmp_path: Path
) -> None:
    api, executor = tunnel.api(), tunnel.executors()

    with client(what, tunnel.fleet, tunnel.cluster, tmp_path) as running:
        until(lambda: tunnel.api().streams > api.streams, "it is under way")
        began = time.monotonic()
        cut(tunnel)
        ended = running.end()
        took = time.monotonic() - began
    print(f"{client.__name__}, {what}, {cut.__name__}: {took:.3f} s, {ended.said.strip()[-300:]}")

    assert took < AT_ONCE
    assert SAYS[client.__name__, what] in ended.said
    assert ended.is_failure == bool(ended.said)
    until(lambda: not tunnel.open_at_the_api_server(), "the API server's requests have ended", timeout=5)
    if cut is reset:
        tunnel.fleet.api.wait_connected(CLUSTER)
        until(lambda: tunnel.executors().descriptors <= executor.descriptors, "the executor's files", timeout=5)
    # With the executor its tunnel is gone too.
    lost = 1 if cut is kill else 0
    until(lambda: tunnel.api().descriptors <= api.descriptors - lost, "the API's files", timeout=5)
    assert tunnel.api().streams == api.streams


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("what", WHATS)
def test_a_client_that_goes_away_leaves_nothing(what: str, client: Client, tunnel: Tunnel, tmp_path: Path) -> None:
    api, executor = tunnel.api(), tunnel.executors()

    with client(what, tunnel.fleet, tunnel.cluster, tmp_path) as running:
        until(lambda: tunnel.api().streams > api.streams, "it is under way")
        running.leave()

    until(lambda: tunnel.api().streams == api.streams, "the stream has ended", timeout=5)
    until(lambda: not tunnel.open_at_the_api_server(), "the API server's requests have ended", timeout=5)
    until(lambda: tunnel.api().descriptors <= api.descriptors, "the API's files", timeout=5)
    until(lambda: tunnel.executors().descriptors <= executor.descriptors, "the executor's files", timeout=5)
    assert Road.through(tunnel.fleet.api, CLUSTER).get("/api/v1/nodes").status == 200


def test_kubectl_takes_a_cut_watch_as_it_does_beside_the_cluster(alpha: Cluster, tmp_path: Path) -> None:
    """It ends with no error where the API server's own connection breaks, so that ours can be no other."""
    with Cable.to(int(alpha.server.rpartition(":")[2])) as cable:
        road = f"--kubeconfig={alpha.kubeconfig(DIRECT)}", f"--server=https://127.0.0.1:{cable.port}"
        with started([find_kubectl(), *road, *clients.KUBECTL["watch"]], {"HOME": str(tmp_path)}) as process:
            clients.wait_for_watch(process, alpha)
            cable.cut()
            result = finish(process, 30)

    assert (result.code, result.err) == (0, "")


# ---------------------------------------------------------------------- tasks


@pytest.mark.anyio
@pytest.mark.parametrize("is_cut", [True, False], ids=["cut", "client gone"])
@pytest.mark.parametrize("what", WHATS)
async def test_no_task_is_left_at_either_end(
    what: str, is_cut: bool, alpha: Cluster, large: str, tmp_path: Path
) -> None:
    """Both ends in this event loop, before the real API server, so that their tasks and connections can be counted."""
    api_server = ApiServer(from_kubeconfig(alpha.kubeconfig(EXECUTOR)))
    kube_api = KubeApi(api_server, DEFAULT_POLICY)

    async def executor(scope: Scope, receive: Receive, send: Send) -> None:
        await kube_api.serve(scope, receive, send, path=scope["raw_path"].removeprefix(b"/k8s"), caller=Caller())

    async with run_fleet(tmp_path) as fleet:
        session = await fleet.add(CLUSTER, executor)
        streams = fleet.serving.services.fleet.streams
        idle = len(asyncio.all_tasks())
        async with fleet.http.stream("GET", f"/clusters/{CLUSTER}/k8s{clients.PATHS[what]}") as response:
            body = response.aiter_raw()
            assert await anext(body)
            assert (streams(), api_server.open_connections) == (1, 1)
            assert len(asyncio.all_tasks()) > idle
            if is_cut:
                session.close("cut by the test")
                with pytest.raises(httpx.RemoteProtocolError):
                    _ = [chunk async for chunk in body]

        await fleet.wait_for(lambda: len(asyncio.all_tasks()) <= idle)
        assert (streams(), api_server.open_connections) == (0, 0)
