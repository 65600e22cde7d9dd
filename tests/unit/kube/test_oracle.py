"""Kubently's decisions beside those of the oracle in ``tests/oracle``; ``tests/integration`` has ten times as many."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from tests.oracle import checks, commands, kubectl_help, raw, requests
from tests.oracle.requests import Attributes, Raw

from kubently.kube import policy

SEED = 20240


def test_requests_are_decided_as_the_oracle_does() -> None:
    checks.assert_telling(checks.compare_requests(SEED, 6_000))


def test_argument_lists_are_decided_as_the_oracle_does() -> None:
    checks.assert_telling(checks.compare_commands(SEED, 4_000))


def test_the_comparison_notices_a_hole() -> None:
    """A policy that lets Secrets be read is one that the oracle does not agree with."""
    with pytest.raises(AssertionError, match="it reads Secrets"):
        checks.compare_requests(SEED, 2_000, policy.Policy(secrets="metadata"))
    with pytest.raises(AssertionError, match="it asks for Secrets"):
        checks.compare_commands(SEED, 2_000, secrets="metadata")


@pytest.mark.parametrize("module", [requests, commands, raw])
def test_the_oracle_knows_nothing_of_kubently(module: object) -> None:
    source = Path(str(getattr(module, "__file__", ""))).read_text()
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]

    assert names
    assert not [name for name in names if name.startswith("kubently")]


@pytest.mark.parametrize(
    ("line", "attributes"),
    [
        ("GET /api/v1/namespaces/shop%2Fsecrets", Attributes("list", "", "", "v1", "secrets", "", "shop", "")),
        ("GET /api%2Fv1%2Fsecrets", Attributes("list", "", "", "v1", "secrets")),
        ("GET /api/v1/watch/namespaces/a/pods", Attributes("watch", "", "", "v1", "pods", "", "a", "")),
        ("GET /api/v1/proxy/nodes/n", Attributes("proxy", "", "", "v1", "nodes", "", "", "n")),
        ("GET /api/v1/namespaces/a/status", Attributes("get", "", "", "v1", "namespaces", "status", "a", "a")),
        ("GET /api/v1/pods?watch=yes", Attributes("watch", "", "", "v1", "pods")),
        ("GET /api/v1/pods?fieldSelector=metadata.name%3Dx", Attributes("list", "", "", "v1", "pods", name="x")),
        ("DELETE /api/v1/namespaces/a/pods", Attributes("deletecollection", "", "", "v1", "pods", "", "a", "")),
        ("GET /apis/apps/v1", Attributes("get", "/apis/apps/v1")),
    ],
)
def test_the_oracle_reads_as_api_servers_do(line: str, attributes: Attributes) -> None:
    method, _, target = line.partition(" ")
    path, _, query = target.partition("?")

    assert requests.attributes(Raw(method, path.encode(), query.encode())) == attributes


@pytest.mark.parametrize(
    ("line", "command", "flags", "words"),
    [
        ("-A pods delete --all", "delete", {"all-namespaces": "true", "all": "true"}, "pods"),
        ("--show-labels get delete pods", "delete", None, ""),
        ("rollout -n history restart deployment/x", "rollout restart", {"namespace": "history"}, "deployment/x"),
        ("get pods -ojson -nshop", "get", {"output": "json", "namespace": "shop"}, "pods"),
        ("get -Aw=false pods", "get", {"all-namespaces": "true", "watch": "false"}, "pods"),
        ("get -o -f pods", "get", {"output": "-f"}, "pods"),
        ("get pods -- -f", "get", {}, "pods -f"),
        ("get pods --all_namespaces", "get", {"all-namespaces": "true"}, "pods"),
    ],
)
def test_the_oracle_reads_as_kubectl_does(line: str, command: str, flags: dict[str, str] | None, words: str) -> None:
    grammar = commands.Grammar(kubectl_help.read())
    if flags is None:
        with pytest.raises(commands.UsageError):
            grammar.read(line.split())
        return

    reading = grammar.read(line.split())

    assert (" ".join(reading.command), dict(reading.flags), " ".join(reading.words)) == (command, flags, words)
