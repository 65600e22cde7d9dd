"""Diagnoses."""

from __future__ import annotations

from collections.abc import AsyncIterator

from anyio.streams.memory import MemoryObjectSendStream
from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from kubently.api.routes.context import Context, Here
from kubently.broker import fanout
from kubently.errors import KubentlyError
from kubently.schema import ClusterDiagnosis, ClusterId, DiagnosisRequest, Permission, problems

router = APIRouter(prefix="/api/v1", tags=["diagnoses"])


@router.post(
    "/diagnoses",
    summary="Diagnose clusters",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"application/x-ndjson": {"schema": {"$ref": "#/components/schemas/ClusterDiagnosis"}}}}
    },
)
async def diagnose(request: DiagnosisRequest, here: Here) -> StreamingResponse:
    """One line of NDJSON a cluster, as each is done; a cluster that cannot be read has a problem instead."""
    here.require(Permission.DIAGNOSE)
    clusters = fanout.select(
        here.services.fleet,
        here.principal,
        names=request.clusters,
        selector=request.selector,
        everything=request.all,
    )
    return StreamingResponse(
        _lines(here, clusters, request.namespace or None),
        media_type="application/x-ndjson",
        headers={"x-accel-buffering": "no"},
    )


async def _lines(here: Context, clusters: list[ClusterId], namespace: str | None) -> AsyncIterator[str]:
    async def work(cluster: ClusterId, out: MemoryObjectSendStream[ClusterDiagnosis]) -> None:
        try:
            diagnosis = await here.services.diagnoses.diagnose(
                here.principal, cluster, namespace=namespace, request_id=here.request_id
            )
            await out.send(ClusterDiagnosis(cluster=cluster, diagnosis=diagnosis))
        except KubentlyError as error:
            problem = problems.to_problem(error, request_id=here.request_id)
            await out.send(ClusterDiagnosis(cluster=cluster, problem=problem))

    async for result in fanout.gather(clusters, work):
        yield result.model_dump_json() + "\n"
