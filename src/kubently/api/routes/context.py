"""What the edge knows of a request when a route runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from kubently.api.services import Services
from kubently.auth import grants
from kubently.schema import Permission, Principal

SCOPE_KEY = "kubently"


@dataclass(frozen=True, slots=True)
class Context:
    """The services, the authenticated caller and the request's id."""

    services: Services
    principal: Principal
    request_id: str

    def require(self, permission: Permission) -> None:
        """Raise PermissionDeniedError when the caller may not."""
        grants.require(self.principal, permission)

    async def record(self, action: str, what: str, *, cluster: str = "") -> None:
        """Write an administrative act into the audit log, before it is done."""
        entry = await self.services.audit.start(self.principal, cluster, action, what, request_id=self.request_id)
        await entry.end("accepted")


def _context(request: Request) -> Context:
    context: Context = request.scope[SCOPE_KEY]
    return context


Here = Annotated[Context, Depends(_context)]
"""Parameter of every route."""
