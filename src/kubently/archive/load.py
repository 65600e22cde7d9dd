"""Reads an archive from a folder, strictly: what cannot be understood is an error that names its file and document.

Nothing in a folder is trusted: symbolic links that lead out of it are refused, files and documents are bounded in
number and size, and YAML may only hold what JSON can say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any

from kubently.archive import catalog, documents, format
from kubently.errors import ConfigError, InvalidRequestError
from kubently.kube import objects
from kubently.schema import ids

MAX_FILES = 20_000
MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_TOTAL_BYTES = 512 * 1024 * 1024


def load(path: Path) -> format.Archive:
    """Read the archive in the folder *path*.

    Raises ConfigError for anything that is missing, unreadable, unknown or too large.
    """
    reader = _Reader(path)
    manifest = _manifest(reader)
    found = _Objects()
    for file in reader.files(format.OBJECTS, depth=2):
        found.add_file(reader, file)
    resources = found.resolve()
    logs = dict(_log(reader, file) for file in reader.files(format.LOGS, depth=3))
    return format.Archive(
        **manifest,
        resources=resources,
        by_type={key: tuple(sorted(items, key=format.sort_key)) for key, items in found.by_type.items()},
        logs=logs,
        resource_version=max((format.resource_version(item) for item in found.all()), default=1),
    )


# ---- files


class _Reader:
    """Bounded reading below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._files = 0
        self._bytes = 0
        if not self._root.is_dir():
            raise ConfigError(f"{root} is not a folder", hint="an archive is a folder with an archive.yaml in it")

    def read(self, file: Path) -> bytes:
        """Return the bytes of a file below the root."""
        self._files += 1
        if self._files > MAX_FILES:
            raise ConfigError(f"{self._root} holds more than {MAX_FILES} files")
        try:
            with self._inside(file).open("rb") as stream:
                content = stream.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
        self._bytes += len(content)
        if len(content) > MAX_FILE_BYTES or self._bytes > MAX_TOTAL_BYTES:
            raise ConfigError(f"{file} is larger than an archive may be")
        return content

    def files(self, folder: str, *, depth: int) -> Iterator[Path]:
        """Yield the files exactly *depth* levels below a folder of the archive; anything else is an error."""
        top = self._root / folder
        if top.is_symlink() or top.exists():
            yield from self._walk(top, depth)

    def manifest(self) -> Path:
        return self._root / format.MANIFEST

    def _walk(self, folder: Path, depth: int) -> Iterator[Path]:
        for entry in sorted(self._inside(folder).iterdir()):
            if entry.name.startswith("."):
                continue
            if self._inside(entry).is_dir() != (depth > 1):
                raise ConfigError(f"{entry} is not where an archive has such an entry")
            if depth == 1:
                yield entry
            else:
                yield from self._walk(entry, depth - 1)

    def _inside(self, path: Path) -> Path:
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise ConfigError(f"{path} cannot be read") from error
        if not target.is_relative_to(self._root):
            raise ConfigError(f"{path} leads out of the archive")
        return target


def _documents(file: Path, content: bytes) -> Iterator[tuple[int, Any]]:
    """Yield (number, document) from 1; empty documents are left out."""
    number = 1
    try:
        for document in documents.parse_yaml(content):
            if document is not None:
                yield number, document
            number += 1
    except ValueError as error:
        raise ConfigError(f"{file}: document {number} is not usable YAML: {error}") from error


# ---- the manifest


def _manifest(reader: _Reader) -> dict[str, Any]:
    """Return the manifest as the first fields of an Archive."""
    file = reader.manifest()
    documents = [document for _, document in _documents(file, reader.read(file))]
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise ConfigError(f"{file} is not one mapping")
    fields = documents[0]
    unknown = sorted(fields.keys() - {"name", "title", "version", "captured_at", "labels"})
    if unknown:
        raise ConfigError(f"{file} has unknown fields: {', '.join(unknown)}")
    version = objects.text(fields, "version")
    if not format.VERSION.fullmatch(version):
        raise ConfigError(f"{file}: version is not like v1.36.3")
    try:
        captured_at = objects.parse_instant(objects.text(fields, "captured_at")).astimezone(UTC)
        name = ids.parse_cluster_id(objects.text(fields, "name"))
    except (ValueError, InvalidRequestError) as error:
        raise ConfigError(f"{file}: {error}") from error
    return {
        "name": str(name),
        "title": objects.text(fields, "title"),
        "version": version,
        "captured_at": captured_at,
        "labels": _labels(file, fields.get("labels", {})),
    }


def _labels(file: Path, labels: object) -> Mapping[str, str]:
    found = objects.string_map({"labels": labels}, "labels")
    if not isinstance(labels, dict) or len(found) != len(labels):
        raise ConfigError(f"{file}: labels is not a mapping of text to text")
    return found


