"""Analyzers that are declared in YAML with expressions."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kubently import analyzers
from kubently.analyzers import Analyzer, Report, Snapshot, declared
from kubently.analyzers.expressions import Expression
from kubently.errors import ConfigError

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
OWNER = """
analyzers:
- code: acme/no-owner
  severity: hygiene
  summary: A Deployment does not say whose it is.
  whatToDo: Set the label team.
  resource: {apiVersion: apps/v1, kind: Deployment, plural: deployments}
  when: "!has(object.metadata.labels) || !('team' in object.metadata.labels)"
  title: "'has no label team'"
  evidence:
  - {source: metadata.labels, quote: "has(object.metadata.labels) ? object.metadata.labels : 'none'"}
  nextChecks: ["get deployment {name} -n {namespace} --show-labels"]
"""
DATABASE = """
analyzers:
- code: acme/database-degraded
  severity: outage
  summary: A database has too few members.
  whatToDo: See its pods.
  resource: {apiVersion: db.acme.example/v1, kind: Database, plural: databases}
  when: "object.status.ready < object.spec.members && age > duration('10m')"
  title: "'has ' + string_of(object.status.ready) + ' of its members'"
  evidence: [{source: status, quote: object.status}]
"""


def deployment(name: str, labels: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop", "uid": name, "creationTimestamp": "2026-03-01T00:00:00Z"}
    if labels is not None:
        metadata["labels"] = labels
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, **more}


def read(text: str) -> tuple[Analyzer, ...]:
    return declared.read(yaml.safe_load(text), "acme.yaml")


def diagnosed(text: str, *members: object) -> Report:
    own = read(text)
    extra = [resource for item in own for resource in item.needs]
    return analyzers.diagnose(Snapshot.of(members, read_at=NOW, extra=extra), own)


def test_an_object_that_matches_is_a_finding() -> None:
    report = diagnosed(OWNER, deployment("web"), deployment("api", {"team": "blue"}), deployment("old", {"app": "old"}))

    assert [str(finding.objects[0]) for finding in report.findings] == [
        "Deployment.apps shop/old",
        "Deployment.apps shop/web",
    ]
    old = report.findings[0]
    assert (old.code, old.severity.value, old.title) == (
        "acme/no-owner",
        "hygiene",
        "Deployment shop/old has no label team",
    )
    assert [(item.source, item.quote) for item in old.evidence] == [("Deployment shop/old metadata.labels", "app: old")]
    assert old.next_checks == ("get deployment old -n shop --show-labels",)
    assert old.remedy is not None
    assert old.remedy.text == "Set the label team."


def test_a_custom_resource_is_read_and_compared() -> None:
    def database(name: str, ready: object) -> dict[str, Any]:
        metadata = {"name": name, "namespace": "shop", "uid": name, "creationTimestamp": "2026-03-01T00:00:00Z"}
        status = {} if ready is None else {"ready": ready}
        body = {"spec": {"members": 3}, "status": status}
        return {"apiVersion": "db.acme.example/v1", "kind": "Database", "metadata": metadata, **body}

    report = diagnosed(DATABASE, database("fine", 3), database("short", 1), database("new", None))

    assert [finding.title for finding in report.findings] == ["Database shop/short has 1 of its members"]
    (gap,) = report.coverage.blind
    assert gap.resource == "analyzer declared acme/database-degraded"
    assert gap.reason.startswith("1 objects could not be judged, the first: new")


def test_surroundings_are_seen() -> None:
    text = OWNER.replace(
        "when: \"!has(object.metadata.labels) || !('team' in object.metadata.labels)\"",
        (
            "when: \"pods.exists(p, p.status.phase == 'Failed') && events.exists(e, e.reason == 'Odd' && e.count > 2)"
            " && quantity('1Gi') > quantity('900Mi') && now > timestamp('2026-01-01T00:00:00Z')\""
        ),
    )
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web-1",
            "namespace": "shop",
            "uid": "p",
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "web", "controller": True}
            ],
        },
        "status": {"phase": "Failed"},
    }
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e", "namespace": "shop"},
        "involvedObject": {"kind": "Deployment", "namespace": "shop", "name": "web"},
        "reason": "Odd",
        "count": 3,
    }

    owned = Snapshot.of([deployment("web"), pod, event], read_at=NOW)

    assert [finding.code for finding in analyzers.diagnose(owned, read(text)).findings] == ["acme/no-owner"]
    assert diagnosed(text, deployment("web"), event).findings == ()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('when: "!has', 'when: "!!(has', "acme.yaml: acme/no-owner: "),
        ('object.metadata.labels)"', 'thing.labels)"', "thing is not known"),
        ("severity: hygiene", "severity: awful", "severity"),
        ("code: acme/no-owner", "code: NoOwner", "code"),
        ("summary:", "sumary:", "summary"),
        ("plural: deployments", "plural: deploys", "Deployment is read as apps/v1 deployments"),
        ("apiVersion: apps/v1", "apiVersion: apps/v1beta1", "Deployment is read as apps/v1 deployments"),
        ("analyzers:", "analysers:", "analyzers"),
    ],
)
def test_a_fault_in_the_file_is_named(old: str, new: str, words: str) -> None:
    assert old in OWNER

    with pytest.raises(ConfigError, match=r"acme\.yaml") as told:
        read(OWNER.replace(old, new))

    assert words in str(told.value)
    assert told.value.hint


def test_a_cause_of_ours_can_explain_it() -> None:
    (item,) = read(OWNER.replace("  when:", "  symptomOf: [pod/*]\n  when:"))

    assert item.conditions[0].symptom_of == ("pod/*",)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
junk = st.recursive(scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner))


@settings(max_examples=50, deadline=None)
@given(body=junk, labels=junk)
def test_no_object_stops_a_diagnosis(body: object, labels: object) -> None:
    metadata = {"name": "web", "namespace": "shop", "labels": labels}
    member = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": body}
    text = OWNER.replace('when: "', 'when: "object.spec.replicas > 3 && ')

    report = diagnosed(text, member)

    assert len(report.findings) + len(report.coverage.blind) <= 1


def test_an_expression_that_would_take_too_long_is_not_begun() -> None:
    pairs = "object.spec.items.exists(a, object.spec.items.exists(b, a > b + 1000000))"
    text = re.sub(r"when: .*", f'when: "{pairs} || object.spec.items.size() > 2"', OWNER)

    report = diagnosed(
        text,
        deployment("small", spec={"items": [1, 2, 3]}),
        deployment("tiny", spec={"items": [1]}),
        deployment("vast", spec={"items": list(range(1000))}),
    )

    assert [str(finding.objects[0]) for finding in report.findings] == ["Deployment.apps shop/small"]
    (gap,) = report.coverage.blind
    assert gap.reason == "1 objects could not be judged, the first: vast: its lists are too long: up to 4,000,002 steps"


def test_what_takes_little_for_one_object_may_take_too_much_for_all() -> None:
    text = re.sub(r"when: .*", 'when: "object.spec.items.exists(a, object.spec.items.exists(b, a == b))"', OWNER)
    members = [deployment(f"web-{number}", spec={"items": [number] * 999}) for number in range(30)]

    report = diagnosed(text, *members)

    assert len(report.findings) == 20
    assert report.coverage.blind[0].reason.startswith("10 objects could not be judged, the first: web-20")


@pytest.mark.parametrize(
    ("text", "depth", "factor"),
    [
        ("object.spec.replicas > 3", 0, 1),
        ("object.a.all(x, x > 1) && object.b.map(y, y + 1).exists(z, z == 2)", 1, 2),
        ("object.a.all(x, object.b.exists(y, (x == y) && object.c.map(z, z).size() > 0))", 3, 1),
        ('object.a == \'.all(x, .all(y, \' && object.a == ".map(x, \\""', 0, 1),
        ("[1, 2, 3].exists(x, object.a.filter(y, y in [x, 4]).size() > 0)", 2, 3),
    ],
)
def test_the_steps_of_an_expression_are_bounded_from_above(text: str, depth: int, factor: int) -> None:
    made = Expression.of(text, "here")

    assert (made.depth, made.factor) == (depth, factor)
    assert made.steps(10) == (10 * factor) ** depth
