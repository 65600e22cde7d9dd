"""Findings over time, where continuous diagnosis keeps them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import anyio
from fastapi import APIRouter, Query

from kubently.api.routes.context import Here, aware
from kubently.broker import fanout
from kubently.continuous import Wanted, in_order
from kubently.errors import KubentlyError
from kubently.schema import ClusterHistory, ClusterId, FindingRecord, FindingsPage, FindingState, Permission

router = APIRouter(prefix="/api/v1", tags=["diagnoses"])

_PARALLEL = 16


@router.get("/findings", summary="Read the history of findings")
async def read_findings(
    here: Here,
    cluster: Annotated[list[str] | None, Query(description="of these clusters; of all that you may see")] = None,
    state: FindingState = FindingState.OPEN,
    since: Annotated[datetime | None, Query(description="those that began or were resolved since")] = None,
    namespace: str = "",
) -> FindingsPage:
    """What is open, or was resolved, by the last continuous diagnosis of each cluster.

    Of clusters without continuous diagnosis there is nothing; `clusters` says which those are, and how old the rest is.
    """
    here.require(Permission.DIAGNOSE)
    services = here.services
    names = fanout.select(services.fleet, here.principal, names=cluster or (), everything=not cluster)
    wanted = Wanted(state, aware(since), namespace)
    slots = anyio.CapacityLimiter(_PARALLEL)
    found: list[FindingRecord] = []
    described: dict[ClusterId, ClusterHistory] = {}
    failures: list[KubentlyError] = []

    async def read(name: ClusterId) -> None:
        try:
            async with slots:
                described[name], records = await services.continuous.readings.read(here.principal, name, wanted)
        except KubentlyError as error:
            failures.append(error)
        else:
            found.extend(records)

    async with anyio.create_task_group() as tasks:
        for name in names:
            tasks.start_soon(read, name)
    if failures:
        raise failures[0]
    return FindingsPage(findings=in_order(found), clusters=tuple(described[name] for name in sorted(described)))
