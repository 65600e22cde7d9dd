"""The bundled archives are whole: every reference inside them leads somewhere, unless it is one of their faults."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from kubently.archive import Archive, bundled, format, load
from kubently.kube import objects

FOUND = {path.name: load(path) for path in bundled()}


@pytest.fixture(params=sorted(FOUND))
def found(request: pytest.FixtureRequest) -> Archive:
    return FOUND[request.param]


def everything(found: Archive) -> Iterator[objects.KubeObject]:
    for items in found.by_type.values():
        yield from items


def test_there_are_three_with_labels() -> None:
    assert {name: dict(item.labels)["env"] for name, item in FOUND.items()} == {
        "prod-eu": "prod",
        "prod-us": "prod",
        "staging": "staging",
    }
    assert all(name == item.name and item.title for name, item in FOUND.items())


def test_they_hold_a_cluster(found: Archive) -> None:
    stored = [item for key, items in found.by_type.items() if key[0] != "metrics.k8s.io" for item in items]

    assert 150 <= len(stored) <= 260
    assert {"kube-system", "default"} <= {objects.name(item) for item in found.by_type["", "namespaces"]}


def test_uids_and_versions_are_unique_and_nothing_is_from_the_future(found: Archive) -> None:
    stored = [item for item in everything(found) if objects.group(item) != "metrics.k8s.io"]

    assert len({objects.uid(item) for item in stored}) == len(stored)
    assert len({objects.text(item, "metadata", "resourceVersion") for item in stored}) == len(stored)
    for item in stored:
        created_at = objects.created_at(item)
        assert created_at is not None and created_at <= found.captured_at, objects.ref(item)


def test_no_instant_is_after_the_capture(found: Archive) -> None:
    """Only the end of a promotion lies ahead."""
    for item in everything(found):
        for instant in instants(item):
            assert instant <= found.captured_at.isoformat().replace("+00:00", "Z") or objects.kind(item) == "Promotion"


def instants(value: object) -> Iterator[str]:
    if isinstance(value, str):
        if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value):
            yield value
    elif isinstance(value, dict):
        for member in value.values():
            yield from instants(member)
    elif isinstance(value, list):
        for member in value:
            yield from instants(member)


def test_owners_are_there(found: Archive) -> None:
    uids = {objects.uid(item): objects.name(item) for item in everything(found)}

    for item in everything(found):
        for owner in objects.owners(item):
            assert uids.get(owner.uid) == owner.name, objects.ref(item)


def test_events_are_about_objects_that_are_there(found: Archive) -> None:
    known = {objects.uid(item): objects.name(item) for item in everything(found)}

    for event in found.by_type["", "events"]:
        involved = objects.mapping(event, "involvedObject")
        assert known.get(objects.text(involved, "uid")) == objects.text(involved, "name")


def test_pods_run_on_nodes_that_are_there_and_addresses_are_their_own(found: Archive) -> None:
    nodes = {objects.name(item) for item in found.by_type["", "nodes"]}
    pods = found.by_type["", "pods"]

    assert {objects.text(pod, "spec", "nodeName") for pod in pods} <= {*nodes, ""}
    own = [objects.text(pod, "status", "podIP") for pod in pods if not objects.flag(pod, "spec", "hostNetwork")]
    taken = [address for address in own if address]
    assert len(set(taken)) == len(taken)


def test_endpoints_are_the_ready_pods_that_the_selector_finds(found: Archive) -> None:
    slices = {
        (objects.namespace(item), objects.labels(item).get("kubernetes.io/service-name", "")): item
        for item in found.by_type["discovery.k8s.io", "endpointslices"]
    }
    for service in found.by_type["", "services"]:
        selector = objects.string_map(service, "spec", "selector")
        if not selector:
            continue
        wanted = {
            objects.text(pod, "status", "podIP")
            for pod in found.by_type["", "pods"]
            if objects.namespace(pod) == objects.namespace(service)
            and objects.map_selects(selector, objects.labels(pod))
            and objects.text(pod, "status", "podIP")
        }
        endpoints = objects.mappings(slices[objects.namespace(service), objects.name(service)], "endpoints")
        assert {objects.text(endpoint, "addresses", 0) for endpoint in endpoints} == wanted


def test_counts_of_controllers_add_up(found: Archive) -> None:
    pods = found.by_type["", "pods"]
    for replica_set in found.by_type["apps", "replicasets"]:
        owned = [pod for pod in pods if (owner := objects.controller(pod)) and owner.uid == objects.uid(replica_set)]
        ready = [pod for pod in owned if (condition := objects.condition(pod, "Ready")) and condition.is_true]
        assert objects.integer(replica_set, "status", "replicas") == len(owned)
        assert objects.integer(replica_set, "status", "readyReplicas") == len(ready)
    for deployment in found.by_type["apps", "deployments"]:
        assert objects.integer(deployment, "status", "observedGeneration") == objects.integer(
            deployment, "metadata", "generation"
        )


def test_logs_are_of_containers_that_are_there(found: Archive) -> None:
    containers = {
        (objects.namespace(pod), objects.name(pod), objects.text(container, "name"))
        for pod in found.by_type["", "pods"]
        for container in objects.all_containers(pod)
    }

    assert {(key.namespace, key.pod, key.container) for key in found.logs} <= containers
    for key, content in found.logs.items():
        first = content.splitlines()[0].split(b" ")[0].decode()
        assert objects.parse_instant(first) <= found.captured_at, key


def test_no_secret_and_no_real_registry(found: Archive) -> None:
    assert ("", "secrets") not in found.by_type
    for pod in found.by_type["", "pods"]:
        for container in objects.all_containers(pod):
            assert ".example.com/" in objects.text(container, "image")


FAULTS = {
    "prod-eu": {"CreateContainerConfigError", "CrashLoopBackOff"},
    "prod-us": {"Unschedulable"},
    "staging": {"ImagePullBackOff", "CrashLoopBackOff"},
}


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_each_has_its_faults(name: str) -> None:
    pods = FOUND[name].by_type["", "pods"]
    waiting = {
        objects.text(status, "state", "waiting", "reason") for pod in pods for status in objects.container_statuses(pod)
    }
    unscheduled = {condition.reason for pod in pods if (condition := objects.condition(pod, "PodScheduled"))}

    assert FAULTS[name] <= waiting | unscheduled


def test_the_telling_trace_is_in_the_log_before() -> None:
    logs = FOUND["staging"].logs
    key = next(key for key in logs if key.container == "billing-worker")

    assert key == format.LogKey("billing", key.pod, "billing-worker", previous=True)
    assert b"ConnectionRefusedError" in logs[key]
