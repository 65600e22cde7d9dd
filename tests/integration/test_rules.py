"""The alert rules: every metric that they name exists, and Prometheus' own tool runs them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from kubently.executor import metrics as executor_metrics
from kubently.testing.fleets import run_fleet

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deployment" / "helm" / "kubently" / "files" / "rules.yaml"
PAGE = ROOT / "docs" / "howto" / "observe.md"
SUFFIXES = ("_total", "_bucket", "_count", "_sum", "")


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def families_of_executors() -> set[str]:
    assert executor_metrics.CONNECTED is not None
    return {family.name for family in REGISTRY.collect() if family.name.startswith("kubently_")}


def without_suffix(name: str) -> set[str]:
    return {name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)}


@pytest.mark.anyio
async def test_every_metric_that_a_rule_names_exists(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        text = (await fleet.http.get("/metrics")).text
    known = {family.name for family in text_string_to_metric_families(text)} | families_of_executors()

    named = {name for rule in rules() for name in re.findall(r"\bkubently_\w+", rule["expr"])}

    assert len(named) > 15
    assert {name for name in named if not without_suffix(name) & known} == set()


def test_every_recorded_series_that_is_used_is_recorded() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}

    used = {name for rule in rules() for name in re.findall(r"\bkubently:\w+(?::\w+)*", rule["expr"])}

    assert used <= recorded


def test_every_alert_says_what_to_do_and_is_described() -> None:
    page = PAGE.read_text()

    for rule in rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert rule["annotations"]["summary"] and rule["annotations"]["description"]
            assert f"`{rule['alert']}`" in page


def promtool() -> str:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kubently" / "promtool" / "promtool"
    found = shutil.which("promtool") or (str(cache) if cache.exists() else None)
    if found is None:
        pytest.skip("promtool is not installed: it is in Debian's package prometheus")
    return found


def test_prometheus_reads_the_rules() -> None:
    done = subprocess.run([promtool(), "check", "rules", str(RULES)], capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    cases = tmp_path / "rules_test.yaml"
    cases.write_text(Path(__file__).with_name("rules_test.yaml").read_text().replace("RULES", str(RULES)))

    done = subprocess.run([promtool(), "test", "rules", str(cases)], capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
