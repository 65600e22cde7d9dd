"""Findings that somebody knows of: suppressed with a reason and a date, or there already in an older diagnosis."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from kubently.errors import ConfigError
from kubently.schema import ClusterDiagnosis, Finding

_KEYS = frozenset({"code", "object", "cluster", "reason", "until"})


@dataclass(frozen=True, slots=True)
class Suppression:
    """What is not to be reported, and why."""

    code: str
    reason: str
    object: str = "*"
    """Pattern of the object at fault, as "Deployment.apps shop/web"."""
    cluster: str = "*"
    until: date | None = None
    """The last day on which it holds."""

    def matches(self, cluster: str, finding: Finding) -> bool:
        """Whether it is about this finding."""
        return (
            fnmatchcase(finding.code, self.code)
            and fnmatchcase(str(finding.objects[0]), self.object)
            and fnmatchcase(cluster, self.cluster)
        )

    def has_ended(self, today: date) -> bool:
        """Whether its time is over."""
        return self.until is not None and today > self.until


def read_suppressions(path: Path) -> list[Suppression]:
    """Read a YAML list of code, reason, and, where wanted, object, cluster and until. Raises ConfigError."""
    try:
        entries = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"the suppressions {path} cannot be read: {error}", hint="give a YAML list") from error
    if not isinstance(entries, list):
        raise ConfigError(f"the suppressions {path} are no list", hint="write - code: ..., reason: ...")
    return [_suppression(path, entry) for entry in entries]


def read_baseline(path: Path) -> frozenset[tuple[str, str]]:
    """Cluster and id of each finding in what ``kubently diagnose -o json`` printed once. Raises ConfigError."""
    try:
        results = [ClusterDiagnosis.model_validate(result) for result in json.loads(path.read_text())]
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"the baseline {path} cannot be read: {str(error)[:200]}", hint="make one: kubently diagnose -o json > FILE"
        ) from error
    return frozenset((r.cluster, f.id) for r in results if r.diagnosis for f in r.diagnosis.findings)


def without(
    results: Sequence[ClusterDiagnosis], *, known: frozenset[tuple[str, str]], suppressions: Iterable[Suppression]
) -> tuple[list[ClusterDiagnosis], list[str]]:
    """Leave out what is known or suppressed; the sentences say how much, what is gone, and which suppressions ended."""
    today = datetime.now(UTC).date()
    given = list(suppressions)
    holding = [item for item in given if not item.has_ended(today)]
    kept, present, suppressed = [], set(), 0
    for result in results:
        findings: list[Finding] = []
        for finding in result.diagnosis.findings if result.diagnosis else ():
            key = (result.cluster, finding.id)
            present.add(key)
            if any(item.matches(result.cluster, finding) for item in holding):
                suppressed += 1
            elif key not in known:
                findings.append(finding)
        kept.append(_with(result, tuple(findings)))
    return kept, list(_sentences(results, known, present, suppressed, [i for i in given if i.has_ended(today)]))


def _sentences(
    results: Sequence[ClusterDiagnosis],
    known: frozenset[tuple[str, str]],
    present: set[tuple[str, str]],
    suppressed: int,
    ended: Sequence[Suppression],
) -> Iterable[str]:
    if known:
        read = {result.cluster for result in results if result.diagnosis}
        gone = sum(cluster in read for cluster, _ in known - present)
        yield f"baseline: {len(known & present)} findings are known and left out, {gone} others are gone"
    if suppressed:
        yield f"suppressed: {suppressed} findings"
    for item in ended:
        yield f"the suppression of {item.code} ended on {item.until}: {item.reason}"


def _with(result: ClusterDiagnosis, findings: tuple[Finding, ...]) -> ClusterDiagnosis:
    if result.diagnosis is None:
        return result
    return result.model_copy(update={"diagnosis": result.diagnosis.model_copy(update={"findings": findings})})


def _suppression(path: Path, entry: Any) -> Suppression:
    if not isinstance(entry, dict) or not entry.keys() <= _KEYS or not entry.get("code") or not entry.get("reason"):
        raise ConfigError(
            f"a suppression in {path} cannot be used: {str(entry)[:200]}",
            hint="each has a code and a reason; object, cluster and until are optional",
        )
    until = entry.get("until")
    if until is not None and (not isinstance(until, date) or isinstance(until, datetime)):
        raise ConfigError(f"until is no date in {path}: {str(until)[:100]}", hint="write 2026-12-31")
    texts = {key: str(entry[key]) for key in ("code", "reason", "object", "cluster") if key in entry}
    return Suppression(**texts, until=until)
