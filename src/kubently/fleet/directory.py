"""Which replica holds which cluster: ``fleet:replica:<replica>`` and ``fleet:lease:<cluster>:<replica>`` in the store.

A replica's record lives for 30 seconds and is renewed every ten; its leases count while it does, so that a crash drops
all of them at once and ten thousand idle clusters cost one write. A replica's name is of one run of it, so that what an
earlier run left behind means nobody. Each replica mirrors all of it in memory: a request waits for the store only where
the mirror knows no way. Changes are told by the store's hints; what a hint missed is found by reading all in turn.

While the store is away the mirror stays as it is: whom it names is asked, and says whether it is still so.
"""

from __future__ import annotations

import json
import logging
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import anyio
from anyio.abc import TaskGroup

from kubently.errors import KubentlyError
from kubently.schema import ClusterId
from kubently.store import Store

log = logging.getLogger(__name__)

REPLICAS = "fleet:replica:"
LEASES = "fleet:lease:"

CUTS = "fleet:cut:"
"""``fleet:cut:<cluster>``: that its sessions are to be closed, at all replicas."""

RECORD_TTL = 30.0
RENEW_EVERY = 10.0
LEASE_TTL = 3600.0
"""Seconds after which what a dead replica left is gone from the store."""
READ_REPLICAS_EVERY = 10.0
READ_LEASES_EVERY = 60.0
"""Seconds between two readings of all of them, which find what no hint told."""
LOOK_UP_TIMEOUT = 1.0
MAX_STALE = 10_000
_WRITERS = 8


class Cut(Enum):
    """Why all sessions of a cluster are closed."""

    REMOVED = "removed"
    RESET = "reset"


_CUTS = frozenset(why.value for why in Cut)


@dataclass(frozen=True, slots=True)
class Replica:
    """One API process."""

    name: str
    host: str
    port: int
    is_draining: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """That a replica holds a cluster; ``value`` is as the store has it."""

    cluster: ClusterId
    replica: str
    value: bytes

    @property
    def key(self) -> str:
        """Its key in the store."""
        return f"{LEASES}{self.cluster}:{self.replica}"

    def executors(self) -> list[dict[str, Any]]:
        """What the replica knows of the executors, as JSON of ``ExecutorInfo``; what makes no sense is left out."""
        try:
            found = json.loads(self.value)
        except (ValueError, RecursionError):
            return []
        return [executor for executor in found if isinstance(executor, dict)] if isinstance(found, list) else []


