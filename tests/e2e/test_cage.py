"""What stands in kubectl's place is caged: a static probe tries files, processes, programs and ports."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubently.executor.sandbox import Sandbox
from tests.e2e.content import EXECUTOR
from tests.e2e.harness import Fleet
from tests.testbed import binaries
from tests.testbed.cluster import Cluster
from tests.testbed.processes import free_ports

SANDBOX = Sandbox()
pytestmark = [
    pytest.mark.skipif(SANDBOX.abi < 4, reason=f"the kernel's Landlock is {SANDBOX.description}, 4 is needed"),
    # Later Pythons warn of a preexec function beside threads; the cage's does two system calls and nothing else.
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]


@pytest.fixture
def probe() -> Path:
    """The program that tries; it is static, so that it needs no file."""
    return binaries.find("probe")


@pytest.fixture
def listener() -> Iterator[int]:
    """A port on which something listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        accept = threading.Thread(target=_accept_all, args=(server,), daemon=True)
        accept.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        accept.join(5)


def _accept_all(server: socket.socket) -> None:
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return


def attempts(probe: Path, home: Path, port: int, *tries: str) -> dict[str, bool]:
    """Run the probe in a cage whose home and port these are; says for each attempt whether it went through."""
    cage = SANDBOX.cage(execute=probe, writable=(home,), port=port)
    try:
        done = subprocess.run([probe, *tries], capture_output=True, text=True, preexec_fn=cage.enter, env={}, cwd=home)
    finally:
        cage.close()
    assert done.returncode == 0, done.stderr
    return outcomes(done.stdout)


def outcomes(printed: str) -> dict[str, bool]:
    """What the probe said of each attempt."""
    rows = [line.split(" ", 1) for line in printed.splitlines() if not line.startswith("environment ")]
    return {attempt: verdict.startswith("done") for attempt, verdict in rows}


def test_the_probe_can_do_all_of_it_outside(probe: Path, listener: int, tmp_path: Path) -> None:
    tries = ["read:/etc/passwd", "read:/proc/parent/environ", "run:/bin/true", f"dial:127.0.0.1:{listener}"]
    done = subprocess.run([probe, *tries], capture_output=True, text=True, env={}, cwd=tmp_path)

    assert outcomes(done.stdout) == dict.fromkeys(tries, True)


def test_a_caged_program_reads_and_writes_its_home_alone(probe: Path, tmp_path: Path) -> None:
    home, beside = tmp_path / "home", tmp_path / "beside"
    home.mkdir()
    for path in (home / "mine", beside):
        path.write_text("x")
    (home / "link").symlink_to(beside)

    found = attempts(
        probe,
        home,
        1,
        f"read:{home}/mine",
        f"write:{home}/new",
        f"read:{beside}",
        f"read:{home}/../beside",
        f"read:{home}/link",
        f"write:{beside}",
        "read:/etc/passwd",
        "read:/proc/self/environ",
        "read:/proc/parent/environ",
        "read:/proc/parent/cmdline",
        "read:/proc/1/environ",
    )

    through = [attempt for attempt, passed in found.items() if passed]
    assert through == [f"read:{home}/mine", f"write:{home}/new"]
    assert beside.read_text() == "x"


def test_a_caged_program_runs_no_other_and_reaches_one_port(probe: Path, listener: int, tmp_path: Path) -> None:
    (other,) = free_ports(1)

    reached = attempts(probe, tmp_path, listener, "run:/bin/sh", f"dial:127.0.0.1:{listener}")
    refused = attempts(probe, tmp_path, other, f"dial:127.0.0.1:{listener}", f"dial:127.0.0.1:{os.getpid()}")

    assert reached == {"run:/bin/sh": False, f"dial:127.0.0.1:{listener}": True}
    assert not any(refused.values())


def test_the_child_of_a_real_executor_is_caged(probe: Path, fleet: Fleet, alpha: Cluster, listener: int) -> None:
    """The executor runs the probe in kubectl's place; a flag's value smuggles the attempts past the argument policy."""
    kubeconfig = alpha.kubeconfig(EXECUTOR)
    tries = (
        "read:/etc/passwd",
        "read:/proc/parent/environ",
        "read:/proc/self/environ",
        f"read:{kubeconfig}",
        f"read:{fleet.folder}/caged/executor.log",
        f"dial:127.0.0.1:{listener}",
        f"dial:{alpha.server.removeprefix('https://')}",
        f"dial:127.0.0.1:{fleet.api.port}",
    )
    extra = {"KUBENTLY_KUBECTL": str(probe), "KUBENTLY_REQUIRE_SANDBOX": "true", "LD_PRELOAD": ""}

    with fleet.temporary("caged", kubeconfig, extra=extra) as executor:
        result = fleet.cli.run("caged", "get", "pods", f"--label-columns={','.join(tries)}")

    assert result.code == 0, result.err
    assert outcomes(result.out) == dict.fromkeys(tries, False)
    assert executor.token not in result.out
    environment = result.out.splitlines()[-1]
    assert "KUBENTLY_TOKEN" not in environment
    assert sorted(word.split("=")[0] for word in environment.split('"')[1::2]) == ["HOME", "KUBECTL_KUBERC", "PATH"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every process")
def test_the_executors_own_environment_is_closed_to_its_user(fleet: Fleet) -> None:
    process = fleet.executors["alpha"].process
    assert process is not None

    with pytest.raises(PermissionError):
        Path(f"/proc/{process.pid}/environ").read_bytes()
