"""Replicas at a glance, for ``kubently top``."""

from __future__ import annotations

from fastapi import APIRouter

from kubently.api import glance
from kubently.api.routes.context import Here
from kubently.schema import Permission, Top

router = APIRouter(prefix="/api/v1", tags=["status"])


@router.get("/top", summary="See what the replicas do")
async def read_top(here: Here) -> list[Top]:
    """Counters, latencies and limits: of the replica that answers first, then of the others, some seconds old."""
    here.require(Permission.READ_CLUSTERS, everywhere=True)
    return await glance.of_all(here.services)
