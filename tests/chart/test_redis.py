"""The guide's way to give a cluster its token, by the raw key in Redis: its commands verbatim, in the environment of
the chart's Redis pod; then that executor connects, and a DEL cuts it."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chart import cases
from tests.e2e.harness import ApiProcess, ExecutorProcess
from tests.testbed import helm, redis_servers
from tests.testbed.cluster import Cluster
from tests.testbed.processes import Process, free_ports, until

PASSWORD = "aRandomOneOfHelm0123456789abcdef"
# Of the section "Token Management".
COMMANDS = """\
EXECUTOR_TOKEN=$(openssl rand -hex 32)

kubectl exec -n kubently kubently-redis-master-0 -- \\
  redis-cli SET "executor:token:cluster-b" "$EXECUTOR_TOKEN"
echo "$EXECUTOR_TOKEN"
"""
REMOVAL = 'kubectl exec -n kubently kubently-redis-master-0 -- redis-cli DEL "executor:token:cluster-b"'


@dataclass(frozen=True)
class Pod:
    """The chart's Redis container as a process, and a kubectl that runs commands in its environment."""

    folder: Path
    port: int

    def run(self, script: str) -> str:
        """Run a script of the guide; `kubectl exec` in it enters this pod alone."""
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(["bash", "-euc", script], env={"PATH": path}, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def pod(folder: Path) -> Iterator[Pod]:
    found = cases.named("guide-scenario-3-api").render()
    container = helm.container(helm.the(found, "StatefulSet"))
    environ = {entry["name"]: PASSWORD for entry in container["env"] if "valueFrom" in entry}
    here, (port,) = folder / "redis", free_ports(1)
    (here / "bin").mkdir(parents=True)
    text = helm.the(found, "ConfigMap", "kubently-redis-master")["data"]["redis.conf"]
    # Port, address and volume are the pod's own there.
    (here / "redis.conf").write_text(text.replace("dir /data", f"dir {here}"))
    argv = [redis_servers.find(container["command"][0]), here / "redis.conf"]
    # Kubernetes puts variables into arguments.
    argv += [word.replace("$(REDISCLI_AUTH)", environ["REDISCLI_AUTH"]) for word in container["args"]]
    server = Process(
        [*argv, "--port", str(port), "--bind", "127.0.0.1"],
        log=here / "redis.log",
        env=environ,
        cwd=here,
    )
    write_shims(here / "bin", environ, port)
    try:
        made = Pod(here, port)
        until(
            lambda: "PONG" in made.run("kubectl exec -n kubently kubently-redis-master-0 -- redis-cli ping || :"), "up"
        )
        yield made
    finally:
        server.stop()


def write_shims(folder: Path, environ: dict[str, str], port: int) -> None:
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in environ.items())
    cli = redis_servers.find("redis-cli")
    script(
        folder / "kubectl",
        'case "$*" in "exec -n kubently kubently-redis-master-0 -- redis-cli "*) shift 6 ;; *) exit 64 ;; esac',
        # Nothing of this machine's environment goes in; a pod's Redis has the port that redis-cli takes without a word.
        f'exec env -i {variables} {cli} -p {port} "$@"',
    )


def script(path: Path, *lines: str) -> None:
    path.write_text("\n".join(("#!/bin/sh", *lines, "")))
    path.chmod(0o755)


def test_guide_sets_a_token_and_its_removal_cuts_the_executor(pod: Pod, cluster: Cluster, folder: Path) -> None:
    here = folder / "redis-fleet"
    here.mkdir()
    (here / "password").write_text(PASSWORD)
    api = ApiProcess(
        here / "api",
        extra={
            "KUBENTLY_STORE": f"redis://localhost:{pod.port}/0",
            "KUBENTLY_STORE_PASSWORD_FILE": str(here / "password"),
        },
    )
    with ExitStack() as stack:
        stack.callback(api.stop)
        api.start()
        token = pod.run(COMMANDS).split()[-1]
        executor = ExecutorProcess(api, "cluster-b", token, cluster.kubeconfig("admin"), here / "executor")
        stack.callback(executor.stop)
        executor.start()
        api.wait_connected("cluster-b")

        assert pod.run(REMOVAL).strip() == "1"
        until(lambda: api.states().get("cluster-b") != "connected", "cut", timeout=20, every=0.2)
        until(lambda: "refused" in executor.log_text(), "refused from then on", timeout=20, every=0.2)


def test_without_the_password_redis_says_nothing(pod: Pod) -> None:
    said = pod.run(f"{redis_servers.find('redis-cli')} -p {pod.port} GET executor:token:cluster-b || :")

    assert "NOAUTH" in said
