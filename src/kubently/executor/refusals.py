"""What a failed dial means, in words, and whether the API itself said no."""

from __future__ import annotations

import json

from kubently import trust
from kubently.errors import ApiDrainingError, KubentlyError, TooManyExecutorsError, TunnelClosedError
from kubently.schema import problems
from kubently.tunnel.transports.websocket import UpgradeRefusedError

_NO = frozenset({401, 403, 409})
"""Statuses of the API's own refusals: asking again soon does not help."""


def problem_of(error: Exception) -> KubentlyError | None:
    """The problem document in the answer to a dial, or None: then it was not the API that answered."""
    if not isinstance(error, UpgradeRefusedError):
        return None
    if problems.MEDIA_TYPE not in error.headers.get("content-type", ""):
        return None
    try:
        return problems.from_problem(error.status, json.loads(error.body))
    except (ValueError, AttributeError, RecursionError):
        return None


def is_final(error: Exception) -> bool:
    """Whether the API itself answered, so that another transport would be told the same."""
    told = problem_of(error)
    return told is not None and (
        problems.status_of(told) in _NO or isinstance(told, ApiDrainingError | TooManyExecutorsError)
    )


def explain(
    error: OSError | KubentlyError, url: str, facts: trust.Facts | None = None
) -> tuple[trust.Explanation, bool]:
    """What a failed dial means, and whether the API itself said no."""
    if isinstance(error, UpgradeRefusedError):
        return _explain_refusal(error, url, facts or trust.Facts())
    if isinstance(error, OSError) or (facts and facts.speaks == "tls" and url.startswith(("http:", "ws:"))):
        return trust.explain(error, url, facts), False
    return trust.Explanation(
        error.code, error.message, error.hint or "check what stands between here and the API"
    ), False


def is_of_the_connection(error: Exception) -> bool:
    """Whether a look at the other end may say more than the answer did."""
    if isinstance(error, UpgradeRefusedError):
        return error.status == 400
    return isinstance(error, OSError | TunnelClosedError)


def _explain_refusal(error: UpgradeRefusedError, url: str, facts: trust.Facts) -> tuple[trust.Explanation, bool]:
    if (told := problem_of(error)) is not None:
        said = f"the API refused this executor: {told.message}"
        return trust.Explanation(told.code, said, told.hint), error.status in _NO
    location = error.headers.get("location", "")
    found = trust.explain_answer(url, error.status, error.body, location=location, facts=facts)
    if found is not None:
        return found, False
    said = f"{url} answered the WebSocket upgrade with {error.status}"
    return trust.Explanation(error.code, said, "check what stands between here and the API"), False
