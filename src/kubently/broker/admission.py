"""May this principal ask this cluster for that, and is there such a cluster?"""

from __future__ import annotations

from kubently.auth import ExecutorTokens, grants
from kubently.fleet import Fleet
from kubently.kube.policy import SecretsMode
from kubently.schema import ClusterId, Permission, Principal


class Admission:
    """One check for commands, Kubernetes requests and diagnoses alike."""

    def __init__(self, fleet: Fleet, tokens: ExecutorTokens) -> None:
        self._fleet = fleet
        self._tokens = tokens

    async def require(self, principal: Principal, cluster: ClusterId, permission: Permission) -> None:
        """Raise PermissionDeniedError or ClusterNotFoundError. A cluster counts as known once it has a token."""
        grants.require_cluster(principal, cluster, permission)
        if not self._fleet.knows(cluster) and not await self._tokens.is_known(cluster):
            raise grants.unknown_cluster(cluster)

    def secrets_mode(self, cluster: ClusterId) -> SecretsMode:
        """The executor's mode as it tells it, for the early and explained no; it decides by itself all the same."""
        return "metadata" if self._fleet.capability(cluster, "secrets") == "metadata" else "none"
