"""Objects as sigs.k8s.io/yaml prints them: block style, two spaces, keys in go-yaml's order."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from kubently.executor.native import golang, yaml_scalars
from kubently.executor.native.unsure import Unsure

_LETTERS = re.compile(r"[A-Za-z]*")
_DIGIT = re.compile(r"[0-9]")
_MAX_CHECKED = 128
_MAX_DEPTH = 100
_MAX_INDENTS = 16 * 1024 * 1024
"""Characters of indents and keys in one text: a small object of many levels can be a large text."""


def of(document: Mapping[str, Any]) -> str:
    """Print a mapping that is not empty. Raises Unsure."""
    writer = _Writer()
    writer.mapping(document, 0, 0, lead="")
    return writer.take()


def of_list(items: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Print the list that kubectl makes of several objects, an object at a time. Raises Unsure."""
    writer = _Writer()
    yield "apiVersion: v1\nitems:\n" if items else "apiVersion: v1\nitems: []\n"
    for item in items:
        writer.mapping(item, 2, 1, lead="- ")
        yield writer.take()
    yield 'kind: List\nmetadata:\n  resourceVersion: ""\n'


class _Writer:
    """Collects the pieces of a text; most objects of a document have the same keys, which are sorted once."""

    def __init__(self) -> None:
        self._out: list[str] = []
        self._room = _MAX_INDENTS
        self._keys: dict[tuple[str, ...], list[tuple[str, str]]] = {}
        self._texts: dict[str, str] = {}
        """Of those that are written the same wherever they stand: nothing is folded where there is no blank."""

    def take(self) -> str:
        """Give what was written, and begin anew."""
        text = "".join(self._out)
        self._out.clear()
        return text

    def mapping(self, mapping: Mapping[str, Any], indent: int, depth: int, *, lead: str) -> None:
        """Write the entries of a mapping that is not empty; the first begins with *lead* in place of its indent."""
        if depth > _MAX_DEPTH:
            raise Unsure("an object of many levels")
        shape = tuple(mapping)
        keys = self._keys.get(shape)
        if keys is None:
            keys = self._keys[shape] = [(name, f"{yaml_scalars.key(name)}:") for name in sorted_keys(shape)]
        pad = " " * indent
        start = lead or pad
        for name, text in keys:
            node = mapping[name]
            if type(node) is dict and node:
                self._out.append(f"{start}{text}\n")
                self.mapping(node, indent + 2, depth + 1, lead="")
            elif type(node) is list and node:
                self._out.append(f"{start}{text}\n")
                self._sequence(node, indent, depth + 1, lead="")
            else:
                self._leaf(start + text, node, indent + 2)
            start = pad

    def _sequence(self, sequence: Sequence[Any], indent: int, depth: int, *, lead: str) -> None:
        if depth > _MAX_DEPTH:
            raise Unsure("an object of many levels")
        pad = " " * indent
        start = lead or pad
        for node in sequence:
            if type(node) is dict and node:
                self.mapping(node, indent + 2, depth + 1, lead=f"{start}- ")
            elif type(node) is list and node:
                self._sequence(node, indent + 2, depth + 1, lead=f"{start}- ")
            else:
                self._leaf(f"{start}-", node, indent + 2)
            start = pad

    def _leaf(self, start: str, node: Any, indent: int) -> None:
        self._room -= len(start)
        if self._room < 0:
            raise Unsure("a large text")
        text = self._texts.get(node) if type(node) is str else _constant(node)
        if text is None:
            text = yaml_scalars.value(node, len(start) + 1, indent)
            if text.endswith("\n") and text[0] == "|":
                self._out.append(f"{start} {text}")
                return
            if " " not in node and "\n" not in node:
                self._texts[node] = text
        self._out.append(f"{start} {text}\n")


def _constant(node: Any) -> str:
    match node:
        case bool():
            return "true" if node else "false"
        case int():
            return str(node)
        case None:
            return "null"
        case msgspec.Raw():
            return _number(bytes(node).decode())
        case _:
            return "[]" if isinstance(node, list) else "{}"


def _number(text: str) -> str:
    """Write a number with a fraction, of which only the text in JSON is left."""
    if re.fullmatch(r"-?[0-9]+", text) and -(2**63) <= int(text) < 2**64:
        return str(int(text))
    return golang.shortest_float(float(text))


# ---- order of keys


def sorted_keys(names: Iterable[str]) -> list[str]:
    """The keys in go-yaml's order: letters behind other characters, digits as numbers."""
    keys = list(names)
    if all(map(_LETTERS.fullmatch, keys)):
        return sorted(keys)
    if not all(key.isascii() for key in keys) or "<<" in keys:
        raise Unsure("unusual keys")
    ordered = sorted(keys, key=functools.cmp_to_key(_compare))
    if any(map(_DIGIT.search, keys)):
        _check_order(ordered)
    return ordered


def _check_order(ordered: Sequence[str]) -> None:
    """Raise Unsure where the order goes in a circle ("1a", "9b", "10"): go-yaml's result is then one of several."""
    if len(ordered) > _MAX_CHECKED or any(_compare(a, b) > 0 for a, b in itertools.combinations(ordered, 2)):
        raise Unsure("keys without an order")


def _compare(left: str, right: str) -> int:
    for position, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return _compare_from(left, right, position)
    return len(left) - len(right)


def _compare_from(left: str, right: str, position: int) -> int:
    a, b = left[position], right[position]
    if a.isalpha() and b.isalpha():
        return -1 if a < b else 1
    if a.isalpha() or b.isalpha():
        return -1 if b.isalpha() else 1
    # A zero within a number counts as a digit of it, one at its beginning does not.
    prefix = "1" if "0" in (a, b) and _in_number(left[:position]) else ""
    left_digits, right_digits = _digits(left, position), _digits(right, position)
    if max(len(left_digits), len(right_digits)) > 17:
        raise Unsure("a key with a long number")
    left_number, right_number = int(prefix + left_digits or "0"), int(prefix + right_digits or "0")
    if left_number != right_number:
        return -1 if left_number < right_number else 1
    if len(left_digits) != len(right_digits):
        return -1 if len(left_digits) < len(right_digits) else 1
    return -1 if a < b else 1


def _in_number(text: str) -> bool:
    """Whether the digits at the end of a text hold another than zero."""
    return bool(re.search(r"[1-9][0-9]*\Z", text))


def _digits(text: str, position: int) -> str:
    match = re.compile(r"[0-9]*").match(text, position)
    return match[0] if match else ""
