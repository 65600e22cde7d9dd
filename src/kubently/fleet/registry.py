"""What is remembered of each cluster over restarts: ``fleet:cluster:<id>`` in the store."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from kubently.errors import KubentlyError
from kubently.schema import ClusterId
from kubently.store import Store

log = logging.getLogger(__name__)

PREFIX = "fleet:cluster:"


@dataclass(frozen=True, slots=True)
class Registration:
    """One registered cluster."""

    cluster: ClusterId
    labels: Mapping[str, str] = field(default_factory=dict)
    last_seen_at: datetime | None = None
    kube_system_uid: str = ""


class Registry:
    """Registered clusters, kept in memory and written through."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[ClusterId, Registration] = {}

    async def load(self) -> None:
        """Read what the store holds, before anything else. Raises StoreError."""
        for key, value in await self._store.scan(PREFIX):
            self._take(ClusterId(key.removeprefix(PREFIX)), value)

    def hints(self) -> AsyncIterator[str]:
        """What other replicas write from now on, for `follow`: to be asked for before `load`, so that nothing falls
        between the two."""
        return self._store.subscribe(PREFIX)

    async def follow(self, hints: AsyncIterator[str], connected: Callable[[], Collection[ClusterId]]) -> None:
        """Take over what *hints* tell of, for ever; where some were missed, `reconcile` with who is *connected*."""
        async for key in hints:
            try:
                await (self.reconcile(connected()) if key == PREFIX else self._hear(key))
            except KubentlyError as error:
                log.warning("a cluster's record was not read", extra={"key": key, "reason": str(error)})

    async def _hear(self, key: str) -> None:
        cluster = ClusterId(key.removeprefix(PREFIX))
        if (value := await self._store.get(key)) is not None:
            self._take(cluster, value)
        else:
            self._known.pop(cluster, None)

    async def reconcile(self, connected: Collection[ClusterId]) -> None:
        """Read all again, and write those of *connected* that the store has lost. Raises StoreError."""
        before = dict(self._known)
        found = dict(await self._store.scan(PREFIX))
        # What was heard while the store was read is newer than what was read.
        heard = {cluster for cluster, known in self._known.items() if before.get(cluster) is not known}
        for cluster in before.keys() & self._known.keys() - heard:
            if PREFIX + cluster in found:
                continue
            if cluster in connected:
                await self.save(cluster)
            else:
                self._known.pop(cluster, None)
        for key, value in found.items():
            if (cluster := ClusterId(key.removeprefix(PREFIX))) not in connected and cluster not in heard:
                self._take(cluster, value)

    def _take(self, cluster: ClusterId, value: bytes) -> None:
        try:
            self._known[cluster] = _decode(cluster, value)
        except (ValueError, TypeError, AttributeError, RecursionError):
            log.warning("a cluster's record in the store makes no sense", extra={"cluster": cluster})

    def get(self, cluster: ClusterId) -> Registration | None:
        """The registration, or None."""
        return self._known.get(cluster)

    def all(self) -> list[Registration]:
        """All registrations, by id."""
        return [self._known[cluster] for cluster in sorted(self._known)]

    def touch(self, cluster: ClusterId, at: datetime) -> None:
        """Note in memory that the cluster was here."""
        if known := self._known.get(cluster):
            self._known[cluster] = replace(known, last_seen_at=at)

    def remember(self, registration: Registration) -> None:
        """Note in memory; `save` writes it through."""
        self._known[registration.cluster] = registration

    async def save(self, cluster: ClusterId) -> None:
        """Write what is known of *cluster* into the store; one that was forgotten meanwhile stays forgotten."""
        if (known := self._known.get(cluster)) is None:
            return
        seen = known.last_seen_at
        record = {
            "labels": dict(known.labels),
            "last_seen_at": seen.isoformat() if seen else None,
            "kube_system_uid": known.kube_system_uid,
        }
        await self._store.put(PREFIX + cluster, json.dumps(record).encode())

    async def forget(self, cluster: ClusterId) -> bool:
        """Remove the cluster; says whether it was there."""
        self._known.pop(cluster, None)
        return await self._store.delete(PREFIX + cluster)


def _decode(cluster: ClusterId, value: bytes) -> Registration:
    record = json.loads(value)
    labels, seen, uid = record.get("labels", {}), record.get("last_seen_at"), record.get("kube_system_uid", "")
    if not (isinstance(labels, dict) and isinstance(uid, str)):
        raise TypeError
    return Registration(
        cluster,
        {str(name): str(text) for name, text in labels.items()},
        datetime.fromisoformat(seen).astimezone(UTC) if seen else None,
        uid,
    )
