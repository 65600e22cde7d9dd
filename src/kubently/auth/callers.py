"""Who calls: by an API key, or by the session of a login."""

from __future__ import annotations

from kubently.auth import logins
from kubently.auth.api_keys import ApiKeys
from kubently.auth.logins import Logins
from kubently.schema import Principal

_SESSION = "session:"


class Callers:
    """Keys and sessions together; *sessions* is None where there is no OpenID provider."""

    def __init__(self, keys: ApiKeys, sessions: Logins | None) -> None:
        self._keys = keys
        self._sessions = sessions

    async def authenticate(self, secret: str) -> Principal | None:
        """Who holds *secret*; None when nobody does, or not any more. Raises NoRoleError."""
        if secret.startswith(logins.PREFIX):
            return await self._sessions.authenticate(secret) if self._sessions else None
        return await self._keys.authenticate(secret)

    async def credential(self, principal: Principal) -> str:
        """Names what *principal* came with, for `holder`; empty when that is gone."""
        if principal.session:
            return _SESSION + principal.session
        holder = await self._keys.holder(principal.name)
        return holder.key_id if holder else ""

    async def holder(self, name: str, credential: str) -> Principal | None:
        """Who *name* is now, as long as *credential* lasts; else None. Raises NoRoleError."""
        if credential.startswith(_SESSION):
            session = credential.removeprefix(_SESSION)
            found = await self._sessions.holder(session) if self._sessions else None
            return found if found and found.name == name else None
        holder = await self._keys.holder(name)
        return holder.principal if holder and holder.key_id == credential else None
