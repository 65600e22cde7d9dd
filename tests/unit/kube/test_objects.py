"""Reading objects: defaults instead of exceptions, quantities, instants, selectors."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubently.kube import objects
from kubently.schema.findings import ResourceRef

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "web-1",
        "namespace": "shop",
        "uid": "u-1",
        "labels": {"app": "web", "odd": 3},
        "annotations": {"note": "x"},
        "creationTimestamp": "2024-05-01T10:00:00Z",
        "ownerReferences": [
            {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u-2"},
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u-3", "controller": True},
        ],
    },
    "spec": {
        "containers": [{"name": "app"}, "not a container"],
        "initContainers": [{"name": "setup"}],
        "ephemeralContainers": [{"name": "debugger"}],
    },
    "status": {
        "conditions": [
            {"type": "Ready", "status": "False", "reason": "R", "message": "m", "lastTransitionTime": "nonsense"},
            {"type": "Initialized", "status": "True", "lastTransitionTime": "2024-05-01T10:00:00Z"},
        ],
        "containerStatuses": [{"name": "app", "ready": False, "restartCount": 4}],
    },
}

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    ["metadata", "spec", "status", "labels", "ownerReferences", "conditions", "containers", "template", "items", "kind"]
)
LIKE_OBJECTS = st.recursive(
    ANY_JSON, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(FIELDS, inner, max_size=4), max_leaves=16
)


def test_reads_what_is_there() -> None:
    assert objects.ref(POD) == ResourceRef(kind="Pod", namespace="shop", name="web-1")
    assert objects.labels(POD) == {"app": "web"}
    assert objects.annotation(POD, "note") == "x"
    assert objects.annotation(POD, "absent") == ""
    assert objects.uid(POD) == "u-1"
    assert objects.created_at(POD) == datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert objects.deleted_at(POD) is None
    assert [objects.name({"metadata": c}) for c in objects.containers(POD)] == ["app"]
    assert [c["name"] for c in objects.init_containers(POD)] == ["setup"]
    assert [c["name"] for c in objects.all_containers(POD)] == ["setup", "app", "debugger"]
    assert objects.container(POD, "debugger") == {"name": "debugger"}
    assert objects.container(POD, "absent") is None
    assert objects.container_statuses(POD)[0]["restartCount"] == 4
    assert objects.init_container_statuses(POD) == []
    assert objects.pod_labels(POD) == {"app": "web"}


def test_reads_owners() -> None:
    owner = objects.controller(POD)

    assert owner == objects.OwnerReference("apps", "ReplicaSet", "web", "u-3", is_controller=True)
    assert len(objects.owners(POD)) == 2
    assert objects.controller({}) is None


def test_reads_conditions() -> None:
    ready, initialized = objects.condition(POD, "Ready"), objects.condition(POD, "Initialized")

    assert ready is not None and ready.is_false and not ready.is_true and ready.changed_at is None
    assert initialized is not None and initialized.is_true and initialized.changed_at is not None
    assert objects.condition(POD, "Absent") is None


@pytest.mark.parametrize(
    "workload",
    [
        {
            "kind": "Deployment",
            "spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{}]}}},
        },
        {
            "kind": "CronJob",
            "spec": {
                "jobTemplate": {
                    "spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{}]}}}
                }
            },
        },
        {"kind": "PodTemplate", "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{}]}}},
        {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{}]}},
    ],
)
def test_finds_the_pod_spec_of_workloads(workload: dict[str, Any]) -> None:
    assert objects.containers(workload) == [{}]
    assert objects.pod_labels(workload) == {"a": "b"}


def test_members_of_a_list_get_their_kind() -> None:
    pods = {"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"name": "a"}}, 3]}
    mixed = {"kind": "List", "apiVersion": "v1", "items": [{"kind": "Job", "apiVersion": "batch/v1"}]}

    assert [str(objects.ref(pod)) for pod in objects.members(pods)] == ["Pod a"]
    assert [objects.group(job) for job in objects.members(mixed)] == ["batch"]


@given(obj=LIKE_OBJECTS)
def test_readers_never_raise(obj: Any) -> None:
    for read in (
        objects.ref,
        objects.uid,
        objects.labels,
        objects.created_at,
        objects.owners,
        objects.controller,
        objects.conditions,
        objects.containers,
        objects.all_containers,
        objects.container_statuses,
        objects.pod_labels,
    ):
        read(obj)
    list(objects.members(obj))
    objects.selects(obj, {"a": "b"})
    objects.map_selects(obj, {"a": "b"})
    objects.quantity(obj, "spec")
    objects.at(obj, "spec", 0, "x")
    assert objects.integer(obj, "nowhere") == 0 and objects.flag(obj, "nowhere") is False
    assert objects.strings(obj, "nowhere") == [] and objects.text(obj, "nowhere") == ""


def test_booleans_are_not_integers() -> None:
    assert objects.integer({"a": True}, "a", default=7) == 7
    assert objects.at(["x", "y"], -1) == "y"
    assert objects.at(["x"], 1) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("500m", "0.5"),
        ("2", "2"),
        ("0.1", "0.1"),
        (".5", "0.5"),
        ("5.", "5"),
        ("-1", "-1"),
        ("+3k", "3000"),
        ("1Ki", "1024"),
        ("1.5Gi", "1610612736"),
        ("1E", "1000000000000000000"),
        ("1Ei", "1152921504606846976"),
        ("1E3", "1000"),
        ("12e-2", "0.12"),
        ("100u", "0.0001"),
        ("7n", "0.000000007"),
        (3, "3"),
        (0.25, "0.25"),
    ],
)
def test_parses_quantities(value: str | int | float, expected: str) -> None:
    assert objects.parse_quantity(value) == Decimal(expected)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "m",
        "1 Gi",
        "1gi",
        "1KI",
        "1K",
        "0x10",
        "1e",
        "1e1000",
        "1e100",
        "٣",
        "1\n",
        "--1",
        "1.2.3",
        True,
        None,
        "9" * 41,
        float("nan"),
        float("inf"),
        [],
    ],
)
def test_refuses_what_is_no_quantity(value: Any) -> None:
    with pytest.raises(ValueError, match=r"quantity|exponent"):
        objects.parse_quantity(value)


@given(number=st.integers(-(2**63), 2**63), suffix=st.sampled_from(["", "m", "k", "Ki", "Mi", "Ei", "e3", "E-3"]))
def test_every_formatted_quantity_parses(number: int, suffix: str) -> None:
    assert (objects.parse_quantity(f"{number}{suffix}") < 0) == (number < 0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-05-01T10:00:00Z", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("2024-05-01T10:00:00.123456Z", datetime(2024, 5, 1, 10, 0, 0, 123456, tzinfo=UTC)),
        ("2024-05-01T10:00:00.123456789Z", datetime(2024, 5, 1, 10, 0, 0, 123456, tzinfo=UTC)),
        ("2024-05-01T10:00:00.5+02:00", datetime(2024, 5, 1, 10, 0, 0, 500000, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_parses_instants(value: str, expected: datetime) -> None:
    assert objects.parse_instant(value) == expected


@pytest.mark.parametrize(
    "value", ["", "2024-05-01", "2024-13-01T10:00:00Z", "2024-05-01T10:00:00", "2024-05-01 10:00:00Z", None, 5]
)
def test_refuses_what_is_no_instant(value: Any) -> None:
    with pytest.raises(ValueError, match=r"instant|month|year"):
        objects.parse_instant(value)
    assert objects.instant({"at": value}, "at") is None


def test_an_instant_beyond_the_calendar_is_none() -> None:
    assert objects.instant({"at": "0001-01-01T00:00:00+23:59"}, "at") is None


@pytest.mark.parametrize(
    ("selector", "matching", "other"),
    [
        ("env=prod", {"env": "prod"}, {"env": "dev"}),
        ("env==prod", {"env": "prod"}, {}),
        ("env!=prod", {}, {"env": "prod"}),
        ("env = prod , tier=web", {"env": "prod", "tier": "web"}, {"env": "prod"}),
        ("tier in (web, api)", {"tier": "api"}, {"tier": "db"}),
        ("tier notin (web,api)", {}, {"tier": "api"}),
        ("canary", {"canary": ""}, {}),
        ("!canary", {}, {"canary": ""}),
        ("env=", {"env": ""}, {"env": "x"}),
        ("env in (,a)", {"env": ""}, {"env": "b"}),
        ("weight>3", {"weight": "4"}, {"weight": "3"}),
        ("weight<3", {"weight": "2"}, {"weight": "x"}),
        ("in in (a)", {"in": "a"}, {}),
        ("example.com/a.b_c-d=1", {"example.com/a.b_c-d": "1"}, {}),
    ],
)
def test_parses_text_selectors(selector: str, matching: dict[str, str], other: dict[str, str]) -> None:
    parsed = objects.parse_selector(selector)

    assert parsed.matches(matching)
    assert not parsed.matches(other)


@pytest.mark.parametrize(
    "selector", ["=a", "a,", "a,,b", "a in", "a in (b", "a in b", "!", "a b", "a)", "(a)", "a=b=c", "a!b"]
)
def test_refuses_broken_text_selectors(selector: str) -> None:
    with pytest.raises(ValueError, match=r"stands where|is not a selector|ends with"):
        objects.parse_selector(selector)


@given(st.text(alphabet="ab!=<>(), innot", max_size=20))
def test_text_selectors_parse_or_raise_value_error(value: str) -> None:
    try:
        objects.parse_selector(value).matches({"a": "b"})
    except ValueError:
        return


def test_an_empty_selector_selects_everything() -> None:
    assert objects.parse_selector("").selects_everything
    assert objects.parse_selector("  ").matches({"a": "b"})
    assert objects.selects({}, {"a": "b"})
    assert not objects.map_selects({}, {"a": "b"})
    assert not objects.selects(None, {"a": "b"})


@pytest.mark.parametrize(
    ("expression", "matching", "other"),
    [
        ({"key": "a", "operator": "In", "values": ["1", "2"]}, {"a": "2"}, {"a": "3"}),
        ({"key": "a", "operator": "NotIn", "values": ["1"]}, {}, {"a": "1"}),
        ({"key": "a", "operator": "Exists"}, {"a": ""}, {}),
        ({"key": "a", "operator": "DoesNotExist"}, {}, {"a": ""}),
    ],
)
def test_match_expressions(expression: dict[str, Any], matching: dict[str, str], other: dict[str, str]) -> None:
    selector = {"matchLabels": {"app": "web"}, "matchExpressions": [expression]}

    assert objects.selects(selector, {"app": "web", **matching})
    assert not objects.selects(selector, {"app": "web", **other})
    assert not objects.selects(selector, matching)


@pytest.mark.parametrize(
    "expression",
    [
        {"key": "a", "operator": "Is"},
        {"key": "a", "operator": "In"},
        {"key": "a", "operator": "Exists", "values": ["x"]},
    ],
)
def test_refuses_unknown_match_expressions(expression: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is not a selector operator"):
        objects.parse_label_selector({"matchExpressions": [expression]})


def test_map_selector_needs_every_pair() -> None:
    assert objects.map_selects({"a": "1"}, {"a": "1", "b": "2"})
    assert not objects.map_selects({"a": "1", "c": "3"}, {"a": "1", "b": "2"})
