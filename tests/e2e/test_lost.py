"""What breaks in the middle of a command: the executor, the caller, the API. Nobody waits for what cannot come."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.e2e.content import EXECUTOR
from tests.e2e.harness import Cli, ExecutorProcess, Fleet, finish, read_until
from tests.testbed.cluster import Cluster
from tests.testbed.processes import command_lines, until

UNAVAILABLE, USAGE = 69, 64
FOLLOW = ("logs", "-f", "queue-0", "-n", "shop", "--ignore-errors")
"""A flag that only kubectl knows: a child follows the log."""
SOON = 5.0
"""Seconds: far below any time-out, far above what a busy machine needs."""


@pytest.fixture
def gamma(fleet: Fleet, alpha: Cluster) -> Iterator[ExecutorProcess]:
    """A cluster of its own (alpha by another name), so that its executor can be lost."""
    with fleet.temporary("gamma", alpha.kubeconfig(EXECUTOR)) as executor:
        yield executor


def children_of(executor: ExecutorProcess) -> bool:
    """Whether it runs a command."""
    return bool(executor.children())


def test_a_killed_executor_gives_the_caller_an_error_at_once(cli: Cli, fleet: Fleet, gamma: ExecutorProcess) -> None:
    with cli.started("run", "gamma", "--", *FOLLOW) as process:
        read_until(process, b"third line\n")
        gamma.kill()
        lost = time.monotonic()
        result = finish(process, 30)

    assert time.monotonic() - lost < SOON
    assert result.code == UNAVAILABLE
    assert "error: gamma: the executor of gamma was lost while the command ran" in result.err
    assert "[command-unknown]" in result.err
    assert "try: it was read-only: run it again" in result.err
    until(lambda: not children_of(gamma), "its kubectl is gone", timeout=SOON)
    assert last_outcome(fleet, "gamma") == "command-unknown"


def test_the_outcome_says_that_the_end_is_unknown(fleet: Fleet, gamma: ExecutorProcess) -> None:
    body = {"argv": list(FOLLOW), "timeout": 60}
    events = fleet.api.client().stream("/api/v1/clusters/gamma/commands", body)
    assert "first line" in next(events)["stdout"]
    gamma.kill()

    outcome = [event for event in events if "outcome" in event][-1]["outcome"]

    assert outcome["ending"] == "unknown"
    assert outcome["error"]["code"] == "command-unknown"
    assert outcome.get("exit_code") is None


def test_the_next_executor_takes_over(cli: Cli, fleet: Fleet, gamma: ExecutorProcess) -> None:
    gamma.kill()
    gamma.start()

    # No wait in between: a cluster that was here a moment ago is waited for.
    result = cli.run("gamma", "get", "nodes", "-o", "name")

    assert (result.code, result.out) == (0, "node/alpha-0\nnode/alpha-1\n")


def test_an_interrupted_caller_ends_the_child_in_the_cluster(cli: Cli, fleet: Fleet, gamma: ExecutorProcess) -> None:
    with cli.started("run", "gamma", "--", *FOLLOW) as process:
        read_until(process, b"third line\n")
        assert children_of(gamma)
        process.send_signal(signal.SIGINT)
        result = finish(process, SOON)

    assert result.code in (1, 130)
    assert "Traceback" not in result.err
    until(lambda: not children_of(gamma), "its kubectl is gone", timeout=SOON)
    until(lambda: last_outcome(fleet, "gamma") == "cancelled", "the audit log says cancelled", timeout=SOON)


def test_a_killed_caller_ends_the_child_in_the_cluster(cli: Cli, fleet: Fleet, gamma: ExecutorProcess) -> None:
    with cli.started("run", "gamma", "--", *FOLLOW) as process:
        read_until(process, b"third line\n")
        process.kill()

    until(lambda: not children_of(gamma), "its kubectl is gone", timeout=SOON)
    until(lambda: last_outcome(fleet, "gamma") == "cancelled", "the audit log says cancelled", timeout=SOON)


def test_an_executor_that_is_told_to_stop_ends_its_children(cli: Cli, gamma: ExecutorProcess) -> None:
    assert cli.run("gamma", "get", "nodes").code == 0
    gamma.stop()

    assert not children_of(gamma)
    assert not [argv for argv in command_lines().values() if str(gamma.folder) in " ".join(argv)]


def requests_of_commands(cluster: Cluster, since: int, text: str) -> list[str]:
    """What commands asked for with *text* in it, by kubectl or without one."""
    records = cluster.audit(user=EXECUTOR, since=since)
    return [r.uri for r in records if text in r.uri and r.agent.startswith(("kubectl/", "kubently/"))]


@pytest.mark.parametrize("flags", [(), ("--request-timeout=60s",)], ids=["natively", "by kubectl"])
def test_the_same_key_twice_runs_once(flags: tuple[str, ...], cli: Cli, alpha: Cluster) -> None:
    since, namespace = alpha.audit_position(), f"once-only-{len(flags)}"
    line = ("run", "--idempotency-key", namespace, "alpha", "--", "get", "pods", "-n", namespace, "-o", "json", *flags)

    first, second = cli(*line), cli(*line)

    assert first.code == second.code == 0
    assert first.stdout == second.stdout != b""
    assert len(requests_of_commands(alpha, since, f"/namespaces/{namespace}/")) == 1


def test_the_same_key_with_another_command_is_refused(cli: Cli, fleet: Fleet) -> None:
    key = ("run", "--idempotency-key", "taken", "alpha", "--")
    assert cli(*key, "get", "pods", "-n", "shop").code == 0

    result = cli(*key, "get", "nodes")

    assert result.code == USAGE
    assert "[idempotency-conflict]" in result.err
    assert "try: use a new key for each command" in result.err
    assert problem_of(fleet, "taken", ["get", "nodes"])["status"] == 422


def problem_of(fleet: Fleet, key: str, argv: list[str]) -> Mapping[str, Any]:
    """The problem document of a command that is refused."""
    from kubently.client.api import ApiError

    with pytest.raises(ApiError) as caught:
        fleet.api.client().post("/api/v1/clusters/alpha/commands", {"argv": argv}, headers={"Idempotency-Key": key})
    return {"status": caught.value.status, "code": caught.value.code}


def test_a_key_is_never_run_again_by_another_executor(cli: Cli, alpha: Cluster, gamma: ExecutorProcess) -> None:
    line = ("run", "--idempotency-key", "restart", "gamma", "--", "get", "pods", "-n", "run-by-the-first")
    assert cli(*line).code == 0
    since = alpha.audit_position()
    gamma.kill()
    gamma.start()
    gamma.api.wait_connected("gamma")

    result = cli(*line)

    assert result.code == UNAVAILABLE
    assert "[command-unknown]" in result.err
    assert requests_of_commands(alpha, since, "run-by-the-first") == []


@pytest.mark.timeout(180)
def test_a_killed_api_comes_back_with_its_keys_tokens_and_clusters(cli: Cli, fleet: Fleet) -> None:
    made = cli("key", "create", "survivor", "--role", "viewer", "-o", "json")
    key = json.loads(made.out)["key"]
    tokens = cli("token", "list", "-o", "json").out
    seen = len(fleet.api.audit(1000))
    with cli.started("run", "alpha", "--", *FOLLOW) as process:
        read_until(process, b"third line\n")
        fleet.api.kill()
        result = finish(process, 30)
    assert result.code == UNAVAILABLE
    assert "[api-unreachable]" in result.err
    until(lambda: not children_of(fleet.executors["alpha"]), "its kubectl is gone", timeout=SOON)
    gone = cli.run("alpha", "get", "pods")
    assert (gone.code, "[dial-refused]" in gone.err, "try: " in gone.err) == (UNAVAILABLE, True, True)
    alpha = fleet.executors["alpha"]
    until(lambda: failed_dials(alpha), "the executor has noticed", timeout=15)

    fleet.api.start()

    assert set(fleet.api.states()) >= {"alpha", "beta"}
    fleet.api.wait_connected("alpha", "beta")
    assert fleet.api.client(key).get("/api/v1/whoami")["role"] == "viewer"
    assert cli("token", "list", "-o", "json").out == tokens
    assert len(fleet.api.audit(1000)) >= min(seen, 1000)
    assert cli("run", "--all", "--", "get", "nodes").code == 0
    assert set(failed_dials(alpha)) == {f"nothing listens at {fleet.api.url}"}


def failed_dials(executor: ExecutorProcess) -> list[str]:
    """Why it could not connect, each time."""
    return [line["reason"] for line in executor.log() if line["event"] == "cannot connect to the API"]


def last_outcome(fleet: Fleet, cluster: str) -> str:
    """How the last request to *cluster* ended, by Kubently's audit log."""
    ended = [record for record in fleet.api.audit() if record["cluster"] == cluster and record["event"] == "ended"]
    return str(ended[-1]["outcome"]) if ended else ""
