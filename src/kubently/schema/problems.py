"""Errors as problem documents (RFC 9457) and back, by one table for API, executor and client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubently import errors
from kubently.errors import KubentlyError

MEDIA_TYPE = "application/problem+json"

STATUS: dict[type[KubentlyError], int] = {
    errors.ConfigError: 500,
    errors.UnauthenticatedError: 401,
    errors.EnrolmentTokenError: 401,
    errors.ExecutorCertificateError: 401,
    errors.ExecutorCertificateExpiredError: 401,
    errors.IdentityTokenError: 401,
    errors.SessionExpiredError: 401,
    errors.OidcUnavailableError: 503,
    errors.PermissionDeniedError: 403,
    errors.NoRoleError: 403,
    errors.CertificateBlockedError: 403,
    errors.ClientCertificateMissingError: 403,
    errors.NotFoundError: 404,
    errors.ConflictError: 409,
    errors.EnrolmentTokenUsedError: 409,
    errors.InvalidRequestError: 400,
    errors.CertificateRequestError: 400,
    errors.ClusterNotFoundError: 404,
    errors.ClusterConflictError: 409,
    errors.ExecutorOfflineError: 503,
    errors.NotWatchedError: 409,
    errors.ApiDrainingError: 503,
    errors.TooManyExecutorsError: 503,
    errors.LocalProtocolError: 500,
    errors.RemoteProtocolError: 502,
    errors.StreamResetError: 502,
    errors.TunnelClosedError: 502,
    errors.TunnelSessionGoneError: 410,
    errors.UpgradeStrippedError: 426,
    errors.CommandInvalidError: 400,
    errors.CommandDeniedError: 403,
    errors.CommandTimeoutError: 504,
    errors.CommandUnknownError: 502,
    errors.IdempotencyConflictError: 422,
    errors.TooManyCommandsError: 429,
    errors.KubeError: 502,
    errors.AuditUnavailableError: 503,
    errors.JournalBrokenError: 500,
    errors.StoreUnavailableError: 503,
}

_BY_CODE = {cls.code: cls for cls in STATUS}


def status_of(error: KubentlyError) -> int:
    """The HTTP status of an error: that of its class or of the nearest base that has one, else 500."""
    return next((STATUS[cls] for cls in type(error).__mro__ if cls in STATUS), 500)


def to_problem(error: KubentlyError, *, request_id: str = "") -> dict[str, Any]:
    """The problem document of an error."""
    problem: dict[str, Any] = {
        "type": f"urn:kubently:problem:{error.code}",
        "title": error.code.replace("-", " "),
        "status": status_of(error),
        "detail": error.message,
        "code": error.code,
        "retryable": error.retryable,
    }
    optional = {
        "hint": error.hint,
        "details": error.details,
        "retry_after": error.retry_after,
        "request_id": request_id,
    }
    return problem | {name: value for name, value in optional.items() if value}


def from_problem(status: int, problem: Mapping[str, Any]) -> KubentlyError:
    """The error that a problem document stands for; an unknown code gives a plain KubentlyError.

    Never raises: *problem* comes from the network.
    """
    cls = _BY_CODE.get(str(problem.get("code", "")), KubentlyError)
    details = problem.get("details")
    retry_after = problem.get("retry_after")
    return cls(
        str(problem.get("detail") or problem.get("title") or f"the server answered {status}"),
        hint=str(problem.get("hint", "")),
        details=details if isinstance(details, Mapping) else None,
        retry_after=retry_after if isinstance(retry_after, int | float) and 0 <= retry_after <= 3600 else None,
    )
