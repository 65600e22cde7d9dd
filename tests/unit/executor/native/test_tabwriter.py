"""Columns as kubectl aligns them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubently.executor.native.tabwriter import TabWriter
from kubently.executor.native.unsure import Unsure

CELL = st.text(st.characters(exclude_characters="\t\v\n\f", exclude_categories=("Cs",)), max_size=12)
LINES = st.lists(st.lists(CELL, min_size=1, max_size=5), min_size=1, max_size=12)


def laid_out(*lines: list[str]) -> str:
    writer = TabWriter()
    for line in lines:
        writer.line(list(line))
    writer.flush()
    return writer.take()


def test_a_column_is_three_wider_than_its_widest_cell_and_at_least_six() -> None:
    assert laid_out(["NAME", "N", "LAST"], ["a-long-name", "1", "x"]) == (
        "NAME          N     LAST\n"  #
        "a-long-name   1     x\n"
    )


def test_the_last_cell_of_a_line_is_in_no_column() -> None:
    assert laid_out(["a", "very long cell at the end"], ["b", "c"]) == "a     very long cell at the end\nb     c\n"


def test_columns_end_where_a_line_has_fewer_cells() -> None:
    text = laid_out(["a", "b", "c"], ["a", "b"], ["a", "longer-than-six", "c"])

    assert text == "a     b     c\na     b\na     longer-than-six   c\n"


def test_widths_are_remembered_over_flushes_until_they_are_forgotten() -> None:
    writer = TabWriter()
    writer.line(["a-long-first-cell", "b"])
    writer.flush()
    writer.line(["a", "b"])
    writer.flush()
    writer.forget_widths()
    writer.line(["a", "b"])
    writer.flush()

    assert writer.take() == "a-long-first-cell   b\na                   b\na     b\n"


def test_width_counts_characters_not_bytes() -> None:
    assert laid_out(["ünïcödé", "b"], ["x", "y"]) == "ünïcödé   b\nx         y\n"


@given(LINES)
def test_nothing_but_blanks_is_added(lines: list[list[str]]) -> None:
    shown = laid_out(*lines).split("\n")

    assert [line.replace(" ", "") for line in shown[:-1]] == ["".join(line).replace(" ", "") for line in lines]


@given(st.lists(st.lists(CELL, min_size=3, max_size=3), min_size=2, max_size=9))
def test_even_lines_are_laid_out_as_by_the_general_rule(lines: list[list[str]]) -> None:
    """The quick way for tables and the recursive one agree; a line of one cell afterwards forces the latter."""
    writer = TabWriter()
    writer._lay_out([list(line) for line in lines])

    assert laid_out(*lines) == writer.take()


def test_one_long_cell_does_not_make_a_long_text_of_a_small_answer() -> None:
    writer = TabWriter()
    for line in [["x" * 1_000_000, "b"], *[["a", "b"]] * 98]:
        writer.line(line)

    with pytest.raises(Unsure):
        writer.flush()
