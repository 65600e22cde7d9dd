"""Prometheus reads the chart's rules, and scrapes a real API and a real executor where the chart's monitors point."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from tests.chart import cases
from tests.e2e.harness import ApiProcess, Cli, Fleet
from tests.testbed import binaries, helm
from tests.testbed.cluster import Cluster
from tests.testbed.processes import Process, free_ports, until

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kubently" / "promtool"
DAY = int(timedelta(days=1).total_seconds())


def tool(name: str) -> Path:
    return CACHE / name if (CACHE / name).exists() else binaries.find(name, by="it is in Debian's package prometheus")


def promtool(*words: str) -> str:
    done = subprocess.run([tool("promtool"), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The groups of the rendered PrometheusRule, as Prometheus' operator hands them on."""
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    spec = helm.the(cases.named("values-monitoring").render(), "PrometheusRule")["spec"]
    path.write_text(yaml.safe_dump(spec))
    return path


def test_prometheus_reads_every_rule(rules: Path) -> None:
    wanted = sum(len(group["rules"]) for group in yaml.safe_load(rules.read_text())["groups"])

    assert f"SUCCESS: {wanted} rules found" in promtool("check", "rules", str(rules))


@pytest.mark.parametrize(
    ("days", "share", "severities"),
    [(60, 0.4, []), (9, 0.1, ["warning"]), (2, 0.02, ["critical", "warning"]), (2, 0.6, [])],
    ids=["long before", "under the warning", "under both", "short-lived and fresh"],
)
def test_certificates_are_warned_about_in_time(
    rules: Path, tmp_path: Path, days: int, share: float, severities: list[str]
) -> None:
    labels = '{namespace="kubently",certificate="serving"}'
    at = 100 * 60
    fired = [
        {
            "exp_labels": {"severity": severity, "namespace": "kubently", "certificate": "serving"},
            "exp_annotations": {
                "summary": f"The certificate serving ends in {days}d 0h 0m 0s",
                "description": "Whatever renews it has not.",
            },
        }
        for severity in severities
    ]
    case = {
        "rule_files": [str(rules)],
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {
                        "series": f"kubently_certificate_not_after_timestamp_seconds{labels}",
                        "values": f"{at + days * DAY}x200",
                    },
                    {"series": f"kubently_certificate_life_left_ratio{labels}", "values": f"{share}x200"},
                ],
                "alert_rule_test": [
                    {"eval_time": "100m", "alertname": "KubentlyCertificateEndsSoon", "exp_alerts": fired}
                ],
            }
        ],
    }
    (tmp_path / "case.yaml").write_text(yaml.safe_dump(case))

    promtool("test", "rules", str(tmp_path / "case.yaml"))


@dataclass(frozen=True)
class Target:
    """Where a monitor points in a component."""

    component: str
    path: str
    scheme: str
    variable: str
    """That tells the program the port to which the monitor points."""


def targets(found: list[helm.Object]) -> Iterator[Target]:
    """What the operator makes of the monitors: by labels to Services or pods, by a port's name to a container."""
    workloads = {o["metadata"]["labels"]["app.kubernetes.io/component"]: o for o in found if o["kind"] == "Deployment"}
    for monitor in found:
        spec = monitor.get("spec", {})
        for end in spec.get("endpoints", ()) if monitor["kind"] == "ServiceMonitor" else ():
            service = one(o for o in found if o["kind"] == "Service" and selects(spec, o["metadata"]["labels"]))
            port = one(p for p in service["spec"]["ports"] if p["name"] == end["port"])
            workload = one(w for w in workloads.values() if selected_by(service, w))
            yield target(workload, port["targetPort"], end)
        for end in spec.get("podMetricsEndpoints", ()):
            labels = (w["spec"]["template"]["metadata"]["labels"] for w in workloads.values())
            assert sum(selects(spec, found) for found in labels) == 1
            workload = one(w for w in workloads.values() if selects(spec, w["spec"]["template"]["metadata"]["labels"]))
            yield target(workload, end["port"], end)


def one(found: Iterator[Any]) -> Any:
    (only,) = found
    return only


def selects(spec: dict[str, Any], labels: dict[str, str]) -> bool:
    return spec["selector"]["matchLabels"].items() <= labels.items()


