"""Documents that other people wrote, as JSON or YAML: bounded, and only what JSON can say.

A document that passes can be sent to any client: its text is valid Unicode, its numbers fit into 64 bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import yaml

# YAML aliases let a small file stand for a huge tree; what counts is what has to be walked and sent.
MAX_VALUES = 4_000_000
"""Values in one file."""
MAX_DEPTH = 100
_LARGEST = 2**63


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the C class has no stubs
    """The safe loader without instants: an unquoted timestamp stays text, as in JSON."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse_yaml(content: bytes) -> Iterator[Any]:
    """Yield the documents of a YAML file, None for an empty one. Raises ValueError."""
    budget = _Budget(MAX_VALUES)
    try:
        for document in yaml.load_all(content, Loader=_Loader):
            budget.check(document)
            yield document
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())[:300]) from error


def parse_json(content: bytes) -> Any:
    """Return the document of a JSON file. Raises ValueError."""
    try:
        document = msgspec.json.decode(content)
    except RecursionError as error:
        raise ValueError("it is too deeply nested") from error
    _Budget(MAX_VALUES).check(document)
    return document


@dataclass(slots=True)
class _Budget:
    """Refuses what JSON cannot hold, and more values than a file may stand for."""

    left: int

    def check(self, value: object, depth: int = 0) -> None:
        self.left -= 1
        if self.left < 0 or depth > MAX_DEPTH:
            raise ValueError("it holds too many or too deeply nested values")
        if isinstance(value, dict):
            for key, member in value.items():
                if not isinstance(key, str):
                    raise ValueError(f"the key {key!r} is not text")
                key.encode()
                self.check(member, depth + 1)
        elif isinstance(value, list):
            for member in value:
                self.check(member, depth + 1)
        else:
            _check_plain(value)


def _check_plain(value: object) -> None:
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, int):
        if not -_LARGEST <= value < _LARGEST:
            raise ValueError("it holds a number of more than 64 bits")
    elif not (value is None or isinstance(value, float)):
        raise ValueError(f"a {type(value).__name__} is not JSON")
