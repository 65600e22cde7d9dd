from __future__ import annotations

import pytest

from kubently import errors
from kubently.kube import statuses


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (errors.InvalidRequestError("the path is odd"), 400, "BadRequest"),
        (errors.UnauthenticatedError("the token is expired"), 401, "Unauthorized"),
        (errors.PermissionDeniedError("no"), 403, "Forbidden"),
        (errors.ClusterNotFoundError("there is none"), 404, "NotFound"),
        (errors.TooManyCommandsError("96 run already"), 429, "TooManyRequests"),
        (errors.KubeError("the API server broke off"), 502, "ServiceUnavailable"),
        (errors.ExecutorOfflineError("nobody is there"), 503, "ServiceUnavailable"),
        (errors.KubentlyError("unforeseen"), 500, "InternalError"),
    ],
)
def test_an_error_has_the_reason_that_kubectl_shows(error: errors.KubentlyError, code: int, reason: str) -> None:
    status = statuses.of(error)

    assert (status["code"], status["reason"]) == (code, reason)
    assert (status["kind"], status["status"]) == ("Status", "Failure")
    assert status["details"]["causes"] == [{"reason": "Kubently", "message": error.code}]


def test_the_message_says_what_to_try() -> None:
    assert statuses.of(errors.InvalidRequestError("it is odd", hint="write it plainly"))["message"] == (
        "it is odd; write it plainly"
    )


def test_only_an_absent_executor_says_when_to_come_back() -> None:
    """client-go waits by itself for any answer that says so, and would hold a person up for no reason."""
    offline = statuses.of(errors.ExecutorOfflineError("nobody is there", retry_after=4.6))
    busy = statuses.of(errors.TooManyCommandsError("too many", retry_after=1))

    assert offline["details"]["retryAfterSeconds"] == 5
    assert "retryAfterSeconds" not in busy["details"]
