"""Query parameters that may travel to an apiserver, and how their values are spelt; part of `paths`.

Each check returns a value in its canonical spelling and raises ValueError, whose text follows the parameter's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_DURATION = re.compile(r"0|(?:[0-9]{1,10}(?:\.[0-9]{1,9})?(?:ns|us|ms|s|m|h)){1,6}")
_VERSION = re.compile(r"[0-9A-Za-z_.:-]{0,256}")
_HASH = re.compile(r"[0-9A-Za-z]{1,256}")
_WHOLE = re.compile(r"-?[0-9]{1,19}")


def _number(value: str) -> str:
    """Accept what fits into 64 bits: of a list with any other the apiserver forgets the name that it is about."""
    if not (_WHOLE.fullmatch(value) and -(2**63) <= int(value) < 2**63):
        raise ValueError("is not a number")
    return value


def _boolean(value: str) -> str:
    """Accept what clients send for a boolean; the apiserver would take any other word for true."""
    match value.lower():
        case "true" | "1":
            return "true"
        case "false" | "0":
            return "false"
        case _:
            raise ValueError("is neither true nor false")


def _presence(value: str) -> str:
    return _boolean(value) if value else "true"


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("has control characters")
    return value


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"is not {what}")
        return value

    return check


def _one_of(*choices: str) -> Callable[[str], str]:
    return _matching(re.compile("|".join(choices)), "one of " + ", ".join(choice or '""' for choice in choices))


Parameters = Mapping[str, Callable[[str], str]]

COMMON: Parameters = {"timeout": _matching(_DURATION, "a duration"), "pretty": _boolean}
GET: Parameters = {
    **COMMON,
    "resourceVersion": _matching(_VERSION, "a resource version"),
    "includeObject": _one_of("None", "Metadata", "Object"),
}
LIST: Parameters = {
    **GET,
    "labelSelector": _printable,
    "fieldSelector": _printable,
    "limit": _number,
    "continue": _printable,
    "resourceVersionMatch": _one_of("", "Exact", "NotOlderThan"),
    "timeoutSeconds": _number,
    "watch": _boolean,
    "allowWatchBookmarks": _boolean,
    "sendInitialEvents": _boolean,
}
LOG: Parameters = {
    **COMMON,
    "container": _printable,
    "follow": _boolean,
    "previous": _boolean,
    "sinceSeconds": _number,
    "sinceTime": _printable,
    "timestamps": _boolean,
    "tailLines": _number,
    "limitBytes": _number,
    "stream": _one_of("All", "Stdout", "Stderr"),
}
DISCOVERY: Parameters = {**COMMON, "hash": _matching(_HASH, "a hash")}
HEALTH: Parameters = {**COMMON, "verbose": _presence}
