"""``kubently up`` with archives of other programs, which are named by their files."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from tests.integration.test_review_up import options
from tests.unit.archive import layouts

from kubently.main import up
from kubently.schema import parse_cluster_id

pytestmark = pytest.mark.anyio


async def test_two_clusters_may_come_in_files_of_one_name(tmp_path: Path) -> None:
    """The guard against two clusters under one id, which outlives a run, would turn the second away."""
    for uid in ("one", "other"):
        cluster = layouts.scenario("crash-exit-1")
        for item in cluster.items:
            item["metadata"]["uid"] = uid
        packed = layouts.pack(layouts.support_bundle(tmp_path / uid, cluster), tmp_path / uid / "support-bundle.tar.gz")

        async with up.running(options(tmp_path, archives=(packed,))) as running:
            with anyio.fail_after(20):
                while not running.is_connected(parse_cluster_id("support-bundle")):
                    await anyio.sleep(0.02)
            (info,) = await anyio.to_thread.run_sync(running.client.get, "/api/v1/clusters")

        assert info["id"] == "support-bundle"
