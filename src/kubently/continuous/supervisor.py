"""Which clusters this replica diagnoses continuously, and one task for each.

A cluster is watched where it has a session here, its labels fit and no other replica has claimed it. It is let go of
when it has been away for a while: then whoever has its session goes on, from the history in the store.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import anyio
import httpx
from anyio.abc import TaskGroup

from kubently.auth import Caller
from kubently.broker import Audit, narrowing, new_request_id
from kubently.continuous import owners
from kubently.continuous.chosen import Chosen
from kubently.continuous.cluster import ClusterWatch, Means
from kubently.continuous.owners import Owners
from kubently.errors import KubentlyError
from kubently.fleet import Fleet, FleetTransport
from kubently.kubeclient import KubeClient
from kubently.schema import ClusterId, Permission, Principal, Role
from kubently.tunnel import Session

log = logging.getLogger(__name__)

PRINCIPAL = Principal(name="kubently:continuous", role=Role.VIEWER)
"""For whom is read: nobody's key, and no more rights than a viewer's."""

LOOK_EVERY = 1.0
"""Seconds between two looks at which clusters are here: they come and go without a word."""

LINGER = 20.0
"""Seconds for which the picture of a cluster that is away is kept: executors dial again within a few."""

RETRY = 30.0
"""Seconds before a cluster whose task failed is begun again."""


class Supervisor:
    """Begins and ends the tasks while `run` runs."""

    def __init__(
        self,
        fleet: Fleet,
        audit: Audit,
        chosen: Chosen,
        claims: Owners,
        means: Means,
        *,
        renew_every: float = owners.RENEW_EVERY,
    ) -> None:
        self._renew_every = renew_every
        self._fleet = fleet
        self._audit = audit
        self._chosen = chosen
        self._owners = claims
        self._means = means
        self._running: dict[ClusterId, _Running] = {}

    def watched(self) -> Mapping[ClusterId, ClusterWatch]:
        """What is diagnosed here now."""
        return {cluster: running.watch for cluster, running in self._running.items() if running.watch is not None}

    async def run(self) -> None:
        """Supervise for ever."""
        async with anyio.create_task_group() as tasks:
            while True:
                await self._look(tasks)
                await anyio.sleep(LOOK_EVERY)

    async def _look(self, tasks: TaskGroup) -> None:
        here, now = self._fleet.connected(), self._means.clock()
        for cluster in here - self._running.keys():
            running = self._running[cluster] = _Running(seen_at=now)
            tasks.start_soon(self._keep, cluster, running)
        for cluster, running in self._running.items():
            if cluster in here:
                running.seen_at = now
                self._leave_draining(cluster, running)
            elif now - running.seen_at > LINGER:
                running.scope.cancel()

    def _leave_draining(self, cluster: ClusterId, running: _Running) -> None:
        """An executor that stops, or spreads its sessions, waits for what runs over them: watches would last."""
        draining = self._fleet.draining(cluster)
        if draining - running.draining and running.watch is not None:
            running.watch.move()
        running.draining = draining

    async def _keep(self, cluster: ClusterId, running: _Running) -> None:
        """Claim a cluster in turn, and watch it while the claim holds."""
        try:
            with running.scope:
                while True:
                    if await self._may(cluster):
                        await self._watch(cluster, running)
                    await anyio.sleep(self._renew_every)
        finally:
            del self._running[cluster]

    async def _watch(self, cluster: ClusterId, running: _Running) -> None:
        try:
            async with self._client(cluster) as client, anyio.create_task_group() as tasks:
                running.watch = ClusterWatch(cluster, client, self._means)
                tasks.start_soon(self._run, running.watch)
                while True:
                    await anyio.sleep(self._renew_every)
                    if not await self._may(cluster):
                        break
                tasks.cancel_scope.cancel()
        except KubentlyError as error:
            log.warning("a cluster is not watched", extra={"cluster": cluster, "reason": str(error)})
        finally:
            running.watch = None
            with anyio.move_on_after(2, shield=True):
                await self._owners.leave(cluster)

    async def _may(self, cluster: ClusterId) -> bool:
        return self._chosen.has(self._fleet.describe(cluster).labels) and await self._owners.claim(cluster)

    async def _run(self, watch: ClusterWatch) -> None:
        """Begin again what failed in an unforeseen way: one cluster's objects must not end the others' watches."""
        while True:
            try:
                await watch.run()
            except Exception:
                log.exception("continuous diagnosis of a cluster failed", extra={"cluster": watch.cluster})
            await anyio.sleep(RETRY)

    @contextlib.asynccontextmanager
    async def _client(self, cluster: ClusterId) -> AsyncIterator[KubeClient]:
        """A client of one cluster, and the audit record that says how long it was read."""
        request_id = new_request_id()
        what = "lists and watches of what analyzers read, logs of containers that fail or miss something"
        async with (
            self._audit.recorded(PRINCIPAL, cluster, "continuous", what, request_id=request_id) as entry,
            httpx.AsyncClient(
                transport=FleetTransport(self._fleet, Caller(PRINCIPAL, Permission.DIAGNOSE, request_id)),
                base_url=f"http://{cluster}/k8s",
                headers=narrowing.caller_fields(PRINCIPAL, cluster, request_id),
                timeout=None,  # noqa: S113  # each list and watch has a bound of its own, and the tunnel its liveness
                trust_env=False,
            ) as http,
        ):
            entry.outcome = "ended"
            yield KubeClient(http)


@dataclass(slots=True)
class _Running:
    seen_at: float
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    watch: ClusterWatch | None = None
    draining: frozenset[Session] = frozenset()
