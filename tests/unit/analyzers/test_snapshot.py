from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from kubently.analyzers import LogKey, Snapshot, resources
from kubently.analyzers.events import parse_event
from kubently.schema.findings import Blind, ResourceRef

READ_AT = datetime(2026, 3, 2, 10, tzinfo=UTC)


def member(kind: str, name: str, *, api_version: str = "v1", owner: str = "", **fields: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "shop",
        "uid": f"{kind}-{name}",
        "labels": fields.pop("labels", {}),
    }
    if owner:
        above, _, owner_name = owner.partition("/")
        version = "v1" if above == "Node" else "apps/v1"
        metadata["ownerReferences"] = [
            {
                "apiVersion": version,
                "kind": above,
                "name": owner_name,
                "uid": f"{above}-{owner_name}",
                "controller": True,
            }
        ]
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def snapshot(*members: dict[str, Any], **fields: Any) -> Snapshot:
    return Snapshot.of(members, read_at=READ_AT, **fields)


def test_a_pod_belongs_to_its_deployment() -> None:
    pod = member("Pod", "web-1", owner="ReplicaSet/web-7d")
    taken = snapshot(pod, member("ReplicaSet", "web-7d", api_version="apps/v1", owner="Deployment/web"))

    workload = taken.workload_of(pod)

    assert workload == ResourceRef(group="apps", kind="Deployment", namespace="shop", name="web")
    assert [item["metadata"]["name"] for item in taken.pods_of(workload)] == ["web-1"]


def test_a_pod_whose_replica_set_was_not_read_belongs_to_it() -> None:
    pod = member("Pod", "web-1", owner="ReplicaSet/web-7d")

    assert snapshot(pod).workload_of(pod).kind == "ReplicaSet"


def test_static_pods_and_stateful_sets_of_operators_stand_for_themselves() -> None:
    static = member("Pod", "etcd", owner="Node/worker-1")
    pod = member("Pod", "prom-0", owner="StatefulSet/prom")
    taken = snapshot(static, pod, member("StatefulSet", "prom", api_version="apps/v1", owner="Prometheus/prom"))

    assert taken.workload_of(static).kind == "Pod"
    assert taken.workload_of(pod).kind == "StatefulSet"


def test_what_was_not_read_in_full_may_exist() -> None:
    taken = snapshot(blind=[Blind(resource="secrets", reason="forbidden")])

    assert not taken.is_complete(resources.SECRETS, "shop")
    assert taken.is_complete(resources.SERVICES, "shop")


def test_other_namespaces_than_the_one_read_are_not_complete() -> None:
    taken = snapshot(namespaces=["shop"])

    assert taken.is_complete(resources.SERVICES, "shop")
    assert not taken.is_complete(resources.SERVICES, "bank")
    assert taken.is_complete(resources.NODES)


def test_what_is_whole_in_some_namespaces_is_complete_there() -> None:
    taken = snapshot()
    partly = replace(
        taken, whole_in={resources.SERVICES: frozenset({"shop"})}, blind=(Blind(resource="services", reason="others"),)
    )

    assert partly.is_complete(resources.SERVICES, "shop")
    assert not partly.is_complete(resources.SERVICES, "bank")
    assert not partly.is_complete(resources.SERVICES)
    assert partly.is_complete(resources.PODS, "bank")


def test_pods_are_selected_by_all_pairs() -> None:
    taken = snapshot(
        member("Pod", "a", labels={"app": "web", "tier": "front"}),
        member("Pod", "b", labels={"app": "web"}),
    )

    assert [pod["metadata"]["name"] for pod in taken.select_pods("shop", {"app": "web", "tier": "front"})] == ["a"]
    assert len(taken.select_pods("shop", {"app": "web"})) == 2
    assert taken.select_pods("shop", {}) == []
    assert taken.select_pods("bank", {"app": "web"}) == []


def test_events_of_a_namesake_before_are_left_out() -> None:
    pod = member("Pod", "web-1")
    events = [
        member(
            "Event",
            f"e{index}",
            involvedObject={"kind": "Pod", "namespace": "shop", "name": "web-1", "uid": uid},
            reason="BackOff",
        )
        for index, uid in enumerate(("Pod-web-1", "before", ""))
    ]

    assert len(snapshot(pod, *events).events(pod)) == 2
    assert snapshot(pod, *events).events(pod, "Killing") == []


def test_events_come_newest_first() -> None:
    pod = member("Pod", "web-1")
    about = {"kind": "Pod", "namespace": "shop", "name": "web-1"}
    events = [
        member(
            "Event", f"e{index}", involvedObject=about, reason=str(index), lastTimestamp=f"2026-03-02T09:0{index}:00Z"
        )
        for index in (1, 3, 2)
    ]

    assert [event.reason for event in snapshot(pod, *events).events(pod)] == ["3", "2", "1"]


def test_both_forms_of_events_are_read() -> None:
    event = parse_event(
        {
            "regarding": {"kind": "Pod", "name": "web-1", "fieldPath": "spec.containers{app}"},
            "note": "said",
            "series": {"count": 7, "lastObservedTime": "2026-03-02T09:59:30.123456Z"},
            "eventTime": "2026-03-02T09:00:00.000000Z",
        }
    )

    assert (event.name, event.container, event.message, event.count) == ("web-1", "app", "said", 7)
    assert event.last_at == datetime(2026, 3, 2, 9, 59, 30, 123456, tzinfo=UTC)


def test_age_is_never_negative() -> None:
    taken = snapshot()

    assert taken.age(READ_AT - timedelta(seconds=5)) == timedelta(seconds=5)
    assert taken.age(READ_AT + timedelta(days=1)) == timedelta()
    assert taken.age(None) == timedelta()


def test_logs_of_a_sibling_stand_in() -> None:
    pods = [member("Pod", name, owner="StatefulSet/db") for name in ("db-0", "db-1")]
    key = LogKey("shop", "db-0", "app", previous=True)
    taken = snapshot(*pods, logs={key: "boom"})

    assert list(taken.logs_like(pods[1], "app")) == [key]
    assert list(taken.logs_like(pods[1], "other")) == []


def test_objects_that_no_apiserver_stores_are_left_out() -> None:
    nameless: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop"}}
    painted = member("Pod", "\x1b[31m")
    scoped = member("Node", "worker-1")

    taken = snapshot(nameless, painted, scoped)

    assert not taken.members(resources.PODS)
    assert not taken.members(resources.NODES)
