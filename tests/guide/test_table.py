"""The table of statements names every number once, and tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = re.findall(r"^\| (\d+) \| .+? \| `(\w+)` \| (.+) \|$", Path(__file__).with_name("README.md").read_text(), re.M)


def test_every_statement_has_one_row_in_order() -> None:
    assert [int(number) for number, _, _ in ROWS] == list(range(1, 71))


@pytest.mark.parametrize(("number", "own", "proofs"), ROWS, ids=[row[0] for row in ROWS])
def test_row_names_tests_that_there_are(number: str, own: str, proofs: str) -> None:
    assert own.startswith(f"test_s{int(number):02}_")
    assert f"def {own}(" in (ROOT / "tests/guide/test_statements.py").read_text()
    named = re.findall(r"`([\w/.]+)::(\w+)`", proofs)
    assert named
    for file, test in named:
        assert re.search(rf"^(?:async )?def {test}\(", (ROOT / file).read_text(), re.M), f"{file} has no {test}"
