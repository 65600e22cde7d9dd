"""Two real clusters side by side, and Kubently's own programs in front of them; all of it ends with the session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e import audit_proof, content
from tests.e2e.harness import ApiProcess, Cli, Fleet
from tests.testbed import binaries
from tests.testbed.cluster import Cluster
from tests.testbed.processes import command_lines

Clusters = Mapping[str, Cluster]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them need the test bed."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.testbed)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose name stands in every command line of ours: none of them may be left at the end."""
    path = tmp_path_factory.mktemp("e2e")
    yield path
    left = {pid: argv for pid, argv in command_lines().items() if any(str(path) in part for part in argv)}
    assert not left, f"processes are left: {left}"


@pytest.fixture(scope="session")
def clusters(folder: Path, request: pytest.FixtureRequest) -> Iterator[Clusters]:
    """alpha and beta, with what `content` puts into them. At their end it is proven what was asked of them."""
    both = {
        "alpha": Cluster("alpha", folder / "clusters" / "alpha"),
        "beta": Cluster("beta", folder / "clusters" / "beta", with_metrics=_wants_metrics(request.session.items)),
    }
    with ExitStack() as stack:
        for cluster in both.values():
            stack.callback(cluster.down)
            cluster.launch()
        for cluster in both.values():
            cluster.wait_ready()
            content.fill(cluster)
        yield both
        for cluster in both.values():
            audit_proof.prove(cluster.audit(user=content.EXECUTOR))


@pytest.fixture(scope="session")
def alpha(clusters: Clusters) -> Cluster:
    """The cluster that most tests ask."""
    return clusters["alpha"]


def _wants_metrics(items: list[pytest.Item]) -> bool:
    # It has numbers only after half a minute, so it starts with the cluster or not at all.
    asked = any("metrics" in getattr(item, "fixturenames", ()) for item in items)
    return asked and binaries.is_there("metrics-server")


@pytest.fixture(scope="session")
def metrics(clusters: Clusters) -> Cluster:
    """beta, when it has numbers for `kubectl top`."""
    binaries.find("metrics-server")
    clusters["beta"].wait_metrics(content.NAMESPACE)
    return clusters["beta"]


@pytest.fixture(scope="session")
def kinds(alpha: Cluster) -> str:
    """A namespace of alpha with an object of every kind."""
    content.fill_kinds(alpha)
    return content.KINDS


@pytest.fixture(scope="session")
def fleet(clusters: Clusters, folder: Path) -> Iterator[Fleet]:
    """A running API with an executor for alpha (env=prod) and one for beta (env=test)."""
    api = ApiProcess(folder / "api")
    running = Fleet(api, Cli.of(api, folder / "home"), folder / "executors")
    try:
        api.start()
        for cluster, env in (("alpha", "prod"), ("beta", "test")):
            running.add(cluster, clusters[cluster].kubeconfig(content.EXECUTOR), labels=f"env={env}")
        api.wait_connected("alpha", "beta")
        yield running
    finally:
        running.stop()


@pytest.fixture
def cli(fleet: Fleet) -> Cli:
    """The command line of an administrator."""
    return fleet.cli
