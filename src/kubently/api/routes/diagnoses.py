"""Diagnoses."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import msgspec
from anyio.streams.memory import MemoryObjectSendStream
from fastapi import APIRouter
from starlette.responses import Response

from kubently.api import ndjson
from kubently.api.routes.context import Context, Here, aware
from kubently.broker import fanout
from kubently.errors import KubentlyError
from kubently.schema import ClusterDiagnosis, ClusterId, DiagnosisRequest, Permission, problems
from kubently.tunnel import Receive, Scope, Send

router = APIRouter(prefix="/api/v1", tags=["diagnoses"])


@router.post(
    "/diagnoses",
    summary="Diagnose clusters",
    response_class=Response,
    responses={
        200: {"content": {"application/x-ndjson": {"schema": {"$ref": "#/components/schemas/ClusterDiagnosis"}}}}
    },
)
async def diagnose(request: DiagnosisRequest, here: Here) -> Response:
    """One line of NDJSON a cluster, as each is done; a cluster that cannot be read has a problem instead."""
    here.require(Permission.DIAGNOSE)
    clusters = fanout.select(
        here.services.fleet,
        here.principal,
        names=request.clusters,
        selector=request.selector,
        everything=request.all,
    )
    return _Lines(here, clusters, request)


class _Lines(Response):
    """The answer as it comes, kept alive, ended when the client goes away."""

    def __init__(self, here: Context, clusters: Sequence[ClusterId], request: DiagnosisRequest) -> None:
        super().__init__()
        self._here = here
        self._clusters = clusters
        self._namespace = request.namespace
        self._since = aware(request.since)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Diagnose and send."""
        lines = ndjson.Lines(send, self._here.request_id)
        async with (
            ndjson.answering(scope, lines),
            contextlib.aclosing(fanout.gather(self._clusters, self._diagnose)) as results,
        ):
            async for result in results:
                await lines.write(msgspec.Raw(result.model_dump_json().encode()))

    async def _diagnose(self, cluster: ClusterId, out: MemoryObjectSendStream[ClusterDiagnosis]) -> None:
        here, readings = self._here, self._here.services.continuous.readings
        try:
            if self._since is not None:
                await readings.check(cluster)
            diagnosis = await here.services.diagnoses.diagnose(
                here.principal, cluster, namespace=self._namespace or None, request_id=here.request_id
            )
            diagnosis = await readings.annotate(diagnosis)
            if self._since is not None:
                diagnosis = await readings.since(here.principal, diagnosis, self._since, namespace=self._namespace)
            result = ClusterDiagnosis(cluster=cluster, diagnosis=diagnosis)
        except KubentlyError as error:
            problem = problems.to_problem(error, request_id=here.request_id)
            result = ClusterDiagnosis(cluster=cluster, problem=problem)
        await out.send(result)
