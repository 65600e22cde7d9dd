"""One installation of the chart in two clusters; a module's tests play on it in their order.

The clusters have real nodes where this machine can have them, else their containers run as plain processes;
KUBENTLY_PLAY=nodes or =processes decides it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.nodes.as_processes import Processes
from tests.nodes.installation import Installation
from tests.nodes.on_nodes import Nodes
from tests.testbed import binaries, namespaces
from tests.testbed.images import nodes

_PROGRAMS = ("kubelet", "kube-proxy", "containerd", "containerd-shim-runc-v2", "ctr", "coredns")


@pytest.fixture(scope="session")
def obstacle() -> str:
    """Why there can be no real nodes; empty where there can."""
    forced = os.environ.get("KUBENTLY_PLAY", "")
    if forced == "processes":
        return "KUBENTLY_PLAY=processes"
    found = namespaces.obstacle() or _not_built()
    assert not (found and forced), f"KUBENTLY_PLAY={forced}, but {found}"
    return found


def _not_built() -> str:
    """What was deferred, or never built on this machine; where everything is required a lack is a failure."""
    missing = [program for program in _PROGRAMS if not binaries.is_there(program)]
    if os.environ.get("TESTBED_REQUIRED") == "1":
        for program in set(missing) - set(os.environ.get("TESTBED_DEFERRED", "").split()):
            binaries.find(program)
    return f"not built: {', '.join(missing)} (make testbed)" if missing else ""


@pytest.fixture(scope="session")
def archive(obstacle: str) -> Path:
    """The images."""
    if obstacle:
        pytest.skip(f"no images on this machine: {obstacle}")
    return nodes.build()


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Prints a line for whoever runs the tests, whatever is captured."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    assert capture is not None

    def print_it(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{line}", flush=True)

    return print_it


@pytest.fixture(scope="module")
def installation(
    obstacle: str, say: Callable[[str], None], request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """The two clusters, with nothing installed yet."""
    binaries.find("helm")
    folder = tmp_path_factory.mktemp("play")
    made = Processes(folder) if obstacle else Nodes(folder, request.getfixturevalue("archive"))
    say(f"played on {made.level}" + (f", because: {obstacle}" if obstacle else ""))
    try:
        made.up()
        yield made
    finally:
        made.down()
