"""One command on many clusters: answers as they come, stragglers named, an exit code that tells."""

from __future__ import annotations

import json
import signal
import time

import pytest

from tests.e2e.harness import Cli, Fleet, finish, read_until

UNAVAILABLE, USAGE, TIMED_OUT = 69, 64, 124


def test_all_clusters_answer(cli: Cli) -> None:
    result = cli("run", "--all", "--", "get", "nodes", "-o", "name")

    assert result.code == 0
    blocks = dict(block.split("\n", 1) for block in result.out.split("=== ")[1:])
    assert blocks == {name: f"node/{name}-0\nnode/{name}-1\n" for name in ("alpha", "beta")}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("env=prod", ["alpha"]),
        ("env!=prod", ["beta"]),
        ("env in (prod,test)", ["alpha", "beta"]),
        ("env", ["alpha", "beta"]),
    ],
)
def test_a_selector_chooses_clusters_by_their_labels(selector: str, expected: list[str], cli: Cli) -> None:
    result = cli("run", "--selector", selector, "-o", "json", "--", "get", "ns", "shop", "-o", "name")

    outcomes = [json.loads(line) for line in result.out.splitlines()]
    assert sorted(outcome["cluster"] for outcome in outcomes) == expected
    assert {outcome["stdout"] for outcome in outcomes} == {"namespace/shop\n"}


def test_a_selector_that_matches_nothing_is_an_error(cli: Cli) -> None:
    result = cli("run", "--selector", "env=nowhere", "--", "get", "pods")

    assert result.code == USAGE
    assert result.err.startswith("error: no cluster that you may see has labels 'env=nowhere' [cluster-not-found]\n")
    assert "try: kubently clusters" in result.err
    assert cli("diagnose", "--selector", "env=nowhere").code == USAGE


def test_clusters_are_named_one_by_one_too(cli: Cli) -> None:
    result = cli("run", "beta", "alpha", "--", "get", "nodes", "-o", "name")

    assert "=== alpha\n" in result.out
    assert "=== beta\n" in result.out


def test_one_clusters_failure_is_its_own(cli: Cli) -> None:
    result = cli("run", "--all", "--", "get", "node", "alpha-0", "-o", "name")

    assert result.code == 1
    assert "node/alpha-0\n" in result.out
    assert 'nodes "alpha-0" not found' in result.err


def test_answers_come_as_they_are_ready_and_the_straggler_is_named(cli: Cli, fleet: Fleet) -> None:
    """beta's executor is stopped in the middle of its life: nothing answers, and nothing says why."""
    beta = fleet.executors["beta"]
    beta.send(signal.SIGSTOP)
    try:
        started = time.monotonic()
        with cli.started("run", "--all", "-t", "1", "--", "get", "nodes", "-o", "name") as process:
            read_until(process, b"=== alpha\nnode/alpha-0\nnode/alpha-1\n")
            first = time.monotonic() - started

            result = finish(process, 40)
    finally:
        beta.send(signal.SIGCONT)

    assert first < 8
    assert result.code == TIMED_OUT
    assert "error: beta: " in result.err
    assert "[command-timeout]" in result.err
    assert "alpha" not in result.err
    fleet.api.wait_connected("beta")
    assert cli.run("beta", "get", "nodes").code == 0


def test_a_cluster_without_executor_is_named_and_the_others_answer(cli: Cli, fleet: Fleet) -> None:
    with fleet.temporary("gone", fleet.executors["alpha"].kubeconfig) as executor:
        executor.kill()
        result = cli("run", "alpha", "gone", "--", "get", "nodes", "-o", "name")

    assert result.code == UNAVAILABLE
    assert "node/alpha-0\n" in result.out
    assert "error: gone: no executor is connected for gone" in result.err
