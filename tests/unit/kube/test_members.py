"""Answers rewritten on their way, against the json module as oracle, under any split."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubently.kube import members
from kubently.kube.members import ListRewriter, Rewriter, WatchRewriter, WholeRewriter

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
MEMBERS = st.lists(st.dictionaries(st.sampled_from(["data", "metadata", "x"]), JSON, max_size=3), max_size=6)


def blank(obj: dict[str, Any]) -> dict[str, Any]:
    return {**obj, "data": "[blank]"} if "data" in obj else obj


def fed(rewriter: Rewriter, data: bytes, cuts: list[int]) -> bytes:
    out, position = b"", 0
    for cut in cuts:
        out += rewriter.feed(data[position : position + cut])
        position += cut
    return out + rewriter.feed(data[position:]) + rewriter.finish()


CUTS = st.lists(st.integers(1, 40), max_size=30)


@given(MEMBERS, st.sampled_from(["items", "rows"]), JSON, CUTS, st.booleans(), st.sampled_from([None, 1]))
def test_a_lists_members_are_rewritten_and_the_rest_stays(
    found: list[dict[str, Any]], key: str, metadata: Any, cuts: list[int], ascii_only: bool, indent: int | None
) -> None:
    document = {"kind": "List", "metadata": {"continue": metadata}, key: found, "apiVersion": "v1"}
    data = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode() + b"\n"

    out = fed(ListRewriter(blank), data, cuts)

    assert json.loads(out) == {**document, key: [blank(member) for member in found]}


@given(MEMBERS, CUTS)
def test_watch_events_are_rewritten_one_by_one(found: list[dict[str, Any]], cuts: list[int]) -> None:
    data = b"".join(json.dumps(event).encode() + b"\n" for event in found)

    out = fed(WatchRewriter(blank), data, cuts)

    assert [json.loads(line) for line in out.splitlines()] == [blank(event) for event in found]


@given(st.dictionaries(st.sampled_from(["data", "x"]), JSON), CUTS)
def test_one_object_is_rewritten_whole(obj: dict[str, Any], cuts: list[int]) -> None:
    assert json.loads(fed(WholeRewriter(blank), json.dumps(obj).encode(), cuts)) == blank(obj)


def test_what_is_not_rewritten_keeps_its_bytes() -> None:
    data = b'{"kind":"L","items":[{"x": 1.50, "y":"\\u00e9"},{"data":1}]}'

    assert fed(ListRewriter(blank), data, []) == data.replace(b'{"data":1}', b'{"data":"[blank]"}')


def test_members_leave_before_the_list_ends() -> None:
    rewriter = ListRewriter(blank)

    out = rewriter.feed(b'{"kind":"L","items":[{"data":1},{"data":2},{"da')

    assert out == b'{"kind":"L","items":[{"data":"[blank]"},{"data":"[blank]"},'


def test_null_items_are_a_list_too() -> None:
    assert fed(ListRewriter(blank), b'{"kind":"L","items":null}', []) == b'{"kind":"L","items":null}'


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'{"kind":"Secret","data":{"a":"b"}}',
        b'{"items":{"data":1}}',
        b'{"items":["text"]}',
        b'{"items":[{}]} {"data":1}',
        b'{"items":[{"a":}]}',
        b'{"items":[{}',
        b'{"items":[{},]}',
        b'{"items":[]',
        b"\xff\xfe",
    ],
)
def test_what_is_no_list_never_passes(data: bytes) -> None:
    """An answer of another shape is refused, and nothing of a member has left before."""
    rewriter = ListRewriter(blank)
    out = b""
    with pytest.raises(ValueError):
        for i in range(len(data)):
            out += rewriter.feed(data[i : i + 1])
        out += rewriter.finish()
    assert b"data" not in out
    assert b"text" not in out


@pytest.mark.parametrize("rewriter", [WholeRewriter(blank), WatchRewriter(blank), ListRewriter(blank)])
def test_an_endless_member_is_refused(rewriter: Rewriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "MAX_MEMBER", 1000)

    with pytest.raises(ValueError, match="is over 1000"):
        rewriter.feed(b'{"kind":"L","items":[{"a":"')
        for _ in range(100):
            rewriter.feed(b"x" * 100)


@pytest.mark.parametrize("rewriter", [WholeRewriter(blank), WatchRewriter(blank)])
def test_an_object_that_is_none_is_refused(rewriter: Rewriter) -> None:
    with pytest.raises(ValueError):
        rewriter.feed(b"[1]\n")
        rewriter.finish()


@pytest.mark.parametrize("rewriter", [WholeRewriter(blank), WatchRewriter(blank), ListRewriter(blank)])
def test_an_object_of_endless_depth_is_refused(rewriter: Rewriter) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        rewriter.feed(b'{"items":[{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}\n")
        rewriter.finish()
