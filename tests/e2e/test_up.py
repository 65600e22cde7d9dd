"""``kubently up`` as a person starts it: one process, verified HTTPS, findings, and nothing left after Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from kubently.client import Api
from kubently.errors import KubentlyError
from tests.e2e.conftest import Clusters
from tests.e2e.content import EXECUTOR
from tests.e2e.harness import KUBENTLY, Result, finish, read_until, run, started
from tests.testbed.binaries import find_kubectl
from tests.testbed.processes import Process, command_lines, until


@dataclass
class Up:
    """A running ``kubently up``."""

    home: Path
    process: Process

    @property
    def state(self) -> Path:
        """Where CA, key and kubeconfig stand."""
        return self.home / ".local" / "state" / "kubently" / "up"

    @property
    def url(self) -> str:
        """Where its API listens."""
        found = re.search(r"API at (https://\S+),", self.process.tail(100_000))
        assert found, self.process.tail()
        return found[1]

    def text(self) -> str:
        """All that it printed."""
        return self.process.tail(10_000_000)

    def kubently(self, *args: str) -> Result:
        """Run the command line with the same home and nothing else."""
        return run([KUBENTLY, *args], {"HOME": str(self.home)})

    def kubectl(self, *args: str) -> Result:
        """Run the real kubectl with the kubeconfig that it wrote."""
        environ = {"HOME": str(self.home), "PATH": ""}
        return run([find_kubectl(), f"--kubeconfig={self.state / 'kubeconfig'}", *args], environ)


@contextmanager
def up(folder: Path, *args: str, environ: Mapping[str, str] | None = None) -> Iterator[Up]:
    """Start ``kubently up`` and wait until it says what to do next; at the end it is interrupted, as a person would."""
    home = folder / "home"
    home.mkdir()
    env = {"HOME": str(home), **(environ or {})}
    log = folder / "up.log"
    process = Process([KUBENTLY, "up", "--port", "0", *args], log=log, env=env, cwd=folder)
    running = Up(home, process)
    try:
        until(lambda: says_what_next(process), "kubently up is ready", timeout=60)
        yield running
        if process.is_running:
            process.send(signal.SIGINT)
        assert process.wait(20) == 0, process.tail()
    finally:
        process.kill()
    assert process.tail().endswith("stopped\n")
    assert "site-packages" not in running.text(), "a traceback, and not one in an archived log"
    assert left_of(folder) == {}


def says_what_next(process: Process) -> bool:
    """Whether it has come to its last words."""
    assert process.is_running, process.tail()
    return "The API stays up until Ctrl-C" in process.tail()


def left_of(folder: Path) -> dict[int, list[str]]:
    """Processes that still have to do with it."""
    return {pid: argv for pid, argv in command_lines().items() if any(str(folder) in part for part in argv)}


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A plain ``kubently up``, whose KUBECONFIG is a trap: whoever reads it fails."""
    folder = tmp_path_factory.mktemp("archived")
    trap = folder / "trap"
    trap.write_text("}{ this is no kubeconfig")
    os.utime(trap, (1, 2))
    with up(folder, environ={"KUBECONFIG": str(trap)}) as running:
        yield running
    assert trap.stat().st_atime == 1


