"""The examples of the page about redaction do what it says."""

import re
from pathlib import Path

import pytest
import yaml

from kubently.kube import policy, redact

PAGE = (Path(__file__).parents[2] / "docs/howto/redaction.md").read_text()
POLICY = policy.parse_policy(yaml.safe_load(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0]))
LINES = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|$", PAGE, re.MULTILINE)


def test_the_example_is_a_policy_with_all_that_the_page_is_about() -> None:
    assert POLICY.secrets == "metadata"
    assert POLICY.grants == {"helm-releases"}
    assert POLICY.own_secret == ("kubently", "executor-token")
    assert len(POLICY.patterns.patterns) == 3


def test_the_page_has_examples() -> None:
    assert len(LINES) == 4


@pytest.mark.parametrize(("line", "leaves"), LINES)
def test_a_line_leaves_as_the_page_says(line: str, leaves: str) -> None:
    assert redact.redact_text(line, POLICY.patterns) == leaves
