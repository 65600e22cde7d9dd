"""Failures as Kubernetes clients read them: metav1.Status, whose message kubectl prints after "Error from server"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubently.errors import ClusterNotFoundError, ExecutorOfflineError, KubentlyError
from kubently.schema import problems

_REASONS = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 429: "TooManyRequests"}
_UNAVAILABLE = frozenset({502, 503, 504})


def failure(reason: str, code: int, message: str, details: Mapping[str, Any]) -> dict[str, Any]:
    """A Status of this reason and HTTP status."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": dict(details),
        "code": code,
    }


def of(error: KubentlyError) -> dict[str, Any]:
    """An error of ours as a Status; its code stands among the causes."""
    code = problems.status_of(error)
    details: dict[str, Any] = {"causes": [{"reason": "Kubently", "message": error.code}]}
    if isinstance(error, ExecutorOfflineError) and error.retry_after:
        details["retryAfterSeconds"] = max(1, round(error.retry_after))
    if isinstance(error, ClusterNotFoundError):
        details["kind"] = "clusters"
    reason = _REASONS.get(code, "ServiceUnavailable" if code in _UNAVAILABLE else "InternalError")
    return failure(reason, code, f"{error.message}; {error.hint}" if error.hint else error.message, details)
