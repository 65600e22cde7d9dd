"""Executor tokens."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter

from kubently.api.routes.context import Here
from kubently.auth import grants
from kubently.auth.kube_tokens import MAX_TTL
from kubently.schema import KubernetesToken, NewToken, Permission, TokenInfo, parse_cluster_id

router = APIRouter(prefix="/api/v1", tags=["tokens"])


@router.get("/tokens", summary="List executor tokens, without their secrets")
async def list_tokens(here: Here) -> list[TokenInfo]:
    """With what is weak about each: example values, duplicates, values in clear."""
    here.require(Permission.MANAGE)
    return [token for token in await here.services.tokens.all() if grants.may_see(here.principal, token.cluster)]


@router.post("/clusters/{cluster_id}/tokens", status_code=201, summary="Make a cluster's executor token")
async def create_token(cluster_id: str, here: Here, *, rotate: bool = False) -> NewToken:
    """The secret is shown once and stored as a digest. With `rotate` the present one stays valid beside it."""
    cluster = here.require_on(cluster_id, Permission.MANAGE)
    await here.record("token.rotate" if rotate else "token.create", cluster, cluster=cluster)
    tokens = here.services.tokens
    return NewToken(cluster=cluster, token=await (tokens.rotate(cluster) if rotate else tokens.create(cluster)))


@router.delete("/clusters/{cluster_id}/tokens", status_code=204, summary="Revoke a cluster's executor tokens")
async def revoke_tokens(cluster_id: str, here: Here, *, older_only: bool = False) -> None:
    """Sessions that came with a revoked token are cut at once."""
    cluster = here.require_on(cluster_id, Permission.MANAGE)
    await here.record("token.revoke", cluster, cluster=cluster)
    await here.services.tokens.revoke(cluster, older_only=older_only)


@router.post("/clusters/{cluster_id}/kubernetes-token", status_code=201, summary="Make a token for your own kubectl")
async def create_kubernetes_token(cluster_id: str, here: Here) -> KubernetesToken:
    """Valid for an hour, for this cluster's /k8s only, and no longer than the API key or session that asks."""
    cluster = parse_cluster_id(cluster_id)
    await here.services.admission.require(here.principal, cluster, Permission.RUN)
    await here.record("kubernetes-token.create", cluster, cluster=cluster)
    ttl = _ttl(here.principal.expires_at)
    token = await here.services.kube_tokens.create(here.principal, cluster, ttl=ttl)
    return KubernetesToken(cluster=cluster, token=token, expires_in=ttl)


def _ttl(session_ends: datetime | None) -> float:
    """Seconds: a token does not outlive the session, and kubectl must know when to ask again."""
    if session_ends is None:
        return MAX_TTL
    return max(1.0, min(MAX_TTL, (session_ends - datetime.now(UTC)).total_seconds()))
