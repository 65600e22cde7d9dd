"""Which resource a word of the command line means, by the server's own discovery and by kubectl's rules.

kubectl reads the word as a short name, as a plural or singular, and decides by priority where several groups or
versions serve it: the core group first, then groups in the server's order, in each the preferred version first. What
those rules leave open, or answer with a warning, raises Unsure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubently.executor.native.unsure import Unsure, reading


class UnknownResource(Unsure):
    """The type is not known; it may be new."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource type in one version of its group."""

    group: str
    version: str
    plural: str
    kind: str
    is_namespaced: bool

    @property
    def root(self) -> str:
        """The path of its group and version."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def api_version(self) -> str:
        """As objects say it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_kind(self) -> str:
        """ "Pod", "Deployment.apps"."""
        return f"{self.kind}.{self.group}" if self.group else self.kind


@dataclass(frozen=True, slots=True)
class _Version:
    """What discovery says of one version of a group."""

    group: str
    version: str
    kinds: dict[str, str] = field(default_factory=dict)
    """By plural and singular."""
    resources: dict[str, Resource] = field(default_factory=dict)
    """By kind: of several resources of one kind the last counts, as for kubectl."""
    words: set[str] = field(default_factory=set)
    """Plurals and singulars as they stand in discovery; an empty singular too."""
    short_names: list[tuple[str, str]] = field(default_factory=list)
    """Short name and plural."""
    categories: list[tuple[str, str]] = field(default_factory=list)
    """Category and plural."""


@dataclass(frozen=True, slots=True)
class _Word:
    """A type as it was written: "deploy", "deployments.apps", "deployments.v1.apps"."""

    resource: str
    group: str = ""
    version: str = ""


class ResourceTable:
    """All resources of one cluster."""

    def __init__(self, versions: Sequence[_Version]) -> None:
        self._versions = versions

    def find(self, text: str) -> Resource:
        """The resource that kubectl takes *text* for. Raises Unsure, also where there is none."""
        for word in _readings(text):
            if found := self._kind_for(self._expand(word)):
                version, kind = found
                return version.resources[kind]
        raise UnknownResource(f"no resource {text[:80]!r}")

    def expand_category(self, text: str) -> str:
        """The types of a category, or *text* where it is none."""
        found = [
            f"{plural}.{version.group}" if version.group else plural
            for version in self._versions
            for category, plural in version.categories
            if category == text
        ]
        return ",".join(found) if found else text

    def serves(self, api_version: str, kind: str) -> bool:
        """Whether objects of this kind are known."""
        return any(
            kind in version.resources and version.resources[kind].api_version == api_version
            for version in self._versions
        )

    def _expand(self, word: _Word) -> _Word:
        """Put the long name for a short one; it loses the version, as with kubectl."""
        if any(word.resource in v.words for v in self._versions if word.group in ("", v.group)):
            return word
        matching = {
            (version.group, plural)
            for version in self._versions
            for short, plural in version.short_names
            if short == word.resource and word.group in ("", version.group)
        }
        if len(matching) > 1:
            raise Unsure("kubectl warns of an ambiguous short name")
        if matching:
            group, plural = matching.pop()
            return _Word(plural, group)
        if word.group and any(short == word.resource for v in self._versions for short, _ in v.short_names):
            raise Unsure("a short name, perhaps with the beginning of a group")
        return word

    def _kind_for(self, word: _Word) -> tuple[_Version, str] | None:
        resource = word.resource.lower()
        if resource.endswith(("list", "lists")):
            raise Unsure("kubectl guesses types for lists")
        if word.group and not word.version and any(_is_longer(v.group, word.group) for v in self._serving(resource)):
            raise Unsure("another group begins with that one, and kubectl counts it too")
        chosen = next((v for v in self._serving(resource) if _matches(word, v)), None)
        return (chosen, chosen.kinds[resource]) if chosen else None

    def _serving(self, resource: str) -> Iterator[_Version]:
        return (version for version in self._versions if resource in version.kinds)


def _is_longer(group: str, beginning: str) -> bool:
    return group != beginning and group.startswith(beginning)


def _matches(word: _Word, version: _Version) -> bool:
    if word.group and word.version:
        return (word.group, word.version) == (version.group, version.version)
    if word.version:
        return word.version == version.version
    return word.group in ("", version.group)


def _readings(text: str) -> Iterator[_Word]:
    """Read "a.b.c" as a in version b of group c first, then as a in group b.c."""
    resource, _, rest = text.partition(".")
    if "." in rest:
        version, _, group = rest.partition(".")
        yield _Word(resource, group, version)
    yield _Word(resource, rest)


def parse_discovery(*documents: Any) -> ResourceTable:
    """Read aggregated discovery documents, that of the core group first.

    Raises Unsure for another form and for stale parts, which kubectl looks up in other ways.
    """
    versions: list[_Version] = []
    with reading():
        for document in documents:
            if document["kind"] != "APIGroupDiscoveryList":
                raise Unsure("no aggregated discovery")
            for group in document["items"]:
                versions += [_version(group["metadata"].get("name", ""), entry) for entry in group["versions"]]
    return ResourceTable(versions)


def _version(group: str, entry: Mapping[str, Any]) -> _Version:
    if entry.get("freshness") == "Stale":
        raise Unsure("stale discovery")
    version = _Version(group, entry["version"])
    for item in entry.get("resources", ()):
        if kind := (item.get("responseKind") or {}).get("kind"):
            _add(version, item, kind)
    return version


def _add(version: _Version, item: Mapping[str, Any], kind: str) -> None:
    plural, singular = item["resource"], item.get("singularResource", "")
    version.words.update((plural, singular))
    for name in (singular or kind.lower(), plural):
        version.kinds[name] = kind
    namespaced = item["scope"] == "Namespaced"
    version.resources[kind] = Resource(version.group, version.version, plural, kind, namespaced)
    version.short_names.extend((short, plural) for short in item.get("shortNames", ()))
    version.categories.extend((category, plural) for category in item.get("categories", ()))
