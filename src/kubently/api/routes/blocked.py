"""Certificates that let nobody in any more."""

from __future__ import annotations

from fastapi import APIRouter

from kubently.api.routes.context import Here
from kubently.schema import BlockedCertificate, BlockRequest, Permission

router = APIRouter(prefix="/api/v1/blocked-certificates", tags=["identity"])


@router.get("", summary="List blocked certificates")
async def list_blocked(here: Here) -> list[BlockedCertificate]:
    """By fingerprint."""
    here.require(Permission.MANAGE, everywhere=True)
    return list(await here.services.identities.blocklist.all())


@router.post("", status_code=201, summary="Block an executor's certificate")
async def block(wish: BlockRequest, here: Here) -> BlockedCertificate:
    """Sessions that came with it are cut at once; it stays blocked over restarts."""
    here.require(Permission.MANAGE, everywhere=True)
    await here.record("certificate.block", wish.fingerprint[:95])
    return await here.services.identities.blocklist.block(wish.fingerprint, by=here.principal.name, reason=wish.reason)


@router.delete("/{fingerprint}", status_code=204, summary="Unblock a certificate")
async def unblock(fingerprint: str, here: Here) -> None:
    """404 when it is not blocked."""
    here.require(Permission.MANAGE, everywhere=True)
    await here.record("certificate.unblock", fingerprint[:95])
    await here.services.identities.blocklist.unblock(fingerprint)
