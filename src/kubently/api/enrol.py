"""Where an executor gets its first certificate: ``POST /executor/v1/enrol`` with its enrolment token as bearer."""

from __future__ import annotations

import logging

from pydantic import ValidationError

from kubently.api import forwarded, requests
from kubently.api.services import Services
from kubently.errors import EnrolmentTokenError, InvalidRequestError
from kubently.schema import ExecutorCertificate, ExecutorEnrolment, Principal, Role, parse_cluster_id
from kubently.tunnel import Receive, Scope, Send, read_body

log = logging.getLogger(__name__)

PATH = "/executor/v1/enrol"
_MAX_BODY = 32 * 1024


async def enrol(scope: Scope, receive: Receive, send: Send, services: Services, *, request_id: str) -> None:
    """Answer with the certificate. Raises InvalidRequestError and what `Identities.enrol` raises."""
    if scope["method"] != "POST":
        raise InvalidRequestError(
            f"{PATH} takes POST only", hint="an executor with an enrolment token uses it by itself"
        )
    wish = _read(await read_body(receive, limit=_MAX_BODY))
    cluster = parse_cluster_id(wish.cluster)
    scheme, _, token = requests.header(scope, b"authorization").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise EnrolmentTokenError("no enrolment token was given", hint="set KUBENTLY_ENROLMENT_TOKEN_FILE")
    # Nobody who does not hold a token can fill the audit log: what is refused here is only logged.
    await services.identities.enrolments.require_known(token.strip(), cluster)
    executor = Principal(name=f"executor:{cluster}", role=Role.VIEWER, clusters=(cluster,))
    client = forwarded.client_address(scope, services.settings.trusted_proxies)
    async with services.audit.recorded(executor, cluster, "executor.enrol", client, request_id=request_id) as entry:
        made: ExecutorCertificate = await services.identities.enrol(
            cluster, token.strip(), wish.request, kube_system_uid=wish.kube_system_uid
        )
        entry.outcome = "accepted"
    log.info("executor enrolled", extra={"cluster": cluster, "client": client})
    await requests.send_json(send, 200, made.model_dump_json().encode(), headers={"x-request-id": request_id})


def _read(body: bytes) -> ExecutorEnrolment:
    try:
        return ExecutorEnrolment.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise InvalidRequestError(f"{where}: {first['msg']}", hint="send cluster and request as JSON") from error
