"""Replicas of one installation among themselves: certificates by one CA, and signed words about a caller.

A replica that hands a request to another one says for whom: the word is bound to a cluster, 30 seconds old at most and
good once. The other one looks at the caller's grants again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kubently import trust
from kubently.auth import grants
from kubently.errors import ConfigError, PermissionDeniedError, StoreError
from kubently.schema import ClusterId, Permission, Principal
from kubently.store import ABSENT, Store

STORED = "peer:authority"
FRESH = 30.0
"""Seconds for which a word counts, and by which two replicas' clocks may differ."""
LIFETIME = timedelta(days=3650)
"""Of a replica's own certificate, whose key lives in its memory only."""
MAX_AUTHORITIES = 3
MAX_REMEMBERED = 200_000
"""Words that are remembered so that none counts twice; more within a minute are refused."""


@dataclass(frozen=True, slots=True)
class Caller:
    """For whom a request is made, and by which right."""

    principal: Principal
    permission: Permission
    request_id: str


class PeerTrust:
    """One replica's. ``replica`` is its name, a DNS label; ``now`` gives wall-clock seconds."""

    def __init__(self, authority: trust.Pair, replica: str, *, now: Callable[[], float]) -> None:
        self.replica = replica
        self.listening = _context(ssl.PROTOCOL_TLS_SERVER)
        """For the listener: only replicas get in."""
        self.dialling = _context(ssl.PROTOCOL_TLS_CLIENT)
        """With the other replica's name as ``server_hostname``, nobody else can answer."""
        self._now = now
        self._secrets: list[bytes] = []
        """The newest first."""
        self._heard: dict[bytes, float] = {}
        """Words that counted, the oldest first, and until when they would."""
        self.adopt(authority)

    def adopt(self, authority: trust.Pair) -> None:
        """Go over to another CA; what the earlier ones signed counts too. Raises ValueError for one that is none."""
        own = trust.issue(authority, [self.replica], lifetime=LIFETIME, for_clients=True)
        for context in (self.listening, self.dialling):
            context.load_verify_locations(cadata=authority.cert.decode())
            own.load_into(context)
        secret = hmac.digest(hashlib.sha256(authority.key).digest(), b"kubently peer request", hashlib.sha256)
        self._secrets = [secret, *self._secrets][:MAX_AUTHORITIES]
        self.authority = authority

    def vouch(self, caller: Caller, cluster: ClusterId) -> bytes:
        """A word about *caller* for one request to *cluster*."""
        word = {
            "principal": caller.principal.model_dump(mode="json"),
            "permission": caller.permission.value,
            "request_id": caller.request_id,
            "cluster": cluster,
            "at": self._now(),
            "nonce": secrets.token_hex(16),
        }
        payload = base64.b64encode(json.dumps(word).encode())
        return payload + b"." + _mac(self._secrets[0], payload)

    def hear(self, word: bytes, cluster: ClusterId) -> Caller:
        """Whom *word* is about. Raises PermissionDeniedError, also where the caller has no such right there."""
        payload, _, mac = word.partition(b".")
        if not any(hmac.compare_digest(_mac(secret, payload), mac) for secret in self._secrets):
            raise PermissionDeniedError("a replica's word about a caller is not signed by this installation")
        told = json.loads(base64.b64decode(payload))  # ours, so it is as we write it
        if told["cluster"] != cluster:
            raise PermissionDeniedError(f"a replica's word about a caller is for {told['cluster']}, not for {cluster}")
        self._hear_once(mac, told["at"])
        caller = _caller(told)
        grants.require_cluster(caller.principal, cluster, caller.permission)
        return caller

    def _hear_once(self, mac: bytes, at: float) -> None:
        now = self._now()
        if abs(now - at) > FRESH:
            raise PermissionDeniedError(
                f"a replica's word about a caller is {now - at:.0f} s old", hint="check the clocks of the API's nodes"
            )
        for known, until in list(self._heard.items()):
            if until > now:
                break
            del self._heard[known]
        if mac in self._heard or len(self._heard) >= MAX_REMEMBERED:
            raise PermissionDeniedError("a replica's word about a caller came twice")
        self._heard[mac] = now + 2 * FRESH


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _mac(secret: bytes, payload: bytes) -> bytes:
    return hmac.digest(secret, payload, hashlib.sha256).hex().encode()


def _caller(told: dict[str, Any]) -> Caller:
    try:
        return Caller(
            Principal.model_validate(told["principal"]), Permission(told["permission"]), str(told["request_id"])
        )
    except (ValidationError, ValueError, KeyError) as error:  # of a version that knows other roles
        raise PermissionDeniedError(
            "a replica of another version speaks for a caller that this one cannot read"
        ) from error


async def open_peer_trust(
    store: Store, files: tuple[Path, Path] | None, replica: str, *, now: Callable[[], float]
) -> PeerTrust:
    """By the CA of *files* (certificate, key), or else of the store. Raises ConfigError, StoreError."""
    if files:
        try:
            return PeerTrust(trust.Pair(files[0].read_bytes(), files[1].read_bytes()), replica, now=now)
        except (OSError, ValueError, AssertionError, ssl.SSLError) as error:
            raise ConfigError(
                f"the replicas' CA {files[0]} with the key {files[1]} cannot be used: {error}",
                hint="both must be PEM, readable, and belong together; the key ECDSA",
            ) from error
    return PeerTrust(await _stored(store, trust.make_authority("kubently replicas")), replica, now=now)


async def agree(store: Store, peers: PeerTrust) -> None:
    """Be of one CA with the other replicas, should the store have been emptied. Raises StoreError."""
    found = await _stored(store, peers.authority)
    if found != peers.authority:
        peers.adopt(found)


async def _stored(store: Store, otherwise: trust.Pair) -> trust.Pair:
    """The CA of the store, which is *otherwise* where it has none."""
    record = json.dumps({"cert": otherwise.cert.decode(), "key": otherwise.key.decode()}).encode()
    stored = await store.get(STORED)
    if stored is None:
        stored = record if await store.put(STORED, record, expected=ABSENT) else await store.get(STORED)
    try:
        told = json.loads(stored or b"")
        pair = trust.Pair(told["cert"].encode(), told["key"].encode())
        trust.issue(pair, ["trial"])
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise StoreError(
            f"the replicas' CA in the store is broken: {error}", hint=f"remove the key {STORED}"
        ) from error
    return pair
