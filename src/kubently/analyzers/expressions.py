"""Expressions of declared analyzers in the Common Expression Language (CEL), with what one of them may take.

CEL always ends, but a comprehension within a comprehension goes through every pair, and while the library evaluates, no
other thread of the process runs. So the steps of an evaluation are bounded before it begins, from above: the largest
collection that it may see, to the power of the comprehensions that stand within one another.
Specification: github.com/google/cel-spec.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import cel

from kubently.analyzers.base import clean
from kubently.errors import ConfigError
from kubently.kube import objects

VARIABLES = frozenset({"object", "pods", "events", "now", "age"})
MOST_STEPS = 1_000_000
"""Of one evaluation: half a second on one core of a small machine (measured: 0.4 to 0.5 microseconds a step)."""

_MACRO = re.compile(r"\.(?:all|exists|exists_one|map|filter)\(\s*([A-Za-z_][A-Za-z0-9_]*)\s*,")
_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_LIST = re.compile(r"\[[^\[\]]*\]")
Value = Mapping[str, object] | Sequence[object] | datetime | timedelta | None


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression."""

    program: Any
    variables: frozenset[str]
    depth: int
    """How many comprehensions stand within one another."""
    factor: int
    """No list that the expression writes or joins is longer than this many times the largest that it sees."""

    @classmethod
    def of(cls, text: str, where: str) -> Expression:
        """Compile *text*. Raises ConfigError that begins with *where*."""
        bare = _STRING.sub("''", text)
        try:
            program = cel.compile(text)
            variables = frozenset(program.variables()) - set(_MACRO.findall(bare))
        except ValueError as error:
            raise ConfigError(f"{where}: {clean(str(error), limit=400)}", hint="it is no CEL expression") from None
        unknown = sorted(variables - VARIABLES)
        if unknown:
            raise ConfigError(
                f"{where}: {unknown[0]} is not known in {clean(text, limit=100)}",
                hint=f"an expression sees {', '.join(sorted(VARIABLES))}",
            )
        written = max((text.count(",") + 1 for text in _LIST.findall(bare)), default=1)
        return cls(program, variables, _depth(bare), written + bare.count("+"))

    def steps(self, largest: int) -> int:
        """At most so many steps does it take where no collection that it sees has more than *largest* members."""
        return int((max(largest, 1) * self.factor) ** self.depth)

    def evaluate(self, context: Mapping[str, Value]) -> Any:
        """Evaluate it. Raises whatever CEL makes of values of any shape."""
        functions = {"quantity": _quantity, "string_of": words}
        return self.program.execute(cel.Context(variables=dict(context), functions=functions))


def largest(value: object) -> int:
    """Members of the largest collection in *value*, itself among them."""
    inner: Sequence[object]
    if isinstance(value, Mapping):
        inner = list(value.values())
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        inner = value
    else:
        return 0
    return max(len(inner), max(map(largest, inner), default=0))


def words(value: object) -> str:
    """Write a value as a person would."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {words(inner)}" for key, inner in value.items())
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return ", ".join(map(words, value))
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _depth(bare: str) -> int:
    """The largest number of comprehensions around one place of an expression without strings."""
    macros = {match.start() + match[0].index("(") for match in _MACRO.finditer(bare)}
    around: list[bool] = []
    deepest = 0
    for place, character in enumerate(bare):
        if character == "(":
            around.append(place in macros)
            deepest = max(deepest, sum(around))
        elif character == ")" and around:
            around.pop()
    return deepest


def _quantity(text: object) -> float:
    amount = objects.quantity({"amount": text}, "amount")
    if amount is None:
        raise ValueError(f"{str(text)[:50]!r} is no quantity")
    return float(amount)
