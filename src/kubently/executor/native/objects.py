"""Objects as kubectl prints them with -o name, json and yaml."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from kubently.executor.native import golang
from kubently.executor.native.unsure import Unsure, reading

_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_SAFE_IN_HTML = ((b"&", rb"\u0026"), (b"<", rb"\u003c"), (b">", rb"\u003e"))
_SEPARATORS = (("\u2028".encode(), rb"\u2028"), ("\u2029".encode(), rb"\u2029"))

_MAX_PARTS = 400_000
"""Commas and brackets of one answer: what is read into objects takes time by their number, and nobody else has a turn
meanwhile. In 8 MiB, which is as much as is read here, Pods have some 300,000."""

_FEW_LINES = 2000
_MAX_INDENTS = 32 * 1024 * 1024
"""Bytes: more than kubectl's own answers have, and little enough to be held."""


class Decoder:
    """Reads JSON; a number with a fraction becomes `msgspec.Raw` with the text that Go writes for it."""

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(float_hook=read_float)

    def decode(self, body: bytes) -> Any:
        """Read a body. Raises Unsure for what Go's decoder reads in another way, and for very many parts."""
        if _parts(body) > _MAX_PARTS:
            raise Unsure("an answer of many parts")
        try:
            return self._decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Unsure("no plain JSON") from error

    def decode_objects(self, body: bytes) -> Any:
        """Read a body whose numbers will be printed. Raises Unsure for whole ones that Go rounds."""
        document = self.decode(body)
        with reading():
            if _LONG_NUMBER.search(body) and _holds_long_number(document):
                raise Unsure("a number that Go rounds")
        return document


def _holds_long_number(node: Any) -> bool:
    if isinstance(node, dict):
        return any(map(_holds_long_number, node.values()))
    if isinstance(node, list):
        return any(map(_holds_long_number, node))
    return isinstance(node, int) and not -(2**63) <= node < 2**63


def read_float(text: str) -> Any:
    """Keep the text that Go writes for a number with a fraction."""
    return msgspec.Raw(golang.json_float(float(text)).encode())


def items_of(document: Any) -> list[dict[str, Any]]:
    """The members of a list, each with its kind. Raises Unsure, or what a body of another shape raises."""
    kind, api_version = document["kind"], document["apiVersion"]
    items = document["items"] or []
    for item in items:
        if not item.get("kind") and not item.get("apiVersion"):
            item["kind"], item["apiVersion"] = kind.removesuffix("List"), api_version
    if not kind.endswith("List"):
        raise Unsure("no list of objects")
    return list(map(checked, items))


def checked(item: Any) -> dict[str, Any]:
    """An object that is surely no list and has what objects have. Raises Unsure."""
    if not isinstance(item, dict) or "items" in item or not isinstance(item.get("metadata"), dict):
        raise Unsure("an object of another shape")
    if not all(isinstance(item.get(key), str) and item[key] for key in ("kind", "apiVersion")):
        raise Unsure("an object without a kind")
    return item


def without_managed_fields(items: Iterable[dict[str, Any]]) -> None:
    """Take out what kubectl hides unless it is asked for."""
    for item in items:
        item["metadata"].pop("managedFields", None)


def name_of(item: dict[str, Any]) -> str:
    """ "pod/web-0", "deployment.apps/web"."""
    group = item["apiVersion"].rpartition("/")[0]
    kind = item["kind"].lower()
    name = item["metadata"].get("name")
    if not isinstance(name, str) or not name or "/" in group:
        raise Unsure("an object without a name")
    return f"{kind}.{group}/{name}" if group else f"{kind}/{name}"


def to_json(document: Any) -> bytes:
    """Print as Go's json.MarshalIndent does: four spaces, sorted keys, HTML's characters escaped."""
    return _indented(document) + b"\n"


def list_to_json(items: list[dict[str, Any]]) -> Iterator[bytes]:
    """Print the list of several objects, an object at a time."""
    yield b'{\n    "apiVersion": "v1",\n    "items": ['
    for number, item in enumerate(items):
        yield b",\n        " if number else b"\n        "
        yield _indented(item).replace(b"\n", b"\n        ")  # within a text a line break is escaped
    yield b"\n    ]" if items else b"]"
    yield b',\n    "kind": "List",\n    "metadata": {\n        "resourceVersion": ""\n    }\n}\n'


def _indented(document: Any) -> bytes:
    try:
        compact = msgspec.json.encode(document, order="sorted")
        _check_room(document, compact)
        text = msgspec.json.format(compact, indent=4)
    except (UnicodeEncodeError, msgspec.MsgspecError, RecursionError) as error:
        raise Unsure("text that is not UTF-8") from error
    for plain, escaped in (*_SAFE_IN_HTML, *_SEPARATORS):
        if plain in text:
            text = text.replace(plain, escaped)
    return text


def _check_room(document: Any, compact: bytes) -> None:
    """Raise Unsure where indents would make much of an object: of many levels, and of many lines."""
    lines = _parts(compact)
    if lines > _FEW_LINES and lines * 4 * _depth(document) > _MAX_INDENTS:
        raise Unsure("a large text")


def _parts(body: bytes) -> int:
    return sum(map(body.count, (b",", b"[", b"{")))


def _depth(node: Any) -> int:
    members = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return 1 + max(map(_depth, members), default=0)
