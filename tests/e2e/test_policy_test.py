"""``kubently policy test`` says what would happen, and what happens is what it said."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.content import EXECUTOR, NAMESPACE
from tests.e2e.harness import Cli, Fleet
from tests.testbed.cluster import Cluster

REFUSED = 77


def verdicts(cli: Cli, *words: str) -> tuple[int, dict[str, tuple[bool, str, str]]]:
    """Exit code, and what each authority says: allowed, rule, reason."""
    result = cli("policy", "test", "alpha", "-o", "json", "--", *words)
    found = json.loads(result.out)
    assert found["allowed"] == (result.code == 0)
    return result.code, {v["by"]: (v["allowed"], v.get("rule", ""), v.get("reason", "")) for v in found["verdicts"]}


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ("list po -n shop", "read"),
        ("watch deploy -A", "read"),
        ("get deployments.apps/scale web -n shop", "read"),
        ("get pods/log queue-0 -n shop", "read-logs"),
        ("get nodes", "read"),
        ("get /healthz", "health"),
        ("create selfsubjectaccessreviews", "self-review"),
    ],
)
def test_what_is_allowed_names_the_rule_and_asks_the_cluster(words: str, rule: str, cli: Cli) -> None:
    code, said = verdicts(cli, *words.split())

    assert code == 0, said
    assert said["key"] == (True, "role-admin", "")
    assert said["policy"] == (True, rule, "")
    assert said["cluster"][0] is True


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ("list secrets", "no-secrets"),
        ("create pods/exec queue-0", "no-exec"),
        ("get pods/exec queue-0", "no-exec"),
        ("delete pods queue-0", "no-delete"),
        ("patch deploy web", "no-patch"),
        ("create sa/token robot", "no-token"),
        ("get /metrics", "no-other-path"),
        ("get /api/v1/secrets", "no-secrets"),
        ("watch /api/v1/namespaces/shop/secrets", "no-secrets"),
    ],
)
def test_what_is_refused_names_the_rule_and_asks_nobody_else(words: str, rule: str, cli: Cli) -> None:
    code, said = verdicts(cli, *words.split())

    assert code == REFUSED
    assert set(said) == {"key", "policy"}
    assert said["policy"][:2] == (False, rule)
    assert said["policy"][2]


def test_the_clusters_own_no_is_told(fleet: Fleet, cli: Cli, alpha: Cluster) -> None:
    with fleet.temporary("poor-policy", alpha.kubeconfig("somebody-without-rights")):
        result = cli("policy", "test", "poor-policy", "--", "list", "pods", "-n", NAMESPACE)

    assert result.code == REFUSED
    assert "no: list pods in namespace shop" in result.out
    assert [line.split()[:2] for line in result.out.splitlines()[2:]] == [
        ["key", "yes"],
        ["policy", "yes"],
        ["cluster", "no"],
    ]


@pytest.fixture(scope="module")
def limited(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """An operator limited to one namespace."""
    made = json.loads(fleet.cli("key", "create", "policy-shop", "-n", NAMESPACE, "-o", "json").out)
    yield Cli.of(fleet.api, tmp_path_factory.mktemp("policy"), key=made["key"])
    fleet.cli("key", "revoke", "policy-shop")


def test_the_limits_of_a_key_are_a_rule(limited: Cli) -> None:
    code, said = verdicts(limited, "list", "pods", "-A")

    assert code == REFUSED
    assert said["policy"][1] == "narrowed-namespace"
    assert "use -n shop" in said["policy"][2]
    assert verdicts(limited, "list", "pods", "-n", NAMESPACE)[0] == 0
    assert verdicts(limited, "get", "namespaces", NAMESPACE)[0] == 0
    assert verdicts(limited, "get", "/api/v1/namespaces/default/pods")[0] == REFUSED


def test_a_role_that_may_not_run_is_told_first(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> None:
    made = json.loads(fleet.cli("key", "create", "policy-viewer", "--role", "viewer", "-o", "json").out)
    viewer = Cli.of(fleet.api, tmp_path_factory.mktemp("viewer"), key=made["key"])

    code, said = verdicts(viewer, "list", "pods")

    fleet.cli("key", "revoke", "policy-viewer")
    assert code == REFUSED
    assert set(said) == {"key"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("list unheardof", "this cluster has no resource 'unheardof'"),
        ("look pods", "'look' is no verb"),
        ("get /api/v1/../secrets", "the path has an empty or a dot segment"),
    ],
)
def test_what_makes_no_sense_is_said(words: str, sentence: str, cli: Cli) -> None:
    result = cli("policy", "test", "alpha", "--", *words.split())

    assert result.code == 64
    assert sentence in result.err


def test_nothing_is_read(cli: Cli, alpha: Cluster) -> None:
    def lists() -> int:
        return sum(record.verb == "list" and record.resource == "limitranges" for record in alpha.audit(user=EXECUTOR))

    before = lists()

    assert verdicts(cli, "list", "limitranges", "-n", NAMESPACE)[0] == 0

    assert lists() == before
