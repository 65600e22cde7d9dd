"""Objects as JSON and names."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubently.executor.native import objects
from kubently.executor.native.unsure import Unsure

POD = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web", "managedFields": [{}]}, "spec": {}}

JSON = st.recursive(
    st.one_of(st.text(), st.booleans(), st.none(), st.integers(-(2**63), 2**63 - 1)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=15,
)


def decoded(document: Any) -> Any:
    return objects.Decoder().decode_objects(json.dumps(document).encode())


def test_json_has_four_spaces_sorted_keys_and_htmls_characters_escaped() -> None:
    printed = objects.to_json(decoded({"b": "<a> & \u2028", "a": [1.0, 1e21, {}, []], "c": None}))

    assert printed.decode() == (
        '{\n    "a": [\n        1,\n        1e+21,\n        {},\n        []\n    ],\n'
        '    "b": "\\u003ca\\u003e \\u0026 \\u2028",\n    "c": null\n}\n'
    )


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_json_is_pythons_own_but_for_the_escapes(document: dict[str, Any]) -> None:
    expected = json.dumps(document, indent=4, sort_keys=True, ensure_ascii=False)
    for plain in "&<>\u2028\u2029":
        expected = expected.replace(plain, f"\\u{ord(plain):04x}")

    assert objects.to_json(decoded(document)).decode() == expected + "\n"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_list_is_printed_piece_by_piece_as_it_would_be_whole(count: int) -> None:
    items = [decoded({**POD, "spec": {"n": number, "text": "a\nb"}}) for number in range(count)]

    assert b"".join(objects.list_to_json(items)) == objects.to_json(
        {"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}}
    )


def test_members_of_a_typed_list_get_its_kind() -> None:
    [item] = objects.items_of({"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"name": "a"}}]})

    assert (item["kind"], item["apiVersion"]) == ("Pod", "v1")


@pytest.mark.parametrize(
    ("kind", "api_version", "name"),
    [("Pod", "v1", "pod/web"), ("Deployment", "apps/v1", "deployment.apps/web")],
)
def test_names_have_the_kind_and_its_group(kind: str, api_version: str, name: str) -> None:
    assert objects.name_of({"kind": kind, "apiVersion": api_version, "metadata": {"name": "web"}}) == name


def test_managed_fields_are_taken_out() -> None:
    item = decoded(POD)

    objects.without_managed_fields([item])

    assert item["metadata"] == {"name": "web"}


def test_long_numbers_are_left_to_kubectl_and_long_texts_are_not() -> None:
    assert decoded({"text": "18446744073709551615", "most": 2**63 - 1})["most"] == 2**63 - 1
    with pytest.raises(Unsure):
        decoded({"a": [2**63]})


@pytest.mark.parametrize("body", [b'"\\ud800"', b'{"a": "\xff"}', b"{", b"[" * 100_000])
def test_what_is_no_plain_json_is_left_to_kubectl(body: bytes) -> None:
    with pytest.raises(Unsure):
        objects.Decoder().decode_objects(body)


@pytest.mark.parametrize("member", ["[]", "{}", "1"])
def test_an_answer_of_very_many_parts_is_left_to_kubectl(member: str) -> None:
    """Reading it would keep everybody else waiting for seconds, though its bytes are few."""
    body = f"[{','.join([member] * 400_001)}]".encode()

    with pytest.raises(Unsure):
        objects.Decoder().decode(body)


@pytest.mark.parametrize("item", [[], {}, {**POD, "items": []}, {**POD, "kind": ""}, {**POD, "metadata": "x"}])
def test_what_is_no_object_is_left_to_kubectl(item: Any) -> None:
    with pytest.raises(Unsure):
        objects.checked(item)


def test_fractions_keep_the_text_that_go_writes() -> None:
    assert bytes(objects.Decoder().decode(b"1.50")) == b"1.5"
    assert isinstance(objects.Decoder().decode(b"1e2"), msgspec.Raw)


def test_many_levels_do_not_make_a_long_text_of_a_small_object() -> None:
    deep: Any = [0] * 200_000
    for _ in range(60):
        deep = [deep]

    with pytest.raises(Unsure):
        objects.to_json({"a": deep})
    assert objects.to_json({"a": [0] * 200_000}).count(b"\n") == 200_004