def mode(path: Path) -> int:
    """Permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def test_its_fleet_is_three_archived_clusters(archived: Up) -> None:
    assert "3 clusters: prod-eu, prod-us, staging" in archived.text()


def test_it_prints_findings_with_their_evidence(archived: Up) -> None:
    text = archived.text()

    for cluster in ("prod-eu", "prod-us", "staging"):
        assert cluster in text
    again = archived.kubently("--profile", "local", "diagnose", "-o", "json")
    findings = [f for result in json.loads(again.out) for f in result["diagnosis"]["findings"]]
    assert again.code == 1
    assert len(findings) >= 5
    assert findings[0]["title"] in text or findings[0]["title"][:40] in text


def test_its_api_is_verified_https(archived: Up) -> None:
    assert Api(archived.url, "", ca=str(archived.state / "ca.crt")).get("/healthz") == {"status": "ok"}
    with pytest.raises(KubentlyError, match="signed by a CA that is not trusted here"):
        Api(archived.url, "").get("/healthz")


def test_what_it_writes_is_private(archived: Up) -> None:
    config = archived.home / ".config" / "kubently" / "config.json"

    for path in (config, *(archived.state / name for name in ("ca.key", "tls.key", "api-key", "kubeconfig"))):
        assert mode(path) == 0o600, path
    assert json.loads(config.read_text())["profiles"]["local"]["url"] == archived.url


def test_the_profile_makes_the_next_command_short(archived: Up) -> None:
    result = archived.kubently("run", "prod-eu", "--", "get", "pods", "-n", "shop", "-o", "name")

    assert result.code == 0, result.err
    assert "pod/" in result.out


def test_its_kubeconfig_serves_the_real_kubectl(archived: Up) -> None:
    for context in ("kubently-prod-eu", "kubently-prod-us", "kubently-staging"):
        assert archived.kubectl("--context", context, "get", "nodes", "-o", "name").out.startswith("node/")
    secrets = archived.kubectl("--context", "kubently-prod-eu", "get", "secrets", "-A")
    assert (secrets.code, secrets.out) == (1, "")
    assert "Secrets are not shown through Kubently" in secrets.err


def test_another_process_cannot_take_its_port(archived: Up, tmp_path: Path) -> None:
    port = archived.url.rpartition(":")[2]
    result = run([KUBENTLY, "up", "--port", port, "--no-diagnose"], {"HOME": str(tmp_path)})

    assert result.code == 64
    assert f"127.0.0.1:{port} cannot be listened on" in result.err
    assert "try: " in result.err


def merged(clusters: Clusters, folder: Path) -> Path:
    """One kubeconfig with a context for each cluster."""
    parts = [json.loads(cluster.kubeconfig(EXECUTOR).read_text()) for cluster in clusters.values()]
    whole = parts[0] | {key: [entry for p in parts for entry in p[key]] for key in ("clusters", "users", "contexts")}
    path = folder / "merged"
    path.write_text(json.dumps(whole))
    return path


def test_real_clusters_by_context(clusters: Clusters, tmp_path: Path) -> None:
    kubeconfig = merged(clusters, tmp_path)
    line = ("--context", "alpha", "--context", "beta")

    with up(tmp_path, *line, environ={"KUBECONFIG": str(kubeconfig)}) as running:
        text = running.text()
        assert "2 clusters: alpha, beta" in text
        assert "Pod shop/broken: container broken ends with code 1" in text
        assert "panic: no route to the database" in text
        diagnosed = running.kubently("diagnose", "-o", "json")
        both = running.kubently("run", "--all", "--", "get", "nodes", "-o", "name")
        pods = running.kubectl("--context", "kubently-beta", "get", "pods", "-n", "shop", "-o", "name")

    assert both.out.count("node/") == 4
    assert "pod/queue-0" in pods.out
    results = json.loads(diagnosed.out)
    assert [result["cluster"] for result in results] == ["alpha", "beta"]
    for result in results:
        findings = result["diagnosis"]["findings"]
        assert "broken" in {subject["name"] for finding in findings for subject in finding["objects"]}
        assert all(finding["evidence"] for finding in findings)


def test_one_context_of_two_is_all_that_is_asked(clusters: Clusters, tmp_path: Path) -> None:
    kubeconfig = merged(clusters, tmp_path)
    before = clusters["beta"].audit_position()

    with up(tmp_path, "--context", "alpha", "--kubeconfig", str(kubeconfig), "--no-diagnose") as running:
        assert "1 clusters: alpha" in running.text() or "1 cluster: alpha" in running.text()
        assert running.kubently("run", "--all", "--", "get", "nodes").out.count("===") == 1

    assert clusters["beta"].audit(user=EXECUTOR, since=before) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (("--context", "nowhere"), "has no context named 'nowhere'"),
        (("--all-contexts", "--kubeconfig", "/nowhere"), "/nowhere cannot be read"),
        (("--archive", "/nowhere"), "/nowhere"),
    ],
)
def test_a_wrong_start_ends_with_a_sentence(
    line: tuple[str, ...], words: str, clusters: Clusters, tmp_path: Path
) -> None:
    environ = {"HOME": str(tmp_path), "KUBECONFIG": str(merged(clusters, tmp_path))}
    result = run([KUBENTLY, "up", "--port", "0", *line], environ, timeout=60)

    assert result.code not in (0, 1)
    assert words in result.err
    assert "Traceback" not in result.err


def test_a_second_start_keeps_key_and_ca(tmp_path: Path) -> None:
    kept = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        with up(folder, "--state-dir", str(tmp_path / "state"), "--no-diagnose"):
            kept.append([(tmp_path / "state" / name).read_bytes() for name in ("ca.crt", "api-key")])

    assert kept[0] == kept[1]


def test_a_termination_ends_it_even_while_somebody_watches(tmp_path: Path) -> None:
    line = [KUBENTLY, "run", "prod-eu", "--", "get", "pods", "-A", "-w"]
    with up(tmp_path, "--no-diagnose") as running, started(line, {"HOME": str(running.home)}) as watching:
        read_until(watching, b"NAMESPACE")
        running.process.send(signal.SIGTERM)
        assert running.process.wait(20) == 0
        result = finish(watching, 10)

    assert result.code != 0
    assert result.err.startswith("error: ")
