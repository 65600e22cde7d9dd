"""Diagnoses for other programs, and what is left out of them."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.unit.cli.test_findings import _diagnosis, _finding

from kubently.cli import accepted
from kubently.cli.render import reports
from kubently.errors import ConfigError
from kubently.schema import ClusterDiagnosis, Evidence, Severity

HOSTILE = "# <img src=x> [a](javascript:b) @team \x1b[31m \x00 ]]>"


def _results(*found: object) -> list[ClusterDiagnosis]:
    return [ClusterDiagnosis(cluster="prod-eu", diagnosis=_diagnosis("prod-eu", *found))]  # type: ignore[arg-type]


FAILED = ClusterDiagnosis(cluster="far", problem={"detail": "the executor is offline", "code": "executor-offline"})


def test_sarif_has_a_rule_a_level_and_a_lasting_fingerprint_for_each_finding() -> None:
    run = json.loads(reports.sarif([*_results(_finding(), _finding(id="b" * 12, severity=Severity.RISK)), FAILED]))[
        "runs"
    ][0]

    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["pod/oom-killed"]
    assert [result["level"] for result in run["results"]] == ["error", "warning"]
    assert run["results"][0]["partialFingerprints"] == {"kubently/v1": "prod-eu/0123456789ab"}
    places = run["results"][0]["locations"][0]["logicalLocations"]
    assert places[0]["fullyQualifiedName"] == "prod-eu/Deployment.apps shop/web"
    assert run["invocations"][0]["executionSuccessful"] is False
    assert "far: the executor is offline" in str(run["invocations"])


def test_junit_fails_for_findings_errs_for_unread_clusters_and_passes_for_well_ones() -> None:
    quiet = ClusterDiagnosis(cluster="quiet", diagnosis=_diagnosis("quiet"))
    root = ElementTree.fromstring(reports.junit([*_results(_finding()), FAILED, quiet]))

    assert [(s.get("name"), s.get("failures"), s.get("errors")) for s in root] == [
        ("prod-eu", "1", "0"),
        ("far", "0", "1"),
        ("quiet", "0", "0"),
    ]
    assert root.find("testsuite/testcase/failure") is not None


def test_words_of_a_cluster_are_text_in_every_format() -> None:
    hostile = _finding(title=HOSTILE, evidence=(Evidence(source=HOSTILE, quote=HOSTILE),))

    ElementTree.fromstring(reports.junit(_results(hostile)))
    page = reports.markdown(_results(hostile))
    assert "<img" not in page.replace("\\<", "")
    assert "\n# <" not in page and "\\@team" in page and "\\[a\\]\\(" in page
    assert json.loads(reports.sarif(_results(hostile)))["runs"][0]["results"][0]["message"]["text"] == HOSTILE


def test_markdown_says_what_could_not_be_read_or_seen() -> None:
    page = reports.markdown([*_results(), FAILED])

    assert "Nothing wrong in 139 objects" in page
    assert "Not seen: secrets" in page
    assert "Could not be read: the executor is offline" in page


def test_baseline_leaves_out_what_was_there_and_counts_what_is_gone(tmp_path: Path) -> None:
    before = tmp_path / "before.json"
    old = _results(_finding(), _finding(id="c" * 12))
    before.write_text(json.dumps([result.model_dump(mode="json") for result in old]))

    known = accepted.read_baseline(before)
    kept, said = accepted.without(_results(_finding(), _finding(id="d" * 12)), known=known, suppressions=[])

    assert kept[0].diagnosis is not None
    assert [finding.id for finding in kept[0].diagnosis.findings] == ["d" * 12]
    assert said == ["baseline: 1 findings are known and left out, 1 others are gone"]


def test_suppressions_are_about_code_object_and_cluster_and_end() -> None:
    here = accepted.Suppression(code="pod/*", reason="known", object="Deployment.apps shop/*", cluster="prod-*")
    elsewhere = accepted.Suppression(code="pod/*", reason="known", cluster="staging")
    ended = accepted.Suppression(code="pod/*", reason="until the release", until=date(2020, 1, 1))

    kept, said = accepted.without(_results(_finding()), known=frozenset(), suppressions=[here])
    assert kept[0].diagnosis is not None and kept[0].diagnosis.findings == ()
    assert said == ["suppressed: 1 findings"]

    kept, said = accepted.without(_results(_finding()), known=frozenset(), suppressions=[elsewhere, ended])
    assert kept[0].diagnosis is not None and len(kept[0].diagnosis.findings) == 1
    assert said == ["the suppression of pod/* ended on 2020-01-01: until the release"]


def test_suppressions_are_read(tmp_path: Path) -> None:
    path = tmp_path / "known.yaml"
    path.write_text("- code: pdb/allows-nothing\n  reason: one replica on purpose\n  until: 2030-12-31\n")

    (read,) = accepted.read_suppressions(path)

    assert read == accepted.Suppression("pdb/allows-nothing", "one replica on purpose", until=date(2030, 12, 31))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("code: x", "are no list"),
        ("- code: pod/x", "cannot be used"),
        ("- {code: pod/x, reason: y, untill: 2030-01-01}", "cannot be used"),
        ("- {code: pod/x, reason: y, until: soon}", "until is no date"),
        ("- [", "cannot be read"),
    ],
)
def test_suppressions_that_cannot_be_meant_are_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "known.yaml"
    path.write_text(text)

    with pytest.raises(ConfigError, match=words):
        accepted.read_suppressions(path)


def test_baseline_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "before.json"
    path.write_text('{"a": 1}')

    with pytest.raises(ConfigError, match="the baseline"):
        accepted.read_baseline(path)
