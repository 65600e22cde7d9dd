"""The Helm chart's README, from the comments of its values.yaml."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from tests.references import markdown

FOLDER = Path(__file__).resolve().parents[2] / "deployment" / "helm" / "kubently"

_HEAD = """
# The Helm chart of Kubently

One chart for every shape: API and executor in one cluster, the API alone, an executor alone.
[The deployment guide](../../../docs/MULTI_CLUSTER_TLS.md) says which values make which shape; this page lists them all.

```sh
helm install kubently ./deployment/helm/kubently --namespace kubently --create-namespace
helm test kubently --namespace kubently --logs      # the doctor
```

A value that is not listed here is refused, and so are combinations that cannot work, with the key to change.
"""


@dataclass(frozen=True, slots=True)
class Value:
    """One documented value."""

    path: tuple[str, ...]
    default: object
    meaning: str


def values() -> Iterator[Value]:
    """Every value that has a comment, in the file's order."""
    text = (FOLDER / "values.yaml").read_text()
    defaults = yaml.safe_load(text)
    path: list[tuple[int, str]] = []
    meaning = ""
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("# -- "):
            meaning = bare.removeprefix("# -- ")
        elif bare and not bare.startswith(("#", "-")) and ":" in bare:
            indent = len(line) - len(line.lstrip())
            path = [*(step for step in path if step[0] < indent), (indent, bare.partition(":")[0])]
            if meaning:
                keys = tuple(key for _, key in path)
                yield Value(keys, at(defaults, keys), meaning)
            meaning = ""


def leaves() -> Iterator[tuple[str, ...]]:
    """The paths of everything in values.yaml that is no mapping, or an empty one, or documented as a whole."""
    documented = {value.path for value in values()}
    yield from _leaves(yaml.safe_load((FOLDER / "values.yaml").read_text()), (), documented)


def at(values: object, path: tuple[str, ...]) -> object:
    """What stands at *path*."""
    for key in path:
        assert isinstance(values, Mapping)
        values = values[key]
    return values


def page() -> str:
    """The README."""
    parts = [markdown.NOTE, _HEAD]
    for section, group in groupby(sorted(values(), key=lambda value: len(value.path) > 1), key=_section):
        parts.append(f"\n## {markdown.code(section)}\n\n" if section else "\n## General\n\n")
        rows = [(markdown.code(".".join(v.path)), markdown.code(json.dumps(v.default)), v.meaning) for v in group]
        parts.append(markdown.table(("Value", "Default", "Meaning"), rows))
    return "".join(parts)


def _section(value: Value) -> str:
    return value.path[0] if len(value.path) > 1 else ""


def _leaves(value: Any, path: tuple[str, ...], documented: set[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict) and value and path not in documented:
        for key, below in value.items():
            yield from _leaves(below, (*path, key), documented)
    else:
        yield path
