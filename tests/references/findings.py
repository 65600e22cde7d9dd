"""docs/reference/findings.md, from the analyzers' catalogue."""

from __future__ import annotations

from collections.abc import Iterator

from kubently import analyzers
from kubently.analyzers import Condition
from kubently.schema import Severity
from tests.references.markdown import NOTE, code, table

_INTRO = """\
# Findings

Every condition that a diagnosis can report, by its code. The severity is the usual one: a finding has another where the
surroundings say so, and a cause is at least as severe as the worst symptom folded into it.
[How a diagnosis works](../concepts/diagnosis.md) says what a snapshot is, what folding means and what is not seen.
"""

_SEVERITIES = {
    Severity.OUTAGE: "something that should serve does not serve",
    Severity.DEGRADED: "it serves, but less than it should, or a change cannot complete",
    Severity.RISK: "it serves now; the next restart, node loss or date breaks it",
    Severity.HYGIENE: "nothing is wrong today; good practice says otherwise",
}


def page() -> str:
    """The page."""
    severities = table(("Severity", "Meaning"), [(code(s.value), text) for s, text in _SEVERITIES.items()])
    summary = table(
        ("Code", "Severity", "Condition"),
        [(f"[{c.code}](#{_anchor(c.code)})", c.severity.value, c.summary) for c in analyzers.CATALOGUE],
    )
    sections = "\n".join(_section(condition) for condition in analyzers.CATALOGUE)
    return "\n".join([NOTE, _INTRO, severities, summary, sections, _analyzers()])


def _section(condition: Condition) -> str:
    lines = [f"### {condition.code}\n", f"{condition.summary} Usually {condition.severity.value}.\n"]
    lines.append(f"What to do: {condition.what_to_do}\n")
    if condition.symptom_of:
        causes = ", ".join(map(code, condition.symptom_of))
        lines.append(f"Folded into {causes} where that concerns the same object or one it depends on.\n")
    return "\n".join(lines)


def _analyzers() -> str:
    return "## Analyzers\n\n" + table(("Analyzer", "Reads", "Can report"), _analyzer_rows())


def _analyzer_rows() -> Iterator[tuple[str, str, str]]:
    for item in analyzers.ANALYZERS:
        reads = [*map(str, item.needs), *(["logs"] if item.needs_logs else [])]
        yield code(item.id), ", ".join(reads), ", ".join(f"[{c}](#{_anchor(c)})" for c in item.codes)


def _anchor(slug: str) -> str:
    """As GitHub makes them: the slash goes."""
    return slug.replace("/", "")
