"""Short-lived tokens for kubectl: opaque, hashed at rest, good for one cluster's ``/k8s`` and nothing else.

A token ends with the API key or the session that it was made with: whenever it is used, that is looked up again, so a
revoked or narrowed one takes effect at once.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache

from kubently.auth import digests
from kubently.auth.callers import Callers
from kubently.errors import PermissionDeniedError
from kubently.schema import ClusterId, Principal
from kubently.store import Store

PREFIX = "kbt_"
MAX_TTL = 3600.0


class KubeTokens:
    """Makes and checks them. Stored under ``auth:kube-token:<sha256>`` and gone when they expire."""

    def __init__(self, store: Store, callers: Callers) -> None:
        self._store = store
        self._callers = callers

    async def create(self, principal: Principal, cluster: ClusterId, *, ttl: float = MAX_TTL) -> str:
        """Make a token of *principal* for *cluster*, valid for *ttl* seconds at most an hour."""
        credential = await self._callers.credential(principal)
        if not credential:
            raise PermissionDeniedError(f"{principal.name} holds no API key or session to make a token with")
        token = PREFIX + digests.new_secret()
        record = json.dumps({"name": principal.name, "key": credential, "cluster": cluster}).encode()
        await self._store.put(_name(token), record, ttl=min(ttl, MAX_TTL))
        return token

    async def authenticate(self, token: str, cluster: ClusterId) -> Principal | None:
        """Who may use *token* on *cluster*; None when it is unknown, expired or for another one, or its key is gone."""
        stored = await self._store.get(_name(token))
        if stored is None:
            return None
        of, name, credential = _read(stored)
        return await self._callers.holder(name, credential) if of == cluster else None


@lru_cache(maxsize=4096)
def _read(stored: bytes) -> tuple[str, str, str]:
    """Cluster, name and credential of a record, which is fetched each time, and read once."""
    record = json.loads(stored)
    return record["cluster"], record["name"], record["key"]


def _name(token: str) -> str:
    return f"auth:kube-token:{hashlib.sha256(token.encode()).hexdigest()}"
