"""What Kubently, k8sgpt (its analyzers, without a model) and popeye say of the same faults, and of their healthy twins.

The clusters are those of `make eval`. All tools are judged alike, by the namespace of each fault and by the objects of
the cluster that bear its name:

- *seen*: something is said of it that the tool calls bad: any result of k8sgpt, a warning or an error of popeye, an
  outage, a degradation or a risk of Kubently;
- *cause*: the words of the cause (those that `tests/eval` wants) stand somewhere in what is said of it;
- *first*: of tools that order what they say, the cause stands first; k8sgpt and popeye order nothing.

Of the healthy cluster everything is counted that a tool calls an error (popeye's level 3; Kubently's outages and
degradations) and, beside it, what it warns of. popeye is a linter: most of what it says is meant as advice.

Built by ``make testbed ARGS="popeye k8sgpt"``, which takes some ten minutes of two CPUs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.eval.app import App, Scenario
from tests.eval.run import Prepared, prepared
from tests.eval.scenarios import SCENARIOS
from tests.testbed import binaries
from tests.testbed.cluster import Cluster

from benchmarks import machine
from kubently.schema import Severity

_POPEYE_WARNS, _POPEYE_ERROR = 2, 3


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that a tool says."""

    namespace: str
    name: str
    text: str
    is_bad: bool
    is_error: bool


def kubently(ready: Prepared, cluster: Cluster) -> Iterator[Said]:
    """Findings of the whole cluster; symptoms count as said, too."""
    diagnosis = ready.diagnose(cluster)
    for found in (*diagnosis.findings, *diagnosis.symptoms):
        at_fault = found.objects[0]
        text = "\n".join((found.title, *(f"{item.source} {item.quote}" for item in found.evidence)))
        worst = found.severity.rank
        bad, error = worst <= Severity.RISK.rank, worst <= Severity.DEGRADED.rank
        yield Said(at_fault.namespace, at_fault.name, text, bad, error)


def k8sgpt(_: Prepared, cluster: Cluster) -> Iterator[Said]:
    """Results of all its analyzers."""
    told = _run("k8sgpt-analyzers", str(cluster.kubeconfig("admin")))
    for result in told["results"]:
        namespace, _, name = result["name"].rpartition("/")
        text = "\n".join(failure["Text"] for failure in result["error"] or ())
        yield Said(namespace, name, f"{result['kind']} {name} {text}", is_bad=True, is_error=True)


def popeye(_: Prepared, cluster: Cluster) -> Iterator[Said]:
    """Issues of all its linters."""
    told = _run("popeye", "--kubeconfig", str(cluster.kubeconfig("admin")), "-A", "-o", "json", "--force-exit-zero")
    for section in told["popeye"]["sections"]:
        for key, issues in (section.get("issues") or {}).items():
            namespace, _, name = key.rpartition("/")
            for issue in issues or ():
                level = issue["level"]
                text = f"{section['linter']} {name} {issue['message']}"
                yield Said(namespace, name, text, level >= _POPEYE_WARNS, level >= _POPEYE_ERROR)


def _run(program: str, *words: str) -> Mapping[str, Any]:
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [binaries.find(program), *words], env={"HOME": home, "PATH": ""}, capture_output=True, timeout=600
        )
    try:
        found: dict[str, Any] = json.loads(done.stdout[done.stdout.index(b"{") :])
    except ValueError:
        raise RuntimeError(f"{program} said no JSON: {done.stderr[-500:]!r} {done.stdout[-500:]!r}") from None
    return found


_TOOLS = {"kubently": kubently, "k8sgpt": k8sgpt, "popeye": popeye}
_NEEDED = {"kubently": "kube-apiserver", "k8sgpt": "k8sgpt-analyzers", "popeye": "popeye"}


def run(scenarios: Sequence[Scenario]) -> None:
    """Print who named what."""
    tools = [name for name in _TOOLS if binaries.is_there(_NEEDED[name])]
    for name in _TOOLS.keys() - set(tools):
        print(f"skipped: {name} is not built: python -m tests.testbed.build {name}")
    with tempfile.TemporaryDirectory(prefix="kubently-beside-") as folder, prepared(Path(folder), scenarios) as ready:
        faulty = {name: list(_TOOLS[name](ready, ready.faulty)) for name in tools}
        healthy = {name: list(_TOOLS[name](ready, ready.healthy)) for name in tools}
        first = {app.slug: _is_first(ready, scenario, app) for scenario, app in _pairs(ready)}
        _print(ready, faulty, first)
    print("\nof the healthy cluster")
    for name in tools:
        errors, warnings = sum(said.is_error for said in healthy[name]), sum(said.is_bad for said in healthy[name])
        print(f"  {name:9} {errors:4} errors, {warnings - errors:4} warnings")


def _pairs(ready: Prepared) -> list[tuple[Scenario, App]]:
    return list(zip(ready.scenarios, ready.broken, strict=True))


def _is_first(ready: Prepared, scenario: Scenario, app: App) -> bool:
    found = ready.diagnose(ready.faulty, app.namespace).findings
    own = [item for item in found if item.objects[0].namespace or item.objects[0].name.startswith(app.namespace)]
    return bool(own) and (own[0].code, str(own[0].objects[0])) == (
        scenario.code,
        scenario.at_fault.format(ns=app.namespace),
    )


def _print(ready: Prepared, faulty: Mapping[str, Sequence[Said]], first: Mapping[str, bool]) -> None:
    names = sorted((app.namespace for app in ready.broken), key=len, reverse=True)
    print(f"{'fault':24}" + "".join(f"{tool:>22}" for tool in faulty))
    totals = {tool: [0, 0] for tool in faulty}
    for scenario, app in _pairs(ready):
        row = f"{app.slug:24}"
        for tool, said in faulty.items():
            own = [item for item in said if _owner(item, names) == app.namespace]
            seen = any(item.is_bad for item in own)
            text = "\n".join(item.text for item in own).lower()
            named = seen and all(word.lower() in text for word in scenario.words)
            totals[tool][0] += seen
            totals[tool][1] += named
            mark = (
                "cause first"
                if tool == "kubently" and named and first[app.slug]
                else "cause"
                if named
                else "seen"
                if seen
                else "-"
            )
            row += f"{f'{mark} ({len(own)})':>22}"
        print(row)
    count = len(ready.broken)
    for tool, (seen, named) in totals.items():
        amount = len(faulty[tool])
        print(f"{tool}: {seen} of {count} seen, the cause named of {named}; {amount} things said")
    print(f"kubently: the cause first of {sum(first.values())}")


def _owner(said: Said, names: Sequence[str]) -> str:
    """Whose fault it is said of: by namespace, or by the name of an object of the cluster."""
    if said.namespace:
        return said.namespace
    return next((name for name in names if said.name == name or said.name.startswith(f"{name}-")), "")


if __name__ == "__main__":
    print(machine.describe())
    parts = sys.argv[1:] or [""]
    run([scenario for scenario in SCENARIOS if any(part in scenario.slug for part in parts)])
    print(machine.describe())