def selected_by(service: helm.Object, workload: helm.Object) -> bool:
    labels: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return bool(service["spec"]["selector"].items() <= labels.items())


def target(workload: helm.Object, port: str, end: dict[str, Any]) -> Target:
    number = one(p["containerPort"] for p in helm.container(workload)["ports"] if p["name"] == port)
    variable = one(name for name, value in helm.environment(workload).items() if value.endswith(f":{number}"))
    component = workload["metadata"]["labels"]["app.kubernetes.io/component"]
    return Target(component, end.get("path", "/metrics"), end.get("scheme", "http"), variable)


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus that runs."""

    port: int

    def asked(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}", timeout=10) as answer:
            return json.load(answer)["data"]

    def series(self, query: str) -> list[dict[str, str]]:
        return [found["metric"] for found in self.asked(f"query?query={quote(query)}")["result"]]

    def health(self) -> dict[str, str]:
        try:
            found = self.asked("targets")["activeTargets"]
        except OSError:
            return {}
        return {target["labels"]["job"]: target["health"] + target["lastError"] for target in found}


def test_monitors_of_pods_point_where_those_of_services_do() -> None:
    by_service, by_pod = (set(targets(cases.named(f"values-{n}").render())) for n in ("monitoring", "pod-monitors"))

    assert by_service == by_pod
    assert {found.component for found in by_pod} == {"api", "executor"}


def test_prometheus_scrapes_api_and_executor(cluster: Cluster, rules: Path, folder: Path) -> None:
    found = list(targets(cases.named("values-monitoring").render()))
    ports = dict(zip((t.component for t in found), free_ports(len(found)), strict=True))
    extra = {t.component: {t.variable: f"127.0.0.1:{ports[t.component]}"} for t in found}
    here = folder / "monitoring"
    api = ApiProcess(here / "api", extra=extra["api"])
    fleet = Fleet(api, Cli.of(api, here / "cli"), here)
    with ExitStack() as stack:
        stack.callback(fleet.stop)
        api.start()
        fleet.add("chart", cluster.kubeconfig("admin"), extra=extra["executor"])
        api.wait_connected("chart")
        scrapes = [job(t, ports[t.component]) for t in found]
        configuration = {"global": {"evaluation_interval": "1s"}, "rule_files": [str(rules)], "scrape_configs": scrapes}
        prometheus = stack.enter_context(started(here, configuration))
        until(lambda: prometheus.health() == {"api": "up", "executor": "up"}, "both scraped", every=0.3)

        until(lambda: prometheus.series("kubently_executor_connected == 1"), "the executor's own word", every=0.3)
        # One executor may have several connections.
        until(lambda: prometheus.series("kubently_tunnel_connections > 0"), "the API's word", every=0.3)
        # Those of the chart's own alerts; tests of the product see to the rest.
        assert certificates(rules.read_text()) <= names_of(prometheus)
        until(lambda: names_of(prometheus) & recorded(rules), "a rule was evaluated", every=0.3)


def job(found: Target, port: int) -> dict[str, Any]:
    where = {"targets": [f"127.0.0.1:{port}"], "labels": {"namespace": "kubently"}}
    how = {"scrape_interval": "1s", "metrics_path": found.path, "scheme": found.scheme}
    return {"job_name": found.component, **how, "static_configs": [where]}


@contextmanager
def started(here: Path, configuration: dict[str, Any]) -> Iterator[Prometheus]:
    (here / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    (port,) = free_ports(1)
    argv = [tool("prometheus"), f"--config.file={here}/prometheus.yml", f"--storage.tsdb.path={here}/data"]
    argv += [f"--web.listen-address=127.0.0.1:{port}"]
    process = Process(argv, log=here / "prometheus.log", env={"HOME": str(here)}, cwd=here)
    try:
        yield Prometheus(port)
    finally:
        process.stop()


def names_of(prometheus: Prometheus) -> set[str]:
    return set(prometheus.asked("label/__name__/values"))


def certificates(rules: str) -> set[str]:
    return set(re.findall(r"\bkubently_certificate\w+", rules))


def recorded(rules: Path) -> set[str]:
    groups = yaml.safe_load(rules.read_text())["groups"]
    return {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}
