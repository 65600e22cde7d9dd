"""Runs checks one after another, each within its time: nothing hangs, and what depends on a fault is skipped."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Collection, Sequence

from kubently.doctor.checks import Check, Subject
from kubently.doctor.results import Report, Result, Status, error, skipped
from kubently.errors import KubentlyError

TIME_LIMIT = 30.0
"""Seconds of one check. Each bounds its own waits; this is for what cannot be bounded, such as a resolver."""
_BLOCKS = (Status.ERROR, Status.SKIPPED)


def run(
    checks: Sequence[Check],
    subject: Subject,
    *,
    only: Collection[str] = (),
    skip: Collection[str] = (),
    limit: float = TIME_LIMIT,
) -> Report:
    """Run the *checks* of the categories *only* (all without any), except the ids in *skip*."""
    results: dict[str, Result] = {}
    for check in checks:
        if (only and check.category not in only) or check.id in skip:
            continue
        blocked = next((name for name in check.depends_on if _blocks(results, name)), None)
        started = time.monotonic()
        found = skipped(f"depends on {blocked}") if blocked else _bounded(check, subject, limit)
        results[check.id] = dataclasses.replace(
            found,
            id=check.id,
            category=check.category,
            title=check.title,
            depends_on=check.depends_on,
            duration_ms=round((time.monotonic() - started) * 1000),
        )
    return Report(tuple(results.values()))


def _blocks(results: dict[str, Result], name: str) -> bool:
    return name in results and results[name].status in _BLOCKS


def _bounded(check: Check, subject: Subject, limit: float) -> Result:
    found: list[Result] = []
    failures: list[Exception] = []

    def work() -> None:
        try:
            found.append(check.run(subject))
        except KubentlyError as failure:
            found.append(error(failure.code, failure.message, failure.hint))
        except Exception as failure:
            failures.append(failure)

    # A daemon, so that a resolver that never answers cannot hold the process.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(limit)
    if failures:
        raise failures[0]
    return found[0] if found else error("doctor-timeout", f"no result within {limit:g} s", "try again, or --skip it")
