"""What other programs take of a real cluster is served and diagnosed as the cluster itself would be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Clusters
from tests.e2e.content import DIRECT, FORMS, NAMESPACE
from tests.e2e.harness import run
from tests.e2e.test_up import Up, up
from tests.testbed import binaries
from tests.unit.archive.layouts import pack

SPEC = """\
apiVersion: troubleshoot.sh/v1beta2
kind: SupportBundle
metadata: {name: test}
spec:
  collectors:
  - clusterInfo: {}
  - clusterResources: {}
"""


@dataclass(frozen=True)
class Taken:
    """What was served of an archive: by kubently up, asked once for several tests."""

    up: Up
    cluster: str

    def diagnosis(self) -> dict[str, Any]:
        """What a diagnosis says."""
        done = self.up.kubently("diagnose", self.cluster, "-o", "json", "--fail-on", "never")
        assert done.code == 0, done.err
        (result,) = json.loads(done.out)
        found: dict[str, Any] = result["diagnosis"]
        return found

    def finding(self, pod: str) -> dict[str, Any]:
        """The finding about a pod."""
        (found,) = (f for f in self.diagnosis()["findings"] if f["objects"][0]["name"] == pod)
        return dict(found)

    def gaps(self) -> dict[str, str]:
        """What the diagnosis did not see, with reasons."""
        return {gap["resource"]: gap["reason"] for gap in self.diagnosis()["coverage"]["blind"]}

    def kubectl(self, *args: str) -> Any:
        """Run the real kubectl."""
        return self.up.kubectl("--context", f"kubently-{self.cluster}", *args)


@contextmanager
def served(folder: Path, path: Path, cluster: str) -> Iterator[Taken]:
    """Serve an archive with ``kubently up``."""
    with up(folder, "--no-diagnose", "--archive", str(path)) as running:
        yield Taken(running, cluster)


@pytest.fixture(scope="module")
def dump(clusters: Clusters, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Taken]:
    """A cluster-info dump by the real kubectl, packed."""
    folder = tmp_path_factory.mktemp("dump")
    words = ("cluster-info", "dump", "-n", NAMESPACE, f"--output-directory={folder / 'dump-alpha'}")
    run([binaries.find_kubectl(), f"--kubeconfig={clusters['alpha'].kubeconfig(DIRECT)}", *words], {"PATH": ""})
    with served(folder, pack(folder / "dump-alpha", folder / "dump-alpha.tar.gz"), "dump-alpha") as taken:
        yield taken


@pytest.fixture(scope="module")
def bundle(clusters: Clusters, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Taken]:
    """A support bundle by the real program."""
    program = binaries.find("support-bundle")
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "spec.yaml").write_text(SPEC)
    options = ("--interactive=false", f"--output={folder / 'bundle-alpha.tar.gz'}")
    words = (folder / "spec.yaml", *options, f"--kubeconfig={clusters['alpha'].kubeconfig(DIRECT)}")
    done = run([program, *words], {"HOME": str(folder), "PATH": ""}, timeout=60)
    assert done.code == 0, done.err
    with served(folder, folder / "bundle-alpha.tar.gz", "bundle-alpha") as taken:
        yield taken


@pytest.fixture(scope="module")
def gathered(clusters: Clusters, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Taken]:
    """A must-gather, by the real program that the images of a must-gather run."""
    program = binaries.find("inspect")
    folder = tmp_path_factory.mktemp("gathered") / "must-gather-alpha"
    connection = f"--kubeconfig={clusters['alpha'].kubeconfig(DIRECT)}"
    # It ends with an error all the same: the simulated kubelet has no log for most pods.
    for what in (f"ns/{NAMESPACE}", "nodes,persistentvolumes,storageclasses"):
        words = (connection, what, f"--dest-dir={folder / 'quay-io-example-sha256-0123'}")
        run([program, *words], {"HOME": str(folder.parent), "PATH": ""})
    with served(folder.parent, folder, "must-gather-alpha") as taken:
        yield taken


def test_a_dump_shows_the_crashing_pod_with_its_log_line(dump: Taken) -> None:
    found = dump.finding("broken")

    assert found["title"].startswith(f"Pod {NAMESPACE}/broken: container broken ends with code 1")
    assert any("starting" in evidence["quote"] for evidence in found["evidence"]), "it has the present log alone"


def test_kubectl_reads_a_dump(dump: Taken) -> None:
    pods = dump.kubectl("get", "pods", "-n", NAMESPACE, "-o", "name")
    assert "pod/broken" in pods.out
    assert pods.err == ""

    assert (
        dump.kubectl("logs", "-n", NAMESPACE, "queue-0", "-c", "queue").out == "first line\nsecond line\nthird line\n"
    )
    every = dump.kubectl("get", "pods", "-A", "-o", "name")
    assert every.code == 0
    assert f"Warning: the cluster-info dump may lack pods; whole are only the namespaces kube-system, {NAMESPACE}" in (
        every.err
    )


def test_what_a_dump_does_not_hold_is_not_empty(dump: Taken) -> None:
    volumes = dump.kubectl("get", "pv")
    elsewhere = dump.kubectl("get", "pods", "-n", "default")
    gaps = dump.gaps()

    assert volumes.code == elsewhere.code == 1
    assert "the cluster-info dump did not collect persistentvolumes" in volumes.err
    assert "the cluster-info dump did not collect pods of the namespace default" in elsewhere.err
    assert "did not collect configmaps" in gaps["configmaps"]
    assert gaps["pods"].endswith(f"beyond the namespaces kube-system, {NAMESPACE}")
    assert "nodes" not in gaps


def test_a_bundle_shows_the_crashing_pod_with_its_last_words(bundle: Taken) -> None:
    found = bundle.finding("broken")

    assert found["title"].startswith(f"Pod {NAMESPACE}/broken: container broken ends with code 1")
    assert any("panic: no route to the database" in evidence["quote"] for evidence in found["evidence"])


def test_kubectl_reads_a_bundle(bundle: Taken) -> None:
    logs = ("logs", "-n", NAMESPACE, "broken", "-c", "broken")
    assert bundle.kubectl(*logs).out == "starting\n"
    assert bundle.kubectl(*logs, "--previous").out == "starting\npanic: no route to the database\n"
    every = bundle.kubectl("get", "deployments,statefulsets,services", "-A")
    assert (every.code, every.err) == (0, "")
    assert "gitVersion: v1.36" in bundle.kubectl("version", "-o", "yaml").out


def test_a_bundle_holds_all_namespaces_and_no_secret(bundle: Taken) -> None:
    gaps = bundle.gaps()

    assert not gaps.keys() & {"pods", "events", "services", "deployments.apps", "namespaces", "apis"}
    assert "did not collect horizontalpodautoscalers" in gaps["horizontalpodautoscalers.autoscaling"]
    assert not any(form.decode() in bundle.up.text() for form in FORMS)


def test_a_must_gather_shows_the_crashing_pod_with_its_last_words(gathered: Taken) -> None:
    found = gathered.finding("broken")

    assert found["title"].startswith(f"Pod {NAMESPACE}/broken: container broken ends with code 1")
    assert any("panic: no route to the database" in evidence["quote"] for evidence in found["evidence"])


def test_kubectl_reads_a_must_gather(gathered: Taken) -> None:
    nodes = gathered.kubectl("get", "nodes", "-o", "name")
    logs = gathered.kubectl("logs", "-n", NAMESPACE, "queue-0", "-c", "queue")
    elsewhere = gathered.kubectl("get", "pods", "-n", "default")

    assert nodes.out.startswith("node/alpha-0\nnode/alpha-1\n")
    assert [line.partition("Z ")[2] or line for line in logs.out.splitlines()] == [
        "first line",
        "second line",
        "third line",
    ]
    assert elsewhere.code == 1
    assert "the must-gather did not collect pods of the namespace default" in elsewhere.err
    assert not any(form.decode() in gathered.up.text() for form in FORMS)


def test_up_says_what_it_serves_and_where_the_reasons_are(bundle: Taken) -> None:
    (line,) = (line for line in bundle.up.text().splitlines() if line.startswith("bundle-alpha: a support bundle"))
    reasons = Path(line.rpartition("see ")[2])

    assert " left out, see " in line
    assert "analysis.json" in reasons.read_text()
    assert reasons.stat().st_mode & 0o777 == 0o600
