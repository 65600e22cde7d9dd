"""Clusters: which are there, and forgetting one."""

from __future__ import annotations

from fastapi import APIRouter

from kubently.api.routes.context import Here
from kubently.auth import grants
from kubently.broker import fanout
from kubently.schema import Cluster, Permission, parse_cluster_id

router = APIRouter(prefix="/api/v1/clusters", tags=["clusters"])


@router.get("", summary="List the clusters that you may see")
async def list_clusters(here: Here) -> list[Cluster]:
    """Each with its state, labels and connected executors."""
    here.require(Permission.READ_CLUSTERS)
    return fanout.visible(here.services.fleet, here.principal)


@router.get("/{cluster_id}", summary="Show one cluster")
async def show_cluster(cluster_id: str, here: Here) -> Cluster:
    """404 when there is none that you may see."""
    cluster = parse_cluster_id(cluster_id)
    await here.services.admission.require(here.principal, cluster, Permission.READ_CLUSTERS)
    return here.services.fleet.describe(cluster)


@router.delete("/{cluster_id}", status_code=204, summary="Forget a cluster and revoke its tokens")
async def delete_cluster(cluster_id: str, here: Here) -> None:
    """Its sessions are cut at once."""
    here.require(Permission.MANAGE)
    cluster = parse_cluster_id(cluster_id)
    await here.record("cluster.delete", cluster, cluster=cluster)
    known = await here.services.fleet.forget(cluster)
    revoked = await here.services.tokens.is_known(cluster)
    if revoked:
        await here.services.tokens.revoke(cluster)
    if not known and not revoked:
        raise grants.unknown_cluster(cluster)
