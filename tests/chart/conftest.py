"""One real API server for the tests of a worker, with the custom resources that the chart renders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbed import crds
from tests.testbed.cluster import Cluster
from tests.testbed.processes import command_lines

VOLUMES = 40


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that use it need the test bed."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.testbed)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose name stands in every command line of ours: none of them may be left at the end."""
    path = tmp_path_factory.mktemp("chart")
    yield path
    left = {pid: argv for pid, argv in command_lines().items() if any(str(path) in part for part in argv)}
    assert not left, f"processes are left: {left}"


@pytest.fixture(scope="session")
def cluster(folder: Path) -> Iterator[Cluster]:
    """A control plane with simulated nodes, volumes to bind, and the definitions of custom resources."""
    with Cluster("chart", folder / "cluster", nodes=3) as made:
        made.create(*crds.definitions(), *(volume(number) for number in range(VOLUMES)))
        made.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s", timeout=90)
        yield made


def volume(number: int) -> dict[str, object]:
    """A volume of no class, which a claim without one binds to where there is no default class."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"volume-{number}"},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": f"/nonexistent/{number}"},
        },
    }
