"""What a layout's reader finds: the form between somebody else's files and an archive.

A reader says of each file what it claims to hold; what of that can be served is decided in `build`, once for all
layouts. It also says what was collected in full, so that an object that is not there can be told from one that
nobody looked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from kubently.archive import catalog, documents, format
from kubently.archive.foreign.source import Source
from kubently.kube import objects

Key = tuple[str, str]
"""(group, plural) of a resource type."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One object, as a file gives it."""

    key: Key
    item: dict[str, Any]
    file: str
    namespace: str | None
    """The namespace of which the file is, empty for none; None if the layout does not say it."""


@dataclass(frozen=True, slots=True)
class Collection:
    """What a file holds: the members of a list, or one object."""

    kind: str
    """As the file says: "PodList", "Pod", or empty for a bare array."""
    items: list[Any]
    is_broken: bool = False
    """Whether a part of the file could not be read."""

    @property
    def is_whole(self) -> bool:
        """Whether these are all that were asked for: the members of a list, not single objects."""
        return not self.is_broken and (not self.kind or self.kind.endswith("List"))


@dataclass(slots=True)
class Picture:
    """One cluster, as somebody else's files show it."""

    layout: str
    """Such as "support bundle"."""
    source: Source
    claims: list[Claim] = field(default_factory=list)
    logs: dict[format.LogKey, bytes] = field(default_factory=dict)
    whole: set[Key] = field(default_factory=set)
    """Types of which every object in the cluster was collected."""
    whole_in: dict[Key, set[str]] = field(default_factory=dict)
    """Types of which every object of some namespaces was collected."""
    lacking: set[Key] = field(default_factory=set)
    """Types of which a file with a single object could not be read."""
    namespaces: set[str] = field(default_factory=set)
    """The namespaces that there are, as far as the archive tells."""
    knows_namespaces: bool = False
    """Whether there are no others."""
    types: list[catalog.Resource] = field(default_factory=list)
    """Types that the cluster's discovery listed; none if it was not collected."""
    captured_at: datetime | None = None
    version: str = ""

    def add(self, key: Key, file: str, items: Iterable[object], *, namespace: str | None = None) -> None:
        """Claim objects; None in *namespace* takes them from wherever they say they are."""
        for item in items:
            if isinstance(item, dict):
                self.claims.append(Claim(key, item, file, namespace))
            else:
                self.source.left_out.add(file, "a member of its list is not an object")

    def hold(self, key: Key, namespace: str = "") -> None:
        """Say that every object of a type was collected, in a namespace or in the whole cluster."""
        if namespace:
            self.whole_in.setdefault(key, set()).add(namespace)
        else:
            self.whole.add(key)

    def documents(self, file: str) -> Iterator[Any]:
        """Yield what a file holds; one that cannot be read is left out."""
        content = self.source.read(file)
        if content is None:
            return
        try:
            if file.endswith(".json"):
                yield documents.parse_json(content)
            else:
                yield from (item for item in documents.parse_yaml(content) if item is not None)
        except ValueError as error:
            self.source.left_out.add(file, str(error))

    def collection(self, file: str) -> Collection | None:
        """Return the objects of a file: the members of a list, with a kind or bare, or one object.

        None if it cannot be read, or holds nothing of the sort.
        """
        found: Collection | None = None
        before = self.source.left_out.count
        for document in self.documents(file):
            part = _collection(document)
            if part is None:
                self.source.left_out.add(file, "it holds neither an object nor a list of objects")
            elif found is None:
                found = part
            else:
                found.items.extend(part.items)
        is_broken = self.source.left_out.count > before
        return replace(found, is_broken=True) if found and is_broken else found

    def take(self, key: Key, file: str, namespace: str | None = None) -> Collection | None:
        """Claim what a file holds of one type."""
        found = self.collection(file)
        if found is not None:
            self.add(key, file, found.items, namespace=namespace)
        return found


def _collection(document: object) -> Collection | None:
    # Go writes a list of nothing as null.
    if document is None or isinstance(document, list):
        return Collection("", document or [])
    if not isinstance(document, dict):
        return None
    kind = objects.kind(document)
    if "items" not in document or not (kind.endswith("List") or not kind):
        return Collection(kind, [document])
    items = document["items"] or []
    if not isinstance(items, list):
        return None
    defaults = {"apiVersion": objects.text(document, "apiVersion"), "kind": kind.removesuffix("List")}
    if kind in ("", "List"):
        return Collection(kind, items)
    return Collection(kind, [{**defaults, **item} if isinstance(item, dict) else item for item in items])
