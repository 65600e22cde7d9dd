"""What Kubently makes of a request or an argument list, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kubently.errors import CommandDeniedError, CommandInvalidError
from kubently.executor.apiserver import ApiServer, Header, Response, UpstreamError
from kubently.executor.caller import Caller
from kubently.executor.kubeapi import KubeApi
from kubently.kube import kubectl, paths, policy
from kubently.tunnel import Message
from tests.oracle.requests import Attributes, Raw


@dataclass(frozen=True, slots=True)
class Answer:
    """How a request ended: either it was sent, or it was answered with a status here."""

    sent: Raw | None
    status: int


class Recorder(ApiServer):
    """Stands where the executor's API server is, and keeps what it is asked."""

    def __init__(self) -> None:
        self.sent: list[Raw] = []

    async def request(
        self, method: bytes, target: bytes, headers: Sequence[Header] = (), body: bytes = b""
    ) -> Response:
        """Note the request; there is no answer."""
        path, _, query = target.partition(b"?")
        self.sent.append(Raw(method.decode(), path, query, tuple(headers), body))
        raise UpstreamError("there is no API server here")


class Gate:
    """The executor's side of ``/k8s``, up to the bytes that it would send."""

    def __init__(self, rules: policy.Policy = policy.DEFAULT_POLICY) -> None:
        self._recorder = Recorder()
        self._kube_api = KubeApi(self._recorder, rules)

    async def ask(self, request: Raw, caller: Caller | None = None) -> Answer:
        """Let the executor decide *request*."""
        self._recorder.sent.clear()
        messages: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": request.body, "more_body": False}

        async def send(message: Message) -> None:
            messages.append(message)

        scope = {"type": "http", "method": request.method, "query_string": request.query, "headers": request.headers}
        await self._kube_api.serve(scope, receive, send, path=request.path, caller=caller or Caller())
        assert len(self._recorder.sent) <= 1
        return Answer(next(iter(self._recorder.sent), None), messages[0]["status"])


def decided(request: Raw) -> Attributes:
    """What Kubently takes *request* for: policy, limits and audit log go by this."""
    seen = paths.parse(request.method, request.path, request.query)
    if not seen.is_resource_request:
        return Attributes(seen.verb, seen.path)
    where = seen.namespace, seen.name
    return Attributes(seen.verb, "", seen.group, seen.version, seen.resource, seen.subresource, *where)


def command(argv: Sequence[str], secrets: policy.SecretsMode = "none") -> kubectl.KubectlCommand | None:
    """The command that would be run for *argv*, or None where it is refused."""
    try:
        return kubectl.parse(argv, secrets=secrets)
    except (CommandDeniedError, CommandInvalidError):
        return None
