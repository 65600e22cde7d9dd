"""Analyzers of the people who run Kubently: from files and from installed packages."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.analyzers.test_declared import OWNER, deployment

from kubently.analyzers import ANALYZERS, Snapshot, diagnose
from kubently.broker import own_analyzers
from kubently.errors import ConfigError
from kubently.kube.objects import parse_instant

PACKAGE = """
from kubently.analyzers import Condition, analyzer
from kubently.analyzers.base import finding, quote
from kubently.analyzers.resources import DEPLOYMENTS
from kubently.kube import objects
from kubently.schema import Severity

ODD = Condition("acme/odd", Severity.RISK, "A Deployment is odd.", "Make it even.")


@analyzer("acme-odd", needs=(DEPLOYMENTS,), conditions=(ODD,))
def odd(snapshot):
    for member in snapshot.members(DEPLOYMENTS):
        ref = objects.ref(member)
        yield finding(ODD, title=f"{ref.name} is odd", objects=(ref,), evidence=(quote("name", ref.name),))
    raise RuntimeError("boom")
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed distribution with an entry point."""
    (tmp_path / "acme_analyzers.py").write_text(PACKAGE)
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{own_analyzers.GROUP}]\nacme = acme_analyzers:odd\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("acme_analyzers", None)


def test_without_any_there_are_kubentlys_own() -> None:
    assert own_analyzers.load(()) == ANALYZERS


def test_a_folder_stands_for_its_files(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "a.yaml").write_text(OWNER)
    (tmp_path / "b.yml").write_text(OWNER.replace("acme/no-owner", "acme/other"))
    (tmp_path / "notes.txt").write_text("nothing")

    loaded = own_analyzers.load((tmp_path,))

    assert [item.codes for item in loaded[len(ANALYZERS) :]] == [("acme/no-owner",), ("acme/other",)]


def test_an_installed_package_is_found_and_what_it_raises_is_said(package: Path) -> None:
    loaded = own_analyzers.load(())
    own = loaded[len(ANALYZERS) :]

    report = diagnose(Snapshot.of([deployment("web")], read_at=parse_instant("2026-03-02T10:00:00Z")), own)

    assert [finding.title for finding in report.findings] == ["web is odd"]
    assert [(gap.resource, gap.reason) for gap in report.coverage.blind] == [("analyzer acme-odd", "boom")]


def test_a_package_that_cannot_be_loaded_stops_the_start(package: Path) -> None:
    (package / "acme_analyzers.py").write_text("odd = 3\n")

    with pytest.raises(ConfigError, match=r"entry point acme \(acme_analyzers:odd\) is not an Analyzer"):
        own_analyzers.load(())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (OWNER.replace("acme/no-owner", "pod/crash-loop"), "uses pod/crash-loop, which is taken"),
        (OWNER + OWNER.partition("analyzers:")[2], "uses acme/no-owner, which is taken"),
        ("a: [", "cannot be read"),
        ("- 1", "acme.yaml"),
    ],
)
def test_what_is_wrong_is_named(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "acme.yaml"
    path.write_text(text)

    with pytest.raises(ConfigError) as told:
        own_analyzers.load((path,))

    assert words in str(told.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        own_analyzers.load((tmp_path / "nowhere.yaml",))
