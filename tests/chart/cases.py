"""The value files of these tests: our own, and the blocks of the deployment guide as they stand there."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.testbed import helm

_HERE = Path(__file__).parent
_RELEASES = {"scenario-3-api": "kubently-api", "scenario-3-executor": "kubently-executor"}
_OPTIONS = {"scenario-3-executor": ("--set", "executor.clusterId=cluster-b")}
"""What the guide's command lines add."""


@dataclass(frozen=True)
class Case:
    """Values, and how they are installed."""

    path: Path
    release: str
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of the test."""
        return f"{self.path.parent.name}-{self.path.stem}"

    def render(self, *kinds: str) -> list[helm.Object]:
        """Its objects; of its own, so they may be changed."""
        return copy.deepcopy(helm.render({}, *self.options, release=self.release, files=[self.path], kinds=kinds))


def of(folder: str) -> tuple[Case, ...]:
    """All cases of ``values`` or ``guide``."""
    paths = sorted((_HERE / folder).glob("*.yaml"))
    return tuple(Case(path, _release(path.stem), _OPTIONS.get(path.stem, ())) for path in paths)


def named(name: str) -> Case:
    """The case of this name."""
    return next(case for case in CASES if case.name == name)


def _release(stem: str) -> str:
    is_remote = stem.startswith(("remote-", "private-ca", "staging-roots")) or stem == "scenario-4-executor"
    return _RELEASES.get(stem, "kubently-executor" if is_remote else "kubently")


VALUES, GUIDE = of("values"), of("guide")
CASES = (*VALUES, *GUIDE)


def distinct() -> Iterator[tuple[str, helm.Object]]:
    """Every object of all cases with the name of the first case that has it; those that are alike come once."""
    seen: set[str] = set()
    for case in CASES:
        for found in case.render():
            text = json.dumps(_without_chance(found), sort_keys=True)
            if text not in seen:
                seen.add(text)
                yield case.name, found


def _without_chance(found: helm.Object) -> Any:
    return found["metadata"] if found["kind"] == "Secret" else found
