"""A deterministic diagnosis of one cluster: collect, analyse, rank."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import anyio
import httpx

from kubently import analyzers, kubeclient
from kubently.auth import Caller
from kubently.broker import narrowing
from kubently.broker.admission import Admission
from kubently.broker.audit import Audit
from kubently.errors import ExecutorOfflineError
from kubently.fleet import Fleet, FleetTransport
from kubently.schema import ClusterId, Diagnosis, Permission, Principal

TIMEOUT = 60.0
"""Seconds for collecting one cluster's snapshot."""


class Diagnoses:
    """Diagnoses clusters through their tunnels."""

    def __init__(
        self,
        fleet: Fleet,
        admission: Admission,
        audit: Audit,
        chosen: tuple[analyzers.Analyzer, ...] = analyzers.ANALYZERS,
    ) -> None:
        self._analyzers = chosen
        self._admission = admission
        self._audit = audit
        self._fleet = fleet

    async def diagnose(
        self, principal: Principal, cluster: ClusterId, *, namespace: str | None = None, request_id: str
    ) -> Diagnosis:
        """Say what is wrong in *cluster*, or in one of its namespaces. Raises AuthError, FleetError, TunnelError."""
        await self._admission.require(principal, cluster, Permission.DIAGNOSE)
        what = f"namespace {namespace}" if namespace else "all namespaces"
        started = time.monotonic()
        async with self._audit.recorded(principal, cluster, "diagnose", what, request_id=request_id) as entry:
            diagnosis = await self._diagnose(cluster, namespace, principal, request_id)
            entry.outcome = f"findings {len(diagnosis.findings)}"
        return diagnosis.model_copy(update={"seconds": round(time.monotonic() - started, 3)})

    async def _diagnose(
        self, cluster: ClusterId, namespace: str | None, principal: Principal, request_id: str
    ) -> Diagnosis:
        limits = narrowing.of(principal, cluster)
        wanted = frozenset({namespace}) if namespace else limits.namespaces if limits else None
        try:
            async with httpx.AsyncClient(
                transport=FleetTransport(self._fleet, Caller(principal, Permission.DIAGNOSE, request_id)),
                base_url=f"http://{cluster}/k8s",
                headers=narrowing.caller_fields(principal, cluster, request_id),
                timeout=None,  # noqa: S113  # collect() has its own deadline, and the tunnel its liveness
                trust_env=False,
            ) as client:
                snapshot = await kubeclient.collect(
                    kubeclient.KubeClient(client),
                    analyzers=self._analyzers,
                    now=datetime.now(UTC),
                    namespaces=wanted,
                    timeout=TIMEOUT,
                )
        except httpx.TransportError as error:
            raise ExecutorOfflineError(f"{cluster} broke off while it was read: {error}") from error
        # Analysing a large cluster takes CPU, not I/O: in a thread the other requests of this process go on.
        report = await anyio.to_thread.run_sync(analyzers.diagnose, snapshot, self._analyzers)
        return Diagnosis(
            cluster=cluster,
            read_at=snapshot.read_at,
            findings=report.findings,
            symptoms=report.symptoms,
            coverage=report.coverage,
        )
