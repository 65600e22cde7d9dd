from __future__ import annotations

import json
from typing import Any

import pytest

from kubently.archive import watch
from kubently.archive.answers import RefusedError

from .samples import archive, get, pod

FOUND = archive(pod("a"), pod("b", labels={"app": "b"}), pod("c", "other"))
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
INITIAL = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan"


def events(query: str = "", path: str = "/api/v1/pods", accept: str = "application/json") -> list[dict[str, Any]]:
    return [json.loads(chunk) for chunk in get(FOUND, f"{path}?watch=1&{query}", accept).chunks]


def test_what_is_there_is_added_first() -> None:
    for query in ("", "resourceVersion=0", f"{INITIAL}&resourceVersion=9"):
        found = events(query)

        assert [event["type"] for event in found] == ["ADDED"] * 3
        assert found[0]["object"]["kind"] == "Pod"


def test_a_watch_from_the_list_is_quiet() -> None:
    assert events("resourceVersion=9") == []
    assert events("resourceVersion=10") == []


def test_a_watch_from_before_the_archive_has_expired() -> None:
    (event,) = events("resourceVersion=3")

    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


def test_the_end_of_the_initial_events_is_marked() -> None:
    found = events(f"{INITIAL}&allowWatchBookmarks=true")

    assert [event["type"] for event in found] == ["ADDED"] * 3 + ["BOOKMARK"]
    metadata = found[-1]["object"]["metadata"]
    assert metadata == {"resourceVersion": "9", "annotations": {"k8s.io/initial-events-end": "true"}}
    assert [event["type"] for event in events(INITIAL)] == ["ADDED"] * 3


def test_no_initial_events_on_request() -> None:
    assert events("sendInitialEvents=false&resourceVersionMatch=NotOlderThan") == []


def test_watches_are_selected_and_of_one_namespace() -> None:
    assert len(events("labelSelector=app")) == 1
    assert len(events("fieldSelector=metadata.name%3Da")) == 1
    assert len(events(path="/api/v1/namespaces/other/pods")) == 1


def test_tables_name_their_columns_once() -> None:
    found = events(f"{INITIAL}&allowWatchBookmarks=true", accept=TABLE)

    assert found[0]["object"]["columnDefinitions"][0]["name"] == "Name"
    assert [event["object"]["columnDefinitions"] for event in found[1:]] == [None] * 3
    assert found[-1]["object"]["rows"][0]["object"]["metadata"]["resourceVersion"] == "9"


def test_metadata_alone_can_be_watched() -> None:
    accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"

    kinds = {event["object"]["kind"] for event in events(f"{INITIAL}&allowWatchBookmarks=1", accept=accept)}

    assert kinds == {"PartialObjectMetadata"}


def test_how_long_it_stays_open() -> None:
    assert get(FOUND, "/api/v1/pods?watch=1&timeoutSeconds=7").hold == 7
    assert get(FOUND, "/api/v1/pods?watch=true").hold == watch.DEFAULT_SECONDS
    assert get(FOUND, "/api/v1/pods?watch=false").hold == 0


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("sendInitialEvents=true", 422),
        ("resourceVersionMatch=NotOlderThan", 422),
        ("timeoutSeconds=x", 400),
        ("resourceVersion=abc", 400),
        ("fieldSelector=a.b%3Dc", 400),
    ],
)
def test_options_that_are_refused(query: str, code: int) -> None:
    with pytest.raises(RefusedError) as refused:
        events(query)

    assert refused.value.code == code
