from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubently.archive.answers import RefusedError

from .samples import archive, get, get_json, names, pod, thing

PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
PODS = archive(*(pod(name, namespace) for namespace in ("a", "a-b", "b") for name in ("x", "y", "z")))


def test_a_list_has_the_order_of_the_store_and_no_types_inside() -> None:
    document = get_json(PODS, "/api/v1/pods")

    places = [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in document["items"]]
    assert places[:4] == [("a-b", "x"), ("a-b", "y"), ("a-b", "z"), ("a", "x")]
    assert (document["kind"], document["apiVersion"]) == ("PodList", "v1")
    assert document["metadata"] == {"resourceVersion": "9"}
    assert all("kind" not in item for item in document["items"])


def test_a_list_of_one_namespace() -> None:
    document = get_json(PODS, "/api/v1/namespaces/b/pods")

    assert {item["metadata"]["namespace"] for item in document["items"]} == {"b"}
    assert names(get_json(PODS, "/api/v1/namespaces/nowhere/pods")) == []


@given(limit=st.integers(1, 12))
def test_pages_add_up_to_the_whole(limit: int) -> None:
    whole = get_json(PODS, "/api/v1/pods")["items"]
    pages, token = [], ""
    while True:
        page = get_json(PODS, f"/api/v1/pods?limit={limit}&continue={token}")
        assert len(page["items"]) <= limit
        pages += page["items"]
        token = page["metadata"].get("continue", "")
        assert page["metadata"].get("remainingItemCount", 0) == len(whole) - len(pages)
        if not token:
            break

    assert pages == whole


def test_a_selected_page_does_not_count_the_rest() -> None:
    page = get_json(PODS, "/api/v1/pods?limit=1&fieldSelector=metadata.namespace%3Da")

    assert "continue" in page["metadata"] and "remainingItemCount" not in page["metadata"]


@pytest.mark.parametrize("token", ["abc", "!!", "e30", "W10", "eyJzdGFydCI6MX0", "eyJzdGFydCI6Im5vIn0", "é"])
def test_a_made_up_token_is_refused(token: str) -> None:
    with pytest.raises(RefusedError, match="continue") as refused:
        get(PODS, f"/api/v1/pods?continue={token}")

    assert refused.value.code == 400


@pytest.mark.parametrize(("version", "code"), [("10", 504), ("abc", 400), ("-1", 400)])
def test_resource_versions_from_elsewhere_are_refused(version: str, code: int) -> None:
    with pytest.raises(RefusedError) as refused:
        get(PODS, f"/api/v1/pods?resourceVersion={version}")

    assert refused.value.code == code


@pytest.mark.parametrize("version", ["", "0", "9", "3"])
def test_older_resource_versions_are_as_good(version: str) -> None:
    assert len(get_json(PODS, f"/api/v1/pods?resourceVersion={version}")["items"]) == 9


def test_metadata_alone() -> None:
    item = get_json(PODS, "/api/v1/namespaces/a/pods/x", PARTIAL)
    listed = get_json(PODS, "/api/v1/namespaces/a/pods", PARTIAL_LIST)

    assert item.keys() == {"kind", "apiVersion", "metadata"}
    assert (item["kind"], item["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
    assert listed["kind"] == "PartialObjectMetadataList"
    assert listed["items"][0] == item


@pytest.mark.parametrize(("path", "accept"), [("/api/v1/pods", PARTIAL), ("/api/v1/namespaces/a/pods/x", PARTIAL_LIST)])
def test_an_object_is_no_list_and_a_list_no_object(path: str, accept: str) -> None:
    with pytest.raises(RefusedError) as refused:
        get(PODS, path, accept)

    assert refused.value.code == 406


def test_one_object_comes_with_its_type_first() -> None:
    item = get_json(PODS, "/api/v1/namespaces/a/pods/x")

    assert list(item)[:3] == ["kind", "apiVersion", "metadata"]


def test_missing_objects_are_named() -> None:
    with pytest.raises(RefusedError) as refused:
        get(PODS, "/apis/apps/v1/namespaces/a/deployments/x")

    assert refused.value.status()["message"] == 'deployments.apps "x" not found'
    assert refused.value.status()["details"] == {"name": "x", "group": "apps", "kind": "deployments"}


def test_events_in_both_apis() -> None:
    event = thing(
        "Event", "e", "a", involvedObject={"kind": "Pod", "name": "x"}, message="m", reason="R", type="Normal"
    )
    found = archive(event)

    core = get_json(found, "/api/v1/events")["items"][0]
    other = get_json(found, "/apis/events.k8s.io/v1/namespaces/a/events/e")

    assert core["message"] == other["note"] == "m"
    assert other["regarding"] == core["involvedObject"]
    assert other["apiVersion"] == "events.k8s.io/v1"


def test_an_unknown_include_object_is_refused() -> None:
    with pytest.raises(RefusedError, match="includeObject"):
        get(PODS, "/api/v1/pods?includeObject=All", "application/json;as=Table;v=v1;g=meta.k8s.io")
