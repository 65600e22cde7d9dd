"""Answers of the archived API server: ready ones, streams, and the metav1.Status of a refusal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """One response; ``hold`` keeps it open after the last chunk, in seconds, for a stream that has no more to say."""

    status: int
    chunks: Iterable[bytes]
    content_type: str = JSON
    headers: Mapping[str, str] | None = None
    hold: float = 0.0


class RefusedError(Exception):
    """A request that gets a metav1.Status instead of what it asked for."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details

    def status(self) -> dict[str, Any]:
        """Return the Status object."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            **({"reason": self.reason} if self.reason else {}),
            **({} if self.details is None else {"details": self.details}),
            "code": self.code,
        }


def encode(value: object, *, pretty: bool = False) -> bytes:
    """Return JSON with the line end that an API server writes."""
    content = msgspec.json.encode(value)
    return (msgspec.json.format(content, indent=2) if pretty else content) + b"\n"


def answer(value: object, *, content_type: str = JSON, pretty: bool = False) -> Answer:
    """Return a 200 with *value* as JSON."""
    return Answer(200, (encode(value, pretty=pretty),), content_type)


def no_such_path() -> RefusedError:
    """Say that the path names nothing that is served."""
    return RefusedError(404, "NotFound", "the server could not find the requested resource", details={})


def not_found(qualified: str, name: str) -> RefusedError:
    """Say that there is no object of this name; *qualified* is like "deployments.apps"."""
    details = {"name": name, **_kind_details(qualified)}
    return RefusedError(404, "NotFound", f'{qualified} "{name}" not found', details=details)


def bad_request(message: str) -> RefusedError:
    """Say what is wrong with a request."""
    return RefusedError(400, "BadRequest", message)


def method_not_allowed() -> RefusedError:
    """Say that a path is only read."""
    message = "the server does not allow this method on the requested resource"
    return RefusedError(405, "MethodNotAllowed", message, details={})


def forbidden(qualified: str, name: str, sentence: str) -> RefusedError:
    """Refuse as RBAC does; *sentence* says who cannot do what."""
    subject = f'{qualified} "{name}"' if name else qualified
    details = {**({"name": name} if name else {}), **_kind_details(qualified)}
    return RefusedError(403, "Forbidden", f"{subject} is forbidden: {sentence}", details=details)


def invalid(group_kind: str, name: str, causes: Sequence[tuple[str, str, str]]) -> RefusedError:
    """Refuse with a 422; each cause is (field, reason, message), *group_kind* is like "Job.batch"."""
    kind, _, group = group_kind.partition(".")
    listed = [{"reason": reason, "message": message, "field": field} for field, reason, message in causes]
    text = ", ".join(f"{field}: {message}" for field, _, message in causes)
    text = text if len(causes) == 1 else f"[{text}]"
    details = {"name": name, "group": group, "kind": kind, "causes": listed}
    message = f'{group_kind} "{name}" is invalid: {text}'
    return RefusedError(422, "Invalid", message, details={key: value for key, value in details.items() if value})


def _kind_details(qualified: str) -> dict[str, str]:
    plural, _, group = qualified.partition(".")
    return {**({"group": group} if group else {}), "kind": plural}
