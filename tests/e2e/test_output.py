"""Large output: whole and unchanged up to the limit, visibly cut above it."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.content import DIRECT, EXECUTOR
from tests.e2e.harness import Cli, Fleet, read_until
from tests.testbed.cluster import Cluster

LIMIT = 64 * 1024
BULK = ("get", "configmaps", "-n", "bulk", "-o", "json")


@pytest.fixture(scope="module")
def bulk(alpha: Cluster) -> Iterator[str]:
    """What kubectl itself prints of 11 MiB in ConfigMaps."""
    words = random.Random(7)
    texts = ["".join(words.choices('abcdefghij\n"\\<é', k=700_000)) for _ in range(12)]
    maps = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"bulk-{i}", "namespace": "bulk"},
            "data": {"text": text},
        }
        for i, text in enumerate(texts)
    ]
    alpha.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bulk"}}, *maps)
    yield alpha.kubectl(*BULK, user=DIRECT).stdout
    alpha.kubectl("delete", "namespace", "bulk", "--wait=false")


def digest(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def test_ten_mebibytes_arrive_byte_for_byte(cli: Cli, bulk: str) -> None:
    result = cli.run("alpha", *BULK)

    expected = bulk.encode()
    assert len(expected) > 10 * 1024 * 1024
    assert result.code == 0
    assert len(result.stdout) == len(expected)
    assert digest(result.stdout) == digest(expected)


def test_ten_mebibytes_in_one_json_document(cli: Cli, bulk: str) -> None:
    outcome = json.loads(cli("run", "-o", "json", "alpha", "--", *BULK).stdout)

    assert digest(outcome["stdout"].encode()) == digest(bulk.encode())
    assert outcome["stdout_bytes"] == len(bulk.encode())
    assert outcome["truncated"] is False


def test_output_over_the_limit_is_cut_visibly(cli: Cli, fleet: Fleet, alpha: Cluster, bulk: str) -> None:
    expected = bulk.encode()
    extra = {"KUBENTLY_MAX_OUTPUT_BYTES": str(LIMIT)}
    with fleet.temporary("tight", alpha.kubeconfig(EXECUTOR), extra=extra):
        result = cli.run("tight", *BULK)
        outcome = json.loads(cli("run", "-o", "json", "tight", "--", *BULK).stdout)
        small = cli.run("tight", "get", "nodes", "-o", "name")

    assert result.stdout[:LIMIT] == expected[:LIMIT]
    marker = f"\n[kubently: cut after {LIMIT} bytes; the output was {len(expected)} bytes or more]\n"
    assert result.stdout[LIMIT:].decode() == marker
    assert (outcome["truncated"], outcome["stdout_bytes"]) == (True, len(expected))
    assert small.out == "node/alpha-0\nnode/alpha-1\n"


def test_bytes_that_are_no_text_arrive_as_they_are(cli: Cli) -> None:
    line = ("get", "ns", "shop", "-o", r'go-template={{printf "a\xffb\xfe\n"}}')

    assert cli.run("alpha", *line).stdout == b"a\xffb\xfe\n"
    assert json.loads(cli("run", "-o", "json", "alpha", "--", *line).stdout)["base64"] is True


def test_a_slow_reader_delays_nobody(cli: Cli, bulk: str) -> None:
    """One caller takes nothing of its 11 MiB; others are answered meanwhile."""
    with cli.started("run", "alpha", "--", *BULK):
        for _ in range(3):
            assert cli.run("alpha", "get", "nodes", "-o", "name", timeout=15).code == 0


@pytest.mark.parametrize("flags", [(), ("--ignore-errors",)], ids=["natively", "by kubectl"])
def test_followed_logs_delay_nobody(flags: tuple[str, ...], cli: Cli) -> None:
    line = ("run", "alpha", "--", "logs", "-f", "queue-0", "-n", "shop", *flags)
    with ExitStack() as stack:
        for _ in range(4):
            read_until(stack.enter_context(cli.started(*line)), b"third line\n")

        assert cli("run", "-t", "5", "alpha", "--", "get", "nodes").code == 0
