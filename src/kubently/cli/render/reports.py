"""A diagnosis for other programs and for pages: SARIF 2.1.0, JUnit, Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any
from xml.etree import ElementTree

from kubently import __version__
from kubently.cli.render.findings import command, saw_nothing
from kubently.schema import ClusterDiagnosis, Diagnosis, Finding, Severity

_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {Severity.OUTAGE: "error", Severity.DEGRADED: "error", Severity.RISK: "warning", Severity.HYGIENE: "note"}


def sarif(results: Sequence[ClusterDiagnosis]) -> str:
    """SARIF (OASIS, 2.1.0), one result a finding; its fingerprint stays while the condition lasts."""
    found = list(_found(results))
    rules = [_rule(code, finding) for code, finding in sorted({one.code: one for _, one in found}.items())]
    run: dict[str, Any] = {
        "tool": {"driver": {"name": "kubently diagnose", "version": __version__, "rules": rules}},
        "results": [_result(diagnosis, finding) for diagnosis, finding in found],
        "invocations": [
            {
                "executionSuccessful": not any(map(_problem, results)),
                "toolExecutionNotifications": _notifications(results),
            }
        ],
    }
    return json.dumps({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False)


def junit(results: Sequence[ClusterDiagnosis]) -> str:
    """JUnit: a suite for each cluster, a failed case for each finding; where there is none, one case that passed."""
    root = ElementTree.Element("testsuites", name="kubently diagnose")
    for result in results:
        findings = result.diagnosis.findings if result.diagnosis else ()
        suite = ElementTree.SubElement(root, "testsuite", name=result.cluster, tests=str(max(len(findings), 1)))
        suite.attrib |= {"failures": str(len(findings)), "errors": str(int(bool(_problem(result))))}
        if not findings:
            case = ElementTree.SubElement(suite, "testcase", classname=result.cluster, name="diagnosis")
            if problem := _problem(result):
                ElementTree.SubElement(case, "error", message=_plain(problem))
        for finding in findings:
            case = ElementTree.SubElement(suite, "testcase", classname=result.cluster, name=_plain(_name(finding)))
            failure = ElementTree.SubElement(
                case, "failure", type=finding.severity.value, message=_plain(finding.title)
            )
            failure.text = _plain("\n".join(f"{item.quote}\n  {item.source}" for item in finding.evidence))
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def markdown(results: Sequence[ClusterDiagnosis]) -> str:
    """A page for an issue, a chat or a post-mortem."""
    lines = ["# Diagnosis", ""]
    for result in results:
        lines += [f"## {result.cluster}", ""]
        if problem := _problem(result):
            lines += [f"Could not be read: {_escaped(problem)}", ""]
        if result.diagnosis is None:
            continue
        for finding in result.diagnosis.findings:
            lines += list(_section(result.diagnosis, finding))
        if not result.diagnosis.findings and not problem:
            lines += [f"Nothing wrong in {result.diagnosis.coverage.objects} objects.", ""]
        if blind := sorted({gap.resource for gap in result.diagnosis.coverage.blind}):
            lines += [f"Not seen: {_escaped(', '.join(blind))}", ""]
    return "\n".join(lines)


def _found(results: Sequence[ClusterDiagnosis]) -> Iterator[tuple[Diagnosis, Finding]]:
    for result in results:
        if result.diagnosis is not None:
            yield from ((result.diagnosis, finding) for finding in result.diagnosis.findings)


def _problem(result: ClusterDiagnosis) -> str:
    if result.problem:
        return str(result.problem.get("detail"))
    return "nothing could be read" if result.diagnosis is not None and saw_nothing(result.diagnosis) else ""


def _name(finding: Finding) -> str:
    return f"{finding.code} {finding.objects[0]}"


def _rule(code: str, finding: Finding) -> dict[str, Any]:
    text = finding.remedy.text if finding.remedy else code
    return {"id": code, "help": {"text": text}, "properties": {"page": finding.page}}


def _result(diagnosis: Diagnosis, finding: Finding) -> dict[str, Any]:
    places = [{"fullyQualifiedName": f"{diagnosis.cluster}/{ref}", "kind": "resource"} for ref in finding.objects]
    return {
        "ruleId": finding.code,
        "level": _LEVELS[finding.severity],
        "message": {"text": finding.title},
        "locations": [{"logicalLocations": places}],
        "partialFingerprints": {"kubently/v1": f"{diagnosis.cluster}/{finding.id}"},
        "properties": {
            "cluster": diagnosis.cluster,
            "severity": finding.severity.value,
            "severityReason": finding.severity_reason,
            "confidence": finding.confidence.value,
            "evidence": [item.model_dump() for item in finding.evidence],
            "changes": [item.model_dump() for item in finding.changes],
        },
    }


def _notifications(results: Sequence[ClusterDiagnosis]) -> list[dict[str, Any]]:
    told = ((result.cluster, _problem(result)) for result in results)
    return [{"level": "error", "message": {"text": f"{name}: {said}"}} for name, said in told if said]


def _section(diagnosis: Diagnosis, finding: Finding) -> Iterator[str]:
    yield f"### {finding.severity.value}: {_escaped(finding.title)}"
    yield ""
    yield f"`{finding.code}` {_escaped(', '.join(map(str, finding.objects[:5])))}"
    yield ""
    if finding.severity_reason:
        yield f"- because: {_escaped(finding.severity_reason)}"
    for item in finding.evidence:
        yield f"- {_escaped(item.source)}: {_escaped(item.quote)}"
    yield from (f"- changed: {_escaped(change.source)}: {_escaped(change.quote)}" for change in finding.changes)
    explained = [symptom.title for symptom in diagnosis.symptoms if symptom.id in finding.symptoms]
    yield from (f"- explains: {_escaped(title)}" for title in explained)
    if finding.remedy is not None:
        yield f"- remedy: {_escaped(finding.remedy.text)}"
    yield ""
    yield from _shell(tuple(command(diagnosis.cluster, check) for check in finding.next_checks))
    yield from _shell(finding.remedy.commands if finding.remedy else ())


def _shell(lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield "```sh"
        yield from lines
        yield "```"
        yield ""


def _escaped(words: str) -> str:
    """Text of a cluster as text: it makes no heading, link, image, mention or HTML."""
    flat = " ".join(words.split())
    return "".join(f"\\{c}" if c in "\\`*_{}[]()<>#+-.!|@~&:" else c for c in flat)


def _plain(words: str) -> str:
    """Without what XML 1.0 cannot hold."""
    return "".join(c for c in words if c in "\t\n" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff")
