"""May this principal ask this cluster for that, and is there such a cluster?"""

from __future__ import annotations

from functools import cache, partial

from kubently.auth import ExecutorTokens, grants
from kubently.broker import narrowing
from kubently.errors import PermissionDeniedError
from kubently.fleet import Fleet
from kubently.kube.policy import Grant, Policy
from kubently.schema import ClusterId, Permission, Principal


class Admission:
    """One check for commands, Kubernetes requests and diagnoses alike."""

    def __init__(self, fleet: Fleet, tokens: ExecutorTokens) -> None:
        self._fleet = fleet
        self._tokens = tokens

    async def require(self, principal: Principal, cluster: ClusterId, permission: Permission) -> None:
        """Raise PermissionDeniedError or ClusterNotFoundError. A cluster counts as known once it has a token."""
        grants.require_cluster(principal, cluster, permission)
        limits = narrowing.of(principal, cluster)
        if limits is not None and not limits.narrowings:
            raise PermissionDeniedError(
                f"the limits of {principal.name} give nothing in {cluster}",
                hint="ask an administrator for a key with other limits",
            )
        if not self._fleet.knows(cluster) and not await self._tokens.is_known(cluster):
            raise grants.unknown_cluster(cluster)

    def policy(self, cluster: ClusterId) -> Policy:
        """The executor's policy as far as it tells, for an early and explained no; its own decision counts."""
        told = partial(self._fleet.capability, cluster)
        return _policy(
            shows_metadata=told("secrets") == "metadata", shows_helm="helm-releases" in told("grants").split(",")
        )


@cache
def _policy(*, shows_metadata: bool, shows_helm: bool) -> Policy:
    granted: frozenset[Grant] = frozenset({"helm-releases"}) if shows_helm else frozenset()
    return Policy(secrets="metadata" if shows_metadata else "none", grants=granted)
