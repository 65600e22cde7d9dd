"""Analyzers of the people who run Kubently: Python packages with an entry point, and YAML files."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import yaml

from kubently.analyzers import ANALYZERS, CATALOGUE, Analyzer
from kubently.errors import ConfigError

GROUP = "kubently.analyzers"
"""Entry points of this group name an `Analyzer`, or several in a sequence."""

MAX_BYTES = 1024 * 1024
"""Of one file: no ConfigMap is larger."""


def load(files: Sequence[Path]) -> tuple[Analyzer, ...]:
    """Return Kubently's analyzers, those of installed packages and those that *files* declare.

    A folder stands for its files whose names end in .yaml or .yml. Raises ConfigError that names file or package.
    """
    own = [*_installed(), *(found for path in files for found in _of_path(path))]
    _check(own)
    return (*ANALYZERS, *own)


def _installed() -> Iterator[Analyzer]:
    for point in sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name):
        try:
            found = point.load()
        except Exception as error:
            raise ConfigError(
                f"the analyzers of entry point {point.name} ({point.value}) cannot be loaded: {error}",
                hint="mend the package, or take it out of the image",
            ) from error
        members = [found] if isinstance(found, Analyzer) else list(found) if isinstance(found, Iterable) else [found]
        if not all(isinstance(item, Analyzer) for item in members):
            raise ConfigError(
                f"entry point {point.name} ({point.value}) is not an Analyzer, nor a sequence of them",
                hint="docs/howto/own-analyzers.md shows one",
            )
        yield from (replace(item, is_own=True) for item in members)


def _of_path(path: Path) -> Iterator[Analyzer]:
    # Kubernetes mounts a ConfigMap as links; names that begin with dots are its own.
    inside = sorted(item for item in path.glob("*.y*ml") if not item.name.startswith(".")) if path.is_dir() else [path]
    for file in inside:
        yield from read(file)


def read(path: Path) -> tuple[Analyzer, ...]:
    """Read the analyzers that one file declares. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        document = yaml.safe_load(text.decode())
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"the analyzers in {path} cannot be read: {error}", hint="it must be YAML") from error
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_BYTES} bytes", hint="split it")
    # CEL takes a fifth of a second to load, which only those pay who use it.
    declared = importlib.import_module("kubently.analyzers.declared")
    found: tuple[Analyzer, ...] = declared.read(document, str(path))
    return found


def _check(own: Sequence[Analyzer]) -> None:
    known = {condition.code for condition in CATALOGUE}
    ids = {item.id for item in ANALYZERS}
    for item in own:
        taken = sorted(known.intersection(item.codes))
        if taken or item.id in ids:
            raise ConfigError(
                f"analyzer {item.id} uses {taken[0] if taken else item.id}, which is taken",
                hint="begin codes and ids with a name of your own, such as acme/no-owner",
            )
        known.update(item.codes)
        ids.add(item.id)
