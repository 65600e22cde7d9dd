"""Brings two clusters up, one with all faults and one with all healthy twins, and diagnoses both through the tunnel."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kubently.schema import ClusterDiagnosis, Diagnosis
from tests.e2e.harness import ApiProcess, Cli, Fleet
from tests.eval import busy
from tests.eval.app import App, Scenario
from tests.eval.inject import inject
from tests.eval.score import Outcome, alarms, judge
from tests.testbed.cluster import Cluster

FAULTY, HEALTHY = "faulty", "healthy"
_READER = "kubently:executor"
_NOT_DRY = re.compile(r"\b(?:TAG|SIZE|KEY|VALUE|AMOUNT|RESOURCE)\b|^kubectl rollout restart |^helm ")
"""Commands with words to be replaced, and one that knows no dry run."""
SETTLE = 75.0
"""Seconds until what does not go forward counts as a fault."""


@dataclass(frozen=True)
class Result:
    """All scenarios, scored."""

    outcomes: tuple[Outcome, ...]
    alarms: tuple[str, ...]
    """Outages and degradations told of the cluster of healthy twins."""
    healthy_objects: int
    refused: tuple[str, ...]
    """Commands of remedies that the API server refuses in a dry run, with its words."""
    tried: int
    """Commands of remedies that were run dry: those without words to be replaced."""
    lost: tuple[str, ...]
    """Scenarios whose cause is no finding of its own in a diagnosis of the whole faulty cluster."""

    @property
    def found(self) -> int:
        """Causes at rank 1, with words and evidence."""
        return sum(outcome.is_found for outcome in self.outcomes)

    @property
    def recall(self) -> float:
        """Share of them, 0 to 1."""
        return self.found / len(self.outcomes)


@dataclass(frozen=True)
class Prepared:
    """Both clusters in the state in which they are to be diagnosed, and the fleet in front of them."""

    scenarios: Sequence[Scenario]
    broken: Sequence[App]
    faulty: Cluster
    healthy: Cluster
    fleet: Fleet

    def diagnose(self, cluster: Cluster, namespace: str = "") -> Diagnosis:
        """Diagnose one of them, or a namespace in it, through the tunnel."""
        body = {"clusters": [cluster.name], "namespace": namespace}
        (line,) = self.fleet.api.client().stream("/api/v1/diagnoses", body, timeout=120)
        result = ClusterDiagnosis.model_validate(line)
        assert result.diagnosis is not None, json.dumps(result.problem)
        return result.diagnosis


@contextmanager
def prepared(folder: Path, scenarios: Sequence[Scenario]) -> Iterator[Prepared]:
    """Put all *scenarios* in at once: each has a namespace of its own, and its twin one in the other cluster."""
    broken = [scenario.app(broken=True) for scenario in scenarios]
    twins = [scenario.app(broken=False) for scenario in scenarios]
    with _clusters(folder) as (faulty, healthy), _fleet(folder, faulty, healthy) as fleet:
        inject(faulty, broken)
        inject(healthy, [*twins, *busy.apps()])
        time.sleep(SETTLE)
        yield Prepared(scenarios, broken, faulty, healthy, fleet)


def evaluate(folder: Path, scenarios: Sequence[Scenario]) -> Result:
    """Run all *scenarios* and score them."""
    with prepared(folder, scenarios) as ready:
        names = [app.namespace for app in ready.broken]
        pairs = list(zip(scenarios, ready.broken, strict=True))
        outcomes = tuple(
            judge(scenario, app.namespace, ready.diagnose(ready.faulty, app.namespace), names)
            for scenario, app in pairs
        )
        whole, well = ready.diagnose(ready.faulty), ready.diagnose(ready.healthy)
        commands = sorted({line for finding in whole.findings if finding.remedy for line in finding.remedy.commands})
        dry = [shlex.split(line)[1:] for line in commands if not _NOT_DRY.search(line)]
        refused = tuple(filter(None, (_refusal(ready.faulty, words) for words in dry)))
    told = {(finding.code, str(finding.objects[0])) for finding in whole.findings}
    lost = tuple(s.slug for s, app in pairs if (s.code, s.at_fault.format(ns=app.namespace)) not in told)
    false = tuple(f"{finding.severity.value} {finding.code}: {finding.title}" for finding in alarms(well))
    return Result(outcomes, false, well.coverage.objects, refused, len(dry), lost)


@contextmanager
def _clusters(folder: Path) -> Iterator[tuple[Cluster, Cluster]]:
    both = Cluster(FAULTY, folder / FAULTY, nodes=5), Cluster(HEALTHY, folder / HEALTHY, nodes=5)
    with ExitStack() as stack:
        for cluster in both:
            stack.callback(cluster.down)
            cluster.launch()
        for cluster in both:
            cluster.wait_ready()
            cluster.kubeconfig(_READER)
            cluster.create(*_reader())
        yield both


@contextmanager
def _fleet(folder: Path, *clusters: Cluster) -> Iterator[Fleet]:
    api = ApiProcess(folder / "api")
    fleet = Fleet(api, Cli.of(api, folder / "home"), folder / "executors")
    policy = folder / "policy.yaml"
    policy.write_text("mode: read-only\nsecrets: metadata\n")
    try:
        api.start()
        for cluster in clusters:
            fleet.add(cluster.name, cluster.kubeconfig(_READER), extra={"KUBENTLY_POLICY_FILE": str(policy)})
        api.wait_connected(*(cluster.name for cluster in clusters))
        yield fleet
    finally:
        fleet.stop()


def _reader() -> Iterator[dict[str, object]]:
    """Rights of the executor: to read everything."""
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]
    group = "rbac.authorization.k8s.io"
    yield {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": "reader"}, "rules": rules}
    yield {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "reader"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": _READER}],
    }


def _refusal(cluster: Cluster, words: Sequence[str]) -> str:
    done = cluster.kubectl(*words, "--dry-run=server", check=False)
    return f"kubectl {shlex.join(words)}: {done.stderr}" if done.returncode else ""
