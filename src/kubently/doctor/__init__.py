"""Finds out, from here, why executor or person and API do not come together: checks, and how they are shown."""

from kubently.doctor.checks import CHECKS, Check, Subject
from kubently.doctor.render import as_json, as_junit, as_text
from kubently.doctor.results import Report, Result, Status
from kubently.doctor.runner import run, run_each, run_until, shared

__all__ = [
    "CHECKS",
    "Check",
    "Report",
    "Result",
    "Status",
    "Subject",
    "as_json",
    "as_junit",
    "as_text",
    "run",
    "run_each",
    "run_until",
    "shared",
]
