"""Rows for one state at a time; byte for byte against a real server they are compared in the integration tests."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kubently.archive import bundled, catalog, cells, columns_custom, load, negotiate, tables

from .samples import NOW, archive, container_status, get_json, pod, thing

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
ODD = Path(__file__).parents[2] / "integration" / "archive_objects.yaml"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 61, "3h1m"),
        (8 * 3600 + 61, "8h"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (49 * 3600, "2d1h"),
        (8 * 86400, "8d"),
        (729 * 86400, "729d"),
        (730 * 86400, "2y"),
        (731 * 86400, "2y1d"),
        (9 * 365 * 86400, "9y"),
    ],
)
def test_ages_as_people_read_them(seconds: int, text: str) -> None:
    assert cells.human_duration(timedelta(seconds=seconds)) == text


def test_a_table_shows_metadata_unless_told_otherwise() -> None:
    found = archive(pod("web", containerStatuses=[container_status()]))

    shown = {
        include: get_json(found, f"/api/v1/pods?includeObject={include}", TABLE)["rows"][0]["object"]
        for include in ("", "None", "Object")
    }

    assert shown[""]["kind"] == "PartialObjectMetadata" and "spec" not in shown[""]
    assert shown["None"] is None
    assert shown["Object"]["kind"] == "Pod" and "spec" in shown["Object"]


def test_one_object_is_a_table_of_one_row() -> None:
    table = get_json(archive(pod("web")), "/api/v1/namespaces/shop/pods/web", TABLE)

    assert table["metadata"] == {"resourceVersion": "7"}
    assert table["rows"][0]["cells"][:3] == ["web", "0/1", "Running"]


def test_pods_that_have_ended_say_so() -> None:
    rows = get_json(archive(pod("a", phase="Succeeded"), pod("b")), "/api/v1/pods", TABLE)["rows"]

    assert rows[0]["conditions"][0]["reason"] == "Succeeded"
    assert "conditions" not in rows[1]


def test_types_without_columns_of_their_own_show_when_they_were_made() -> None:
    table = get_json(archive(thing("LimitRange", "l", "a")), "/api/v1/limitranges", TABLE)

    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Created At"]
    assert table["rows"][0]["cells"] == ["l", "2026-11-18T11:00:00Z"]


def test_every_row_is_as_long_as_the_header() -> None:
    """Addresses are the exception: a real server prints an age there for which it has no column."""
    for path in bundled():
        found = load(path)
        for resource in found.resources:
            table = tables.table(
                found,
                resource,
                found.by_type.get((resource.group, resource.plural), ()),
                include="None",
                form=negotiate.Form("Table"),
            )
            for row in table["rows"]:
                assert len(row["cells"]) == len(table["columnDefinitions"]), resource


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


def _broken(item: Any, draw: Any) -> Any:
    """Replace some part of an object by anything."""
    if isinstance(item, dict) and item and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(item)))
        return {**item, key: _broken(item[key], draw)}
    if isinstance(item, list) and item and draw(st.integers(0, 3)):
        index = draw(st.integers(0, len(item) - 1))
        return [*item[:index], _broken(item[index], draw), *item[index + 1 :]]
    return draw(ANYTHING)


ODD_OBJECTS: list[dict[str, Any]] = yaml.safe_load(ODD.read_text())
CUSTOM = tuple(
    found
    for item in ODD_OBJECTS
    if item["kind"] == "CustomResourceDefinition"
    for found in catalog.custom_resources(item)
)
LAYOUTS = {
    (item.group, item.kind): tables.layout(item) for item in (*CUSTOM, *catalog.BUILTIN) if item != catalog.EVENTS_VIEW
}


@given(st.data())
def test_no_object_breaks_its_printer(data: st.DataObject) -> None:
    item = data.draw(st.sampled_from(ODD_OBJECTS))
    layout = LAYOUTS[item["apiVersion"].rpartition("/")[0], item["kind"]]

    # The loader lets only mappings through; what is inside them is anybody's.
    row = layout.printer({key: _broken(value, data.draw) for key, value in item.items()}, NOW)

    assert all(cell is None or isinstance(cell, str | int | float) for cell in row)


@pytest.mark.parametrize(
    ("path", "values"),
    [
        (".a.b", [1]),
        (".a", [{"b": 1}]),
        (".list[0].n", ["x"]),
        (".list[-1].n", ["y"]),
        (".list[*].n", ["x", "y"]),
        ('.list[?(@.n=="y")].v', [2]),
        ("['dotted.key']", [3]),
        (r".dotted\.key", [3]),
        (".missing.b", []),
        (".list[7]", []),
        ("", [{"whole": True}]),
        ("..", []),
        (".a[", []),
        (".list[?(@.v>1)].n", []),
    ],
)
def test_paths_of_custom_columns(path: str, values: list[object]) -> None:
    item = {"a": {"b": 1}, "list": [{"n": "x", "v": 1}, {"n": "y", "v": 2}], "dotted.key": 3}
    if not path:
        item = {"whole": True}

    assert list(columns_custom.evaluate(item, path)) == values
