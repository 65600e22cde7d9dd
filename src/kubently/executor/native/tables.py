"""kubectl's tables for people, made of the Tables that the API server answers with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from kubently.executor.native import golang
from kubently.executor.native.plan import GetOptions
from kubently.executor.native.resources import Resource
from kubently.executor.native.table_answers import Column, Metadata, Row, Table
from kubently.executor.native.tabwriter import TabWriter
from kubently.executor.native.unsure import Unsure

_FLUSH_EVERY = 100
"""Rows between two flushes of kubectl; lines of one flush decide the widths of the next."""
_BREAK = re.compile(r"[\f\n\r]")
_CELL_END = re.compile(r"[\t\v]")


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    is_shown: bool


@dataclass(slots=True)
class _Rows:
    """A Table that got its further columns; a cell of None is empty."""

    columns: list[_Column]
    cells: list[list[str | None]]


class TablePrinter:
    """Prints the Tables of a `get` one after the other; ``take`` gives the text."""

    def __init__(self, options: GetOptions, *, with_kind: bool) -> None:
        self._options = options
        self._with_kind = with_kind or options.show_kind
        self._writer = TabWriter()
        self._resource: Resource | None = None
        self._columns: list[Column] | None = None
        self._has_headers = False
        self._wants_blank_line = False
        self._text: list[str] = []

    def print(self, resource: Resource, table: Table) -> None:
        """Add one Table of *resource*. Raises Unsure."""
        if resource != self._resource:
            self._begin(resource)
        headers = not self._options.no_headers and not (self._has_headers and table.columns == self._columns)
        if table.columns != self._columns:
            self._columns, self._has_headers = table.columns, False
        if table.rows:
            self._has_headers = True
            self._print_rows(self._decorated(resource, table.columns, table.rows), headers=headers)

    def finish(self) -> str:
        """Give the whole text."""
        self._flush()
        return "".join(self._text)

    def _begin(self, resource: Resource) -> None:
        self._flush()
        self._writer.forget_widths()
        if self._resource is not None and not self._options.no_headers and self._text:
            self._wants_blank_line = True
        self._resource, self._columns, self._has_headers = resource, None, False

    def _flush(self) -> None:
        self._writer.flush()
        text = self._writer.take()
        if text and self._wants_blank_line:
            self._text.append("\n")
            self._wants_blank_line = False
        if text:
            self._text.append(text)

    # ------------------------------------------------------------------ further columns

    def _decorated(self, resource: Resource, definitions: Sequence[Column], rows: Sequence[Row]) -> _Rows:
        options = self._options
        with_namespace = not options.namespace and resource.is_namespaced
        name_column = _name_column(definitions) if self._with_kind else -1
        before = [_Column("NAMESPACE", is_shown=True)] if with_namespace else []
        labels = [label.rpartition("/")[2].upper() for label in options.label_columns]
        after = [*labels, "LABELS"] if options.show_labels else labels
        columns = [*before, *(self._column(each) for each in definitions), *(_Column(n, is_shown=True) for n in after)]
        needs_object = with_namespace or bool(after)
        cells: list[list[str | None]] = []
        for row in rows:
            shown = [_text(cell) for cell in row.cells]
            if len(shown) != len(definitions):
                raise Unsure("a row of another length")
            if name_column >= 0 and shown[name_column] is not None:
                shown[name_column] = f"{resource.group_kind.lower()}/{shown[name_column]}"
            if needs_object and row.object is None:
                raise Unsure("a row without its object")
            metadata = row.object.metadata if row.object else Metadata()
            shown_namespace = [metadata.namespace] if with_namespace else []
            cells.append([*shown_namespace, *shown, *self._label_cells(metadata)])
        return _Rows(columns, cells)

    def _column(self, definition: Column) -> _Column:
        if not (definition.name.isascii() and definition.name.isprintable()):
            raise Unsure("an unusual column")
        is_shown = self._options.output == "wide" or not definition.priority
        return _Column(definition.name.upper(), is_shown=is_shown)

    def _label_cells(self, metadata: Metadata) -> list[str]:
        labels = metadata.labels or {}
        cells = [labels.get(label, "") for label in self._options.label_columns]
        if self._options.show_labels:
            cells.append(",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "<none>")
        return cells

    # ------------------------------------------------------------------ lines

    def _print_rows(self, rows: _Rows, *, headers: bool) -> None:
        shown = [index for index, column in enumerate(rows.columns) if column.is_shown]
        widths = [max(len((row[index] or "").encode()) for row in rows.cells) for index in shown]
        if shown:
            widths[-1] = 0
        if headers:
            self._line(rows.columns[index].name.ljust(width) for index, width in zip(shown, widths, strict=True))
        for number, row in enumerate(rows.cells):
            values = [row[index] or "" for index in shown]
            if number == 0 and not headers:
                self._line(_padded(value, width) for value, width in zip(values, widths, strict=True))
            else:
                self._line(map(_cell, values))
            if (number + 1) % _FLUSH_EVERY == 0:
                self._flush()

    def _line(self, cells: Iterator[str]) -> None:
        text = "\t".join(cells)
        self._writer.line(_CELL_END.split(text) if "\v" in text else text.split("\t"))


def _name_column(definitions: Sequence[Column]) -> int:
    for index, column in enumerate(definitions):
        if (column.format, column.type) == ("name", "string"):
            return index
    return -1


def _text(cell: Any) -> str | None:
    """A cell as kubectl shows it, before line breaks are cut."""
    match cell:
        case str() | None:
            return cell
        case bool():
            return "true" if cell else "false"
        case int() if -(2**63) <= cell < 2**63:
            return str(cell)
        case msgspec.Raw():
            return golang.shortest_float(float(bytes(cell)))
        case _:
            raise Unsure("a cell of another sort")


def _cell(value: str) -> str:
    """Cut a cell at its first line break, and take the power over terminals out of it."""
    if value.isprintable():
        return value
    match = _BREAK.search(value)
    kept = f"{value[: match.start()]}..." if match else value
    return kept.replace("\x1b", "^[")


def _padded(value: str, width: int) -> str:
    # kubectl measures bytes here and of the cell as it came.
    return _cell(value) + " " * (width - len(value.encode()))
