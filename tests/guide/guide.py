"""The guide's blocks as objects, and a little reading in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kubently.doctor import Subject
from kubently.doctor import values as doctor_values
from tests.chart import cases
from tests.testbed import helm

Object = helm.Object


def block(name: str) -> list[Object]:
    """What a block of the guide renders, with the release and options of its commands."""
    return cases.named(f"guide-{name}").render()


def refused(values: dict[str, Any]) -> str:
    """Why the chart refuses values."""
    try:
        helm.render(values)
    except helm.HelmError as error:
        return str(error)
    raise AssertionError("the chart refused nothing")


def warnings(name: str) -> str:
    """What NOTES.txt says after a block of the guide was installed."""
    case = cases.named(f"guide-{name}")
    return helm.notes({}, f"--values={case.path}", *case.options, release=case.release)


def executor(objects: list[Object]) -> dict[str, str]:
    """The executor's environment."""
    return helm.environment(helm.the(objects, "Deployment", "kubently-executor"))


def api(objects: list[Object]) -> dict[str, str]:
    """The API's environment."""
    return helm.environment(helm.the(objects, "Deployment", "kubently-api"))


def kinds(objects: list[Object]) -> set[str]:
    """The kinds of what is installed."""
    return {kind for kind, _ in helm.names(objects)}


def text(objects: list[Object]) -> str:
    """All of it, to look for words."""
    return repr(objects)


def examined(values: dict[str, Any], tmp_path: Path) -> str:
    """What the doctor says of a values file."""
    file = tmp_path / "values.yaml"
    file.write_text(json.dumps(values))
    return repr(doctor_values.check(Subject(values=(file,))))
