"""The audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from kubently.api.routes.context import Here
from kubently.schema import AuditPage, Permission

router = APIRouter(prefix="/api/v1", tags=["audit"])


@router.get("/audit", summary="Read the audit log")
async def read_audit(
    here: Here,
    after: Annotated[int, Query(description="position to go on from; negative: the last so many")] = -100,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> AuditPage:
    """Records oldest first, and the position to ask for next."""
    here.require(Permission.READ_AUDIT, everywhere=True)
    records, position = await here.services.audit.tail(after=after, limit=limit)
    return AuditPage(records=tuple(records), position=position)
