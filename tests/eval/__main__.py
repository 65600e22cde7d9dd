"""Print how often the diagnosis names the cause: ``python -m tests.eval [PARTS OF SLUGS]``."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from kubently.schema.findings import Finding
from tests.eval.run import Result, evaluate
from tests.eval.scenarios import SCENARIOS

TARGET = 0.95


def main() -> int:
    """Run all scenarios, or those whose slug holds an argument; 0 when the target is met."""
    parts = sys.argv[1:] or [""]
    chosen = [scenario for scenario in SCENARIOS if any(part in scenario.slug for part in parts)]
    with tempfile.TemporaryDirectory(prefix="kubently-eval-") as folder:
        result = evaluate(Path(folder), chosen)
    say(result)
    return 0 if result.recall >= TARGET and not result.alarms and not result.refused else 1


def say(result: Result) -> None:
    """Print a table and the score."""
    for outcome in result.outcomes:
        scenario = outcome.scenario
        mark = "ok  " if outcome.is_found else "MISS"
        print(f"{mark} {scenario.slug:22} rank {outcome.rank} evidence {outcome.evidence:2}  {scenario.code}")
        if not outcome.is_found:
            print(f"     {scenario.about} Missing words: {list(outcome.missing_words)}; told:")
            _say(outcome.told[:3])
    for alarm in result.alarms:
        print(f"FALSE ALARM {alarm}")
    count = len(result.outcomes)
    print(f"cause at rank 1, with its words and evidence: {result.found} of {count} ({result.recall:.1%})")
    lost = f", all but {', '.join(result.lost)}" if result.lost else ""
    print(f"cause among the findings of the whole cluster: {count - len(result.lost)} of {count}{lost}")
    for refusal in result.refused:
        print(f"REFUSED REMEDY {refusal}")
    print(f"remedies that the API server takes in a dry run: {result.tried - len(result.refused)} of {result.tried}")
    cluster = f"{count} healthy twins and a busy cluster ({result.healthy_objects} objects)"
    print(f"false alarms over {cluster}: {len(result.alarms)}")


def _say(findings: Sequence[Finding]) -> None:
    for finding in findings:
        print(f"     - {finding.code} {finding.objects[0]}: {finding.title}")
        for item in (*finding.evidence, *finding.changes):
            print(f"         {item.source}: {item.quote[:300]}")


if __name__ == "__main__":
    sys.exit(main())
