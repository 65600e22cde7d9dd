"""Read a Dockerfile: the few instructions that ours use, as Docker means them. What is not known is an error."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_KNOWN = frozenset({"RUN", "COPY", "ENV", "WORKDIR", "USER", "EXPOSE", "ENTRYPOINT", "CMD"})
_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a stage; its continued lines are one text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Stage:
    """What comes after one FROM."""

    base: str
    """An image, or another stage."""
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True)
class Copy:
    """A COPY, taken apart."""

    sources: tuple[str, ...]
    target: str
    stage: str
    """Whence; empty: the context."""


def parse(text: str, arguments: Mapping[str, str]) -> dict[str, Stage]:
    """The stages by name. *arguments* are those of --build-arg. Raises ValueError with the instruction."""
    stages: dict[str, Stage] = {}
    known: dict[str, str] = {}
    for name, rest in _instructions(text):
        if name == "ARG" and not stages:
            argument, _, default = rest.partition("=")
            known[argument] = arguments.get(argument, default)
        elif name == "FROM":
            base, _, stage = _substituted(rest, known).partition(" AS ")
            stages[stage or base] = Stage(base, ())
        elif name in _KNOWN and stages:
            last, stage_before = next(reversed(stages.items()))
            stages[last] = Stage(stage_before.base, (*stage_before.instructions, Instruction(name, rest)))
        else:
            raise ValueError(f"not known here: {name} {rest}")
    return stages


def copy(text: str) -> Copy:
    """Take a COPY apart."""
    stage = ""
    words = shlex.split(text)
    if words[0].startswith("--from="):
        stage = words.pop(0).removeprefix("--from=")
    if words[0].startswith("--"):
        raise ValueError(f"not known here: COPY {text}")
    return Copy(tuple(words[:-1]), words[-1], stage)


def pairs(text: str) -> dict[str, str]:
    """The variables of an ENV."""
    return dict(word.split("=", 1) for word in shlex.split(text))


def command(text: str) -> list[str]:
    """The list of an ENTRYPOINT or CMD, which must be one: a shell in between would take the signals."""
    words = json.loads(text)
    if not isinstance(words, list):
        raise ValueError(f"not a list: {text}")
    return words


def ignores(patterns: str, path: str) -> bool:
    """Whether a .dockerignore leaves *path* (of a file) out of the context: the last pattern that matches decides."""
    is_out = False
    for line in patterns.splitlines():
        pattern = line.strip()
        if pattern and not pattern.startswith("#") and re.fullmatch(_expression(pattern.lstrip("!")), path):
            is_out = not pattern.startswith("!")
    return is_out


def _expression(pattern: str) -> str:
    """A pattern also means everything below what it matches."""
    translated = re.escape(pattern).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
    return f"{translated}(?:/.*)?"


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for logical in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if logical.strip():
            name, _, rest = logical.strip().partition(" ")
            yield name.upper(), rest.strip()


def _substituted(text: str, known: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if not known.get(match[1]):
            raise ValueError(f"{match[1]} has no value: --build-arg {match[1]}=...")
        return known[match[1]]

    return _VARIABLE.sub(value, text)
