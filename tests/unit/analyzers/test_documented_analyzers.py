"""The analyzers that the documentation shows are right."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from kubently.analyzers import Analyzer, declared

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "own-analyzers.md"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_the_yaml_is_taken() -> None:
    found = declared.read(yaml.safe_load(_blocks("yaml")[0]), str(PAGE))

    assert [code for item in found for code in item.codes] == ["acme/no-owner", "acme/database-degraded"]


def test_the_python_makes_an_analyzer() -> None:
    names: dict[str, object] = {}
    exec(_blocks("python")[0], names)

    (racks,) = names["ANALYZERS"]  # type: ignore[misc]
    assert isinstance(racks, Analyzer)
    assert racks.codes == ("acme/no-rack",)
