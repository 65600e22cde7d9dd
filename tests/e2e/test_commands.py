"""Commands through Kubently give what the same kubectl gives beside the cluster: output, errors and exit code."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.e2e.content import DIRECT, EXECUTOR
from tests.e2e.harness import Cli, Fleet, finish, read_until
from tests.testbed.cluster import Cluster
from tests.testbed.processes import until

_AGES = re.compile(r"\b(\d+[dhms]){1,2}\b|<invalid>")
_SERVER = re.compile(r"https://127\.0\.0\.1:\d+")

ALLOWED = """
get pods -n shop
get pods -A
get pods -n shop -o wide
get pods -n shop -o name
get pods -n shop -o json
get pods -n shop -o yaml
get pods -n shop -o jsonpath={.items[*].metadata.name}
get pods -n shop -o jsonpath-as-json={.items[*].status.phase}
get pods -n shop -o go-template='{{range .items}}{{.metadata.name}}{{"\\n"}}{{end}}'
get pods -n shop -o custom-columns=NAME:.metadata.name,NODE:.spec.nodeName
get pods -n shop --no-headers -l app=web
get pods -n shop --show-labels --sort-by=.metadata.name
get pods -n shop -L app --field-selector=status.phase=Running
get pod/queue-0 service/web -n shop
get deploy,sts,svc -n shop
get nodes -o wide
get ns shop -o yaml
get cm settings -n shop -o yaml
get job report -n shop
get endpointslices -n shop
get all -n shop
get deployment web -n shop --subresource=scale -o yaml
get events -n shop --field-selector=involvedObject.name=queue-0
get pods -n shop --chunk-size=2
get pods -n empty
get pod nowhere -n shop --ignore-not-found
describe pod queue-0 -n shop
describe deployment web -n shop
describe node alpha-0
describe svc web -n shop
logs queue-0 -n shop
logs queue-0 -n shop --tail=1
logs queue-0 -n shop -c queue --timestamps
logs queue-0 -n shop --previous
logs deployment/api -n shop
logs -l app=queue -n shop --prefix
events -n shop --for pod/queue-0
explain pods.spec.containers
explain deployment --recursive
api-resources
api-resources -o wide --namespaced=false
api-versions
version
version -o json
auth can-i list pods -n shop
auth can-i delete pods -n shop
auth can-i --list -n shop
rollout history deployment/web -n shop
rollout status deployment/web -n shop
rollout status statefulset/queue -n shop --watch=false
wait --for=condition=Ready pod/queue-0 -n shop --timeout=5s
cluster-info
"""

FAILING = """
get pod nowhere -n shop
get pod queue-0 nowhere -n shop
get unheardof
get pods -n shop -o jsonpath={.nowhere
logs nowhere -n shop
logs queue-0 -n shop -c nowhere
describe pod nowhere -n shop
explain pods.nowhere
top pods -n shop
top nodes
rollout history deployment/nowhere -n shop
wait --for=condition=Ready pod/homeless -n shop --timeout=1s
auth can-i delete nodes
"""


def lines(text: str) -> list[str]:
    """The non-empty lines."""
    return [line for line in text.splitlines() if line]


def normal(text: str) -> str:
    """Output without what differs from one second, or one user, to the next."""
    text = _SERVER.sub("https://server", _AGES.sub("AGE", text)).replace(EXECUTOR, "user").replace(DIRECT, "user")
    return re.sub(r"[ \t]+", " ", text)


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


@pytest.mark.parametrize("line", lines(ALLOWED))
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


@pytest.mark.xfail(strict=True, reason="the answers to reviews are the cluster's alone so far")
def test_can_i_answers_for_kubently_too(cli: Cli) -> None:
    """The cluster would let the executor read Secrets; Kubently does not."""
    result = cli.run("alpha", "auth", "can-i", "get", "secrets", "-n", "shop")

    assert (result.code, result.out) == (1, "no\n")


def test_a_log_is_followed_as_it_grows_until_its_time_is_up(cli: Cli, alpha: Cluster) -> None:
    log = alpha.set_logs("shop", "broken", "began\n")
    with cli.started("run", "-t", "8", "alpha", "--", "logs", "-f", "broken", "-n", "shop") as process:
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
