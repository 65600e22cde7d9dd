"""A cluster's picture, taken through the tunnel and served again: diagnosis and kubectl find what they found before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubently import archive
from tests.e2e.conftest import Clusters
from tests.e2e.content import EXECUTOR, NAMESPACE
from tests.e2e.test_up import Up, up


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """The bundled archives, served."""
    with up(tmp_path_factory.mktemp("first"), "--no-diagnose") as running:
        yield running


@pytest.fixture(scope="module")
def picture(first: Up, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of staging."""
    folder = tmp_path_factory.mktemp("pictures") / "staging"
    done = first.kubently("snapshot", "create", "staging", str(folder))
    assert done.code == 0, done.err
    assert "not in it: secrets" in done.err
    return folder


def _findings(running: Up) -> list[dict[str, Any]]:
    done = running.kubently("diagnose", "staging", "-o", "json", "--fail-on", "never")
    assert done.code == 0, done.err
    (result,) = json.loads(done.out)
    found: list[dict[str, Any]] = result["diagnosis"]["findings"]
    return found


def test_the_picture_of_a_picture_is_diagnosed_alike(first: Up, picture: Path, tmp_path: Path) -> None:
    with up(tmp_path, "--no-diagnose", "--archive", str(picture)) as again:
        assert _findings(again) == _findings(first)
        words = ("--context", "kubently-staging", "get", "pods", "-A")
        assert again.kubectl(*words).out == first.kubectl(*words).out


def test_objects_and_logs_are_those_of_the_cluster(picture: Path) -> None:
    taken, bundled = archive.load(picture), archive.load(next(p for p in archive.bundled() if p.name == "staging"))

    assert taken.captured_at == bundled.captured_at
    assert taken.version == bundled.version
    assert taken.labels == bundled.labels
    # Of ConfigMaps the executor masks what is secret.
    same = taken.by_type.keys() - {("", "configmaps"), ("", "secrets")}
    assert {key: taken.by_type[key] for key in same} == {key: bundled.by_type[key] for key in same}
    assert bundled.by_type.keys() - taken.by_type.keys() <= {("", "secrets")}
    # Of a container that waits, a node gives the log of its last run when asked for the present one.
    assert taken.logs.keys() >= bundled.logs.keys()


def test_a_folder_that_is_there_is_not_touched(first: Up, picture: Path) -> None:
    before = sorted(picture.rglob("*"))

    done = first.kubently("snapshot", "create", "staging", str(picture))

    assert done.code != 0
    assert "is there already" in done.err
    assert sorted(picture.rglob("*")) == before


def test_a_limit_is_said_and_leaves_an_archive_that_can_be_read(first: Up, tmp_path: Path) -> None:
    done = first.kubently(
        "snapshot", "create", "staging", str(tmp_path / "few"), "--max-objects", "20", "--max-logs", "2"
    )

    assert done.code == 0, done.err
    assert "the limit of objects was reached" in done.err
    taken = archive.load(tmp_path / "few")
    assert sum(map(len, taken.by_type.values())) == 20
    assert len(taken.logs) <= 2


def test_a_real_cluster_is_taken_without_its_secrets(clusters: Clusters, tmp_path: Path) -> None:
    kubeconfig = clusters["alpha"].kubeconfig(EXECUTOR)
    words = ("--kubeconfig", str(kubeconfig), "--context", "alpha", "--no-diagnose")
    with up(tmp_path, *words) as running:
        done = running.kubently("snapshot", "create", "alpha", str(tmp_path / "alpha"), "-n", NAMESPACE)
        assert done.code == 0, done.err

    taken = archive.load(tmp_path / "alpha")
    assert taken.version.startswith("v1.")
    assert {item["metadata"]["namespace"] for item in taken.by_type["", "pods"]} == {NAMESPACE}
    assert ("", "secrets") not in taken.by_type
