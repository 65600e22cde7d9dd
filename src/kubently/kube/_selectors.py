"""Label selectors (k8s.io/apimachinery/pkg/labels); part of `objects`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kubently.kube._fields import KubeObject, mappings, string_map, strings, text

Operator = Literal["in", "notin", "exists", "!", "gt", "lt"]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on the labels of an object; "notin" also holds where the key is absent."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, object_labels: Mapping[str, str]) -> bool:
        """Say whether labels meet this requirement."""
        value = object_labels.get(self.key)
        match self.operator:
            case "in":
                return value is not None and value in self.values
            case "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case _:
                return value is not None and self._compares(value)

    def _compares(self, value: str) -> bool:
        bound = next(iter(self.values), "")
        if not (_WHOLE.fullmatch(value) and _WHOLE.fullmatch(bound)):
            return False
        return int(value) > int(bound) if self.operator == "gt" else int(value) < int(bound)


_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Selector:
    """Requirements that all must hold; none select everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, object_labels: Mapping[str, str]) -> bool:
        """Say whether labels meet every requirement."""
        return all(item.matches(object_labels) for item in self.requirements)

    @property
    def selects_everything(self) -> bool:
        """Whether there is no requirement at all."""
        return not self.requirements


_EXPRESSION_OPERATORS: Mapping[str, Operator] = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def parse_label_selector(selector: object) -> Selector:
    """Read a metav1.LabelSelector (matchLabels, matchExpressions); an empty one selects everything.

    Raises ValueError if it is not a mapping or holds an unknown operator, or an operator without its values.
    """
    if not isinstance(selector, Mapping):
        raise ValueError("a label selector is a mapping")
    equal = [Requirement(key, "in", frozenset([value])) for key, value in string_map(selector, "matchLabels").items()]
    return Selector((*equal, *map(_parse_expression, mappings(selector, "matchExpressions"))))


def _parse_expression(expression: KubeObject) -> Requirement:
    operator = _EXPRESSION_OPERATORS.get(text(expression, "operator"))
    values = frozenset(strings(expression, "values"))
    if operator is None or (operator in ("in", "notin")) != bool(values):
        raise ValueError(f"{text(expression, 'operator')[:80]!r} with {len(values)} values is not a selector operator")
    return Requirement(text(expression, "key"), operator, values)


def selects(selector: object, object_labels: Mapping[str, str]) -> bool:
    """Say whether a metav1.LabelSelector selects these labels; none, or one that cannot be read, selects nothing."""
    try:
        return parse_label_selector(selector).matches(object_labels)
    except ValueError:
        return False


def map_selects(selector: object, object_labels: Mapping[str, str]) -> bool:
    """Say whether a plain map, as in a Service's spec.selector, selects these labels; an empty map selects nothing."""
    pairs = string_map({"selector": selector}, "selector")
    return bool(pairs) and all(object_labels.get(key) == value for key, value in pairs.items())


_TOKEN = re.compile(r"[ \t\r\n]*(==|!=|[=!<>(),]|[^ \t\r\n=!<>(),]+|$)")


def parse_selector(value: str) -> Selector:
    """Read the text form that kubectl's --selector takes: "env=prod,tier in (a,b),!canary,weight>3".

    Raises ValueError where kubectl would refuse it for its syntax; the characters of keys and values are not checked.
    """
    parser = _SelectorParser(tuple(_tokens(value)))
    return Selector(parser.requirements())


def _tokens(value: str) -> Iterator[str]:
    position = 0
    while position < len(value):
        match = _TOKEN.match(value, position)
        assert match is not None, "the pattern matches at every position"
        position = match.end()
        if match.group(1):
            yield match.group(1)


_COMPARISONS: Mapping[str, Operator] = {"=": "in", "==": "in", "!=": "notin", ">": "gt", "<": "lt"}
_SYMBOLS = frozenset({*_COMPARISONS, "!", "(", ")", ","})


class _SelectorParser:
    """Recursive descent over the tokens of one selector."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = tokens
        self._position = 0

    def requirements(self) -> tuple[Requirement, ...]:
        found: list[Requirement] = []
        while self._peek():
            found.append(self._requirement())
            if not self._peek():
                break
            self._expect(",")
            if not self._peek():
                raise ValueError("a selector ends with a comma")
        return tuple(found)

    def _requirement(self) -> Requirement:
        if self._peek() == "!":
            self._next()
            return Requirement(self._word("a label key"), "!")
        key = self._word("a label key")
        operator = self._peek()
        if operator in ("", ","):
            return Requirement(key, "exists")
        self._next()
        if operator in ("in", "notin"):
            return Requirement(key, "in" if operator == "in" else "notin", self._values())
        if operator in _COMPARISONS:
            return Requirement(key, _COMPARISONS[operator], frozenset([self._value()]))
        raise ValueError(f"{operator[:80]!r} is not a selector operator")

    def _values(self) -> frozenset[str]:
        self._expect("(")
        values = [self._value()]
        while self._peek() == ",":
            self._next()
            values.append(self._value())
        self._expect(")")
        return frozenset(values)

    def _value(self) -> str:
        """Return the next word, or an empty value where the text has none ("env=")."""
        return "" if self._peek() in ("", ",", ")") else self._word("a label value")

    def _word(self, what: str) -> str:
        token = self._next()
        if not token or token in _SYMBOLS:
            raise ValueError(f"{token or 'the end'!r} stands where {what} is expected")
        return token

    def _expect(self, symbol: str) -> None:
        token = self._next()
        if token != symbol:
            raise ValueError(f"{token or 'the end'!r} stands where {symbol!r} is expected")

    def _peek(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._position += 1
        return token
