from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.journal.journals import LONG_AGO, ended, started

from kubently.errors import JournalBrokenError
from kubently.journal import Chain, Record, records, verify

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
some_records = st.builds(
    Record,
    id=texts,
    at=st.just(LONG_AGO),
    event=st.sampled_from([records.STARTED, records.ENDED, records.DENIED]),
    principal=texts,
    cluster=texts,
    action=texts,
    what=texts,
    outcome=texts,
    seconds=st.none() | st.floats(0, 1e6),
)


def chain_of(number: int) -> list[bytes]:
    chain = Chain("a1")
    return [chain.add(started(f"n{n}") if n % 2 else ended(f"n{n - 1}")) for n in range(number)]


def judge(lines: list[bytes]) -> list[verify.Verdict]:
    return verify.verify((str(number), raw) for number, raw in enumerate(lines))


def test_a_line_is_json_in_which_the_hash_stands_last() -> None:
    chain = Chain("a1", sequence=41, head="ab" * 32)

    line = json.loads(chain.add(started("n1")))

    assert list(line)[:3] == ["replica", "sequence", "previous"] and list(line)[-1] == "hash"
    assert (line["sequence"], line["previous"], line["hash"]) == (42, "ab" * 32, chain.head)
    assert line["at"] == "2026-01-02T03:04:05.678901Z"


@given(some_records)
def test_what_was_written_is_read(record: Record) -> None:
    line = records.read(Chain("a1").add(record))

    assert {name: getattr(line, name) for name in Record.__struct_fields__} == {
        name: getattr(record, name) for name in Record.__struct_fields__
    }


def test_a_whole_chain_holds() -> None:
    lines = chain_of(9)

    (verdict,) = judge(lines)

    assert verdict.holds and verdict.is_from_the_beginning
    assert (verdict.first, verdict.last, verdict.lines) == (1, 9, 9)
    assert verdict.head == records.read(lines[-1]).hash


def test_a_part_of_a_chain_holds_but_is_not_from_the_beginning() -> None:
    (verdict,) = judge(chain_of(9)[4:])

    assert verdict.holds and not verdict.is_from_the_beginning


@given(st.data())
def test_a_changed_byte_is_found(data: st.DataObject) -> None:
    lines = chain_of(5)
    number = data.draw(st.integers(0, 4))
    place = data.draw(st.integers(0, len(lines[number]) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != lines[number][place]))
    lines[number] = lines[number][:place] + bytes([byte]) + lines[number][place + 1 :]

    assert not all(verdict.holds for verdict in judge(lines))


@given(st.data())
def test_a_line_that_is_missing_is_found(data: st.DataObject) -> None:
    lines = chain_of(8)
    del lines[data.draw(st.integers(1, 6))]

    (verdict,) = judge(lines)

    assert verdict.broken is not None and "missing" in verdict.broken.reason


@given(st.permutations(range(8)))
def test_moved_lines_are_found(order: list[int]) -> None:
    lines = chain_of(8)

    (verdict,) = judge([lines[number] for number in order])

    assert verdict.holds == (order == sorted(order))


@given(st.permutations(range(8)))
def test_lines_of_a_shared_log_may_come_in_any_order_and_twice(order: list[int]) -> None:
    lines = [chain_of(8)[number] for number in (*order, *order[:3])]

    (verdict,) = verify.verify([("here", raw) for raw in lines], ordered=False)

    assert verdict.holds and verdict.lines == 8


@given(st.integers(1, 7))
def test_a_line_that_was_written_anew_with_a_right_hash_is_found(number: int) -> None:
    lines = chain_of(8)
    before = records.read(lines[number - 1])
    forged = Chain("a1", sequence=number, head=before.hash).add(started("another"))

    (verdict,) = judge([*lines[:number], forged, *lines[number + 1 :]])

    # The very last line has none behind it that names its hash: that is what anchors are for.
    assert verdict.holds == (number == 7)


def test_replicas_are_judged_apart() -> None:
    first, second = Chain("a1"), Chain("b2")
    lines = [first.add(started("x")), second.add(started("y")), first.add(ended("x"))]

    verdicts = judge(lines)

    assert [(v.replica, v.lines, v.holds, v.unended) for v in verdicts] == [
        ("a1", 2, True, set()),
        ("b2", 1, True, {"y"}),
    ]


def test_a_line_whose_hash_is_right_must_make_sense() -> None:
    for body in (b'{"replica":1', b"[", b'{"x":' + b"[" * 100_000, b'{"id":"x","at":"never"', b'{"id":"\xff"'):
        with pytest.raises(JournalBrokenError, match="makes no sense"):
            records.read(body + b',"hash":"' + hashlib.sha256(body).hexdigest().encode() + b'"}')


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"null", b'{"hash":"x"}', b"\xff" * 100, b'x,"hash":"' + b"0" * 64 + b'"}']
)
def test_what_is_no_line_is_refused(raw: bytes) -> None:
    with pytest.raises(JournalBrokenError):
        records.read(raw)
