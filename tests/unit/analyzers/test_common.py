"""What several workloads lack in common."""

from __future__ import annotations

from pathlib import Path

import yaml

from kubently import analyzers
from kubently.analyzers import Report, Snapshot, common
from kubently.analyzers.base import Condition, finding, quote
from kubently.kube.objects import parse_instant
from kubently.schema.findings import Finding, ResourceRef, Severity

SCENARIO = Path(__file__).parents[2] / "scenarios" / "configmap-key-missing-for-many"
QUOTA = ResourceRef(kind="ResourceQuota", namespace="shop", name="team")
EXCEEDED = Condition("workload/quota-exceeded", Severity.OUTAGE, "A.", "B.")


def report() -> Report:
    members = yaml.safe_load_all((SCENARIO / "objects.yaml").read_text())
    return analyzers.diagnose(Snapshot.of(members, read_at=parse_instant("2026-03-02T10:00:00Z")))


def stopped(name: str, *others: ResourceRef, severity: Severity = Severity.OUTAGE) -> Finding:
    ref = ResourceRef(group="apps", kind="Deployment", namespace="shop", name=name)
    said = quote(f"ReplicaSet {name}", "exceeded quota: team")
    title = f"Deployment shop/{name}: no pods"
    return finding(EXCEEDED, title=title, objects=(ref, *others), evidence=(said,), severity=severity)


def test_one_missing_key_is_one_finding_with_the_change_before_it_and_who_suffers() -> None:
    (found,) = report().findings

    assert found.title == (
        "ConfigMap shop/settings keeps 4 workloads from starting; Deployment shop/api: container api needs key"
        ' "mode" of ConfigMap "settings", which does not exist (2 of 2 pods)'
    )
    assert [(change.source, change.quote) for change in found.changes] == [
        ("ConfigMap shop/settings", "changed 6 min before by kubectl-edit")
    ]
    assert [str(ref) for ref in found.affects] == ["Service shop/api"]
    assert [str(ref) for ref in found.objects[:5]] == [
        "ConfigMap shop/settings",
        "Deployment.apps shop/api",
        "Deployment.apps shop/mailer",
        "Deployment.apps shop/web",
        "Deployment.apps shop/worker",
    ]
    assert len(found.symptoms) == 5


def test_the_worst_comes_first_and_evidence_is_said_once() -> None:
    members = [stopped("a", QUOTA, severity=Severity.DEGRADED), stopped("b", QUOTA), stopped("c", QUOTA)]

    (found,) = common.causes(members)

    assert found.finding.severity is Severity.OUTAGE
    assert found.finding.title == "ResourceQuota shop/team refuses the pods of 3 workloads; Deployment shop/b: no pods"
    assert [item.source for item in found.finding.evidence] == ["ReplicaSet b"]
    assert [member.objects[0].name for member in found.members] == ["b", "c", "a"]


def test_its_identity_does_not_depend_on_who_suffers() -> None:
    (few,) = common.causes([stopped("a", QUOTA), stopped("b", QUOTA)])
    (others,) = common.causes([stopped("c", QUOTA), stopped("d", QUOTA), stopped("e", QUOTA)])

    assert few.finding.id == others.finding.id


def test_one_workload_alone_or_different_objects_have_nothing_in_common() -> None:
    other = QUOTA.model_copy(update={"name": "other"})

    assert list(common.causes([stopped("a", QUOTA), stopped("b", other), stopped("c")])) == []
    assert list(common.causes([stopped("a", QUOTA), stopped("a", QUOTA)])) == []
