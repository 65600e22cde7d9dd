"""What decides about a request, asked without sending it."""

from __future__ import annotations

import anyio

from kubently.auth import Caller, grants
from kubently.broker import answers, narrowing
from kubently.broker.admission import Admission
from kubently.errors import CommandTimeoutError, PermissionDeniedError, RemoteProtocolError
from kubently.fleet import Fleet
from kubently.schema import (
    Authority,
    ClusterId,
    Permission,
    PolicyAnswer,
    PolicyQuestion,
    PolicyVerdict,
    Principal,
)

TIMEOUT = 15.0
"""Seconds for an executor's answer."""


class Policies:
    """Explains decisions; the executor's word is told as it is."""

    def __init__(self, fleet: Fleet, admission: Admission) -> None:
        self._fleet = fleet
        self._admission = admission

    async def test(
        self, principal: Principal, cluster: ClusterId, question: PolicyQuestion, *, request_id: str
    ) -> PolicyAnswer:
        """Say what decides when *principal* asks *cluster*. Raises AuthError, FleetError, TunnelError."""
        await self._admission.require(principal, cluster, Permission.READ_CLUSTERS)
        answer = await self._ask(principal, cluster, question, request_id)
        role = _role_verdict(principal)
        rest = answer.verdicts if role.allowed else ()
        return answer.model_copy(update={"verdicts": (role, *rest)})

    async def _ask(
        self, principal: Principal, cluster: ClusterId, question: PolicyQuestion, request_id: str
    ) -> PolicyAnswer:
        fields = [
            (b":method", b"POST"),
            (b":path", b"/policy"),
            (b"content-type", b"application/json"),
            *narrowing.caller_fields(principal, cluster, request_id),
        ]
        caller = Caller(principal, Permission.READ_CLUSTERS, request_id)
        try:
            with anyio.fail_after(TIMEOUT):
                stream, _ = await self._fleet.open(cluster, fields, caller=caller)
                try:
                    await stream.write(question.model_dump_json().encode(), end_stream=True)
                    await answers.check_head(stream)
                    return PolicyAnswer.model_validate(answers.read_object(await answers.read_body(stream)))
                finally:
                    stream.reset()
        except TimeoutError as error:
            raise CommandTimeoutError(f"the executor of {cluster} did not answer within {TIMEOUT:g} s") from error
        except ValueError as error:
            raise RemoteProtocolError("the executor's answer makes no sense") from error


def _role_verdict(principal: Principal) -> PolicyVerdict:
    try:
        grants.require(principal, Permission.RUN)
    except PermissionDeniedError as error:
        reason = f"{error.message}; {error.hint}"
        return PolicyVerdict(by=Authority.KEY, allowed=False, rule=f"role-{principal.role.value}", reason=reason)
    return PolicyVerdict(by=Authority.KEY, allowed=True, rule=f"role-{principal.role.value}")
