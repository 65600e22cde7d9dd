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
SPREAD_PAUSES = (20.0, 600.0)
"""Seconds for which an executor that came back all the same is left alone, the first time and at most: they double.
The balancer in front decides, and one that is sticky decides always the same."""
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
        written = registry.hints()
        await registry.reconcile(fleet.connected())  # what was written since it was loaded
        polls.replica = trust.replica
        async with server.listen(listen) as port:
            host = socket.gethostname() if listen[0] in ANY else listen[0]
            directory.own = Replica(trust.replica, *(advertised or (host, port)))
            fleet.join(directory, peers)
            directory.start(tasks)
            await directory.join()
            tasks.start_soon(peers.heartbeat.run)
            tasks.start_soon(registry.follow, written, fleet.connected)
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
    patience = Patience(*SPREAD_PAUSES)
    while True:
        await anyio.sleep(every * random.uniform(0.8, 1.2))
        patience.forget(anyio.current_time())
        if all(replica.is_draining for replica in directory.replicas()):
            continue
        for connected in fleet.crowded():
            if patience.is_due(connected.instance, anyio.current_time()):
                connected.session.drain("the executor's sessions spread over the API's replicas")
                await anyio.sleep(random.uniform(0, 2 / SPREAD_RATE))


class Patience:
    """Whom to ask again when: each time later than the time before."""

    def __init__(self, first: float, most: float) -> None:
        self._first = first
        self._most = most
        self._asked: dict[str, tuple[float, float]] = {}
        """When each may be asked again, and the pause before that."""

    def is_due(self, name: str, now: float) -> bool:
        """Say whether *name* may be asked now, and take it as asked if so."""
        at, pause = self._asked.get(name, (now, 0.0))
        if now < at:
            return False
        pause = min(pause * 2, self._most) or self._first
        self._asked[name] = (now + pause, pause)
        return True

    def forget(self, now: float) -> None:
        """Begin anew with those who have not had to be asked for long."""
        self._asked = {name: (at, pause) for name, (at, pause) in self._asked.items() if now < at + self._most}


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
