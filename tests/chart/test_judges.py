"""Schemas, kube-score and checkov say nothing against any of the value files, but for what allowed.yaml excuses."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import cases
from tests.testbed import binaries, helm, schemas

HERE = Path(__file__).parent
CHECKOV = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kubently" / "checkov" / "bin" / "checkov"


@dataclass(frozen=True)
class Complaint:
    """What a judge holds against an object."""

    check: str
    subject: str
    """``Kind/name``."""
    where: str


def conform(folder: Path) -> list[dict[str, Any]]:
    """What kubeconform says about a folder, beside what is valid."""
    location = f"{schemas.folder()}/{schemas.LOCATION}"
    argv = [str(binaries.find("kubeconform")), "-strict", "-output", "json", "-schema-location", location, str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True)
    resources: list[dict[str, Any]] = json.loads(done.stdout)["resources"]
    return resources


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file for each case."""
    folder = tmp_path_factory.mktemp("rendered")
    for case in cases.CASES:
        # JSON is YAML, and soon written.
        (folder / f"{case.name}.yaml").write_text("\n---\n".join(json.dumps(found) for found in case.render()))
    return folder


def test_there_are_as_many_value_files_as_were_promised() -> None:
    assert len(cases.VALUES) >= 25
    assert len(cases.GUIDE) == 14


def test_every_object_of_every_case_is_valid(rendered: Path) -> None:
    assert conform(rendered) == []


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", "spec.replica", 2),
        ("Deployment", "spec.replicas", "two"),
        ("Service", "spec.type", "Cluster"),
        ("Certificate", "spec.dnsName", ["a"]),
        ("HTTPRoute", "spec.parentRefs", [{"names": "x"}]),
        ("PrometheusRule", "spec.groups", [{"nam": "x"}]),
        ("VirtualService", "spec.http", [{"timeouts": "0s"}]),
    ],
)
def test_schemas_find_what_is_wrong(kind: str, path: str, value: object, tmp_path: Path) -> None:
    found = next(found for _, found in cases.distinct() if found["kind"] == kind)
    found["spec"][path.removeprefix("spec.")] = value
    if path == "spec.type":
        # Kubernetes' OpenAPI has no lists of words, so that one is not to be found; a wrong type is.
        found["spec"]["type"] = 7
    (tmp_path / "wrong.yaml").write_text(json.dumps(found))

    assert [said["status"] for said in conform(tmp_path)] == ["statusInvalid"]


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)
def test_lint_is_clean(case: cases.Case) -> None:
    helm.helm("lint", "--strict", str(helm.CHART), f"--values={case.path}", "--namespace=kubently", *case.options)


def test_kube_score_is_clean(rendered: Path) -> None:
    complaints = [found for path in sorted(rendered.iterdir()) for found in scored(path)]

    assert unexcused("kube-score", complaints) == []


def test_checkov_is_clean(tmp_path: Path) -> None:
    if not CHECKOV.exists():
        binaries.find("checkov", by="pip install checkov==3.3.30 into a virtual environment, ~/.cache/kubently/checkov")
    for number, (name, found) in enumerate(cases.distinct()):
        (tmp_path / f"{name}-{number}.yaml").write_text(json.dumps(found))

    assert unexcused("checkov", list(checked(tmp_path))) == []


def unexcused(judge: str, complaints: Sequence[Complaint]) -> list[Complaint]:
    """What allowed.yaml does not excuse. Asserts that nothing in it is idle."""
    entries: list[dict[str, str]] = yaml.safe_load((HERE / "allowed.yaml").read_text())[judge]
    idle = [entry for entry in entries if not any(excuses(entry, found) for found in complaints)]
    assert idle == []
    assert all(entry["reason"] for entry in entries)
    return [found for found in complaints if not any(excuses(entry, found) for entry in entries)]


def excuses(entry: dict[str, str], found: Complaint) -> bool:
    return entry["check"] == found.check and fnmatch(found.subject, entry.get("only", "*"))


def scored(path: Path) -> Iterator[Complaint]:
    # Tests of the "optional" kind are switched off in it, and nothing here switches any other off.
    done = subprocess.run([binaries.find("kube-score"), "score", "-o", "json", path], capture_output=True, text=True)
    for found in json.loads(done.stdout):
        subject = f"{found['type_meta']['kind']}/{found['object_meta']['name']}"
        for check in found["checks"] or ():
            if check["grade"] < 10 and not check.get("skipped"):
                yield Complaint(check["check"]["id"], subject, path.stem)


def checked(folder: Path) -> Iterator[Complaint]:
    argv = [
        str(CHECKOV),
        "--skip-download",
        "--framework",
        "kubernetes",
        "-d",
        str(folder),
        "-o",
        "json",
        "--compact",
        "--quiet",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, env={"PATH": os.environ["PATH"], "HOME": str(folder)})
    found = json.loads(done.stdout)
    assert found["summary"]["resource_count"] > 100, found["summary"]
    for failed in found["results"]["failed_checks"]:
        kind, _, name = failed["resource"].split(".", 2)
        yield Complaint(failed["check_id"], f"{kind}/{name}", failed["file_path"])
