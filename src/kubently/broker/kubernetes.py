"""One Kubernetes API request to one cluster: decided, recorded, opened; its bytes belong to the caller."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable

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
        pace: Pace | None,
    ) -> None:
        self._fleet = fleet
        self._cluster = cluster
        self._caller = caller
        self._fields = fields
        self._stream = stream
        self._pace = pace

    @property
    def has_ended(self) -> bool:
        """Whether the answer came to its end."""
        return self._stream.has_ended

    async def answer(self, body: bytes) -> tuple[wire.Field, ...]:
        """Send the body and wait for the answer's head.

        A session that is cut before it came is no matter: whatever may be asked may be asked twice. Raises TunnelError.
        """
        for left in reversed(range(ATTEMPTS)):
            try:
                await self._stream.write(body, end_stream=True)
                return await self._stream.head()
            except TunnelClosedError as error:
                if not left:
                    raise
                try:
                    self._stream, _ = await self._fleet.open(
                        self._cluster, self._fields, caller=self._caller, wait=RESUME_WAIT
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
        request = paths.parse(method, path, query)
        limits = narrowing.of(principal, cluster) or policy.UNLIMITED
        decision = policy.decide(request, self._admission.policy(cluster), limits)
        if isinstance(decision, policy.Deny):
            await self._audit.deny(
                principal, cluster, "kubernetes", str(request), request_id=request_id, outcome=decision.rule
            )
            raise PolicyDeniedError(decision, request)
        forwarded = headers.request_headers(fields, with_body=request.verb == "create")
        with self._limits.admit(self._limits.kubernetes, cluster, principal.name):
            async with self._opened(principal, cluster, request, forwarded, request_id) as asked:
                yield asked

    @contextlib.asynccontextmanager
    async def _opened(
        self,
        principal: Principal,
        cluster: ClusterId,
        request: paths.ApiRequest,
        forwarded: Iterable[wire.Field],
        request_id: str,
    ) -> AsyncIterator[Asked]:
        async with self._audit.recorded(principal, cluster, "kubernetes", str(request), request_id=request_id) as entry:
            target = b"?".join(part for part in paths.build(request) if part)
            head: list[wire.Field] = [
                (b":method", request.method.encode()),
                (b":path", b"/k8s" + target),
                *forwarded,
                *narrowing.caller_fields(principal, cluster, request_id),
            ]
            caller = Caller(principal, Permission.RUN, request_id)
            stream, _ = await self._fleet.open(cluster, head, caller=caller)
            pace = self._limits.follow() if request.is_stream and not request.is_watch else None
            asked = Asked(self._fleet, cluster, caller, head, stream, pace=pace)
            try:
                yield asked
                entry.outcome = "answered" if asked.has_ended else "cancelled"
            except TunnelClosedError as error:
                raise TunnelClosedError(
                    f"the executor of {cluster} was lost before it answered ({error.message})", hint="ask again"
                ) from error
            finally:
                asked.close()
