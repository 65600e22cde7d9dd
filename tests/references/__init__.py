"""The pages under docs/reference that are made from the code; ``python -m tests.references`` writes them.

``tests/unit/test_references.py`` fails when a page on disk differs from what the code says now.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from kubently.api import app, docs
from tests.references import chart, checks, command_line, environment, errors, findings

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"


def openapi() -> str:
    """The OpenAPI document, as the API serves it at /openapi.json."""
    return json.dumps(docs.document(app.create_rest()), indent=2, sort_keys=True) + "\n"


PAGES: Mapping[str, Callable[[], str]] = {
    "checks.md": checks.page,
    "cli.md": command_line.page,
    "environment.md": environment.page,
    "errors.md": errors.page,
    "findings.md": findings.page,
    "openapi.json": openapi,
    "../../deployment/helm/kubently/README.md": chart.page,
}
"""Files, seen from the folder, and what makes their text."""


def write() -> None:
    """Write all pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        (FOLDER / name).write_text(make())
