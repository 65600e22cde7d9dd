"""`kubectl top`: usage as a real metrics-server reports it, through both roads."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.e2e.compare import lines
from tests.e2e.content import DIRECT
from tests.e2e.harness import Cli, Fleet, Result, run
from tests.e2e.roads import Context
from tests.testbed.cluster import Cluster

LINES = """
top pods -n shop
top pods -A
top pod -l app=web -n shop
top pod queue-0 -n shop
top pods -n shop --containers
top pods -n shop --sort-by=memory --no-headers --sum
top nodes
top node beta-0
"""

FAILING = """
top pod nowhere -n shop
top pods -n shop --sort-by=colour
"""

# Alone, this module waits for metrics-server's first numbers.
pytestmark = pytest.mark.timeout(240)

_ATTEMPTS = 3
_USE = re.compile(r"^\S.*?\s\d+m(?:\s+\d+%)?\s+\d+Mi", re.MULTILINE)


@pytest.fixture(scope="module")
def context(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Context:
    """The context of beta."""
    return Context.written(fleet, "beta", tmp_path_factory.mktemp("top"))


def ask(line: str, cli: Cli, context: Context, cluster: Cluster) -> list[Result]:
    """The answers of both roads, and kubectl's beside the cluster."""
    argv = shlex.split(line)
    direct = cluster.kubectl(*argv, user=DIRECT, check=False)
    return [
        cli.run("beta", *argv),
        run(context.kubectl(*argv), context.environ),
        Result(direct.returncode, direct.stdout.encode(), direct.stderr.encode()),
    ]


def equal(line: str, cli: Cli, context: Context, cluster: Cluster) -> Result:
    """The answer that all roads give. Numbers may be renewed between two questions: then all are asked again."""
    for _ in range(_ATTEMPTS):
        answers = ask(line, cli, context, cluster)
        if len({(answer.code, answer.out, answer.err) for answer in answers}) == 1:
            break
    assert answers[0] == answers[1] == answers[2]
    return answers[0]


@pytest.mark.parametrize("line", lines(LINES))
def test_usage_is_what_kubectl_shows(line: str, cli: Cli, context: Context, metrics: Cluster) -> None:
    answer = equal(line, cli, context, metrics)

    assert answer.code == 0, answer.err
    assert _USE.search(answer.out), answer.out


@pytest.mark.parametrize("line", lines(FAILING))
def test_failures_are_those_of_kubectl(line: str, cli: Cli, context: Context, metrics: Cluster) -> None:
    answer = equal(line, cli, context, metrics)

    assert answer.code == 1
    assert answer.err
