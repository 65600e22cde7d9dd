"""What an analyzer is, and how it words a finding.

An analyzer is a plain function from a snapshot to findings, registered with the conditions that it can report and the
resources that it reads. It never raises and never waits: whatever an object looks like, it reads it through
``kubently.kube.objects``. What comes from the cluster is quoted, never interpreted: `clean` takes terminal control out
of it and bounds it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from kubently.analyzers.resources import Resource
from kubently.analyzers.snapshot import Snapshot
from kubently.schema.findings import Confidence, Evidence, Finding, Remedy, ResourceRef, Severity

GRACE = timedelta(seconds=60)
"""How long an object may be on its way before waiting counts as a fault: image pulls, mounts and scheduling of a
healthy rollout are usually over by then."""

QUOTE_LIMIT = 1000
"""Characters of the cluster's own words in one piece of evidence."""


REFERENCE = "docs/reference/findings.md"
"""The page of all conditions, generated from them."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that can be wrong, as the reference documents it."""

    code: str
    severity: Severity
    """The usual severity; a finding may differ where the surroundings say so."""
    summary: str
    what_to_do: str
    symptom_of: tuple[str, ...] = ()
    """Codes that explain this one when they concern the same object or one that it depends on; "pod/*" is all of a
    family."""
    confidence: Confidence = Confidence.CERTAIN

    @property
    def page(self) -> str:
        """Where the reference documents it."""
        return f"{REFERENCE}#{self.code.replace('/', '')}"


@dataclass(frozen=True, slots=True)
class Analyzer:
    """A rule: what it reads, what it can say, and the function that says it."""

    id: str
    needs: tuple[Resource, ...]
    conditions: tuple[Condition, ...]
    run: Callable[[Snapshot], Iterator[Finding]]
    needs_logs: bool = False
    """Whether it reads logs, of failing containers or of callers."""
    is_own: bool = False
    """Whether it is not Kubently's: it may raise, which then stands in the coverage."""

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of the findings that it can report."""
        return tuple(condition.code for condition in self.conditions)


def analyzer(
    analyzer_id: str,
    *,
    needs: Sequence[Resource],
    conditions: Sequence[Condition],
    needs_logs: bool = False,
) -> Callable[[Callable[[Snapshot], Iterator[Finding]]], Analyzer]:
    """Turn a function from snapshot to findings into an Analyzer."""

    def decorate(function: Callable[[Snapshot], Iterator[Finding]]) -> Analyzer:
        return Analyzer(analyzer_id, tuple(needs), tuple(conditions), function, needs_logs)

    return decorate


def finding(
    condition: Condition,
    *,
    title: str,
    objects: Sequence[ResourceRef],
    evidence: Iterable[Evidence],
    next_checks: Iterable[str] = (),
    severity: Severity | None = None,
    confidence: Confidence | None = None,
    key: str = "",
) -> Finding:
    """Word one finding.

    *objects* begins with the object at fault; it and *key* (a container, a port, a host) tell the finding from others
    of the same condition, so they must not change while the condition lasts.
    """
    return Finding(
        id=finding_id(condition.code, objects[0], key),
        code=condition.code,
        severity=severity or condition.severity,
        confidence=confidence or condition.confidence,
        remedy=Remedy(text=condition.what_to_do),
        page=condition.page,
        title=clean(" ".join(title.split()), limit=300),
        objects=tuple(dict.fromkeys(objects)),
        evidence=tuple(dict.fromkeys(evidence)),
        next_checks=tuple(dict.fromkeys(clean(check) for check in next_checks)),
    )


def finding_id(code: str, at_fault: ResourceRef, key: str = "") -> str:
    """Digest what makes a finding the same from run to run."""
    parts = (code, at_fault.group, at_fault.kind, at_fault.namespace, at_fault.name, clean(key))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def quote(source: str, words: str, *, limit: int = QUOTE_LIMIT) -> Evidence:
    """Quote the cluster's own words, as far as *limit* characters go."""
    where, said = clean(source, limit=300), clean(words, limit=limit)
    digest = hashlib.sha256(f"{where}\n{said}".encode()).hexdigest()[:8]
    return Evidence(id=digest, source=where, quote=said)


# ECMA-48: CSI and OSC sequences, then other two-byte escapes.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|\][^\x07\x1b]{0,500}(?:\x07|\x1b\\)|[@-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def clean(words: str, *, limit: int = QUOTE_LIMIT) -> str:
    """Return *words* without terminal escapes, control or direction characters, cut with an ellipsis at *limit*."""
    # Cut first, so that a huge text costs no more than a small one.
    bounded = _ESCAPES.sub("", words[: limit * 4])
    bounded = _CONTROLS.sub("", bounded.replace("\r\n", "\n")).lstrip("\n").rstrip()
    return bounded if len(bounded) <= limit else bounded[: limit - 1] + "…"


def first_line(words: str, *, limit: int = 200) -> str:
    """Return the first line of *words* that is not blank, cleaned."""
    return next((line for line in clean(words).splitlines() if line.strip()), "")[:limit].strip()
