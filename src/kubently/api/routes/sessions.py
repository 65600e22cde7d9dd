"""Sessions of people who logged in."""

from __future__ import annotations

from fastapi import APIRouter

from kubently.api.routes.context import Here
from kubently.auth import Logins
from kubently.errors import NotFoundError
from kubently.schema import PERMISSIONS, LoginInfo, Permission

router = APIRouter(prefix="/api/v1/sessions", tags=["login"])


@router.get("", summary="List sessions")
async def list_sessions(here: Here) -> list[LoginInfo]:
    """Your own; an administrator of all clusters sees everybody's."""
    sessions = await _logins(here).all()
    return [info for info in sessions if _is_administrator(here) or info.name == here.principal.name]


@router.delete("/{session_id}", status_code=204, summary="Revoke a session")
async def revoke_session(session_id: str, here: Here) -> None:
    """It and the kubectl tokens made with it stop working at once. One of somebody else needs an administrator."""
    logins = _logins(here)
    info = await logins.find(session_id)
    if info.name != here.principal.name and not _is_administrator(here):
        raise NotFoundError(f"there is no session {session_id[:40]!r}", hint="kubently session list shows yours")
    await here.record("session.revoke", f"{info.id} of {info.name}")
    await logins.revoke(info.id)


def _is_administrator(here: Here) -> bool:
    return Permission.MANAGE in PERMISSIONS[here.principal.role] and "*" in here.principal.clusters


def _logins(here: Here) -> Logins:
    if here.services.logins is None:
        raise NotFoundError("this API has no OpenID provider", hint="people use API keys: kubently key list")
    return here.services.logins
