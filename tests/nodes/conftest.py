"""Two clusters with real nodes and one installation of the chart; a module's tests play on it in their order."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nodes.installation import Installation
from tests.testbed import binaries, namespaces
from tests.testbed.images import nodes

_PROGRAMS = ("kubelet", "kube-proxy", "containerd", "containerd-shim-runc-v2", "ctr", "coredns", "helm")


@pytest.fixture(scope="session")
def archive() -> Path:
    """The images."""
    _require_nodes()
    return nodes.build()


@pytest.fixture(scope="module")
def installation(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The two clusters, with nothing installed yet."""
    made = Installation(tmp_path_factory.mktemp("play"), archive)
    try:
        made.up()
        yield made
    finally:
        made.down()


def _require_nodes() -> None:
    obstacle = namespaces.obstacle()
    if obstacle:
        print(f"no real nodes on this machine: {obstacle}", file=sys.stderr)
        pytest.skip(f"no real nodes on this machine: {obstacle}")
    for program in _PROGRAMS:
        binaries.find(program)
