"""What stands beside a finding for a person: why it is severe, how sure it is, what could be done."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from tests.unit.analyzers.test_scenarios import _load, _slugs

from kubently import analyzers
from kubently.analyzers import CATALOGUE
from kubently.kube.objects import parse_instant
from kubently.schema.findings import Confidence, Finding, Remedy


def told(slug: str) -> Finding:
    return _load(slug).report.findings[0]


def remedy(finding: Finding) -> Remedy:
    assert finding.remedy is not None
    return finding.remedy


@pytest.mark.parametrize("slug", _slugs())
def test_every_cause_says_why_it_is_severe_and_what_would_mend_it(slug: str) -> None:
    for finding in _load(slug).report.findings:
        assert finding.severity_reason
        assert remedy(finding).text
        assert all(shlex.split(line)[0] in ("kubectl", "helm") for line in remedy(finding).commands)


@pytest.mark.parametrize("slug", _slugs())
def test_every_fact_has_an_id_of_its_own(slug: str) -> None:
    report = _load(slug).report
    facts = {item for finding in (*report.findings, *report.symptoms) for item in (*finding.evidence, *finding.changes)}

    assert all(len(fact.id) == 8 for fact in facts)
    assert len({fact.id for fact in facts}) == len(facts)


def test_every_page_is_there() -> None:
    reference = (Path(__file__).parents[3] / "docs" / "reference" / "findings.md").read_text()

    for condition in CATALOGUE:
        path, _, anchor = condition.page.partition("#")
        assert path == "docs/reference/findings.md"
        assert f"### {condition.code}\n" in reference
        assert anchor == condition.code.replace("/", "")


def test_a_severity_says_what_is_left_and_who_needs_it() -> None:
    assert told("oom-killed").severity_reason == "0 of 2 pods of Deployment shop/web are ready"
    assert "needed by Ingress shop/web" in told("scaled-to-zero-behind-ingress").severity_reason


def test_what_is_inferred_does_not_claim_to_be_certain() -> None:
    assert told("service-selector-typo").confidence is Confidence.LIKELY
    assert told("image-not-found").confidence is Confidence.CERTAIN


def test_a_command_is_filled_in_from_the_cluster() -> None:
    (line,) = remedy(told("service-selector-typo")).commands

    change = '{"spec":{"selector":{"app":"web"}}}'
    assert shlex.split(line) == ["kubectl", "patch", "service", "web", "--type=merge", "-p", change, "-n", "shop"]


def test_where_a_rollout_broke_it_going_back_comes_first() -> None:
    first, *_ = remedy(told("rollout-stuck-on-image")).commands

    assert first == "kubectl rollout undo deployment/web -n shop"


def test_names_cannot_break_out_of_a_command() -> None:
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "a; rm -rf /", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {
            "unschedulable": True,
            "taints": [{"key": "node.kubernetes.io/unschedulable", "timeAdded": "2026-01-01T00:00:00Z"}],
        },
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    snapshot = analyzers.Snapshot.of([node], read_at=parse_instant("2026-03-02T10:00:00Z"))

    (line,) = remedy(analyzers.diagnose(snapshot).findings[0]).commands

    assert shlex.split(line) == ["kubectl", "uncordon", "a; rm -rf /"]


@pytest.mark.parametrize(
    ("slug", "words"),
    [
        ("configmap-key-missing", ["patch", "configmap", "app-config"]),
        ("configmap-key-missing-for-many", ["patch", "configmap", "settings"]),
        ("configmap-missing", ["create", "configmap"]),
        ("secret-key-missing", ["patch", "secret"]),
        ("secret-missing", ["create", "secret", "generic"]),
    ],
)
def test_a_missing_key_is_put_into_what_is_there(slug: str, words: list[str]) -> None:
    (line,) = remedy(told(slug)).commands

    assert shlex.split(line)[1 : 1 + len(words)] == words
    assert "VALUE" in line
