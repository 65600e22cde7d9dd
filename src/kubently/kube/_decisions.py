"""What becomes of a request, and reading policy documents strictly; part of `policy`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubently.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Allow:
    """The request may be sent."""

    rule: str


@dataclass(frozen=True, slots=True)
class Deny:
    """The request must not be sent."""

    rule: str
    """Slug of the rule that decided."""
    reason: str
    """One sentence without a full stop."""
    hint: str = ""
    """What the person can do instead, or empty."""

    def __str__(self) -> str:
        return f"{self.reason}; {self.hint}" if self.hint else self.reason


Decision = Allow | Deny


# ---- documents

LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
NAME = re.compile(r"[^/%\x00-\x1f\x7f]{1,253}")


def document_of(value: object, what: str, keys: frozenset[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{what} is a {type(value).__name__}, not a mapping")
    if unknown := [key for key in value if key not in keys]:
        raise ConfigError(f"{what} has the unknown key {unknown[0]!r}", hint=f"known are {', '.join(sorted(keys))}")
    return value


def list_of(document: Mapping[str, Any], key: str) -> list[Any]:
    value = document.get(key, [])
    if not isinstance(value, list):
        raise ConfigError(f"{key} is a {type(value).__name__}, not a list")
    return value


def words_of(document: Mapping[str, Any], key: str, pattern: re.Pattern[str]) -> frozenset[str] | None:
    if key not in document:
        return None
    words = list_of(document, key)
    if not words:
        raise ConfigError(f"{key} is empty", hint="leave it out to set no limit")
    for word in words:
        if not (isinstance(word, str) and pattern.fullmatch(word)):
            raise ConfigError(f"{key} has {word!r}, which is none")
    return frozenset(words)
