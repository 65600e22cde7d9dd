"""Known faults and their healthy twins: what each folder of tests/scenarios says must be found, and nothing worse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubently import analyzers
from kubently.analyzers import CATALOGUE, LogKey, Report, Snapshot
from kubently.kube import objects
from kubently.kube.objects import parse_instant
from kubently.schema.findings import Blind, Severity

SCENARIOS = Path(__file__).parents[2] / "scenarios"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Conditions that no scenario shows, each with its reason.
WITHOUT_SCENARIO: dict[str, str] = {}
# Scenarios in which one namespace does not show the same as the cluster.
WIDER_THAN_A_NAMESPACE = {
    "broker-tells-a-missing-service": "the missing Service would be in another namespace",
    "dns-corefile-answers-no": "who suffers from it is in another namespace",
    "dns-upstream-does-not-answer": "who suffers from it is in another namespace",
    "service-made-anew": "who still sends to where it was is in another namespace",
    "pull-secret-is-not-renewed": "what it keeps from being renewed is in another namespace",
}


@dataclass(frozen=True)
class Scenario:
    slug: str
    expected: dict[str, Any]
    report: Report


def _slugs() -> list[str]:
    return sorted(path.parent.name for path in SCENARIOS.glob("*/expected.yaml"))


@cache
def _load(slug: str, namespace: str | None = None) -> Scenario:
    folder = SCENARIOS / slug
    expected = yaml.load((folder / "expected.yaml").read_text(), LOADER)
    members = yaml.load_all((folder / "objects.yaml").read_text(), LOADER)
    snapshot = Snapshot.of(
        (item for item in members if namespace is None or objects.namespace(item) in ("", namespace)),
        read_at=parse_instant(expected["read_at"]),
        logs={key: path.read_text() for key, path in _logs(folder)},
        blind=[Blind(**entry) for entry in expected.get("blind", [])],
        namespaces=None if namespace is None else [namespace],
    )
    return Scenario(slug, expected, analyzers.diagnose(snapshot))


def _logs(folder: Path) -> Iterator[tuple[LogKey, Path]]:
    for path in folder.glob("logs/*.log"):
        name, previous = path.name.removesuffix(".log"), path.name.endswith(".previous.log")
        namespace, pod, container = name.removesuffix(".previous").split("_")
        yield LogKey(namespace, pod, container, previous), path


@pytest.mark.parametrize("slug", _slugs())
def test_scenario(slug: str) -> None:
    scenario = _load(slug)
    found = [(item.code, str(item.objects[0]), item.severity.value) for item in scenario.report.findings]
    everything = {item.code for item in (*scenario.report.findings, *scenario.report.symptoms)}

    for wanted in scenario.expected["expected"]:
        assert found[wanted["rank"] - 1 : wanted["rank"]] == [(wanted["code"], wanted["object"], wanted["severity"])], (
            found
        )
    assert everything.isdisjoint(scenario.expected.get("not", []))
    assert {item.code for item in scenario.report.symptoms} == set(scenario.expected.get("symptoms", []))
    unexpected = scenario.report.findings[len(scenario.expected["expected"]) :]
    assert not [item for item in unexpected if item.severity in (Severity.OUTAGE, Severity.DEGRADED)], found


def _within_a_namespace() -> Iterator[tuple[str, str]]:
    for slug in _slugs():
        text = (SCENARIOS / slug / "expected.yaml").read_text()
        places = set(re.findall(r"^  object: '?\S+ (?:([^/\s]+)/)?\S+$", text, re.MULTILINE)) or {"shop"}
        if slug not in WIDER_THAN_A_NAMESPACE and len(places) == 1 and places != {""}:
            yield slug, places.pop()


@pytest.mark.parametrize(("slug", "namespace"), list(_within_a_namespace()))
def test_a_namespace_alone_shows_the_same(slug: str, namespace: str) -> None:
    wanted = sorted(_load(slug).expected["expected"], key=lambda item: item["rank"])

    found = _load(slug, namespace).report.findings

    shown = [(item.code, str(item.objects[0]), item.severity.value) for item in found]
    assert shown[: len(wanted)] == [(item["code"], item["object"], item["severity"]) for item in wanted]
    assert not [item for item in found[len(wanted) :] if item.severity in (Severity.OUTAGE, Severity.DEGRADED)]


@pytest.mark.parametrize("slug", _slugs())
def test_every_finding_of_a_scenario_is_documented_and_has_evidence(slug: str) -> None:
    report = _load(slug).report
    codes = {condition.code for condition in CATALOGUE}

    for item in (*report.findings, *report.symptoms):
        assert item.code in codes
        assert item.evidence
        assert all(
            0 < len(quoted.quote) <= (4000 if quoted.source.startswith("log ") else 1000) for quoted in item.evidence
        )
        assert "\x1b" not in item.model_dump_json()


def test_every_condition_has_a_scenario() -> None:
    shown = {item.code for slug in _slugs() for item in (*_load(slug).report.findings, *_load(slug).report.symptoms)}

    missing = {condition.code for condition in CATALOGUE} - shown - set(WITHOUT_SCENARIO)

    assert not missing


def test_there_are_healthy_twins() -> None:
    healthy = [slug for slug in _slugs() if not _load(slug).expected["expected"]]

    assert len(healthy) >= 10
