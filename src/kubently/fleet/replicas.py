"""One process as one of several replicas: its listener for the others, its leases, its way to them."""

from __future__ import annotations

import contextlib
import logging
import random
import re
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio

from kubently.auth import PeerTrust
from kubently.errors import KubentlyError
from kubently.fleet.directory import READ_LEASES_EVERY, Directory, Replica
from kubently.fleet.fleet import Fleet
from kubently.fleet.peer_server import PeerServer, Stamp
from kubently.fleet.peers import Peers
from kubently.fleet.registry import Registry
from kubently.store import Store
from kubently.tunnel.transports.poll_server import Polls

log = logging.getLogger(__name__)

SPREAD_EVERY = 10.0
"""Seconds between two looks for executors whose sessions are all at this replica while there are others."""
SPREAD_AGAIN_AFTER = 600.0
"""Seconds for which an executor that came back all the same is left alone: the balancer in front decides."""
SPREAD_RATE = 20.0
"""Sessions a second that are asked to go elsewhere."""

ANY = frozenset({"0.0.0.0", "::"})  # noqa: S104  # compared with, not listened on


def new_name() -> str:
    """A name for this run of this process: the host's, and random letters. It is a DNS label."""
    host = re.sub(r"[^a-z0-9]+", "-", socket.gethostname().lower())[:50].strip("-")
    return f"{host or 'replica'}-{secrets.token_hex(4)}"


@contextlib.asynccontextmanager
async def joined(
    fleet: Fleet,
    registry: Registry,
    store: Store,
    trust: PeerTrust,
    polls: Polls,
    *,
    listen: tuple[str, int],
    advertised: tuple[str, int] | None,
    stamp: Stamp,
    clock: Callable[[], float],
    restore: Callable[[], Awaitable[None]],
    spread_every: float = SPREAD_EVERY,
) -> AsyncIterator[Peers]:
    """Be the replica that *trust* names while the block runs. Raises ConfigError, StoreError.

    *advertised* is where the others reach it; without it, where it listens, or this host by its name. *restore* is
    called now and then, and when the store was emptied, to write back what all replicas must agree on.
    """
    async with anyio.create_task_group() as tasks:
        emptied = _Signal()
        directory = Directory(
            Replica(trust.replica, "", 0),
            store,
            clock=clock,
            describe=fleet.lease_of,
            on_change=fleet.wake,
            on_cut=fleet.cut,
            on_emptied=emptied.set,
        )
        peers = Peers(directory, trust, clock=clock)
        server = PeerServer(fleet, trust, peers.heartbeat, tasks, polls=polls, stamp=stamp, clock=clock)
        polls.replica = trust.replica
        async with server.listen(listen) as port:
            host = socket.gethostname() if listen[0] in ANY else listen[0]
            directory.own = Replica(trust.replica, *(advertised or (host, port)))
            fleet.join(directory, peers)
            directory.start(tasks)
            await directory.join()
            tasks.start_soon(peers.heartbeat.run)
            tasks.start_soon(registry.follow)
            tasks.start_soon(_reconcile, registry, fleet, emptied, restore)
            tasks.start_soon(_spread, fleet, directory, spread_every)
            log.info("one of several replicas", extra={"replica": trust.replica, "port": port})
            try:
                yield peers
            finally:
                with anyio.CancelScope(shield=True):
                    await directory.leave()
                peers.close()
        tasks.cancel_scope.cancel()


async def _spread(fleet: Fleet, directory: Directory, every: float) -> None:
    """Ask one session of each crowded executor to go: its replacement stands before it ends, at another replica."""
    asked: dict[str, float] = {}
    while True:
        await anyio.sleep(every * random.uniform(0.8, 1.2))
        now = anyio.current_time()
        asked = {instance: at for instance, at in asked.items() if now - at < SPREAD_AGAIN_AFTER}
        if all(replica.is_draining for replica in directory.replicas()):
            continue
        for connected in fleet.crowded():
            if connected.instance not in asked:
                asked[connected.instance] = now
                connected.session.drain("the executor's sessions spread over the API's replicas")
                await anyio.sleep(random.uniform(0, 2 / SPREAD_RATE))


async def _reconcile(
    registry: Registry, fleet: Fleet, emptied: _Signal, restore: Callable[[], Awaitable[None]]
) -> None:
    while True:
        await emptied.wait(READ_LEASES_EVERY * random.uniform(0.9, 1.1))
        try:
            await restore()
            await registry.reconcile(fleet.connected())
        except KubentlyError as error:
            log.warning("the clusters' records were not reconciled", extra={"reason": str(error)})


class _Signal:
    """Something that happens now and then."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, seconds: float) -> None:
        """Until it happens, at most *seconds*."""
        with anyio.move_on_after(seconds):
            await self._event.wait()
        self._event = anyio.Event()
