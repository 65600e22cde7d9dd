"""Clients of the cluster "cut" that are in the middle of an answer: of a list, a watch, a log."""

from __future__ import annotations

import http.client
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.cable import Cable
from tests.e2e.content import NAMESPACE
from tests.e2e.harness import Fleet, finish, read_until, started
from tests.e2e.roads import Context, Road
from tests.testbed.cluster import Cluster

CLUSTER = "cut"
LARGE = "large"
"""A namespace whose ConfigMaps are more than all buffers on the way hold."""
HELD = 1024 * 1024
"""Bytes that a client has got of the list."""


@dataclass(frozen=True)
class Ended:
    """How a client ended."""

    is_failure: bool
    said: str


@dataclass(frozen=True)
class Running:
    """A client in the middle of an answer."""

    end: Callable[[], Ended]
    """Waits for its end."""
    leave: Callable[[], None]
    """Makes it go away."""


KUBECTL = {
    "list": ("get", "configmaps", "-n", LARGE, "-o", "json", "--chunk-size=0"),
    "watch": ("get", "pods", "-n", NAMESPACE, "-w", "-o", "name"),
    "log": ("logs", "-f", "queue-0", "-n", NAMESPACE),
}
PATHS = {
    "list": f"/api/v1/namespaces/{LARGE}/configmaps",
    "watch": f"/api/v1/namespaces/{NAMESPACE}/pods?watch=true",
    "log": f"/api/v1/namespaces/{NAMESPACE}/pods/queue-0/log?follow=true",
}


@contextmanager
def kubectl(what: str, fleet: Fleet, cluster: Cluster, folder: Path) -> Iterator[Running]:
    """The real kubectl; of a list it gets the beginning only, until the tunnel is cut. *cluster* is what it asks."""
    context = Context.written(fleet, CLUSTER, folder)
    with ExitStack() as stack:
        held = stack.enter_context(Cable.to(fleet.api.port, hold_after=HELD if what == "list" else None))
        server = f"--server=https://localhost:{held.port}/clusters/{CLUSTER}/k8s"
        process = stack.enter_context(started(context.kubectl(server, *KUBECTL[what]), context.environ))
        match what:
            case "list":
                assert held.is_held.wait(30)
            case "watch":
                wait_for_watch(process, cluster)
            case _:
                read_until(process, b"third line\n")

        def end() -> Ended:
            held.release()
            result = finish(process, 30)
            return Ended(result.code != 0, result.err)

        yield Running(end, lambda: _kill(process))


def wait_for_watch(process: subprocess.Popen[bytes], cluster: Cluster) -> None:
    """Wait until a kubectl that watches pods has shown a change: what it shows before is from a list."""
    read_until(process, b"pod/queue-0\n")
    cluster.kubectl("annotate", "pod", "queue-0", "-n", NAMESPACE, "--overwrite", f"cut={process.pid}")
    read_until(process, b"pod/queue-0\n")


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


@contextmanager
def plain(what: str, fleet: Fleet, cluster: Cluster, folder: Path) -> Iterator[Running]:
    """A client that reads no further than the beginning, until the tunnel is cut."""
    with Road.through(fleet.api, CLUSTER).opened(PATHS[what]) as response:
        assert response.status == 200
        assert len(response.read(HELD) if what == "list" else response.read1(HELD))

        def end() -> Ended:
            try:
                response.read()
            except (http.client.HTTPException, OSError) as error:
                return Ended(True, repr(error))
            return Ended(False, "a whole answer")

        yield Running(end, response.close)
