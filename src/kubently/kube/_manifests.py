"""Manifests as text (YAML, several documents) without the secrets in them.

Every document is read and written anew, so that nothing passes that a client could read otherwise than we did: no
comment, no key that stands twice, no tag. A document that cannot be read is left out with a sentence in its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import yaml

from kubently.kube._patterns import marker

MAX_CHARS = 4 * 1024 * 1024
"""Of all documents of one text together."""

MAX_EVENTS = 700_000
"""Of the parser, in all texts of one release: usual manifests have 160,000 in a megabyte, and take a second for it."""
MAX_DOCUMENT_EVENTS = 200_000
"""Of one document: it is read into objects, which take a third of a kilobyte for a text as short as "1,"."""

MAX_DEPTH = 100

_DOCUMENT = re.compile(r"(?m)^---")
_SOURCE = re.compile(r"(?m)^# Source: [\w./@+-]{1,300}$", re.ASCII)
"""Helm says above each document which template it came from."""

_EXPANSION = 5
"""How much larger than its text a document may become by aliases."""

_TOO_LARGE = f"# {marker('manifests that are too large')}\n"
_UNREADABLE = f"# {marker('a document that cannot be read')}\n"


Redact = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(slots=True)
class Room:
    """How many events of the parser may still be read."""

    events: int = MAX_EVENTS


def redact_manifests(text: str, redact: Redact, room: Room | None = None) -> str:
    """Return *text* with each of its documents as *redact* leaves it; what *room* has no place for is left out."""
    if len(text) > MAX_CHARS:
        return _TOO_LARGE
    documents = filter(None, _redact_documents(text, redact, room or Room()))
    return ("---\n" if text.lstrip().startswith("---") else "") + "---\n".join(documents)


def _redact_documents(text: str, redact: Redact, room: Room) -> Iterator[str]:
    for piece in _DOCUMENT.split(text):
        if room.events <= 0:
            yield _TOO_LARGE
            return
        yield _redact_document(piece, redact, room)


def _redact_document(piece: str, redact: Redact, room: Room) -> str:
    source = _SOURCE.search(piece)
    head = f"{source[0]}\n" if source else ""
    try:
        _check_events(piece, room)
        document = yaml.load(piece, _SafeLoader)  # noqa: S506  # a safe loader
        if document is None:
            return ""
        _Budget(_EXPANSION * (len(piece) + 100)).check(document)
        return head + yaml.dump(redact(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError):
        return head + _UNREADABLE


def _check_events(piece: str, room: Room) -> None:
    """Raise ValueError for a document that would cost too much: to load it takes the square of its depth, for one."""
    depth = 0
    most = min(room.events, MAX_DOCUMENT_EVENTS)
    for count, event in enumerate(yaml.parse(piece, _SafeLoader)):
        room.events -= 1
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH or count >= most:
            raise ValueError("nested too deeply, or too long")


class _Budget:
    """What may still be read, in characters: aliases make small documents huge."""

    def __init__(self, chars: int) -> None:
        self._chars = chars

    def check(self, document: object) -> None:
        """Raise ValueError for what is no mapping of plain values, or too much."""
        if not isinstance(document, dict):
            raise ValueError("no object")
        left: list[object] = [document]
        while left:
            value = left.pop()
            self._spend(value)
            if isinstance(value, dict):
                left += [*value.keys(), *value.values()]
                if not all(isinstance(key, str) for key in value):
                    raise ValueError("a key is no text")
            elif isinstance(value, list):
                left += value
            elif not isinstance(value, str | int | float | date | None):
                raise ValueError(f"no plain value: {type(value).__name__}")

    def _spend(self, value: object) -> None:
        # Before the members of a container are looked at: a list of aliases holds them all.
        self._chars -= 1 + (len(value) if isinstance(value, str | list | dict) else 0)
        if self._chars < 0:
            raise ValueError("too much")


_WIDTH = 1_000_000
"""Lines are not folded."""


class _SafeLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # which one depends on the machine
    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        # Merges of merges multiply while a document is loaded, before anything could be counted.
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise ValueError("keys are merged")
        super().flatten_mapping(node)


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: Any, value: str) -> Any:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
