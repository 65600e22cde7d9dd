"""What the edge knows of a request when a route runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Request

from kubently.api.services import Services
from kubently.auth import grants
from kubently.schema import ClusterId, Permission, Principal, parse_cluster_id

SCOPE_KEY = "kubently"


@dataclass(frozen=True, slots=True)
class Context:
    """The services, the authenticated caller and the request's id."""

    services: Services
    principal: Principal
    request_id: str

    def require(self, permission: Permission, *, everywhere: bool = False) -> None:
        """Raise PermissionDeniedError when the caller may not, or with *everywhere* not on all clusters."""
        grants.require(self.principal, permission)
        if everywhere:
            grants.require_patterns(self.principal, ("*",))

    def require_on(self, cluster_id: str, permission: Permission) -> ClusterId:
        """Check the id and that the caller may use *permission* there; what it may not see does not exist for it."""
        cluster = parse_cluster_id(cluster_id)
        grants.require_cluster(self.principal, cluster, permission)
        return cluster

    async def record(self, action: str, what: str, *, cluster: str = "") -> None:
        """Write an administrative act into the audit log, before it is done."""
        entry = await self.services.audit.start(self.principal, cluster, action, what, request_id=self.request_id)
        await entry.end("accepted")


def _context(request: Request) -> Context:
    context: Context = request.scope[SCOPE_KEY]
    return context


Here = Annotated[Context, Depends(_context)]
"""Parameter of every route."""


def aware(instant: datetime | None) -> datetime | None:
    """An instant without a zone is UTC."""
    return instant.replace(tzinfo=UTC) if instant is not None and instant.tzinfo is None else instant
