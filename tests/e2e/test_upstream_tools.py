"""Tools as their makers ship them, with nothing but the context that ``kubently kubeconfig`` writes.

kubectl, client-go's informers, the official Python client; Helm is in `test_helm`. The contexts make them run
`kubently-credential` for a token.
"""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.compare import lines, normal
from tests.e2e.content import DIRECT, EXECUTOR
from tests.e2e.harness import Fleet, finish, read_until, run, started
from tests.e2e.roads import Context
from tests.testbed import binaries
from tests.testbed.cluster import AuditRecord, Cluster

SAME = """
get pods -A
get pods -n kinds -o wide --show-labels
get all -n kinds
get widgets -n kinds -o wide
get deploy web -n kinds -o yaml
get nodes,ns
get pod nowhere -n kinds
get unheardof
describe pod solo -n kinds
describe deployment web -n kinds
describe node alpha-0
describe widget left -n kinds
logs solo -n kinds -c side
logs solo -n kinds -c main --previous
logs deployment/web -n kinds
logs nowhere -n kinds
explain pods.spec.containers
explain widgets --recursive
api-resources -o wide
api-versions
wait --for=condition=Available deployment/web -n kinds --timeout=5s
wait --for=condition=Ready pod/homeless -n shop --timeout=1s
auth can-i list pods -n kinds
auth can-i get pods --subresource=log
auth whoami
events -n kinds --for pod/solo
rollout history deployment/web -n kinds --revision=1
rollout history daemonset/agent -n kinds
rollout status deployment/web -n kinds
rollout status statefulset/queue -n kinds --watch=false
cluster-info
version
version -o json
top nodes
"""


@pytest.fixture(scope="module")
def context(fleet: Fleet, kinds: str, tmp_path_factory: pytest.TempPathFactory) -> Context:
    """The context of alpha."""
    return Context.written(fleet, "alpha", tmp_path_factory.mktemp("tools"))


