"""Keys that may read a part of a cluster only: decided at both ends, for requests, commands and diagnoses alike."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.content import NAMESPACE
from tests.e2e.harness import Cli, Fleet


@pytest.fixture(scope="module")
def shop(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A command line whose key reads pods and their logs in one namespace of alpha, and all of beta."""
    folder = tmp_path_factory.mktemp("limits")
    limits = [
        {"clusters": ["alpha"], "namespaces": [NAMESPACE], "resources": ["pods", "pods/log"]},
        {"clusters": ["alpha"], "namespaces": ["default"], "names": ["kubernetes"]},
        {"clusters": ["beta"]},
    ]
    (folder / "limits.yaml").write_text(yaml.safe_dump(limits))
    made = fleet.cli("key", "create", "shop-team", "--limits", str(folder / "limits.yaml"), "-o", "json")
    assert made.code == 0, made.err
    yield Cli.of(fleet.api, folder / "home", key=json.loads(made.out)["key"])
    assert fleet.cli("key", "revoke", "shop-team").code == 0


@pytest.mark.parametrize(
    "words",
    [
        f"get pods -n {NAMESPACE}",
        f"get pod queue-0 -n {NAMESPACE} -o yaml",
        f"logs queue-0 -n {NAMESPACE}",
        "get service kubernetes -n default",
        "api-resources",
    ],
)
def test_what_lies_inside_is_read(words: str, shop: Cli) -> None:
    result = shop.run("alpha", *words.split())

    assert result.code == 0, result.err
    assert result.out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            "get pods -A",
            "list pods is outside of what you may read here; you may read pods, pods/log in shop; or everything in ",
        ),
        ("get pods -n kube-system", "list pods in namespace kube-system is outside"),
        (f"get configmaps -n {NAMESPACE}", "list configmaps in namespace shop is outside"),
        (f"describe deployment web -n {NAMESPACE}", "get deployments.apps web in namespace shop is outside"),
        ("get services -n default", "list services in namespace default is outside"),
        ("get nodes", "list nodes is outside of what you may read here"),
    ],
)
def test_what_lies_outside_is_refused_with_what_to_ask_instead(words: str, sentence: str, shop: Cli) -> None:
    result = shop.run("alpha", *words.split())

    assert result.code == 1
    assert not result.out
    assert sentence in result.err


def test_a_limit_of_one_cluster_leaves_another_alone(shop: Cli) -> None:
    assert shop.run("beta", "get", "nodes").code == 0


def test_kubectl_with_a_token_of_the_key_meets_the_same_limits(shop: Cli) -> None:
    inside = shop("kubectl", "alpha", "--", "get", "pods", "-n", NAMESPACE)
    outside = shop("kubectl", "alpha", "--", "get", "pods", "-A")

    assert inside.code == 0, inside.err
    assert outside.code == 1
    assert outside.err.startswith("Error from server (Forbidden): list pods is outside")


def test_a_diagnosis_reads_only_the_namespaces_of_the_key(shop: Cli) -> None:
    result = shop("diagnose", "alpha", "-o", "json", "--fail-on", "never")

    diagnosis = json.loads(result.out)[0]["diagnosis"]
    codes = {finding["code"] for finding in diagnosis["findings"]}
    blind = {gap["resource"]: gap["reason"] for gap in diagnosis["coverage"]["blind"]}
    assert any("crash" in code or "back-off" in code or "restart" in code for code in codes), codes
    assert "outside of what you may read here" in blind["nodes"]
    assert blind["pods"].startswith("namespace default: forbidden")


def test_limits_are_shown_and_odd_ones_refused(fleet: Fleet, shop: Cli, tmp_path: Path) -> None:
    assert f"clusters=alpha namespaces={NAMESPACE} resources=pods,pods/log" in fleet.cli("key", "list").out

    for words, sentence in (
        (("--role", "admin", "-n", "shop"), "a key of role admin cannot have limits"),
        (("-n", "No_Such"), "namespaces has 'No_Such', which is none"),
    ):
        refused = fleet.cli("key", "create", "odd", *words)
        assert refused.code == 64
        assert sentence in refused.err
