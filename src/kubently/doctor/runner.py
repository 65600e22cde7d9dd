"""Runs checks one after another, each within its time: nothing hangs, and what depends on a fault is skipped."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Collection, Sequence

from kubently.doctor.checks import Check, Subject
from kubently.doctor.results import Report, Result, Status, error, skipped
from kubently.errors import KubentlyError

TIME_LIMIT = 30.0
"""Seconds of one check. Each bounds its own waits; this is for what cannot be bounded, such as a resolver."""
PAUSE = 2.0
"""Seconds between two looks of one who waits."""
_WITHOUT_URL = ("local", "values")
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
        found = skipped(f"depends on {blocked}") if blocked else _bounded(check, subject, limit + check.takes(subject))
        results[check.id] = dataclasses.replace(
            found,
            id=check.id,
            category=check.category,
            title=check.title,
            depends_on=check.depends_on,
            duration_ms=round((time.monotonic() - started) * 1000),
        )
    return Report(tuple(results.values()))


def run_each(
    checks: Sequence[Check], subjects: Sequence[Subject], *, only: Collection[str] = (), skip: Collection[str] = ()
) -> Report:
    """One report of several subjects, each with its URL in the titles; what needs no URL is looked at once."""
    found: list[Result] = []
    for number, subject in enumerate(subjects):
        report = run(checks, subject, only=only, skip=skip)
        for result in report.results:
            if len(subjects) == 1 or result.category in _WITHOUT_URL:
                found.extend([result] if number == 0 else [])
                continue
            found.append(dataclasses.replace(result, title=f"{result.title} ({subject.url})"))
    return Report(tuple(found))


def run_until(look: Callable[[], Report], *, wait: float, pause: float = PAUSE) -> Report:
    """*look* again and again until a report has no error, for at most *wait* seconds; once at least."""
    deadline = time.monotonic() + wait
    while (report := look()).count(Status.ERROR) and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(pause, left))
    return report


def shared(report: Report) -> Report:
    """The same with an error where one token was accepted by several APIs, which are taken for environments."""
    owners = [r for r in report.results if r.id == "auth-accepted" and r.status is Status.PASS]
    if len(owners) < 2:
        return report
    detail = f"{len(owners)} environments accept the same token: who has it in one has the other"
    found = error("token-shared", detail, "make a token for each: kubently token create")
    title = "the credential belongs to one environment"
    return Report((*report.results, dataclasses.replace(found, id="auth-accepted", category="auth", title=title)))


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
