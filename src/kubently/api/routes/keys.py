"""API keys."""

from __future__ import annotations

from fastapi import APIRouter

from kubently.api.routes.context import Here
from kubently.auth import grants
from kubently.schema import KeyInfo, KeyRequest, NewKey, Permission, Principal

router = APIRouter(prefix="/api/v1", tags=["keys"])


@router.get("/whoami", summary="Who this key is")
async def whoami(here: Here) -> Principal:
    """Name, role and clusters."""
    return here.principal


@router.get("/keys", summary="List API keys, without their secrets")
async def list_keys(here: Here) -> list[KeyInfo]:
    """By name."""
    here.require(Permission.MANAGE, everywhere=True)
    return list(await here.services.keys.all())


@router.post("/keys", status_code=201, summary="Make an API key")
async def create_key(request: KeyRequest, here: Here) -> NewKey:
    """The secret is shown once and stored as a digest."""
    here.require(Permission.MANAGE)
    grants.require_patterns(here.principal, request.clusters)
    await here.record("key.create", f"{request.name} {request.role} {','.join(request.clusters)}")
    info, secret = await here.services.keys.create(request.name, request.role, request.clusters)
    return NewKey(info=info, key=secret)


@router.delete("/keys/{name}", status_code=204, summary="Revoke an API key")
async def revoke_key(name: str, here: Here) -> None:
    """It stops working at once."""
    here.require(Permission.MANAGE)
    info = await here.services.keys.find(name)
    grants.require_patterns(here.principal, info.clusters)
    await here.record("key.revoke", name)
    await here.services.keys.revoke(name)
