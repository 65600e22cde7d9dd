"""Sessions of people: ``kbs_<id>_<secret>``, stored as digests under ``auth:login:<id>`` until they end.

A session is made for an ID token and looked up in the store at each use, so that revoking one counts at the next
request on every replica; what its person may do is asked of the roles file each time.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from kubently.auth import digests, oidc_tokens
from kubently.auth.oidc import Provider
from kubently.auth.roles import Roles
from kubently.errors import IdentityTokenError, NotFoundError
from kubently.schema import LoginInfo, Principal
from kubently.settings import OidcSettings
from kubently.store import ABSENT, Store

PREFIX = "kbs_"
_KEY = "auth:login:"
_TOKEN = re.compile(r"kbs_([0-9a-f]{12})_[A-Za-z0-9_-]{20,100}")
_MAX_GROUPS = 500
_MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Person:
    """Who an ID token is about."""

    user: str
    subject: str
    groups: tuple[str, ...]


class Logins:
    """Makes sessions and knows them again. *now* gives the instant."""

    def __init__(
        self, store: Store, settings: OidcSettings, provider: Provider, roles: Roles, *, now: Callable[[], datetime]
    ) -> None:
        self._store = store
        self.settings = settings
        self.provider = provider
        self._roles = roles
        self._now = now

    async def identify(self, id_token: str, *, nonce: str) -> tuple[Person, Principal]:
        """Whom *id_token* is about and what they may do. Raises IdentityTokenError, NoRoleError, OidcUnavailableError.

        It makes nothing: `open` does, once for each token.
        """
        person = read_person(await self.provider.verify(id_token, nonce=nonce), self.settings)
        return person, self._roles.principal(person.user, person.groups)

    async def open(self, id_token: str, person: Person) -> tuple[LoginInfo, str]:
        """Make the session of *person*, whom *id_token* identified. Raises IdentityTokenError for a token used before.

        What its signature covers is what counts as the token: a signature may have several spellings.
        """
        used = hashlib.sha256(id_token.rpartition(".")[0].encode()).hexdigest()
        window = oidc_tokens.MAX_AGE + 3 * oidc_tokens.LEEWAY
        if not await self._store.put(f"auth:id-token:{used}", b"1", ttl=window, expected=ABSENT):
            raise IdentityTokenError(
                "the ID token is refused: a session was made with it before", hint="kubently login again"
            )
        now = self._now()
        session = secrets.token_hex(6)
        token = f"{PREFIX}{session}_{digests.new_secret()}"
        info = LoginInfo(
            id=session,
            name=f"user:{person.user}",
            subject=person.subject,
            groups=person.groups,
            created_at=now,
            expires_at=now + timedelta(seconds=self.settings.login_ttl),
        )
        record = {**info.model_dump(mode="json"), "digest": digests.digest(token), "issuer": self.settings.issuer}
        await self._store.put(_KEY + session, json.dumps(record).encode(), ttl=self.settings.login_ttl)
        return info, token

    async def authenticate(self, token: str) -> Principal | None:
        """Who holds *token*; None when its session is over. Raises NoRoleError."""
        match = _TOKEN.fullmatch(token)
        record = await self._record(match[1]) if match else None
        return self._principal(record) if record and digests.matches(token, record["digest"]) else None

    async def holder(self, session: str) -> Principal | None:
        """Whose *session* it is; None when it is over. Raises NoRoleError."""
        record = await self._record(session)
        return self._principal(record) if record else None

    async def all(self) -> Sequence[LoginInfo]:
        """All sessions, the newest first."""
        records = [json.loads(value) for _, value in await self._store.scan(_KEY)]
        return sorted((_info(record) for record in records), key=lambda info: info.created_at, reverse=True)

    async def find(self, session: str) -> LoginInfo:
        """One of them. Raises NotFoundError."""
        for info in await self.all():
            if info.id == session:
                return info
        raise _unknown(session)

    async def revoke(self, session: str) -> None:
        """End a session. Raises NotFoundError."""
        if not await self._store.delete(_KEY + session):
            raise _unknown(session)

    async def _record(self, session: str) -> Mapping[str, Any] | None:
        stored = await self._store.get(_KEY + session)
        record: Mapping[str, Any] | None = json.loads(stored) if stored else None
        # Another provider's people may bear the same names.
        if record is None or record["issuer"] != self.settings.issuer:
            return None
        return record if datetime.fromisoformat(record["expires_at"]) > self._now() else None

    def _principal(self, record: Mapping[str, Any]) -> Principal:
        info = _info(record)
        found = self._roles.principal(info.name.removeprefix("user:"), info.groups)
        return found.model_copy(update={"session": info.id, "expires_at": info.expires_at})


def read_person(claims: Mapping[str, Any], settings: OidcSettings) -> Person:
    """Whom verified *claims* are about. Raises IdentityTokenError."""
    subject = str(claims["sub"])
    try:
        person = Person(_user(claims, subject, settings.username_claim), subject[:_MAX_NAME], _groups(claims, settings))
        "".join((person.subject, *person.groups)).encode()
    except UnicodeEncodeError as error:  # JSON can spell halves of characters
        raise IdentityTokenError("the ID token is refused: a name in it is no text") from error
    return person


def _user(claims: Mapping[str, Any], subject: str, claim: str) -> str:
    if not claim:
        email = claims.get("email")
        # An address that nobody verified is what its bearer likes it to be.
        is_verified = claims.get("email_verified") is True and isinstance(email, str) and email
        name = str(email) if is_verified else f"sub:{subject}"
    else:
        name = str(claims.get(claim) or "")
        if claim == "email" and claims.get("email_verified", True) is not True:
            raise IdentityTokenError("the ID token is refused: its e-mail address is not verified")
    escaped = quote(name, safe="@.+-_:/|=~!,#")
    if not name or len(escaped) > _MAX_NAME:
        raise IdentityTokenError(f"the ID token is refused: it has no usable {claim or 'email'} to name the person by")
    return escaped


def _groups(claims: Mapping[str, Any], settings: OidcSettings) -> tuple[str, ...]:
    found = claims.get(settings.groups_claim, [])
    groups = [found] if isinstance(found, str) else found
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise IdentityTokenError(f"the ID token is refused: its {settings.groups_claim} is no list of names")
    if len(groups) > _MAX_GROUPS:
        raise IdentityTokenError(
            f"the ID token is refused: it names more than {_MAX_GROUPS} groups",
            hint="let the provider send only the groups that the roles file names",
        )
    return tuple(groups)


def _info(record: Mapping[str, Any]) -> LoginInfo:
    return LoginInfo.model_validate({k: v for k, v in record.items() if k not in ("digest", "issuer")})


def _unknown(session: str) -> NotFoundError:
    return NotFoundError(f"there is no session {session[:40]!r}", hint="kubently session list shows yours")
