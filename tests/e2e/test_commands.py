"""``kubently run`` writes what the same kubectl writes beside the cluster: output, errors and exit code.

Here the whole command line runs, for some commands; `test_differential` has many.
"""

from __future__ import annotations

import shlex

import pytest

from tests.e2e.compare import lines, normal
from tests.e2e.content import DIRECT, EXECUTOR
from tests.e2e.harness import Cli, Fleet, finish, read_until
from tests.testbed.cluster import Cluster
from tests.testbed.processes import until

LINES = """
get pods -n shop
get pods -n shop -o json
get deployment web -n shop --subresource=scale -o yaml
describe pod queue-0 -n shop
logs queue-0 -n shop --previous
logs -l app=queue -n shop --prefix
events -n shop --for pod/queue-0
explain pods.spec.containers
api-resources -o wide --namespaced=false
version -o json
auth can-i list pods -n shop
rollout history deployment/web -n shop
cluster-info
"""

FAILING = """
get pod nowhere -n shop
get pod queue-0 nowhere -n shop
logs queue-0 -n shop -c nowhere
explain pods.nowhere
top pods -n shop
wait --for=condition=Ready pod/homeless -n shop --timeout=1s
"""


def assert_same(cli: Cli, cluster: Cluster, line: str) -> None:
    """Compare Kubently's answer with kubectl's own; asked once more, because clusters live."""
    argv = shlex.split(line)
    for attempt in (1, 2):
        through = cli.run("alpha", *argv)
        direct = cluster.kubectl(*argv, user=DIRECT, check=False)
        ours = through.code, normal(through.out), normal(through.err)
        theirs = direct.returncode, normal(direct.stdout), normal(direct.stderr)
        if ours == theirs or attempt == 2:
            assert ours == theirs
            return


@pytest.mark.parametrize("line", lines(LINES))
def test_a_command_answers_as_kubectl_does(line: str, cli: Cli, alpha: Cluster) -> None:
    assert_same(cli, alpha, line)


@pytest.mark.parametrize("line", lines(FAILING))
def test_a_failing_command_keeps_its_words_and_its_exit_code(line: str, cli: Cli, alpha: Cluster) -> None:
    assert_same(cli, alpha, line)

    assert cli.run("alpha", *shlex.split(line)).code == 1


def test_stdout_and_stderr_arrive_apart(cli: Cli) -> None:
    result = cli.run("alpha", "get", "pod", "queue-0", "nowhere", "-n", "shop", "-o", "name")

    assert result.out == "pod/queue-0\n"
    assert result.err == 'Error from server (NotFound): pods "nowhere" not found\n'
    assert result.code == 1


def test_the_user_is_the_executors(cli: Cli) -> None:
    assert EXECUTOR in cli.run("alpha", "auth", "whoami").out


def test_a_log_is_followed_as_it_grows_until_its_time_is_up(cli: Cli, alpha: Cluster) -> None:
    log = alpha.set_logs("shop", "diary", "began\n")
    with cli.started("run", "-t", "8", "alpha", "--", "logs", "-f", "diary", "-n", "shop") as process:
        read_until(process, b"began\n")
        with log.open("a") as file:
            file.write("2026-01-01T00:00:00.000000000Z stdout F went on\n")
        read_until(process, b"went on\n")

        result = finish(process, 30)

    assert result.code == 124
    assert "was killed at its time-out" in result.err


def test_a_watch_shows_changes_as_they_come(cli: Cli, alpha: Cluster, fleet: Fleet) -> None:
    with cli.started("run", "alpha", "--", "get", "cm", "-n", "shop", "-w", "-o", "name") as process:
        read_until(process, b"configmap/settings\n")
        alpha.kubectl("create", "configmap", "newcomer", "-n", "shop")
        read_until(process, b"configmap/newcomer\n")
    alpha.kubectl("delete", "configmap", "newcomer", "-n", "shop")

    until(lambda: not fleet.executors["alpha"].children(), "the watching kubectl is gone", timeout=10)
