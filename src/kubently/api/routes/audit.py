"""The audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query

from kubently.api.routes.context import Here, aware
from kubently.schema import AuditLines, AuditPage, AuditRecord, Permission

router = APIRouter(prefix="/api/v1", tags=["audit"])

After = Annotated[int, Query(description="position to go on from; negative: the last so many")]
Limit = Annotated[int, Query(ge=1, le=1000)]


@router.get("/audit", summary="Read the audit log")
async def read_audit(
    here: Here,
    after: After = -100,
    limit: Limit = 100,
    cluster: str = "",
    principal: str = "",
    action: str = "",
    outcome: Annotated[str, Query(description="or how it begins: exited finds exited 0")] = "",
    request_id: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> AuditPage:
    """Records of all replicas, oldest first, and the position to ask for next; only those that fit, where asked so."""
    here.require(Permission.READ_AUDIT, everywhere=True)
    first, last = aware(since), aware(until)

    def wanted(record: AuditRecord) -> bool:
        return (
            cluster in ("", record.cluster)
            and principal in ("", record.principal)
            and action in ("", record.action)
            and request_id in ("", record.request_id)
            and record.outcome.startswith(outcome)
            and (first is None or record.at >= first)
            and (last is None or record.at < last)
        )

    records, position = await here.services.audit.tail(after=after, limit=limit, wanted=wanted)
    return AuditPage(records=tuple(records), position=position)


@router.get("/audit/lines", summary="Read the lines of audit journals")
async def read_lines(here: Here, after: After = 0, limit: Limit = 1000) -> AuditLines:
    """Lines as they were written, chained by their hashes within each replica, and the position to ask for next."""
    here.require(Permission.READ_AUDIT, everywhere=True)
    await here.services.audit.flush()
    found = await here.services.audit.log.lines(after=after, limit=limit)
    position = found[-1].position if found else max(after, 0)
    return AuditLines(lines=tuple(line.raw.decode(errors="replace") for line in found), position=position)