def pod(name: str) -> dict[str, Any]:
    """A pod that comes and goes."""
    spec = {"containers": [{"name": "c", "image": "registry.example/c:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "kinds"}, "spec": spec}


# ---------------------------------------------------------------------- kubectl


@pytest.mark.parametrize("line", lines(SAME))
def test_kubectl_shows_what_it_shows_beside_the_cluster(line: str, context: Context, alpha: Cluster) -> None:
    argv = shlex.split(line)
    for attempt in (1, 2):
        through = run(context.kubectl(*argv), context.environ)
        direct = alpha.kubectl(*argv, user=DIRECT, check=False)
        ours = through.code, normal(through.out), normal(through.err)
        theirs = direct.returncode, normal(direct.stdout), normal(direct.stderr)
        if ours == theirs or attempt == 2:
            assert ours == theirs
            return


def test_kubectl_is_told_that_it_may_not_create(context: Context) -> None:
    result = run(context.kubectl("auth", "can-i", "create", "pods", "-n", "kinds"), context.environ)

    assert result.code == 1
    assert result.out.startswith("no")


def test_kubectl_watches(context: Context, alpha: Cluster) -> None:
    with started(context.kubectl("get", "pods", "-n", "kinds", "-w", "-o", "name"), context.environ) as process:
        read_until(process, b"pod/solo\n")
        alpha.create(pod("watched"))
        read_until(process, b"pod/watched\n")
    alpha.kubectl("delete", "pod", "watched", "-n", "kinds")


def test_kubectl_follows_a_log(context: Context, alpha: Cluster) -> None:
    log = alpha.set_logs("kinds", "solo", "alpha\n", previous="before\n")
    with started(context.kubectl("logs", "-f", "solo", "-n", "kinds", "-c", "main"), context.environ) as process:
        read_until(process, b"alpha\n")
        with log.open("a") as file:
            file.write("2026-01-01T00:00:00.000000000Z stdout F beta\n")
        read_until(process, b"beta\n")


# ---------------------------------------------------------------------- client-go


class Informer:
    """The test bed's program around client-go's shared informer, while it runs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.events: list[tuple[str, str]] = []

    def sees(self, event: str, name: str = "") -> None:
        """Wait until it says so; what it said before stays in ``events``."""
        line = json.dumps({"event": event, "pod": name}, separators=(",", ":")) + "\n"
        for said in read_until(self._process, line.encode(), timeout=60).splitlines():
            told = json.loads(said)
            self.events.append((told["event"], told["pod"]))

    def stop(self) -> int:
        """End it as Kubernetes ends programs, and give its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return finish(self._process, 20).code


def informer(context: Context) -> list[str | Path]:
    """How it is started for the namespace `kinds`."""
    place = (f"--kubeconfig={context.path}", f"--context={context.name}")
    return [binaries.find("informer"), *place, "--namespace=kinds"]


def requests_for_pods(cluster: Cluster, since: int) -> list[AuditRecord]:
    """What was asked about pods by the informer, through the executor."""
    records = cluster.audit(user=EXECUTOR, since=since)
    return [r for r in records if r.resource == "pods" and r.agent.startswith("informer/")]


@pytest.mark.parametrize("as_watch", [True, False])
def test_an_informer_is_in_step_with_the_cluster(as_watch: bool, context: Context, alpha: Cluster) -> None:
    """The list comes as a watch up to a bookmark, client-go's way since 1.35, or as a list."""
    there = alpha.kubectl("get", "pods", "-n", "kinds", "-o", "jsonpath={.items[*].metadata.name}").stdout.split()
    since = alpha.audit_position()
    environ = {**context.environ, "KUBE_FEATURE_WatchListClient": str(as_watch).lower()}
    with started(informer(context), environ) as process:
        running = Informer(process)
        running.sees("synced")
        assert sorted(running.events) == sorted([("added", name) for name in there] + [("synced", "")])
        alpha.create(pod("latecomer"))
        running.sees("added", "latecomer")
        alpha.kubectl("delete", "pod", "latecomer", "-n", "kinds")
        running.sees("deleted", "latecomer")
        code = running.stop()

    asked = requests_for_pods(alpha, since)
    assert code == 0
    assert ("failed", "") not in {(event, "") for event, _ in running.events}
    assert any("sendInitialEvents=true" in record.uri for record in asked) == as_watch
    assert any(record.verb == "list" for record in asked) != as_watch


def test_an_informer_gets_over_a_lost_executor(fleet: Fleet, alpha: Cluster, kinds: str, tmp_path: Path) -> None:
    with fleet.temporary("shaky", alpha.kubeconfig(EXECUTOR)) as executor:
        context = Context.written(fleet, "shaky", tmp_path)
        with started(informer(context), context.environ) as process:
            running = Informer(process)
            running.sees("synced")
            executor.kill()
            alpha.create(pod("meanwhile"))
            executor.start()
            running.sees("added", "meanwhile")
            alpha.kubectl("delete", "pod", "meanwhile", "-n", "kinds")
            running.sees("deleted", "meanwhile")


# ---------------------------------------------------------------------- Python


def test_the_python_client_lists_watches_and_reads_logs(context: Context, alpha: Cluster) -> None:
    there = alpha.kubectl("get", "pods", "-n", "kinds", "-o", "jsonpath={.items[*].metadata.name}").stdout.split()
    script = Path(__file__).with_name("python_client.py")
    with started([sys.executable, script, context.path, context.name], context.environ) as process:
        told = read_until(process, b'"watching"').decode()
        alpha.create(pod("latecomer"))
        told += read_until(process, b'"latecomer"').decode()
        alpha.kubectl("delete", "pod", "latecomer", "-n", "kinds")
        result = finish(process, 30)

    assert result.code == 0, result.err
    said = [json.loads(line) for line in (told + result.out).splitlines()]
    listed, log, widgets, refused, _, *events = said
    assert listed["listed"] == there
    assert log["log"] == alpha.kubectl("logs", "solo", "-n", "kinds", "-c", "side").stdout
    assert widgets["widgets"] == {"left": 3, "right": 12}
    assert refused == {"refused": 403, "body": "Kubently is read-only: deleting pods is refused"}
    mine = [event["event"] for event in events if event["pod"] == "latecomer"]
    assert (mine[0], mine[-1]) == ("ADDED", "DELETED")
