"""Reading parts of objects by path; part of `objects`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KubeObject = Mapping[str, Any]
"""A Kubernetes object, or a part of one, as the JSON parser made it."""


def at(obj: object, *path: str | int) -> Any:
    """Return the value at *path* (keys of mappings, indexes of lists), or None if any step is missing."""
    for step in path:
        # A million times in a diagnosis: to ask an abstract class takes four times as long as to know a dict.
        if type(step) is str:
            if type(obj) is not dict and not isinstance(obj, Mapping):
                return None
            obj = obj.get(step)
        elif isinstance(obj, list) and isinstance(step, int) and -len(obj) <= step < len(obj):
            obj = obj[step]
        else:
            return None
    return obj


def text(obj: object, *path: str | int, default: str = "") -> str:
    """Return the string at *path*, or *default* if there is none."""
    value = at(obj, *path)
    return value if isinstance(value, str) else default


def integer(obj: object, *path: str | int, default: int = 0) -> int:
    """Return the whole number at *path*, or *default* if there is none (booleans and fractions are none)."""
    value = at(obj, *path)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def flag(obj: object, *path: str | int, default: bool = False) -> bool:
    """Return the boolean at *path*, or *default* if there is none."""
    value = at(obj, *path)
    return value if isinstance(value, bool) else default


def mapping(obj: object, *path: str | int) -> KubeObject:
    """Return the mapping at *path*, or an empty one."""
    value = at(obj, *path)
    return value if type(value) is dict or isinstance(value, Mapping) else {}


def mappings(obj: object, *path: str | int) -> list[KubeObject]:
    """Return the mappings in the list at *path*; members of other types are left out."""
    value = at(obj, *path)
    if not isinstance(value, list):
        return []
    return [item for item in value if type(item) is dict or isinstance(item, Mapping)]


def strings(obj: object, *path: str | int) -> list[str]:
    """Return the strings in the list at *path*; members of other types are left out."""
    value = at(obj, *path)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def string_map(obj: object, *path: str | int) -> dict[str, str]:
    """Return the string-to-string pairs of the mapping at *path*; others are left out."""
    pairs = mapping(obj, *path).items()
    return {key: value for key, value in pairs if isinstance(key, str) and isinstance(value, str)}
