"""Patterns of the operator: what else is taken out of text, besides what `_text` knows.

They are RE2, so that no pattern and no line can make the search slow: RE2 reads a text once, whatever it holds. It has
no look-around and no back references; such a pattern is refused when the policy is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import re2

from kubently.errors import ConfigError
from kubently.kube._decisions import LABEL, document_of, list_of

MAX_PATTERNS = 32
MAX_PATTERN_CHARS = 1000
MAX_REPLACEMENT_CHARS = 200
_MAX_MEMORY = 2 * 1024 * 1024
"""Bytes for one compiled pattern and for what RE2 keeps while it searches; RE2's own default is 8 MiB."""


def marker(why: str) -> str:
    """Return the text that stands in the place of what was taken out."""
    return f"[redacted by Kubently: {why}]"


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern: its first group is taken out where it took part in the match, else all that matched.

    Raises ConfigError when RE2 cannot read it or when it matches the empty text.
    """

    name: str
    pattern: str
    replace: str = ""
    """What stands in its place, as it is; empty: a marker with the name."""
    _search: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_search", _compiled(self.name, self.pattern))

    def apply(self, line: bytes) -> bytes:
        """Return a line of UTF-8 without what this pattern finds."""
        out: list[bytes] = []
        done = 0
        for start, end in self._spans(line):
            if start >= done:
                out += (line[done:start], (self.replace or marker(self.name)).encode())
                done = end
        return b"".join([*out, line[done:]]) if out else line

    def _spans(self, line: bytes) -> Iterator[tuple[int, int]]:
        for match in self._search.finditer(line):
            start, end = match.span(1) if self._search.groups else match.span()
            if start < 0:
                start, end = match.span()
            if start < end:
                yield start, end


@dataclass(frozen=True, slots=True)
class Patterns:
    """All patterns of a policy, in its order; without any it is false."""

    patterns: tuple[Pattern, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def apply(self, line: bytes) -> bytes:
        """Return a line (without its end) without what the patterns find.

        RE2 does not look into bytes that are not UTF-8: in such a line they are replaced where something was found.
        """
        readable = line if line.isascii() else line.decode("utf-8", "replace").encode()
        out = readable
        for pattern in self.patterns:
            out = pattern.apply(out)
        return line if out == readable else out

    def apply_to_lines(self, data: bytes) -> bytes:
        """Apply the patterns to each line of *data*, as if it came alone."""
        if not self.patterns:
            return data
        return b"".join(self._apply_before_end(line) for line in data.splitlines(keepends=True))

    def _apply_before_end(self, line: bytes) -> bytes:
        body = line.rstrip(b"\r\n")
        return self.apply(body) + line[len(body) :]

    @classmethod
    def from_json(cls, value: object) -> Patterns:
        """Read ``redact`` of a policy document. Raises ConfigError for anything unknown or unreadable."""
        items = list_of(document_of(value, "redact", frozenset({"patterns"})), "patterns")
        if len(items) > MAX_PATTERNS:
            raise ConfigError(f"redact has {len(items)} patterns", hint=f"{MAX_PATTERNS} are the most")
        patterns = tuple(_pattern(item, f"redact.patterns[{index}]") for index, item in enumerate(items))
        if twice := _first_repeated(pattern.name for pattern in patterns):
            raise ConfigError(f"redact has two patterns of the name {twice!r}")
        return cls(patterns)


NO_PATTERNS = Patterns()


def _compiled(name: str, pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    try:
        compiled = re2.compile(pattern.encode(), options)
    except (re2.error, UnicodeEncodeError) as error:
        hint = "patterns are RE2, see https://github.com/google/re2/wiki/Syntax"
        raise ConfigError(f"the pattern {name!r} cannot be read: {_reason(error)}", hint=hint) from error
    if compiled.search(b"") is not None:
        raise ConfigError(f"the pattern {name!r} matches the empty text", hint="it would match everywhere")
    return compiled


def _reason(error: Exception) -> str:
    said = error.args[0] if error.args else error
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)


def _pattern(value: object, where: str) -> Pattern:
    document = document_of(value, where, frozenset({"name", "pattern", "replace"}))
    name, pattern, replace = document.get("name"), document.get("pattern"), document.get("replace", "")
    if not (isinstance(name, str) and LABEL.fullmatch(name)):
        raise ConfigError(f"{where} needs a name of a-z, 0-9 and '-'")
    if not (isinstance(pattern, str) and 0 < len(pattern) <= MAX_PATTERN_CHARS):
        raise ConfigError(f"{where} needs a pattern of at most {MAX_PATTERN_CHARS} characters")
    if not (isinstance(replace, str) and len(replace) <= MAX_REPLACEMENT_CHARS and replace.isprintable()):
        raise ConfigError(f"{where} has a replace that is no line of at most {MAX_REPLACEMENT_CHARS} characters")
    return Pattern(name, pattern, replace)


def _first_repeated(names: Iterable[str]) -> str:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return ""
