"""The Tables that the API server answers with: only what is printed of them is read."""

from __future__ import annotations

from typing import Any

import msgspec

from kubently.executor.native import objects
from kubently.executor.native.unsure import Unsure

_VERSIONS = frozenset({"meta.k8s.io/v1", "meta.k8s.io/v1beta1"})


class Column(msgspec.Struct, frozen=True):
    """A column's definition; two that differ in anything are printed under headers of their own."""

    name: str
    type: str = ""
    format: str = ""
    description: str = ""
    priority: int = 0


class Metadata(msgspec.Struct, frozen=True):
    """Of the object in a row."""

    namespace: str = ""
    labels: dict[str, str] | None = None


class RowObject(msgspec.Struct, frozen=True):
    """The object in a row, without its content."""

    metadata: Metadata


class Row(msgspec.Struct, frozen=True):
    """One row."""

    cells: list[Any]
    object: RowObject | None = None


class ListMetadata(msgspec.Struct, frozen=True):
    """Of the Table itself."""

    token: str = msgspec.field(name="continue", default="")
    """Where the next page begins; empty: this is the last."""


class Table(msgspec.Struct, frozen=True):
    """One page."""

    kind: str
    api_version: str = msgspec.field(name="apiVersion")
    columns: list[Column] = msgspec.field(name="columnDefinitions")
    rows: list[Row] | None = None
    metadata: ListMetadata = ListMetadata()


class TableDecoder:
    """Reads Tables."""

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(Table, float_hook=objects.read_float)

    def decode(self, body: bytes) -> Table:
        """Read a page. Raises Unsure for what is none."""
        try:
            table = self._decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Unsure("no Table") from error
        if table.kind != "Table" or table.api_version not in _VERSIONS or not table.columns:
            raise Unsure("no Table")
        return table
