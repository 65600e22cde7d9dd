"""What a principal may touch."""

from __future__ import annotations

from fnmatch import fnmatchcase

from kubently.errors import ClusterNotFoundError, PermissionDeniedError
from kubently.schema import PERMISSIONS, ClusterId, Permission, Principal


def may_see(principal: Principal, cluster: str) -> bool:
    """Whether *principal* may know that *cluster* exists."""
    return any(fnmatchcase(cluster, pattern) for pattern in principal.clusters)


def require(principal: Principal, permission: Permission) -> None:
    """Raise PermissionDeniedError when the principal's role lacks *permission*."""
    if permission not in PERMISSIONS[principal.role]:
        raise PermissionDeniedError(
            f"{principal.name} has the role {principal.role.value}, which does not allow {permission.value}",
            hint="ask an administrator for a key with another role",
        )


def require_cluster(principal: Principal, cluster: ClusterId, permission: Permission) -> None:
    """Raise unless *principal* may use *permission* on *cluster*; a cluster it may not see does not exist for it."""
    require(principal, permission)
    if not may_see(principal, cluster):
        raise unknown_cluster(cluster)


def unknown_cluster(cluster: str) -> ClusterNotFoundError:
    """The same words whether a cluster is unknown or hidden."""
    return ClusterNotFoundError(
        f"there is no cluster {cluster!r} that you may see", hint="kubently clusters lists those you can ask"
    )
