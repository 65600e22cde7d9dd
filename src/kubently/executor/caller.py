"""For whom a request is made, as the control plane says it in the head of a tunnel stream."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kubently import tracing
from kubently.errors import ConfigError, InvalidRequestError
from kubently.kube import headers, policy


@dataclass(frozen=True, slots=True)
class Caller:
    """One principal, and what its key may read."""

    principal: str = ""
    request_id: str = ""
    limits: policy.Narrowing | policy.Limits = policy.UNLIMITED
    trace: str = ""
    """The traceparent of what is done for it."""

    def is_as(self, other: Caller) -> bool:
        """Whether it is the same principal within the same limits, in whichever request."""
        return (self.principal, self.limits) == (other.principal, other.limits)


def read(fields: Iterable[headers.Field]) -> Caller:
    """Who calls. Raises InvalidRequestError for limits that cannot be read: without them nobody is let through."""
    found = dict(fields)
    limits = found.get(headers.LIMITS)
    try:
        return Caller(
            principal=found.get(headers.PRINCIPAL, b"").decode("latin-1"),
            request_id=found.get(headers.REQUEST_ID, b"").decode("latin-1"),
            limits=policy.UNLIMITED if limits is None else policy.Limits.decode(limits),
            trace=tracing.parse(found.get(tracing.HEADER, b"").decode("latin-1")),
        )
    except ConfigError as error:
        raise InvalidRequestError(f"the caller's limits cannot be read: {error.message}") from error
