"""What several workloads lack in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubently import analyzers
from kubently.analyzers import Report, Snapshot, common, images
from kubently.analyzers.base import Condition, finding, quote
from kubently.kube.objects import parse_instant
from kubently.schema.findings import Confidence, Finding, ResourceRef, Severity

SCENARIO = Path(__file__).parents[2] / "scenarios" / "configmap-key-missing-for-many"
QUOTA = ResourceRef(kind="ResourceQuota", namespace="shop", name="team")
EDITED = SCENARIO.with_name("config-changed-before-many-crash")
NOW = "2026-03-02T10:00:00Z"
EMPTY = Snapshot.of([], read_at=parse_instant(NOW))
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

    (found,) = common.causes(EMPTY, members)

    assert found.finding.severity is Severity.OUTAGE
    assert found.finding.title == "ResourceQuota shop/team refuses the pods of 3 workloads; Deployment shop/b: no pods"
    assert [item.source for item in found.finding.evidence] == ["ReplicaSet b"]
    assert [member.objects[0].name for member in found.members] == ["b", "c", "a"]


def test_its_identity_does_not_depend_on_who_suffers() -> None:
    (few,) = common.causes(EMPTY, [stopped("a", QUOTA), stopped("b", QUOTA)])
    (others,) = common.causes(EMPTY, [stopped("c", QUOTA), stopped("d", QUOTA), stopped("e", QUOTA)])

    assert few.finding.id == others.finding.id


def test_one_workload_alone_or_different_objects_have_nothing_in_common() -> None:
    other = QUOTA.model_copy(update={"name": "other"})

    assert list(common.causes(EMPTY, [stopped("a", QUOTA), stopped("b", other), stopped("c")])) == []
    assert list(common.causes(EMPTY, [stopped("a", QUOTA), stopped("a", QUOTA)])) == []


def on_node(workload: str, *nodes: str) -> tuple[Finding, list[dict[str, object]]]:
    condition = Condition("pod/sandbox-failed", Severity.OUTAGE, "A.", "B.")
    owner = ResourceRef(group="apps", kind="Deployment", namespace="shop", name=workload)
    pods = [ResourceRef(kind="Pod", namespace="shop", name=f"{workload}-{node}") for node in nodes]
    refs = (owner, ResourceRef(kind="Node", name=nodes[0]), *pods)
    members = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": ref.name, "namespace": "shop"},
            "spec": {"nodeName": node},
        }
        for ref, node in zip(pods, nodes, strict=True)
    ]
    return finding(condition, title="T", objects=refs, evidence=(quote("event", "no network"),)), members


def test_a_node_is_the_cause_only_where_all_pods_concerned_are_on_it() -> None:
    web, webs = on_node("web", "worker-1", "worker-1")
    api, apis = on_node("api", "worker-1")
    both, boths = on_node("both", "worker-1", "worker-2")
    snapshot = Snapshot.of([*webs, *apis, *boths], read_at=EMPTY.read_at)

    (found,) = common.causes(snapshot, [web, api, both])

    assert found.finding.title.startswith("Node worker-1 makes no sandboxes for the pods of 2 workloads")
    assert [member.objects[0].name for member in found.members] == ["api", "web"]


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("nginx", "docker.io"),
        ("library/nginx:1.27", "docker.io"),
        ("ghcr.io/org/app@sha256:00", "ghcr.io"),
        ("localhost/app", "localhost"),
        ("registry:5000/app:1", "registry:5000"),
        ("team/app", "docker.io"),
        ("", "docker.io"),
    ],
)
def test_the_registry_of_an_image(image: str, registry: str) -> None:
    assert images.registry_of(image).name == registry


def crashing(change: Callable[[dict[str, Any]], object]) -> tuple[Finding, ...]:
    """The findings of the picture of an edited ConfigMap, each object of which was changed by *change*."""
    members = list(yaml.safe_load_all((EDITED / "objects.yaml").read_text()))
    for member in members:
        change(member)
    return analyzers.diagnose(Snapshot.of(members, read_at=EMPTY.read_at)).findings


def edited_at(time: str, *, created: str = "2026-01-01T00:00:00Z") -> Callable[[dict[str, Any]], object]:
    def change(member: dict[str, Any]) -> None:
        if member["kind"] == "ConfigMap":
            member["metadata"] |= {"managedFields": [{"manager": "m", "time": time}], "creationTimestamp": created}

    return change


def test_what_was_edited_before_several_began_to_fail_is_a_possible_cause() -> None:
    (found,) = crashing(lambda member: None)

    assert found.title.startswith("ConfigMap shop/settings was changed 4 min before 3 workloads that read it began")
    assert found.confidence is Confidence.POSSIBLE
    assert found.changes[0].quote == "changed 20 min before by kubectl-edit"


@pytest.mark.parametrize(
    "change",
    [
        edited_at("2026-03-02T09:50:00Z"),
        edited_at("2026-03-02T09:10:00Z"),
        edited_at("2026-03-02T09:40:00Z", created="2026-03-02T09:40:00Z"),
        lambda member: member["metadata"].update(creationTimestamp="2026-03-02T09:41:00Z"),
        lambda member: member.get("status", {}).update(conditions=[]),
    ],
    ids=["afterwards", "long before", "created", "workloads are newer", "beginning unknown"],
)
def test_other_changes_explain_nothing(change: Callable[[dict[str, Any]], object]) -> None:
    assert [str(found.objects[0]) for found in crashing(change)] == [
        "Deployment.apps shop/api",
        "Deployment.apps shop/web",
        "Deployment.apps shop/worker",
    ]


def test_a_removal_that_no_manager_tells_of_counts_and_the_events_say_since_when() -> None:
    long_ago = "2026-01-01T00:00:00Z"

    def change(member: dict[str, Any]) -> None:
        edited_at("2026-01-02T00:00:00Z")(member)
        if member["kind"] == "Pod":
            # Written at 9:40 and before the ConfigMap; ready for a moment at each restart.
            written = {"resourceVersion": "7000", "managedFields": [{"manager": "k", "time": "2026-03-02T09:40:00Z"}]}
            member["metadata"] |= written | {"creationTimestamp": long_ago}
            member["status"]["conditions"] = [{"type": "Ready", "status": "False", "lastTransitionTime": NOW}]

    members = list(yaml.safe_load_all((EDITED / "objects.yaml").read_text()))
    for member in members:
        change(member)
    pods = [member["metadata"]["name"] for member in members if member["kind"] == "Pod"]
    events = [
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{name}.1", "namespace": "shop"},
            "involvedObject": {"kind": "Pod", "namespace": "shop", "name": name},
            "reason": "BackOff",
            "firstTimestamp": "2026-03-02T09:41:00Z",
            "lastTimestamp": NOW,
        }
        for name in pods
    ]

    (found,) = analyzers.diagnose(Snapshot.of([*members, *events], read_at=EMPTY.read_at)).findings

    assert found.title.startswith("ConfigMap shop/settings was changed 1 min before 3 workloads that read it began")
