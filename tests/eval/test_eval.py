"""The diagnosis names the cause of nearly every fault, and finds none where there is none."""

from __future__ import annotations

import pytest

from tests.eval.__main__ import TARGET, say
from tests.eval.run import Result, evaluate
from tests.eval.scenarios import SCENARIOS

pytestmark = pytest.mark.timeout(600)  # all of it happens in the first test's setup


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """All scenarios, run once."""
    found = evaluate(tmp_path_factory.mktemp("eval"), SCENARIOS)
    say(found)
    return found


def test_the_cause_stands_first_with_its_words_and_evidence(result: Result) -> None:
    assert len(result.outcomes) >= 60
    missed = [outcome.scenario.slug for outcome in result.outcomes if not outcome.is_found]
    assert result.recall >= TARGET, missed


def test_the_cause_is_among_the_findings_of_the_whole_cluster(result: Result) -> None:
    assert len(result.lost) <= (1 - TARGET) * len(result.outcomes)


def test_what_three_workloads_lack_is_one_finding_with_the_removal_that_no_field_manager_tells_of(
    result: Result,
) -> None:
    (found,) = [item.told[0] for item in result.outcomes if item.scenario.slug == "key-for-many"]

    assert "keeps 3 workloads from starting" in found.title
    assert [str(ref) for ref in found.affects] == [f"Service key-for-many/{name}" for name in ("api", "web", "worker")]
    assert "changed once more" in found.changes[0].quote


def test_nothing_is_wrong_with_what_is_well(result: Result) -> None:
    assert result.healthy_objects > 500
    assert result.alarms == ()


def test_remedies_are_commands_that_the_api_server_takes(result: Result) -> None:
    assert result.tried > 0
    assert result.refused == ()
