"""Short-lived tokens for kubectl: opaque, hashed at rest, good for one cluster's ``/k8s`` and nothing else.

A token ends with the API key that it was made with: whenever it is used, the key is looked up again, so a revoked or
narrowed key takes effect at once.
"""

from __future__ import annotations

import hashlib
import json

from kubently.auth import digests
from kubently.auth.api_keys import ApiKeys
from kubently.errors import PermissionDeniedError
from kubently.schema import ClusterId, Principal
from kubently.store import Store

PREFIX = "kbt_"
MAX_TTL = 3600.0


class KubeTokens:
    """Makes and checks them. Stored under ``auth:kube-token:<sha256>`` and gone when they expire."""

    def __init__(self, store: Store, keys: ApiKeys) -> None:
        self._store = store
        self._keys = keys

    async def create(self, principal: Principal, cluster: ClusterId, *, ttl: float = MAX_TTL) -> str:
        """Make a token of *principal* for *cluster*, valid for *ttl* seconds at most an hour."""
        holder = await self._keys.holder(principal.name)
        if holder is None:
            raise PermissionDeniedError(f"{principal.name} holds no API key to make a token with")
        token = PREFIX + digests.new_secret()
        record = json.dumps({"name": principal.name, "key": holder.key_id, "cluster": cluster}).encode()
        await self._store.put(_name(token), record, ttl=min(ttl, MAX_TTL))
        return token

    async def authenticate(self, token: str, cluster: ClusterId) -> Principal | None:
        """Who may use *token* on *cluster*; None when it is unknown, expired or for another one, or its key is gone."""
        stored = await self._store.get(_name(token))
        if stored is None:
            return None
        record = json.loads(stored)
        holder = await self._keys.holder(record["name"])
        if record["cluster"] != cluster or holder is None or holder.key_id != record["key"]:
            return None
        return holder.principal


def _name(token: str) -> str:
    return f"auth:kube-token:{hashlib.sha256(token.encode()).hexdigest()}"
