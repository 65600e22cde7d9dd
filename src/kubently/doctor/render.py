"""A report as text, JSON or JUnit XML; secrets are blanked in whatever was found, before it is drawn."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Collection, Iterator
from xml.etree import ElementTree

from kubently.doctor import codes
from kubently.doctor.results import Report, Result, Status

SCHEMA_VERSION = 1
DOC = "docs/reference/checks.md"
_MAX_TEXT = 2000
_MASK = "[redacted]"
_USERINFO = re.compile(r"(?<=://)[^\s/@]+@")
_PEM_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_MARKS = {Status.PASS: "✔", Status.WARNING: "⚠", Status.ERROR: "✖", Status.SKIPPED: "⊘"}
_PLAIN_MARKS = {Status.PASS: "ok  ", Status.WARNING: "warn", Status.ERROR: "FAIL", Status.SKIPPED: "skip"}
_COLOURS = {Status.PASS: "32", Status.WARNING: "33", Status.ERROR: "31", Status.SKIPPED: "2"}


def clean(report: Report, secrets: Collection[str]) -> Report:
    """The report without *secrets*, keys, credentials in URLs and what a terminal would obey."""
    known = sorted((secret for secret in secrets if secret), key=len, reverse=True)
    return Report(tuple(_cleaned(result, known) for result in report.results))


def as_text(report: Report, *, unicode: bool = True, colour: bool = False) -> str:
    """One line a check; below it cause, fix and code where it did not pass."""
    marks = _MARKS if unicode else _PLAIN_MARKS
    lines: list[str] = []
    category = ""
    for result in report.results:
        if result.category != category:
            category = result.category
            lines += ["", category] if lines else [category]
        mark = marks[result.status]
        lines.append(f"  {_paint(mark, result.status) if colour else mark} {result.title}")
        lines += [f"      {line}" for line in _below(result)]
    text = "\n".join([*lines, "", summary(report), ""])
    return text if unicode else text.encode("ascii", "replace").decode()


def as_json(report: Report) -> str:
    """For programs; fields are only added within one schemaVersion."""
    document = {
        "schemaVersion": SCHEMA_VERSION,
        "summary": {status.value: report.count(status) for status in Status},
        "checks": [_object(result) for result in report.results],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def as_junit(report: Report) -> str:
    """For CI: an error is a failure, a skipped check is skipped, a warning passes with its words in system-out."""
    counts = {"tests": len(report.results), "failures": report.count(Status.ERROR)}
    suite = ElementTree.Element("testsuite", name="kubently doctor", skipped=str(report.count(Status.SKIPPED)))
    suite.attrib.update({name: str(count) for name, count in counts.items()})
    for result in report.results:
        seconds = f"{result.duration_ms / 1000:.3f}"
        case = ElementTree.SubElement(suite, "testcase", classname=result.category, name=result.id, time=seconds)
        words = "\n".join(_below(result))
        if result.status is Status.ERROR:
            ElementTree.SubElement(case, "failure", type=result.code, message=result.detail).text = words
        elif result.status is Status.SKIPPED:
            ElementTree.SubElement(case, "skipped", message=result.detail)
        elif words:
            ElementTree.SubElement(case, "system-out").text = words
    return ElementTree.tostring(suite, encoding="unicode")


def summary(report: Report) -> str:
    """The last line."""
    words = {Status.PASS: "passed", Status.WARNING: "warnings", Status.ERROR: "errors", Status.SKIPPED: "skipped"}
    return ", ".join(f"{report.count(status)} {word}" for status, word in words.items())


def _below(result: Result) -> Iterator[str]:
    if result.detail:
        yield from result.detail.split("\n") if result.status is Status.PASS else [f"cause: {result.detail}"]
    if result.fix:
        yield f"fix:   {result.fix}"
    if result.code:
        yield f"code:  {result.code}  ({_doc(result.code)})"


def _doc(code: str) -> str:
    """Where the code is explained."""
    if code.startswith(("tls-", "dial-")):
        return "docs/howto/trust.md#when-it-fails"
    return f"{DOC}#{code}" if any(code == known.slug for known in codes.CODES) else f"docs/reference/errors.md#{code}"


def _object(result: Result) -> dict[str, object]:
    return {
        "id": result.id,
        "category": result.category,
        "status": result.status.value,
        "title": result.title,
        "code": result.code,
        "detail": result.detail,
        "evidence": result.evidence,
        "fix": result.fix,
        "doc": _doc(result.code) if result.code else "",
        "durationMs": result.duration_ms,
        "dependsOn": list(result.depends_on),
    }


def _paint(mark: str, status: Status) -> str:
    return f"\x1b[{_COLOURS[status]}m{mark}\x1b[0m"


def _cleaned(result: Result, secrets: Collection[str]) -> Result:
    evidence = {key: _safe_value(value, secrets) for key, value in result.evidence.items()}
    detail, fix = _safe(result.detail, secrets), _safe(result.fix, secrets)
    return dataclasses.replace(result, detail=detail, fix=fix, title=_safe(result.title, secrets), evidence=evidence)


def _safe_value(value: object, secrets: Collection[str]) -> object:
    if isinstance(value, str):
        return _safe(value, secrets)
    if isinstance(value, dict):
        return {_safe(str(key), secrets): _safe_value(inner, secrets) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_safe_value(inner, secrets) for inner in value]
    return value if isinstance(value, bool | int | float | None) else _safe(str(value), secrets)


def _safe(text: str, secrets: Collection[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, _MASK)
    text = _USERINFO.sub(f"{_MASK}@", _PEM_KEY.sub(_MASK, text))
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text[:_MAX_TEXT])
