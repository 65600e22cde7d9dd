"""Which replica diagnoses a cluster continuously: ``continuous:owner:<cluster>`` in the store, for 30 seconds each.

An executor usually has sessions at two replicas, and either could watch; the first that writes its name does, for as
long as it renews it. One that stops takes its name away, one that dies is followed within 30 seconds.
"""

from __future__ import annotations

import logging

from kubently.errors import KubentlyError
from kubently.store import ABSENT, Store

log = logging.getLogger(__name__)

PREFIX = "continuous:owner:"
TTL = 30.0
RENEW_EVERY = 10.0


class Owners:
    """This replica's claims. Without a *store* there is no other replica, and every claim holds."""

    def __init__(self, store: Store | None, replica: str) -> None:
        self._store = store
        self._name = replica.encode()
        self._held: set[str] = set()

    async def claim(self, cluster: str) -> bool:
        """Claim *cluster* or renew the claim, and say whether it holds. While the store is away it stays as it was."""
        if self._store is None:
            return True
        key = PREFIX + cluster
        try:
            holds = await self._store.put(key, self._name, ttl=TTL, expected=self._name) or await self._store.put(
                key, self._name, ttl=TTL, expected=ABSENT
            )
        except KubentlyError as error:
            log.warning("an owner was not written", extra={"cluster": cluster, "reason": str(error)})
            return cluster in self._held
        (self._held.add if holds else self._held.discard)(cluster)
        return holds

    async def leave(self, cluster: str) -> None:
        """Let another replica have it. Never fails."""
        self._held.discard(cluster)
        if self._store is None:
            return
        try:
            await self._store.delete(PREFIX + cluster, expected=self._name)
        except KubentlyError as error:
            log.warning("an owner stays until it expires", extra={"cluster": cluster, "reason": str(error)})
