"""API keys."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter

from kubently.api.routes.context import Here
from kubently.auth import grants
from kubently.broker import narrowing
from kubently.schema import KeyInfo, KeyRequest, Limit, NewKey, Permission, Principal

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
    narrowing.check(request.role, request.limits)
    await here.record(
        "key.create", f"{request.name} {request.role} {','.join(request.clusters)}{_described(request.limits)}"
    )
    info, secret = await here.services.keys.create(request.name, request.role, request.clusters, request.limits)
    return NewKey(info=info, key=secret)


@router.delete("/keys/{name}", status_code=204, summary="Revoke an API key")
async def revoke_key(name: str, here: Here) -> None:
    """It stops working at once."""
    here.require(Permission.MANAGE)
    info = await here.services.keys.find(name)
    grants.require_patterns(here.principal, info.clusters)
    await here.record("key.revoke", name)
    await here.services.keys.revoke(name)


def _described(limits: Sequence[Limit]) -> str:
    return "".join(f" {limit.model_dump_json(exclude_none=True)}" for limit in limits)
