"""Custom resources as rows: the additionalPrinterColumns of their CustomResourceDefinition.

The paths are the simple JSONPath that definitions may use: fields, indexes, wildcards and filters for equality.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from kubently.archive import catalog, cells
from kubently.archive.cells import NAME, Cell, Column, Layout
from kubently.kube import objects

_STEP = re.compile(
    r"""\.(?P<field>[A-Za-z0-9_\-/$]+(?:\\\.[A-Za-z0-9_\-/$]+)*)"""
    r"""|\[\s*(?P<quote>['"])(?P<quoted>.*?)(?P=quote)\s*\]"""
    r"""|\[(?P<index>-?[0-9]{1,6})\]"""
    r"""|(?P<all>\[\*\]|\.\*)"""
    r"""|\[\?\(@\.(?P<key>[A-Za-z0-9_.\-]+)\s*==\s*(?P<filterquote>['"])(?P<wanted>.*?)(?P=filterquote)\)\]"""
)


def layout(resource: catalog.Resource) -> Layout:
    """Return how a custom resource becomes rows; without columns of its own it shows its age."""
    specified = resource.printer_columns
    if not specified:
        return Layout(
            resource.group,
            resource.plural,
            (NAME, Column("Age", "date")),
            lambda item, now: [objects.name(item), cells.age(item, now)],
        )
    columns = tuple(
        Column(
            objects.text(item, "name"),
            objects.text(item, "type") or "string",
            objects.text(item, "format"),
            wide=objects.integer(item, "priority") > 0,
        )
        for item in specified
    )
    paths = tuple(objects.text(item, "jsonPath") for item in specified)

    def printer(item: objects.KubeObject, now: datetime) -> list[Cell]:
        values = (next(evaluate(item, path), None) for path in paths)
        return [
            objects.name(item),
            *(_cell(column.type, value, now) for column, value in zip(columns, values, strict=True)),
        ]

    return Layout(resource.group, resource.plural, (NAME, *columns), printer)


def evaluate(item: object, path: str) -> Iterator[Any]:
    """Yield what a JSONPath names in an object; a path that cannot be read names nothing."""
    match = _STEP.match(path)
    if match is None:
        if path in ("", "."):
            yield item
        return
    rest = path[match.end() :]
    for value in _step(item, match):
        yield from evaluate(value, rest)


def _step(item: object, match: re.Match[str]) -> Iterator[Any]:
    found = match.groupdict()
    if found["all"]:
        yield from item.values() if isinstance(item, Mapping) else item if isinstance(item, list) else ()
    elif found["key"]:
        keys = found["key"].split(".")
        yield from (value for value in objects.mappings({"": item}, "") if objects.at(value, *keys) == found["wanted"])
    elif found["index"]:
        index = int(found["index"])
        if isinstance(item, list) and -len(item) <= index < len(item):
            yield item[index]
    else:
        name = (found["field"] if found["quoted"] is None else found["quoted"]).replace("\\.", ".")
        if isinstance(item, Mapping) and name in item:
            yield item[name]


def _cell(column_type: str, value: object, now: datetime) -> Cell:
    if value is None:
        return None
    if column_type == "string":
        return value if isinstance(value, str) else _text(value)
    if column_type == "boolean":
        return value if isinstance(value, bool) else None
    if column_type == "date":
        return _date(value, now)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if column_type == "integer" else float(value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _date(value: object, now: datetime) -> Cell:
    if not isinstance(value, str):
        return None
    try:
        return cells.since(objects.parse_instant(value), now)
    except ValueError:
        return "<invalid>"
