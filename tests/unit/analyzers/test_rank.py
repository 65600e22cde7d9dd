from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kubently.analyzers.base import Condition, finding, quote
from kubently.analyzers.rank import rank
from kubently.analyzers.snapshot import Snapshot
from kubently.schema.findings import Finding, ResourceRef, Severity

CAUSE = Condition("pod/broken", Severity.DEGRADED, "A.", "B.")
MIDDLE = Condition("service/silent", Severity.DEGRADED, "A.", "B.", symptom_of=("pod/*",))
END = Condition("ingress/silent", Severity.OUTAGE, "A.", "B.", symptom_of=("service/silent",))
RING = Condition("service/ring", Severity.DEGRADED, "A.", "B.", symptom_of=("service/ring",))
CATALOGUE = {condition.code: condition for condition in (CAUSE, MIDDLE, END, RING)}

WEB = ResourceRef(group="apps", kind="Deployment", namespace="shop", name="web")
SERVICE = ResourceRef(kind="Service", namespace="shop", name="web")
INGRESS = ResourceRef(group="networking.k8s.io", kind="Ingress", namespace="shop", name="web")


def _object(api_version: str, kind: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": "web", "namespace": "shop", "uid": kind}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


SNAPSHOT = Snapshot.of(
    [
        _object("apps/v1", "Deployment", template={"metadata": {"labels": {"app": "web"}}}),
        _object("v1", "Service", selector={"app": "web"}),
        _object("networking.k8s.io/v1", "Ingress", defaultBackend={"service": {"name": "web"}}),
    ],
    read_at=datetime(2026, 3, 2, tzinfo=UTC),
)


def found(condition: Condition, ref: ResourceRef, severity: Severity | None = None, key: str = "") -> Finding:
    return finding(condition, title="x", objects=(ref,), evidence=(quote("x", "y"),), severity=severity, key=key)


def test_a_chain_of_symptoms_folds_into_its_last_cause() -> None:
    cause, middle, end = found(CAUSE, WEB), found(MIDDLE, SERVICE), found(END, INGRESS)

    ranked = rank(SNAPSHOT, [end, middle, cause], CATALOGUE)

    assert [item.id for item in ranked.findings] == [cause.id]
    assert set(ranked.findings[0].symptoms) == {middle.id, end.id}
    assert {item.id for item in ranked.symptoms} == {middle.id, end.id}


def test_a_cause_is_as_severe_as_its_worst_symptom() -> None:
    ranked = rank(SNAPSHOT, [found(CAUSE, WEB), found(MIDDLE, SERVICE), found(END, INGRESS)], CATALOGUE)

    assert ranked.findings[0].severity is Severity.OUTAGE


def test_a_cause_names_the_services_and_ingresses_that_depend_on_it() -> None:
    ranked = rank(SNAPSHOT, [found(CAUSE, WEB)], CATALOGUE)

    assert set(ranked.findings[0].affects) == {SERVICE, INGRESS}


def test_an_unrelated_object_explains_nothing() -> None:
    other = WEB.model_copy(update={"name": "other"})

    ranked = rank(SNAPSHOT, [found(CAUSE, other), found(MIDDLE, SERVICE)], CATALOGUE)

    assert len(ranked.findings) == 2


def test_a_risk_explains_nothing() -> None:
    ranked = rank(SNAPSHOT, [found(CAUSE, WEB, Severity.RISK), found(MIDDLE, SERVICE)], CATALOGUE)

    assert [item.code for item in ranked.findings] == ["service/silent", "pod/broken"]


def test_findings_that_explain_each_other_both_stay() -> None:
    ranked = rank(SNAPSHOT, [found(RING, SERVICE, key="a"), found(RING, SERVICE, key="b")], CATALOGUE)

    assert len(ranked.findings) == 2


def test_the_same_finding_twice_is_one() -> None:
    assert len(rank(SNAPSHOT, [found(CAUSE, WEB), found(CAUSE, WEB)], CATALOGUE).findings) == 1


def test_worse_comes_first_then_what_more_depends_on() -> None:
    lonely = WEB.model_copy(update={"name": "a-lonely"})
    risk = WEB.model_copy(update={"name": "risk"})
    findings = [found(CAUSE, risk, Severity.RISK), found(CAUSE, lonely), found(CAUSE, WEB)]

    ranked = rank(SNAPSHOT, findings, CATALOGUE)

    assert [item.objects[0].name for item in ranked.findings] == ["web", "a-lonely", "risk"]