# ---- objects


@dataclass(frozen=True, slots=True)
class _Place:
    """One object's origin, for messages."""

    file: Path
    document: int

    def error(self, what: str) -> ConfigError:
        return ConfigError(f"{self.file}: document {self.document}: {what}")


@dataclass(slots=True)
class _Objects:
    """Collects objects, then checks them against the types that the archive turns out to serve."""

    by_type: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    _places: list[tuple[_Place, tuple[str, str], str, dict[str, Any]]] = field(default_factory=list)
    _seen: set[tuple[tuple[str, str], str]] = field(default_factory=set)

    def all(self) -> Iterator[dict[str, Any]]:
        for items in self.by_type.values():
            yield from items

    def add_file(self, reader: _Reader, file: Path) -> None:
        if file.suffix not in (".yaml", ".yml", ".json"):
            raise ConfigError(f"{file} is not an objects file: its name ends in neither .yaml nor .json")
        plural, _, group = file.stem.partition(".")
        namespace = "" if file.parent.name == format.CLUSTER_SCOPE else file.parent.name
        for number, document in _documents(file, reader.read(file)):
            place = _Place(file, number)
            for item in _members(place, document):
                self._add(place, (group, plural), namespace, item)

    def _add(self, place: _Place, key: tuple[str, str], namespace: str, item: dict[str, Any]) -> None:
        if not format.NAME.fullmatch(objects.name(item)):
            raise place.error("metadata.name is missing or not a name")
        if objects.namespace(item) != namespace:
            raise place.error(
                f"{objects.name(item)} is of the namespace {objects.namespace(item)!r}, not {namespace!r}"
            )
        if (key, format.sort_key(item)) in self._seen:
            raise place.error(f"{objects.name(item)} was there before")
        self._seen.add((key, format.sort_key(item)))
        self.by_type.setdefault(key, []).append(item)
        self._places.append((place, key, namespace, item))

    def resolve(self) -> tuple[catalog.Resource, ...]:
        """Return the types that the archive serves; raises ConfigError for an object of another type."""
        definitions = self.by_type.get(("apiextensions.k8s.io", "customresourcedefinitions"), [])
        custom = [item for definition in definitions for item in catalog.custom_resources(definition)]
        metrics = [item for item in catalog.METRICS if (item.group, item.plural) in self.by_type]
        served = (*catalog.BUILTIN, *catalog.REVIEWS, *metrics, *custom)
        types: dict[tuple[str, str], list[catalog.Resource]] = {}
        for item in served:
            types.setdefault((item.group, item.plural), []).append(item)
        types.pop((catalog.EVENTS_VIEW.group, catalog.EVENTS_VIEW.plural))
        for place, key, namespace, found in self._places:
            _check_type(place, types.get(key, []), namespace, found)
        return served


def _members(place: _Place, document: object) -> Iterator[dict[str, Any]]:
    if not isinstance(document, dict):
        raise place.error("it is not an object")
    if not objects.kind(document).endswith("List") or "items" not in document:
        yield document
        return
    items = document["items"] or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise place.error("items is not a list of objects")
    yield from objects.members(document)


def _check_type(place: _Place, types: list[catalog.Resource], namespace: str, item: objects.KubeObject) -> None:
    if not types:
        raise place.error("no such resource type: neither built in nor defined by an archived CustomResourceDefinition")
    wanted = {(known.api_version, known.kind) for known in types}
    if (objects.text(item, "apiVersion"), objects.kind(item)) not in wanted:
        expected = " or ".join(sorted(f"{kind} in {version}" for version, kind in wanted))
        raise place.error(f"{objects.name(item)} is not a {expected}")
    if types[0].namespaced != bool(namespace):
        raise place.error(f"{types[0].plural} {'need a' if types[0].namespaced else 'have no'} namespace")
    if types[0].qualified == "secrets" and ("data" in item or "stringData" in item):
        raise place.error(f"the Secret {objects.name(item)} carries data, which an archive never holds")


# ---- logs


def _log(reader: _Reader, file: Path) -> tuple[format.LogKey, bytes]:
    if not file.name.endswith(format.LOG_SUFFIX):
        raise ConfigError(f"{file} is not a log: its name does not end in {format.LOG_SUFFIX}")
    previous = file.name.endswith(format.PREVIOUS_LOG_SUFFIX)
    container = file.name.removesuffix(format.PREVIOUS_LOG_SUFFIX if previous else format.LOG_SUFFIX)
    key = format.LogKey(file.parent.parent.name, file.parent.name, container, previous)
    return key, reader.read(file)
