"""A hundred thousand requests and argument lists, decided by Kubently and by the oracle of ``tests/oracle``."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.oracle import checks, kubectl_help

SEED = 7
REQUESTS, ARGUMENT_LISTS = 60_000, 40_000


@pytest.mark.slow
def test_nothing_is_permitted_that_the_oracle_refuses() -> None:
    counts = {**checks.compare_requests(SEED, REQUESTS), **checks.compare_commands(SEED, ARGUMENT_LISTS)}
    print(f"\n{checks.table_of(counts)}")

    checks.assert_telling(counts)
    assert sum(count.total() for count in counts.values()) == 100_000


def test_the_oracles_flags_are_those_of_kubectl(tmp_path: Path) -> None:
    assert kubectl_help.Help(str(tmp_path)).text() == kubectl_help.FILE.read_text()
