"""Executor tokens: one cluster each.

The store key ``executor:token:<cluster>`` is a public interface. Its value is one raw token, as an operator writes it
with ``redis-cli SET``, which is never rewritten; or up to two lines ``sha256:<hex>`` made by the API, of which the
second is the older one during a rotation. A folder with one file per cluster (a mounted Secret) counts too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from kubently.auth import digests
from kubently.errors import ConflictError, NotFoundError
from kubently.schema import ClusterId, TokenInfo, parse_cluster_id
from kubently.schema.tokens import EXAMPLES, MIN_RAW_LENGTH
from kubently.store import ABSENT, Store

PREFIX = "executor:token:"


class ExecutorTokens:
    """Who may connect as which cluster."""

    def __init__(self, store: Store, *, folder: Path | None = None) -> None:
        self._store = store
        self._folder = folder

    async def verify(self, cluster: ClusterId, token: str) -> str | None:
        """The stored entry that *token* matches, to be asked for again with `is_current`; None when it matches none."""
        if not token or token.lower() in EXAMPLES:
            return None
        found = await self._holds(cluster, lambda entry: digests.matches(token, entry))
        return digests.digest(token) if found else None

    async def is_current(self, cluster: ClusterId, token_digest: str) -> bool:
        """Whether the token with this digest is still valid for *cluster*."""

        def is_it(entry: str) -> bool:
            return (entry if entry.startswith(digests.PREFIX) else digests.digest(entry)) == token_digest

        return await self._holds(cluster, is_it)

    async def is_known(self, cluster: ClusterId) -> bool:
        """Whether any token exists for *cluster*."""
        return await self._holds(cluster, bool)

    async def create(self, cluster: ClusterId) -> str:
        """Make the first token of *cluster* and return it; it is kept as a digest. Raises ConflictError."""
        token = digests.new_secret()
        if not await self._store.put(PREFIX + cluster, digests.digest(token).encode(), expected=ABSENT):
            raise ConflictError(
                f"{cluster} has a token already",
                hint=f"kubently token rotate {cluster} adds a second one and keeps the first until you end it",
            )
        return token

    async def rotate(self, cluster: ClusterId) -> str:
        """Add a token in front of the newest present one, which stays valid. Raises NotFoundError, ConflictError."""
        present = await self._store.get(PREFIX + cluster)
        if present is None:
            raise NotFoundError(f"{cluster} has no token in the store", hint=f"kubently token create {cluster}")
        newest = _split(present)[0]
        kept = newest if newest.startswith(digests.PREFIX) else digests.digest(newest)
        token = digests.new_secret()
        value = f"{digests.digest(token)}\n{kept}".encode()
        if not await self._store.put(PREFIX + cluster, value, expected=present):
            raise ConflictError(f"the tokens of {cluster} changed meanwhile", hint="try again")
        return token

    async def revoke(self, cluster: ClusterId, *, older_only: bool = False) -> None:
        """Remove all tokens of *cluster* from the store, or the older of two. Raises NotFoundError, ConflictError."""
        present = await self._store.get(PREFIX + cluster)
        if present is None:
            raise NotFoundError(f"{cluster} has no token in the store", hint="kubently token list shows them")
        if older_only:
            if not await self._store.put(PREFIX + cluster, _split(present)[0].encode(), expected=present):
                raise ConflictError(f"the tokens of {cluster} changed meanwhile", hint="try again")
        else:
            await self._store.delete(PREFIX + cluster)

    async def all(self) -> Sequence[TokenInfo]:
        """What is known of every cluster's tokens, with what is weak about them."""
        values = {key.removeprefix(PREFIX): (_split(value), "store") for key, value in await self._store.scan(PREFIX)}
        for cluster in self._files():
            values.setdefault(cluster, (self._read_file(cluster), "file"))
        owners: dict[str, list[str]] = {}
        for cluster, (entries, _) in values.items():
            for entry in entries:
                owners.setdefault(entry if entry.startswith(digests.PREFIX) else digests.digest(entry), []).append(
                    cluster
                )
        return [
            TokenInfo(
                cluster=cluster,
                count=len(entries),
                hashed=all(e.startswith(digests.PREFIX) for e in entries),
                source=source,
                warnings=tuple(_warnings(cluster, entries, owners)),
            )
            for cluster, (entries, source) in sorted(values.items())
        ]

    async def _holds(self, cluster: ClusterId, wanted: Callable[[str], bool]) -> bool:
        # The folder first: what stands there holds without the store too.
        if any(map(wanted, self._read_file(cluster))):
            return True
        stored = await self._store.get(PREFIX + cluster)
        return any(map(wanted, _split(stored))) if stored else False

    def _files(self) -> Sequence[str]:
        if self._folder is None or not self._folder.is_dir():
            return ()
        return sorted(p.name for p in self._folder.iterdir() if p.is_file() and not p.name.startswith("."))

    def _read_file(self, cluster: str) -> list[str]:
        if self._folder is None:
            return []
        try:
            return _split((self._folder / parse_cluster_id(cluster)).read_bytes())
        except OSError:
            return []


def _split(value: bytes) -> list[str]:
    return value.decode(errors="replace").split()[:2]


def _warnings(cluster: str, entries: Sequence[str], owners: dict[str, list[str]]) -> Sequence[str]:
    warnings = []
    for entry in entries:
        raw = not entry.startswith(digests.PREFIX)
        if raw and entry.lower() in EXAMPLES:
            warnings.append("an example value from a document: it never authenticates")
        elif raw and len(entry) < MIN_RAW_LENGTH:
            warnings.append(f"shorter than {MIN_RAW_LENGTH} characters")
        elif raw:
            warnings.append("stored in clear; rotate it to have it hashed")
        others = [c for c in owners[digests.digest(entry) if raw else entry] if c != cluster]
        if others:
            warnings.append(f"the same token serves {', '.join(others)}")
    return warnings
