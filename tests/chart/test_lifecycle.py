"""Helm 4 installs, upgrades, rolls back and uninstalls the scenarios on a real API server, where only pods of the
restricted profile are let in; nothing is left but what the documents name."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from tests.chart import cases
from tests.testbed import releases
from tests.testbed.cluster import Cluster

BESIDE = 3
PLAYED = (
    *cases.GUIDE,
    *map(
        cases.named,
        (
            "values-production",
            "values-chart-ca",
            "values-sqlite",
            "values-gateway",
            "values-remote-by-enrolment",
        ),
    ),
)
# What stays after an uninstallation, on purpose: data, and what signs or proves an identity that Helm did not make.
KEPT = {"persistentvolumeclaim/data-kubently-redis-master-0", "persistentvolumeclaim/kubently-api"}


@dataclass
class Play:
    """What was seen in one scenario, from its beginning to its end."""

    case: cases.Case
    secrets: list[dict[str, dict[str, str]]] = field(default_factory=list)
    """After the installation, the upgrade and the way back."""
    labels: list[str] = field(default_factory=list)
    """Of the pods, likewise."""
    pods: int = 0
    revision: int = 0
    left: set[str] = field(default_factory=set)


def play(cluster: Cluster, case: cases.Case) -> Play:
    """One scenario in a namespace of its own."""
    seen = Play(case)
    with releases.namespace(cluster, f"play-{case.name}") as space:
        clean = releases.everything(cluster, space)
        release = releases.Release(cluster, case.release, space)
        release.install({}, *case.options, files=[case.path])
        look(release, seen)
        release.upgrade({"global": {"commonLabels": {"step": "two"}}}, *case.options, files=[case.path])
        look(release, seen)
        release.rollback(1)
        look(release, seen)
        seen.revision = release.revision()
        release.uninstall()
        cluster.kubectl("wait", "--for=delete", "pod", "--all", "-n", space, "--timeout=60s", timeout=90)
        # Of pods and of what owned them, which the garbage collector removes soon after.
        gone = ("pod", "replicaset.apps", "endpointslice.discovery.k8s.io", "endpoints", "controllerrevision.apps")
        seen.left = releases.without(releases.everything(cluster, space) - clean, *gone, "podmetrics.metrics.k8s.io")
    return seen


def look(release: releases.Release, seen: Play) -> None:
    release.wait_ready()
    found = release.get("pods,secrets")
    pods = [one for one in found if one["kind"] == "Pod" and "deletionTimestamp" not in one["metadata"]]
    seen.pods = len(pods)
    seen.labels.append(" ".join(sorted({pod["metadata"]["labels"].get("step", "") for pod in pods})))
    secrets = {one["metadata"]["name"]: one.get("data", {}) for one in found if one["kind"] == "Secret"}
    seen.secrets.append({name: data for name, data in secrets.items() if not name.startswith("sh.helm.release")})


@dataclass
class Stage:
    """All plays, and what was in no namespace before and after them."""

    plays: dict[str, Future[Play]]
    before: set[str]


@pytest.fixture(scope="module")
def stage(cluster: Cluster) -> Iterator[Stage]:
    """All scenarios, some beside each other."""
    before = releases.everything(cluster)
    with ThreadPoolExecutor(BESIDE) as pool:
        yield Stage({case.name: pool.submit(play, cluster, case) for case in PLAYED}, before)


@pytest.mark.parametrize("case", PLAYED, ids=lambda case: case.name)
def test_install_upgrade_rollback_uninstall(stage: Stage, case: cases.Case) -> None:
    seen = stage.plays[case.name].result(timeout=110)

    assert seen.pods >= 1
    assert seen.labels == ["", "two", ""]
    assert seen.revision == 3
    assert seen.secrets[0] == seen.secrets[1] == seen.secrets[2]
    assert seen.left <= KEPT


def test_nothing_is_left_outside_of_namespaces(stage: Stage, cluster: Cluster) -> None:
    for done in stage.plays.values():
        done.result(timeout=110)

    left = releases.everything(cluster) - stage.before

    assert releases.without(left, "namespace") == set()
