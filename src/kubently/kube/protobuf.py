"""Reads the self reviews that kubectl posts as Protobuf: only their text fields, only the ones that count.

The envelope and the field numbers are those of k8s.io/apimachinery's runtime.Unknown and
k8s.io/api/authorization/v1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\0"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_Shape = Mapping[int, tuple[str, "_Shape | None"]]
_RESOURCE: _Shape = {
    1: ("namespace", None),
    2: ("verb", None),
    3: ("group", None),
    4: ("version", None),
    5: ("resource", None),
    6: ("subresource", None),
    7: ("name", None),
}
_NON_RESOURCE: _Shape = {1: ("path", None), 2: ("verb", None)}
_ACCESS: _Shape = {2: ("spec", {1: ("resourceAttributes", _RESOURCE), 2: ("nonResourceAttributes", _NON_RESOURCE)})}
_RULES: _Shape = {2: ("spec", {1: ("namespace", None)})}
_SHAPES: Mapping[str, _Shape] = {"SelfSubjectAccessReview": _ACCESS, "SelfSubjectRulesReview": _RULES}
_ENVELOPE: _Shape = {1: ("typeMeta", {1: ("apiVersion", None), 2: ("kind", None)})}


def decode_review(body: bytes) -> dict[str, Any]:
    """Return a review as its JSON would be read.

    Raises ValueError if *body* is not an object in Kubernetes' Protobuf envelope.
    """
    if not body.startswith(_MAGIC):
        raise ValueError("it does not begin as Kubernetes' Protobuf does")
    envelope = body[len(_MAGIC) :]
    kinds = _decode(envelope, _ENVELOPE).get("typeMeta", {})
    raw = next((value for number, value in _fields(envelope) if number == 2), b"")
    return {**kinds, **_decode(raw, _SHAPES.get(kinds.get("kind", ""), {}))}


def _decode(content: bytes, shape: _Shape) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in _fields(content):
        if number in shape:
            name, inner = shape[number]
            found[name] = value.decode() if inner is None else _decode(value, inner)
    return found


def _fields(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the length-delimited fields of a message and skip the others."""
    position = 0
    while position < len(content):
        key, position = _varint(content, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            _, position = _varint(content, position)
        elif wire_type in (_FIXED64, _FIXED32):
            position += 8 if wire_type == _FIXED64 else 4
        elif wire_type == _BYTES:
            length, position = _varint(content, position)
            if length > len(content) - position:
                raise ValueError("a field is longer than the message")
            yield number, content[position : position + length]
            position += length
        else:
            raise ValueError(f"wire type {wire_type} is not known")


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """Return a number and the position behind it."""
    value = 0
    for count in range(10):
        if position + count >= len(content):
            raise ValueError("a number is cut off")
        byte = content[position + count]
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, position + count + 1
    raise ValueError("a number is too long")
