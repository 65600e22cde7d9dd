"""What a principal may touch."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from kubently.errors import ClusterNotFoundError, PermissionDeniedError
from kubently.schema import PERMISSIONS, ClusterId, Permission, Principal


def may_see(principal: Principal, cluster: str) -> bool:
    """Whether *principal* may know that *cluster* exists."""
    return covers(principal.clusters, cluster)


def covers(patterns: Sequence[str], cluster: str) -> bool:
    """Whether one of these shell-style patterns means *cluster*."""
    return any(fnmatchcase(cluster, pattern) for pattern in patterns)


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


def require_patterns(principal: Principal, patterns: Sequence[str]) -> None:
    """Raise PermissionDeniedError unless all clusters that *patterns* mean are the principal's to manage."""
    for pattern in patterns:
        is_name = not set(pattern) & set("*?[")
        if not (
            "*" in principal.clusters or pattern in principal.clusters or (is_name and may_see(principal, pattern))
        ):
            raise PermissionDeniedError(
                f"{pattern!r} goes beyond the clusters of {principal.name} ({', '.join(principal.clusters) or 'none'})",
                hint="ask an administrator of all clusters",
            )


def unknown_cluster(cluster: str) -> ClusterNotFoundError:
    """The same words whether a cluster is unknown or hidden."""
    return ClusterNotFoundError(
        f"there is no cluster {cluster!r} that you may see", hint="kubently clusters lists those you can ask"
    )
