"""Clusters: which are there, and forgetting one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import TypeAdapter

from kubently.api.routes.context import Here
from kubently.auth import ExecutorTokens, grants
from kubently.broker import fanout
from kubently.errors import NotFoundError, StoreUnavailableError
from kubently.schema import (
    Cluster,
    ClusterId,
    EnrolmentRequest,
    NewEnrolment,
    Permission,
    PolicyAnswer,
    PolicyQuestion,
    parse_cluster_id,
)

router = APIRouter(prefix="/api/v1/clusters", tags=["clusters"])


_LIST = TypeAdapter(list[Cluster])


@router.get("", summary="List the clusters that you may see", response_model=list[Cluster])
async def list_clusters(
    here: Here, selector: Annotated[str, Query(description="Labels that they must have, as env=prod,tier!=db")] = ""
) -> Response:
    """Each with state, labels and connected executors; one that only has a token so far is "never-connected", and left
    out while the store cannot be reached."""
    here.require(Permission.READ_CLUSTERS)
    fleet = here.services.fleet
    seen = {cluster.id: cluster for cluster in fanout.visible(fleet, here.principal)}
    for cluster in await _expected(here):
        if cluster not in seen and grants.may_see(here.principal, cluster):
            seen[cluster] = fleet.describe(cluster)
    wanted = fanout.parse_selector(selector)
    found = [seen[cluster] for cluster in sorted(seen) if wanted.matches(seen[cluster].labels)]
    # Of ten thousand clusters FastAPI would check and copy each once more, and nobody else would be served for seconds.
    return Response(_LIST.dump_json(found), media_type="application/json")


async def _expected(here: Here) -> set[ClusterId]:
    services = here.services
    try:
        named = {ClusterId(token.cluster) for token in await services.tokens.all()}
        return named | await services.identities.enrolments.clusters()
    except StoreUnavailableError:  # who is connected is known all the same, and what one wants to see now
        return set()


@router.get("/{cluster_id}", summary="Show one cluster")
async def show_cluster(cluster_id: str, here: Here) -> Cluster:
    """404 when there is none that you may see."""
    cluster = parse_cluster_id(cluster_id)
    await here.services.admission.require(here.principal, cluster, Permission.READ_CLUSTERS)
    return here.services.fleet.describe(cluster)


@router.delete("/{cluster_id}", status_code=204, summary="Forget a cluster and revoke its tokens")
async def delete_cluster(cluster_id: str, here: Here) -> None:
    """Its sessions are cut at once."""
    cluster = here.require_on(cluster_id, Permission.MANAGE)
    await here.record("cluster.delete", cluster, cluster=cluster)
    # The tokens first: an executor that dials in between would bring the cluster back.
    revoked = await _revoke_all(here.services.tokens, cluster)
    await here.services.identities.end(cluster)
    known = await here.services.fleet.forget(cluster)
    if not known and not revoked:
        raise grants.unknown_cluster(cluster)


@router.post("/{cluster_id}/enrolments", status_code=201, summary="Make an enrolment token for a cluster's executor")
async def create_enrolment(cluster_id: str, wish: EnrolmentRequest, here: Here) -> NewEnrolment:
    """Good once, for a certificate of the executor's own. The secret is shown once and stored as a digest."""
    cluster = here.require_on(cluster_id, Permission.MANAGE)
    await here.record("enrolment.create", cluster, cluster=cluster)
    enrolments = here.services.identities.enrolments
    token, expires = await enrolments.create(cluster, ttl=wish.ttl_seconds, kube_system_uid=wish.kube_system_uid)
    return NewEnrolment(cluster=cluster, token=token, expires_at=expires)


@router.post("/{cluster_id}/reset", status_code=204, summary="Let another cluster take this id")
async def reset_cluster(cluster_id: str, here: Here) -> None:
    """Ends its certificates and enrolment tokens, cuts its sessions and forgets which cluster the id belonged to.

    Executor tokens stay; the next executor that comes has the id.
    """
    cluster = here.require_on(cluster_id, Permission.MANAGE)
    services = here.services
    expected = await services.tokens.is_known(cluster) or cluster in await services.identities.enrolments.clusters()
    if not expected and not services.fleet.knows(cluster):
        raise grants.unknown_cluster(cluster)
    await here.record("cluster.reset", cluster, cluster=cluster)
    await here.services.identities.end(cluster)
    await here.services.fleet.reset(cluster)


@router.post("/{cluster_id}/policy-tests", summary="Say what decides about a request, without sending it")
async def test_policy(cluster_id: str, question: PolicyQuestion, here: Here) -> PolicyAnswer:
    """What the key's role, the executor's rules with the key's limits, and the cluster's access rules say."""
    cluster = parse_cluster_id(cluster_id)
    return await here.services.policies.test(here.principal, cluster, question, request_id=here.request_id)


async def _revoke_all(tokens: ExecutorTokens, cluster: ClusterId) -> bool:
    try:
        await tokens.revoke(cluster)
    except NotFoundError:  # none, or only in a mounted file, which is the operator's to remove
        return False
    return True
