"""The page of known ways around names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/concepts/known-bypasses.md").read_text()


def test_every_way_around_is_shown_by_tests_that_exist() -> None:
    rows = [line for line in PAGE.splitlines() if re.match(r"\| \d+ ", line)]
    assert len(rows) == 27
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        assert named, row
        for path, name in named:
            assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), f"{path}::{name}"
