"""API keys: ``kbk_<id>_<secret>``, stored as digests under ``auth:key:<id>``."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from kubently.auth import digests
from kubently.errors import ConflictError, InvalidRequestError, NotFoundError
from kubently.schema import KeyInfo, Limit, Principal, Role
from kubently.store import ABSENT, Store

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
_KEY = re.compile(r"kbk_([0-9a-f]{12})_[A-Za-z0-9_-]{20,}")


@dataclass(frozen=True, slots=True)
class Holder:
    """The key that a principal holds now."""

    key_id: str
    principal: Principal


class ApiKeys:
    """The keys in the store, and one of role admin that the operator may set in the environment."""

    def __init__(self, store: Store, *, now: Callable[[], datetime], admin_key: str = "") -> None:
        self._store = store
        self._now = now
        self._admin = digests.digest(admin_key) if admin_key else ""
        self._admin_holder = Holder(self._admin, Principal(name="key:admin", role=Role.ADMIN))

    async def authenticate(self, key: str) -> Principal | None:
        """Who holds *key*; None when nobody does."""
        if self._admin and digests.matches(key, self._admin):
            return self._admin_holder.principal
        match = _KEY.fullmatch(key)
        stored = await self._store.get(f"auth:key:{match[1]}") if match else None
        if stored is None:
            return None
        principal, digest = _read(stored)
        return principal if digests.matches(key, digest) else None

    async def holder(self, principal_name: str) -> Holder | None:
        """The present key of the principal named "key:<name>"; None when it was revoked."""
        name = principal_name.removeprefix("key:")
        if name == "admin" and self._admin:
            return self._admin_holder
        key_id = await self._store.get(f"auth:key-name:{name}")
        stored = await self._store.get(f"auth:key:{key_id.decode()}") if key_id else None
        return Holder(key_id.decode(), _read(stored)[0]) if key_id and stored else None

    async def create(
        self, name: str, role: Role, clusters: Sequence[str] = ("*",), limits: Sequence[Limit] = ()
    ) -> tuple[KeyInfo, str]:
        """Make a key and return it with its secret, which is not kept. Raises ConflictError when the name is taken."""
        if not _NAME.fullmatch(name):
            raise InvalidRequestError(f"{name[:80]!r} cannot name a key", hint="use letters, digits and . _ @ -")
        if name == "admin":
            raise ConflictError("the name admin is kept for the key from the environment", hint="take another name")
        key_id = secrets.token_hex(6)
        if not await self._store.put(f"auth:key-name:{name}", key_id.encode(), expected=ABSENT):
            raise ConflictError(f"there is a key named {name!r} already", hint="revoke it first or take another name")
        secret = f"kbk_{key_id}_{digests.new_secret()}"
        info = KeyInfo(
            id=key_id,
            name=name,
            role=role,
            clusters=tuple(clusters),
            limits=tuple(limits),
            created_at=self._now(),
        )
        record = {**info.model_dump(mode="json"), "digest": digests.digest(secret)}
        await self._store.put(f"auth:key:{key_id}", json.dumps(record).encode())
        return info, secret

    async def all(self) -> Sequence[KeyInfo]:
        """All keys, by name."""
        records = [json.loads(value) for _, value in await self._store.scan("auth:key:")]
        keys = [KeyInfo(**{name: value for name, value in r.items() if name != "digest"}) for r in records]
        return sorted(keys, key=lambda key: key.name)

    async def find(self, name: str) -> KeyInfo:
        """The key named *name*. Raises NotFoundError."""
        for info in await self.all():
            if info.name == name:
                return info
        raise NotFoundError(f"there is no key named {name!r}", hint="kubently key list shows them")

    async def revoke(self, name: str) -> None:
        """Remove the key named *name*; it stops working at once. Raises NotFoundError."""
        key_id = await self._store.get(f"auth:key-name:{name}")
        if key_id is None:
            raise NotFoundError(f"there is no key named {name!r}", hint="kubently key list shows them")
        await self._store.delete(f"auth:key:{key_id.decode()}")
        await self._store.delete(f"auth:key-name:{name}")


@lru_cache(maxsize=1024)
def _read(stored: bytes) -> tuple[Principal, str]:
    """Whose key a record is, and the digest of its secret. The record is fetched each time, and read once."""
    record: Mapping[str, Any] = json.loads(stored)
    principal = Principal(
        name=f"key:{record['name']}",
        role=Role(record["role"]),
        clusters=tuple(record["clusters"]),
        limits=tuple(map(Limit.model_validate, record.get("limits", ()))),
    )
    return principal, record["digest"]
