"""Enrolment tokens: ``ket_<cluster>_<secret>``, good once, for one cluster's executor to get its first certificate.

Kept as digests under ``auth:enrolment:<sha256>`` until they expire. One that was used still answers the key it was used
with: an answer that was lost on the way can be asked for again, and a thief's key is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from kubently.auth import digests
from kubently.errors import EnrolmentTokenError, EnrolmentTokenUsedError
from kubently.schema import ClusterId
from kubently.store import Store

PREFIX = "auth:enrolment:"
_TOKEN = re.compile(r"ket_([a-z0-9-]{1,63})_[A-Za-z0-9_-]{20,100}")


class Enrolments:
    """Makes tokens and takes them in. ``now`` gives the instant."""

    def __init__(self, store: Store, *, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    async def create(self, cluster: ClusterId, *, ttl: float, kube_system_uid: str = "") -> tuple[str, datetime]:
        """Make a token for *cluster* that holds for *ttl* seconds; with a uid, for that very cluster only."""
        token = f"ket_{cluster}_{digests.new_secret()}"
        expires = self._now() + timedelta(seconds=ttl)
        record = {"cluster": cluster, "expires": expires.isoformat(), "uid": kube_system_uid, "used_by": ""}
        await self._store.put(_name(token), json.dumps(record).encode(), ttl=ttl)
        return token, expires

    async def require_known(self, token: str, cluster: ClusterId) -> bytes:
        """The record of *token*, used or not. Raises EnrolmentTokenError."""
        stored = await self._store.get(_name(token)) if _TOKEN.fullmatch(token) else None
        if stored is None:
            raise EnrolmentTokenError(
                f"the enrolment token for {cluster} is not known: it expired, was revoked, or was never made here",
                hint=f"kubently cluster add {cluster} makes a new one; it needs no other change in the cluster",
            )
        return stored

    async def redeem(
        self, token: str, cluster: ClusterId, request: x509.CertificateSigningRequest, *, kube_system_uid: str
    ) -> None:
        """Use *token* up for the key of *request*. Raises EnrolmentTokenError, EnrolmentTokenUsedError."""
        key = hashlib.sha256(
            request.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        ).hexdigest()
        while True:
            stored = await self.require_known(token, cluster)
            record = json.loads(stored)
            self._require_fitting(record, cluster, kube_system_uid)
            if record["used_by"] == key:
                return
            if record["used_by"]:
                raise EnrolmentTokenUsedError(
                    f"the enrolment token for {cluster} was used by another executor",
                    hint="executors of one cluster share one identity; if this was not yours, "
                    f"run kubently cluster reset {cluster}",
                )
            left = (datetime.fromisoformat(record["expires"]) - self._now()).total_seconds()
            taken = json.dumps({**record, "used_by": key}).encode()
            if await self._store.put(_name(token), taken, ttl=max(1.0, left), expected=stored):
                return

    async def revoke(self, cluster: ClusterId) -> None:
        """End every token of *cluster*, used or not."""
        for key, value in await self._store.scan(PREFIX):
            if json.loads(value)["cluster"] == cluster:
                await self._store.delete(key)

    async def clusters(self) -> frozenset[ClusterId]:
        """Whom tokens were made for that have not expired, used or not."""
        return frozenset(ClusterId(json.loads(value)["cluster"]) for _, value in await self._store.scan(PREFIX))

    @staticmethod
    def _require_fitting(record: dict[str, str], cluster: ClusterId, uid: str) -> None:
        if record["cluster"] != cluster:
            raise EnrolmentTokenError(
                f"the enrolment token is not for {cluster}",
                hint="check KUBENTLY_CLUSTER_ID, or take that cluster's token",
            )
        if record["uid"] and record["uid"] != uid:
            raise EnrolmentTokenError(
                f"the enrolment token is for the cluster of the kube-system uid {record['uid']}, which {uid!r} is not",
                hint=f"kubently cluster add {cluster} without a uid makes one that any cluster may use",
            )


def _name(token: str) -> str:
    return PREFIX + hashlib.sha256(token.encode()).hexdigest()
