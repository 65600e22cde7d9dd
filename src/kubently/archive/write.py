"""Writes an archive's folder. What `load` would refuse is not written: Secrets' data, names that are no file names."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from kubently.archive import format
from kubently.archive.catalog import Resource
from kubently.errors import ConfigError
from kubently.kube import objects

_SECRET_FIELDS = ("data", "stringData")


class Writer:
    """One archive in the making, beside its place; `finish` puts it there. Use as a context manager."""

    def __init__(self, folder: Path) -> None:
        if folder.exists():
            raise ConfigError(f"{folder} is there already", hint="give a folder that does not exist yet")
        self._folder = folder
        self.objects = 0
        self.logs = 0

    def __enter__(self) -> Writer:
        try:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            self._work = tempfile.TemporaryDirectory(dir=self._folder.parent, prefix=f".{self._folder.name}-")
        except OSError as error:
            raise ConfigError(f"{self._folder} cannot be written: {error.strerror}") from error
        self._made = Path(self._work.name, "made")
        self._made.mkdir(mode=0o700)
        return self

    def __exit__(self, *_: object) -> None:
        self._work.cleanup()

    def add(self, resource: Resource, members: Iterable[dict[str, Any]]) -> None:
        """Write the objects of one resource, in a file for each namespace."""
        by_namespace: dict[str, list[dict[str, Any]]] = {}
        for member in members:
            item = {**member, "apiVersion": resource.api_version, "kind": resource.kind}
            if resource.qualified == "secrets":
                item = {key: value for key, value in item.items() if key not in _SECRET_FIELDS}
            by_namespace.setdefault(objects.namespace(item), []).append(item)
        name = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
        for namespace, items in by_namespace.items():
            place = self._made / format.OBJECTS / _name(namespace or format.CLUSTER_SCOPE)
            place.mkdir(parents=True, exist_ok=True)
            # Every JSON list is YAML; one object a line is easy to read and to compare.
            lines = ",\n".join(json.dumps(item, ensure_ascii=False, separators=(", ", ": ")) for item in items)
            (place / f"{name}.json").write_text(f'{{"apiVersion": "v1", "kind": "List", "items": [\n{lines}\n]}}\n')
            self.objects += len(items)

    def add_log(self, key: format.LogKey, content: bytes) -> None:
        """Write one log."""
        place = self._made / format.LOGS / _name(key.namespace) / _name(key.pod)
        place.mkdir(parents=True, exist_ok=True)
        suffix = format.PREVIOUS_LOG_SUFFIX if key.previous else format.LOG_SUFFIX
        (place / f"{_name(key.container)}{suffix}").write_bytes(content)
        self.logs += 1

    def finish(self, *, name: str, title: str, version: str, captured_at: datetime, labels: Mapping[str, str]) -> Path:
        """Write the manifest and put the folder in its place. Raises ConfigError."""
        instant = captured_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        manifest = {"name": name, "title": title, "version": version, "captured_at": instant, "labels": dict(labels)}
        (self._made / format.MANIFEST).write_text(yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True))
        try:
            os.rename(self._made, self._folder)
        except OSError as error:
            raise ConfigError(f"{self._folder} cannot be written: {error.strerror}") from error
        return self._folder


def _name(part: str) -> str:
    """A name from a cluster as a file name. Raises ConfigError for what would lead elsewhere."""
    if not part or part.startswith(".") or "/" in part or "\x00" in part:
        raise ConfigError(f"the cluster names something {part[:100]!r}, which is no file name")
    return part