class Directory:
    """This replica's leases, and a mirror of the others'. ``clock`` gives monotonic seconds.

    ``describe`` gives what to tell of a cluster that this replica holds, or None where it does not; ``on_change`` is
    called when another replica's leases changed, ``on_cut`` when another one had a cluster's sessions cut,
    ``on_emptied`` when the store has lost what was in it.
    """

    def __init__(
        self,
        own: Replica,
        store: Store,
        *,
        clock: Callable[[], float],
        describe: Callable[[ClusterId], bytes | None],
        on_change: Callable[[], object],
        on_cut: Callable[[ClusterId, Cut], object],
        on_emptied: Callable[[], object] = lambda: None,
    ) -> None:
        self.own = own
        self._store = store
        self._clock = clock
        self._describe = describe
        self._on_change = on_change
        self._on_cut = on_cut
        self._on_emptied = on_emptied
        self._replicas: dict[str, tuple[Replica, float]] = {}
        """The others, and when each was last seen to live."""
        self._leases: dict[ClusterId, dict[str, Lease]] = {}
        self._leased: set[ClusterId] = set()
        """Clusters of which the store should have a lease of ours."""
        self._due: dict[ClusterId, None] = {}
        """Clusters whose lease is to be written, the first that changed first."""
        self._stale: deque[Lease] = deque(maxlen=MAX_STALE)
        """Leases to be deleted."""
        self._is_due = anyio.Event()
        self._store_answers = True

    def start(self, tasks: TaskGroup) -> None:
        """Begin to keep it, in tasks of *tasks*."""
        hints = [self._store.subscribe(prefix) for prefix in (REPLICAS, LEASES, CUTS)]  # before anything is read
        tasks.start_soon(self._renew_in_turn)
        tasks.start_soon(self._read_in_turn, READ_REPLICAS_EVERY, self._read_replicas)
        tasks.start_soon(self._read_in_turn, READ_LEASES_EVERY, self._read_leases)
        for hint in hints:
            tasks.start_soon(self._follow, hint)
        for _ in range(_WRITERS):
            tasks.start_soon(self._write_in_turn)

    async def join(self) -> None:
        """Write this replica's record and read everybody's, before the first request. Raises StoreError."""
        await self._store.put(REPLICAS + self.own.name, _encode(self.own), ttl=RECORD_TTL)
        await self._read()

    async def leave(self) -> None:
        """Take this replica's record away: its leases count no more. Never fails."""
        with anyio.move_on_after(2):
            try:
                await self._store.delete(REPLICAS + self.own.name)
            except KubentlyError as error:
                log.warning("this replica stays known until its record expires", extra={"reason": str(error)})

    # ------------------------------------------------------------------ asked by the fleet

    def replicas(self) -> list[Replica]:
        """The others that live."""
        oldest = self._clock() - RECORD_TTL if self._store_answers else float("-inf")
        return [replica for replica, seen in self._replicas.values() if seen > oldest]

    def holders(self, cluster: ClusterId) -> list[tuple[Replica, Lease]]:
        """Who else holds *cluster*, in random order but those that drain last."""
        leases = self._leases.get(cluster)
        if not leases:
            return []
        found = [(replica, leases[replica.name]) for replica in self.replicas() if replica.name in leases]
        random.shuffle(found)
        return sorted(found, key=lambda pair: pair[0].is_draining)

    def held(self) -> Mapping[ClusterId, Mapping[str, Lease]]:
        """All leases of other replicas, dead ones among them."""
        return self._leases

    async def look_up(self, cluster: ClusterId) -> bool:
        """Ask the store itself who holds *cluster*, where a hint may have been missed; whether that told any news."""
        before = dict(self._leases.get(cluster, {}))
        try:
            with anyio.move_on_after(LOOK_UP_TIMEOUT):
                for replica in self.replicas():
                    await self._fetch(f"{LEASES}{cluster}:{replica.name}")
        except KubentlyError:
            return False
        return self._leases.get(cluster, {}) != before

    def purge(self, lease: Lease) -> None:
        """Forget a lease that turned out to be stale, in the store soon; where it is not, its owner writes it again."""
        self._forget(lease)
        self._stale.append(lease)
        self._is_due.set()

    # ------------------------------------------------------------------ told by the fleet

    def changed(self, cluster: ClusterId) -> None:
        """What this replica holds of *cluster* changed: write it soon."""
        self._due[cluster] = None
        self._is_due.set()

    async def tell_cut(self, cluster: ClusterId, why: Cut) -> None:
        """Have the other replicas close the cluster's sessions. Raises StoreError."""
        await self._store.put(CUTS + cluster, f"{why.value} {self.own.name}".encode(), ttl=RECORD_TTL)

    async def drain(self) -> None:
        """Tell the others that this replica stops. Never fails."""
        self.own = Replica(self.own.name, self.own.host, self.own.port, is_draining=True)
        with anyio.move_on_after(2):
            try:
                await self._store.put(REPLICAS + self.own.name, _encode(self.own), ttl=RECORD_TTL)
            except KubentlyError as error:
                log.warning("the other replicas are not told of the drain", extra={"reason": str(error)})

    # ------------------------------------------------------------------ this replica's part

    async def _renew_in_turn(self) -> None:
        while True:
            await anyio.sleep(RENEW_EVERY * random.uniform(0.9, 1.1))
            try:
                await self._renew()
            except KubentlyError as error:
                self._store_answers = False
                log.warning("this replica's record was not renewed", extra={"reason": str(error)})

    async def _renew(self) -> None:
        """Renew the record; where it was gone, the store was emptied or away, and all leases are written again."""
        record = _encode(self.own)
        if not await self._store.put(REPLICAS + self.own.name, record, ttl=RECORD_TTL, expected=record):
            await self._store.put(REPLICAS + self.own.name, record, ttl=RECORD_TTL)
            log.warning("this replica's record was gone: its leases are written again")
            for cluster in self._leased:
                self.changed(cluster)
            self._on_emptied()
        # All within half of their life, a few at a time.
        share = max(1, round(len(self._leased) * 2 * RENEW_EVERY / LEASE_TTL)) if self._leased else 0
        for cluster in random.sample(sorted(self._leased), share):
            self.changed(cluster)
        self._store_answers = True

    async def _write_in_turn(self) -> None:
        while True:
            while not self._due and not self._stale:
                self._is_due = anyio.Event()
                await self._is_due.wait()
            if self._stale:
                await self._delete(self._stale.popleft())
                continue
            cluster = next(iter(self._due))
            del self._due[cluster]
            try:
                await self._write(cluster)
            except KubentlyError as error:
                log.warning("a lease was not written", extra={"cluster": cluster, "reason": str(error)})
                await anyio.sleep(random.uniform(0.5, 1.5))
                self._due.setdefault(cluster)

    async def _delete(self, lease: Lease) -> None:
        try:
            await self._store.delete(lease.key, expected=lease.value)
        except KubentlyError as error:
            log.warning("a stale lease stays in the store", extra={"cluster": lease.cluster, "reason": str(error)})

    async def _write(self, cluster: ClusterId) -> None:
        key, value = f"{LEASES}{cluster}:{self.own.name}", self._describe(cluster)
        if value is not None:
            self._leased.add(cluster)
            await self._store.put(key, value, ttl=LEASE_TTL)
        elif cluster in self._leased:
            self._leased.discard(cluster)
            await self._store.delete(key)

    # ------------------------------------------------------------------ the others' part

    async def _follow(self, hints: AsyncIterator[str]) -> None:
        async for key in hints:
            try:
                await self._hear(key)
            except KubentlyError as error:
                log.warning("a hint could not be followed", extra={"key": key, "reason": str(error)})

    async def _hear(self, key: str) -> None:
        if key in (REPLICAS, LEASES, CUTS):  # the store says that hints were missed
            await self._read()
        elif key.startswith(CUTS):
            why, _, by = (await self._store.get(key) or b"").decode(errors="replace").partition(" ")
            if why in _CUTS and by != self.own.name:
                self._on_cut(ClusterId(key.removeprefix(CUTS)), Cut(why))
        elif key == REPLICAS + self.own.name:
            return
        elif key.startswith(LEASES) and key.endswith(f":{self.own.name}"):
            # Ours, and somebody else may have thrown it away.
            cluster = ClusterId(key.removeprefix(LEASES).rpartition(":")[0])
            if cluster in self._leased and cluster not in self._due and await self._store.get(key) is None:
                self.changed(cluster)
        else:
            await self._fetch(key)

    async def _read_in_turn(self, seconds: float, read: Callable[[], Awaitable[None]]) -> None:
        while True:
            await anyio.sleep(seconds * random.uniform(0.9, 1.1))
            try:
                await read()
            except KubentlyError as error:
                self._store_answers = False
                log.warning("the other replicas were not read from the store", extra={"reason": str(error)})

    async def _read(self) -> None:
        await self._read_replicas()
        await self._read_leases()

    async def _read_replicas(self) -> None:
        found = dict(await self._store.scan(REPLICAS))
        self._store_answers = True
        for name in list(self._replicas):
            if REPLICAS + name not in found:
                self._lose(name)
        for key, value in found.items():
            self._take(key, value)

    async def _read_leases(self) -> None:
        found = dict(await self._store.scan(LEASES))
        for lease in [lease for held in self._leases.values() for lease in held.values()]:
            if lease.key not in found:
                self._forget(lease)
        for key, value in found.items():
            self._take(key, value)

    async def _fetch(self, key: str) -> None:
        value = await self._store.get(key)
        if value is not None:
            self._take(key, value)
        elif key.startswith(REPLICAS):
            self._lose(key.removeprefix(REPLICAS))
        elif (lease := _lease(key, b"")) is not None:
            self._forget(lease)

    def _take(self, key: str, value: bytes) -> None:
        if key.startswith(REPLICAS):
            name = key.removeprefix(REPLICAS)
            if name != self.own.name and (replica := _decode(name, value)) is not None:
                self._replicas[name] = replica, self._clock()
                self._on_change()
            return
        lease = _lease(key, value)
        if lease is None or lease.replica == self.own.name:
            return
        if self._leases.get(lease.cluster, {}).get(lease.replica) != lease:
            self._leases.setdefault(lease.cluster, {})[lease.replica] = lease
            self._on_change()

    def _lose(self, name: str) -> None:
        if self._replicas.pop(name, None):
            log.info("another replica is gone", extra={"replica": name})
        for lease in [held[name] for held in self._leases.values() if name in held]:
            self._forget(lease)

    def _forget(self, lease: Lease) -> None:
        held = self._leases.get(lease.cluster, {})
        if held.pop(lease.replica, None) and not held:
            del self._leases[lease.cluster]


def _encode(replica: Replica) -> bytes:
    record = {"host": replica.host, "port": replica.port, "draining": replica.is_draining}
    return json.dumps(record).encode()


def _decode(name: str, value: bytes) -> Replica | None:
    try:
        record = json.loads(value)
        return Replica(name, str(record["host"]), int(record["port"]), bool(record.get("draining")))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        log.warning("another replica's record cannot be read", extra={"replica": name})
        return None


def _lease(key: str, value: bytes) -> Lease | None:
    cluster, _, replica = key.removeprefix(LEASES).rpartition(":")
    return Lease(ClusterId(cluster), replica, value) if cluster and replica else None
