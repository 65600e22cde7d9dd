"""The public types: their JSON schema is the API's promise.

After a wanted change: ``python -m tests.unit.schema.test_snapshot`` writes snapshot.json anew; say in CHANGELOG.md
what it means for those who use the API.
"""

from __future__ import annotations

import inspect
import json
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from kubently import schema

SNAPSHOT = Path(__file__).with_name("snapshot.json")


def _types() -> dict[str, Any]:
    found = {name: getattr(schema, name) for name in schema.__all__}
    return {name: value for name, value in found.items() if inspect.isclass(value)}


MODELS = {name: cls for name, cls in _types().items() if issubclass(cls, BaseModel)}


def _schemas() -> dict[str, Any]:
    enums = {name: {"enum": list(cls)} for name, cls in _types().items() if issubclass(cls, StrEnum)}
    return {name: cls.model_json_schema() for name, cls in MODELS.items()} | enums


@pytest.mark.parametrize("name", sorted(_schemas()))
def test_schema_is_as_it_was(name: str) -> None:
    known = json.loads(SNAPSHOT.read_text())

    assert known.get(name) == json.loads(json.dumps(_schemas()[name])), (
        f"the public type {name} changed; if that is wanted: python -m tests.unit.schema.test_snapshot"
    )


def test_no_type_went_away() -> None:
    assert json.loads(SNAPSHOT.read_text()).keys() - _schemas().keys() == set()


@pytest.mark.parametrize("name", sorted(MODELS))
def test_values_are_immutable_and_strict(name: str) -> None:
    config = MODELS[name].model_config

    assert (config.get("frozen"), config.get("extra")) == (True, "forbid")


def test_misspelt_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="timeot"):
        schema.Command.model_validate({"argv": ["get", "pods"], "timeot": 5})


@pytest.mark.parametrize(
    "command",
    [
        {"argv": []},
        {"argv": ["x"] * 257},
        {"argv": ["x" * 32_769]},
        {"argv": ["get"], "timeout": 0},
        {"argv": ["get"], "timeout": 3601},
    ],
)
def test_command_is_bounded(command: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        schema.Command.model_validate(command)


def test_severities_are_ranked_worst_first() -> None:
    assert [s.rank for s in schema.Severity] == [0, 1, 2, 3]
    assert schema.Severity.OUTAGE.rank < schema.Severity.RISK.rank


def test_roles_grow() -> None:
    viewer, operator, admin = (schema.PERMISSIONS[role] for role in schema.Role)

    assert viewer < operator < admin == frozenset(schema.Permission)


@pytest.mark.parametrize(
    ("ref", "text"),
    [
        (schema.ResourceRef(kind="Pod", namespace="shop", name="web"), "Pod shop/web"),
        (schema.ResourceRef(group="apps", kind="Deployment", namespace="a", name="b"), "Deployment.apps a/b"),
        (schema.ResourceRef(kind="Node", name="n1"), "Node n1"),
    ],
)
def test_reference_reads_as_people_write_it(ref: schema.ResourceRef, text: str) -> None:
    assert str(ref) == text


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(_schemas(), indent=1, sort_keys=True) + "\n")
