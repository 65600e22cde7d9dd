"""One Kubernetes API request to one cluster: decided, recorded, opened; its bytes belong to the caller."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from functools import lru_cache

from kubently import wire
from kubently.auth import Caller
from kubently.broker import narrowing
from kubently.broker.admission import Admission
from kubently.broker.audit import Audit
from kubently.broker.commands import RESUME_WAIT
from kubently.broker.limits import Limits, Pace
from kubently.errors import KubentlyError, TunnelClosedError
from kubently.fleet import Fleet
from kubently.kube import headers, paths, policy
from kubently.schema import ClusterId, Permission, Principal
from kubently.tunnel import Exchange

ATTEMPTS = 3
"""Sessions that are tried for one request, should they be cut before it was answered."""


class PolicyDeniedError(KubentlyError):
    """The request is not allowed; ``status`` is the ``Status`` object that says so."""

    code = "kubernetes-denied"

    def __init__(self, deny: policy.Deny, request: paths.ApiRequest) -> None:
        super().__init__(str(deny))
        self.status = policy.deny_status(deny, request)


class Asked:
    """A request under way: `answer` first, then `read`."""

    def __init__(
        self,
        fleet: Fleet,
        cluster: ClusterId,
        caller: Caller,
        fields: list[wire.Field],
        stream: Exchange,
        *,
        has_body: bool,
        pace: Pace | None,
    ) -> None:
        self._fleet = fleet
        self._has_body = has_body
        self._cluster = cluster
        self._caller = caller
        self._fields = fields
        self._stream = stream
        self._pace = pace

    @property
    def has_ended(self) -> bool:
        """Whether the answer came to its end."""
        return self._stream.has_ended

    @property
    def is_read(self) -> bool:
        """Whether that end was read: `read` would give nothing more."""
        return self._stream.is_read

    async def answer(self, body: bytes) -> tuple[wire.Field, ...]:
        """Send the body and wait for the answer's head.

        A session that is cut before it came is no matter: whatever may be asked may be asked twice. Raises TunnelError.
        """
        for left in reversed(range(ATTEMPTS)):
            try:
                if self._has_body:
                    await self._stream.write(body, end_stream=True)
                return await self._stream.head()
            except TunnelClosedError as error:
                if not left:
                    raise
                try:
                    self._stream, _ = await self._fleet.open(
                        self._cluster,
                        self._fields,
                        caller=self._caller,
                        wait=RESUME_WAIT,
                        end_stream=not self._has_body,
                    )
                except KubentlyError:
                    raise error from None
        raise AssertionError("unreachable")

    async def read(self) -> bytes:
        """The next piece of the answer's body; empty at its end. Raises TunnelError."""
        piece = await self._stream.read()
        if self._pace is not None:
            await self._pace.spend(len(piece))
        return piece

    def close(self) -> None:
        """Say that nothing more is wanted."""
        self._stream.reset()


class KubernetesRequests:
    """Opens streams to clusters' API servers."""

    def __init__(self, fleet: Fleet, admission: Admission, audit: Audit, limits: Limits) -> None:
        self._fleet = fleet
        self._admission = admission
        self._audit = audit
        self._limits = limits

    @contextlib.asynccontextmanager
    async def open(
        self,
        principal: Principal,
        cluster: ClusterId,
        method: str,
        path: bytes,
        query: bytes,
        fields: Iterable[wire.Field],
        *,
        request_id: str,
    ) -> AsyncIterator[Asked]:
        """Send the head of a request while the block lasts; the caller gives a body (or none) and reads the answer.

        Raises PolicyDeniedError, InvalidRequestError, AuthError, FleetError.
        """
        await self._admission.require(principal, cluster, Permission.RUN)
        limits = narrowing.of(principal, cluster) or policy.UNLIMITED
        is_short = len(path) + len(query) <= _SHORT
        understand = _understand if is_short else _understand.__wrapped__
        understood = understand(method, path, query, self._admission.policy(cluster), limits)
        request, decision = understood.request, understood.decision
        if isinstance(decision, policy.Deny):
            await self._audit.deny(
                principal, cluster, "kubernetes", understood.text, request_id=request_id, outcome=decision.rule
            )
            raise PolicyDeniedError(decision, request)
        forwarded = headers.request_headers(fields, with_body=request.verb == "create")
        head = [*understood.head, *forwarded, *narrowing.caller_fields(principal, cluster, request_id)]
        with self._limits.admit(self._limits.kubernetes, cluster, principal.name):
            entry = await self._audit.start(principal, cluster, "kubernetes", understood.text, request_id=request_id)
            asked: Asked | None = None
            try:
                asked = await self._ask(Caller(principal, Permission.RUN, request_id), cluster, request, head)
                yield asked
                entry.outcome = "answered" if asked.has_ended else "cancelled"
            except TunnelClosedError as error:
                entry.outcome = error.code
                raise TunnelClosedError(
                    f"the executor of {cluster} was lost before it answered ({error.message})", hint="ask again"
                ) from error
            except KubentlyError as error:
                entry.outcome = error.code
                raise
            except asyncio.CancelledError:
                entry.outcome = "cancelled"
                raise
            finally:
                if asked is not None:
                    asked.close()
                await entry.end(entry.outcome)

    async def _ask(
        self, caller: Caller, cluster: ClusterId, request: paths.ApiRequest, head: list[wire.Field]
    ) -> Asked:
        has_body = request.method == "POST"
        stream, _ = await self._fleet.open(cluster, head, caller=caller, end_stream=not has_body)
        pace = self._limits.follow() if request.is_stream and not request.is_watch else None
        return Asked(self._fleet, cluster, caller, head, stream, has_body=has_body, pace=pace)


_SHORT = 512
"""Bytes of path and query up to which what was worked out about a request is remembered."""


@dataclass(frozen=True, slots=True)
class _Understood:
    """What depends on a request's method, path and query alone, and on who may what."""

    request: paths.ApiRequest
    decision: policy.Decision
    head: tuple[wire.Field, ...]
    """How it begins on its way to the executor, built anew."""
    text: str
    """How the audit log shows it."""


@lru_cache(maxsize=4096)
def _understand(
    method: str, path: bytes, query: bytes, rules: policy.Policy, limits: policy.Narrowing | policy.Limits
) -> _Understood:
    """Read and decide. Dashboards and controllers ask the same again and again."""
    request = paths.parse(method, path, query)
    target = b"?".join(part for part in paths.build(request) if part)
    head = ((b":method", request.method.encode()), (b":path", b"/k8s" + target))
    return _Understood(request, policy.decide(request, rules, limits), head, str(request))
