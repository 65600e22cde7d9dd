"""How an archive says that a list is not the whole list, and how a reader hears it.

The answer is a 200 with what there is; a Warning field (RFC 9111 section 5.5, the way in which API servers warn) says
what is missing. kubectl prints its text. `heard` is for programs that must not take absence for proof.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_AGENT = "kubently-archive"
_NAMESPACES = "; whole are only the namespaces "
MAX_NAMES = 8 * 1024
"""Bytes of names in one field; what is over is not named, and so counts as missing."""

_FIELD = re.compile(rf'299 {_AGENT} "((?:[^"\\]|\\["\\])*)"')
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Partial:
    """A list that lacks something."""

    words: str
    """What is missing, for a person."""
    namespaces: frozenset[str] = frozenset()
    """The namespaces of which everything is there."""


def warning(partial: Partial) -> str:
    """Return the Warning field's value."""
    names = _fitting(sorted(partial.namespaces))
    text = partial.words + (_NAMESPACES + ", ".join(names) if names else "")
    plain = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 {_AGENT} "{escaped}"'


def heard(values: Iterable[str]) -> Partial | None:
    """Return what the Warning fields of an answer say of a missing part; None if they say nothing of it."""
    found = [match[1] for value in values for match in _FIELD.finditer(value)]
    if not found:
        return None
    words, _, names = re.sub(r"\\(.)", r"\1", found[0]).partition(_NAMESPACES)
    return Partial(words, frozenset(name for name in names.split(", ") if _NAME.fullmatch(name)))


def _fitting(names: list[str]) -> list[str]:
    room, kept = MAX_NAMES, []
    for name in names:
        room -= len(name) + 2
        if room < 0 or not _NAME.fullmatch(name):
            continue
        kept.append(name)
    return kept
