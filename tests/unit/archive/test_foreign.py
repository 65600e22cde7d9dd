"""Clusters that other programs wrote down are diagnosed as the clusters were, as far as the layout carries them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import anyio
import httpx
import pytest
from tests.unit.archive import layouts
from tests.unit.archive.layouts import Cluster

from kubently import analyzers, archive
from kubently.analyzers import Snapshot
from kubently.analyzers.resources import RESOURCES, Resource
from kubently.archive import Archive
from kubently.kube import objects
from kubently.kubeclient import KubeClient, collect
from kubently.schema.findings import Blind, Finding

Write = Callable[[Path, Cluster], Path]
LAYOUTS: dict[str, tuple[Write, tuple[str, ...]]] = {
    "support bundle": (
        layouts.support_bundle,
        (*layouts.BUNDLE_NAMESPACED.values(), *layouts.BUNDLE_CLUSTER.values()),
    ),
    "must-gather": (layouts.must_gather, (*layouts.GATHERED, *layouts.GATHERED_CLUSTER, "namespaces")),
    "cluster-info dump": (layouts.cluster_info, (*layouts.DUMPED, "nodes")),
}
SLUGS = (
    "argo-out-of-sync",
    "certificate-not-issued",
    "claim-missing",
    "configmap-missing",
    "crash-exit-1",
    "healthy-busy",
    "hpa-at-maximum",
    "image-not-found",
    "ingress-backend-missing",
    "node-not-ready",
    "oom-killed",
    "webhook-service-missing",
)


def original(cluster: Cluster, layout: str) -> Snapshot:
    """What a diagnosis would see of the cluster itself, were it shown only what the layout carries."""
    carried = {layouts.BY_NAME[name] for name in LAYOUTS[layout][1]}
    if layout != "cluster-info dump":
        carried |= {resource for resource in RESOURCES if resource.is_addon}
    items = [item for resource in carried for item in cluster.all_of(resource)]
    blind = [Blind(resource=str(resource), reason="not carried") for resource in RESOURCES if resource not in carried]
    whole = Snapshot.of(items, read_at=cluster.read_at, blind=blind)
    logs = cluster.present_logs if layout == "cluster-info dump" else cluster.logs
    return Snapshot(whole.resources, cluster.read_at, logs, tuple(blind), whole_in=_whole_in(cluster, carried, layout))


def _whole_in(cluster: Cluster, carried: Iterable[Resource], layout: str) -> dict[Resource, frozenset[str]]:
    """Only a support bundle knows that there are no other namespaces than those that it looked into."""
    if layout == "support bundle":
        return {}
    every = frozenset(cluster.namespaces)
    found = {resource: every for resource in carried if resource.is_namespaced}
    return {**found, layouts.BY_NAME["namespaces"]: frozenset()}


def served(found: Archive) -> Snapshot:
    """What the collector reads from the archive's API."""

    async def read() -> Snapshot:
        transport = httpx.ASGITransport(app=archive.create_app(found, token=None))
        async with httpx.AsyncClient(transport=transport, base_url="http://archive") as http:
            return await collect(KubeClient(http), analyzers=analyzers.ANALYZERS, now=found.captured_at)

    return anyio.run(read)


def summary(findings: Iterable[Finding]) -> list[tuple[str, str, str, str, tuple[str, ...]]]:
    """What a person reads of findings."""
    return [
        (
            item.code,
            str(item.objects[0]),
            item.severity.value,
            item.title,
            tuple(f"{quoted.source}: {quoted.quote}" for quoted in item.evidence),
        )
        for item in findings
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("slug", SLUGS)
def test_the_diagnosis_is_that_of_the_cluster(slug: str, layout: str, tmp_path: Path) -> None:
    cluster = layouts.scenario(slug)
    wanted = analyzers.diagnose(original(cluster, layout))

    found = archive.read(LAYOUTS[layout][0](tmp_path / "taken", cluster))
    report = analyzers.diagnose(served(found))

    assert found.layout == layout
    assert found.captured_at.replace(microsecond=0) == cluster.read_at
    assert summary(report.findings) == summary(wanted.findings)
    assert summary(report.symptoms) == summary(wanted.symptoms)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_packed_archive_is_the_folder(layout: str, tmp_path: Path) -> None:
    folder = LAYOUTS[layout][0](tmp_path / "Taken_Today", layouts.scenario("crash-exit-1"))

    packed = archive.read(layouts.pack(folder, tmp_path / "Taken_Today.TAR.GZ"))
    unpacked = archive.read(folder)

    assert packed == unpacked
    assert packed.name == "taken-today"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_was_not_collected_is_not_empty(layout: str, tmp_path: Path) -> None:
    found = archive.read(LAYOUTS[layout][0](tmp_path, layouts.scenario("hpa-at-maximum")))

    gaps = {gap.resource: gap.reason for gap in analyzers.diagnose(served(found)).coverage.blind}

    carried = set(LAYOUTS[layout][1])
    silent = {str(r) for r in RESOURCES if not r.is_addon} - carried - gaps.keys()
    assert not silent
    assert f"the {layout} did not collect apiservices" in gaps["apiservices.apiregistration.k8s.io"]
    assert ("pods" in gaps) == (layout != "support bundle"), "others may have namespaces that nobody looked into"
    assert ("apis" in gaps) == (layout != "support bundle")


def test_the_scenarios_of_this_test_show_something() -> None:
    """Or the comparison above would compare nothing."""
    bundle = [analyzers.diagnose(original(layouts.scenario(slug), "support bundle")).findings for slug in SLUGS]

    assert sum(map(bool, bundle)) >= 9
    assert all(objects.kind(item) for slug in SLUGS for item in layouts.scenario(slug).items)
