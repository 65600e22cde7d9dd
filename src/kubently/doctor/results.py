"""What checks find."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

PASSED, INTERNAL, USAGE, ERRORS, WARNINGS = range(5)
"""Exit codes: 1 is a bug of ours, 2 a wrong call, 4 needs ``--fail-on warning``."""


class Status(enum.StrEnum):
    """How a check came out."""

    PASS = "pass"  # noqa: S105 - no password
    WARNING = "warning"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Result:
    """One check's outcome. What came from the network is cut and printable before it is shown."""

    id: str = ""
    category: str = ""
    status: Status = Status.PASS
    title: str = ""
    code: str = ""
    """Stable slug of what is wrong; empty where nothing is."""
    detail: str = ""
    fix: str = ""
    evidence: Mapping[str, object] = field(default_factory=dict)
    depends_on: tuple[str, ...] = ()
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """All outcomes, in the order of the checks."""

    results: tuple[Result, ...]

    def count(self, status: Status) -> int:
        """How many came out so."""
        return Counter(result.status for result in self.results)[status]

    def exit_code(self, *, fail_on_warning: bool) -> int:
        """What the process ends with."""
        if self.count(Status.ERROR):
            return ERRORS
        return WARNINGS if fail_on_warning and self.count(Status.WARNING) else PASSED


def error(code: str, detail: str, fix: str = "", **evidence: object) -> Result:
    """A fault."""
    return Result(status=Status.ERROR, code=code, detail=detail, fix=fix, evidence=evidence)


def warning(code: str, detail: str, fix: str = "", **evidence: object) -> Result:
    """What works now, or may be meant."""
    return Result(status=Status.WARNING, code=code, detail=detail, fix=fix, evidence=evidence)


def passed(detail: str = "", **evidence: object) -> Result:
    """Nothing is wrong."""
    return Result(detail=detail, evidence=evidence)


def skipped(detail: str) -> Result:
    """It could not be looked at, for a reason that is no fault."""
    return Result(status=Status.SKIPPED, detail=detail)
