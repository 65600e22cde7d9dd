"""The limits of API keys: which part of a cluster a principal may read, and how executors are told."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from kubently import tracing, wire
from kubently.auth import grants
from kubently.errors import ConfigError, InvalidRequestError
from kubently.kube import headers, policy
from kubently.schema import ClusterId, Limit, Principal, Role


def check(role: Role, limits: Sequence[Limit]) -> None:
    """Raise InvalidRequestError for limits that cannot be kept: unreadable ones, too long ones, an administrator's."""
    if limits and role is Role.ADMIN:
        # An administrator makes keys: one with limits would make another without.
        raise InvalidRequestError("a key of role admin cannot have limits", hint="use the role operator or viewer")
    try:
        policy.Limits(tuple(map(_narrowing, limits))).encode()
    except ConfigError as error:
        raise InvalidRequestError(f"the limits cannot be used: {error.message}", hint=error.hint) from error
    if not all(limit.clusters for limit in limits):
        raise InvalidRequestError("a limit names no clusters", hint='leave clusters out, or write ["*"], for all')


def of(principal: Principal, cluster: ClusterId) -> policy.Limits | None:
    """What *principal* may read in *cluster*; None where its key sets no limit."""
    return _limits(principal.limits, cluster) if principal.limits else None


@lru_cache(maxsize=1024)
def _limits(limits: tuple[Limit, ...], cluster: ClusterId) -> policy.Limits:
    """Admission, decision and header of each request ask for the same."""
    return policy.Limits(tuple(_narrowing(limit) for limit in limits if grants.covers(limit.clusters, cluster)))


def caller_fields(principal: Principal, cluster: ClusterId, request_id: str) -> list[wire.Field]:
    """The header fields that tell an executor for whom a request is made, and within which limits."""
    fields = [
        (headers.PRINCIPAL, principal.name.encode("ascii", "replace")),
        (headers.REQUEST_ID, request_id.encode("ascii", "replace")),
    ]
    if trace := tracing.current.get():
        fields.append((tracing.HEADER, trace.encode()))
    limits = of(principal, cluster)
    return fields if limits is None else [*fields, (headers.LIMITS, limits.encode())]


def _narrowing(limit: Limit) -> policy.Narrowing:
    return policy.Narrowing.from_json(limit.model_dump(mode="json", exclude={"clusters"}, exclude_none=True))
