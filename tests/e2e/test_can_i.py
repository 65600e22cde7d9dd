"""``kubectl auth can-i`` through Kubently answers for Kubently's policy and the cluster's rights together."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.content import NAMESPACE
from tests.e2e.harness import Cli, Fleet
from tests.testbed.cluster import Cluster


@pytest.fixture(scope="module")
def limited(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A command line whose key reads pods of one namespace."""
    words = ("-n", NAMESPACE, "--resource", "pods", "-o", "json")
    made = fleet.cli("key", "create", "pods-only", *words)
    assert made.code == 0, made.err
    yield Cli.of(fleet.api, tmp_path_factory.mktemp("can-i"), key=json.loads(made.out)["key"])
    fleet.cli("key", "revoke", "pods-only")


@pytest.mark.parametrize("words", ["list pods -n shop", "watch deployments -A", "get /healthz", "get nodes"])
def test_yes_where_policy_and_cluster_say_yes(words: str, cli: Cli) -> None:
    result = cli.run("alpha", "auth", "can-i", *words.split())

    assert (result.code, result.out) == (0, "yes\n"), result.err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("get secrets -n shop", "Secrets are not shown through Kubently"),
        ("get *", "Secrets are not shown through Kubently"),
        ("* *", "Kubently is read-only"),
        ("create pods --subresource=exec -n shop", "running programs in containers"),
        ("create serviceaccounts --subresource=token", "service account tokens are not issued"),
        ("delete pods", "Kubently is read-only"),
        ("get /metrics", "only discovery, version, OpenAPI and health paths"),
        ("impersonate users", "Kubently is read-only"),
    ],
)
def test_no_with_the_reason_where_the_policy_says_no(words: str, reason: str, cli: Cli) -> None:
    """The cluster's own rights would allow each of the first four."""
    for asked in (
        cli.run("alpha", "auth", "can-i", *words.split()),
        cli("kubectl", "alpha", "--", "auth", "can-i", *words.split()),
    ):
        assert asked.code == 1
        assert asked.out.startswith("no - Kubently: ")
        assert reason in asked.out


def test_no_where_only_the_cluster_says_no(fleet: Fleet, cli: Cli, alpha: Cluster) -> None:
    with fleet.temporary("poor", alpha.kubeconfig("somebody-without-rights")):
        result = cli.run("poor", "auth", "can-i", "list", "pods")

    assert (result.code, result.out) == (1, "no\n")


def test_the_limits_of_a_key_count(limited: Cli) -> None:
    assert limited.run("alpha", "auth", "can-i", "list", "pods", "-n", NAMESPACE).out == "yes\n"
    assert "outside of what you may read" in limited.run("alpha", "auth", "can-i", "list", "pods", "-A").out
    assert "configmaps are outside" in limited.run("alpha", "auth", "can-i", "get", "cm", "-n", NAMESPACE).out
    assert "nodes are outside" in limited.run("alpha", "auth", "can-i", "get", "nodes").out


def test_the_list_holds_reads_alone(cli: Cli) -> None:
    result = cli.run("alpha", "auth", "can-i", "--list", "-n", "shop")

    verbs = {word for line in result.out.splitlines()[1:] for word in line[line.rindex("[") + 1 : -1].split()}
    assert verbs <= {"get", "list", "watch", "create"}, result.out
    creates = {line.split()[0] for line in result.out.splitlines() if line.endswith("create]")}
    assert creates == {
        "selfsubjectreviews.authentication.k8s.io",
        "selfsubjectaccessreviews.authorization.k8s.io",
        "selfsubjectrulesreviews.authorization.k8s.io",
    }
    assert "pods/exec" not in result.out
    assert "Kubently serves reads alone, without Secrets" in result.err


def test_the_list_of_a_limited_key_holds_its_part(limited: Cli) -> None:
    result = limited.run("alpha", "auth", "can-i", "--list", "-n", NAMESPACE)

    assert "within the limits of your key" in result.err
    rows = {tuple(line.split()[:1] + line[line.rindex("[") :].split()) for line in result.out.splitlines()[1:]}
    assert ("pods.*", "[get", "list", "watch]") in rows, result.out
    assert not [row for row in rows if row[0].startswith("*") or row[0].startswith("deployments")]
