"""Certificates that an operator blocked, by the SHA-256 of their DER: ``auth:blocked:<fingerprint>`` in the store."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import datetime

from kubently.errors import CertificateBlockedError, InvalidRequestError, NotFoundError
from kubently.schema import BlockedCertificate
from kubently.store import Store

PREFIX = "auth:blocked:"
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


class Blocklist:
    """Asked at each connection; and of sessions that stand. ``now`` gives the instant."""

    def __init__(self, store: Store, *, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    async def require_free(self, fingerprint: str) -> None:
        """Raise CertificateBlockedError for one that is blocked."""
        stored = await self._store.get(PREFIX + fingerprint)
        if stored is not None:
            blocked = _read(fingerprint, stored)
            why = f": {blocked.reason}" if blocked.reason else ""
            raise CertificateBlockedError(
                f"the certificate {fingerprint[:16]}… was blocked at {blocked.at:%F %TZ} by {blocked.by}{why}",
                hint="enrol the executor anew, or let an administrator unblock it",
                details={"fingerprint": fingerprint},
            )

    async def is_blocked(self, fingerprint: str) -> bool:
        """Whether *fingerprint* (64 lower-case hexadecimal digits) is blocked now."""
        return await self._store.get(PREFIX + fingerprint) is not None

    async def block(self, fingerprint: str, *, by: str, reason: str = "") -> BlockedCertificate:
        """Block *fingerprint* (hexadecimal; colons are let through). Raises InvalidRequestError."""
        name = normalize(fingerprint)
        blocked = BlockedCertificate(fingerprint=name, by=by, reason=reason[:200], at=self._now())
        record = {"by": by, "reason": blocked.reason, "at": blocked.at.isoformat()}
        await self._store.put(PREFIX + name, json.dumps(record).encode())
        return blocked

    async def unblock(self, fingerprint: str) -> None:
        """Raises InvalidRequestError, NotFoundError."""
        if not await self._store.delete(PREFIX + normalize(fingerprint)):
            raise NotFoundError(
                f"no certificate {fingerprint[:95]} is blocked", hint="kubently cert blocked lists them"
            )

    async def all(self) -> Sequence[BlockedCertificate]:
        """Every blocked certificate, by fingerprint."""
        return [_read(key.removeprefix(PREFIX), value) for key, value in await self._store.scan(PREFIX)]


def normalize(fingerprint: str) -> str:
    """64 lower-case hexadecimal digits. Raises InvalidRequestError."""
    name = fingerprint.strip().removeprefix("sha256:").replace(":", "").lower()
    if not _FINGERPRINT.fullmatch(name):
        raise InvalidRequestError(
            f"{fingerprint[:95]!r} is no fingerprint", hint="give the SHA-256 of the certificate: 64 hexadecimal digits"
        )
    return name


def _read(fingerprint: str, stored: bytes) -> BlockedCertificate:
    return BlockedCertificate(fingerprint=fingerprint, **json.loads(stored))
