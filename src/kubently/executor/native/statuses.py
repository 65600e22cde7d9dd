"""What kubectl says where the API server refuses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from kubently.executor.native import golang
from kubently.executor.native.plan import GetOptions
from kubently.executor.native.resources import Resource
from kubently.executor.native.unsure import Unsure

_REASONS = frozenset({"BadRequest", "Forbidden", "MethodNotAllowed", "NotFound"})
"""Of others (conflicts, overload, expiry) kubectl makes more than a line."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A metav1.Status that says why not."""

    reason: str
    message: str

    @property
    def is_not_found(self) -> bool:
        """Whether the thing is not there."""
        return self.reason == "NotFound"

    def __str__(self) -> str:
        return f"Error from server ({self.reason}): {self.message}"


def read(code: int, body: Any) -> Refusal:
    """Read the body of an answer that is no success. Raises Unsure for what is no plain Status."""
    if not isinstance(body, dict) or body.get("kind") != "Status" or body.get("status") != "Failure":
        raise Unsure("no Status")
    reason, message = body.get("reason"), body.get("message")
    if reason not in _REASONS or body.get("code") != code or not isinstance(message, str) or not message:
        raise Unsure("a Status of another sort")
    return Refusal(reason, message)


def of_list(refusal: Refusal, resource: Resource, options: GetOptions) -> Refusal:
    """Add to a refused list what was asked, where kubectl does."""
    if refusal.reason not in ("BadRequest", "NotFound"):
        return refusal
    group = f"{resource.group}/{resource.version}, Resource={resource.plural}"
    if not options.label_selector and not options.field_selector:
        return replace(refusal, message=f"Unable to list {golang.quote(group)}: {refusal.message}")
    label, field = golang.quote(options.label_selector), golang.quote(options.field_selector)
    text = f"Unable to find {golang.quote(group)} that match label selector {label}, field selector {field}"
    return replace(refusal, message=f"{text}: {refusal.message}")
