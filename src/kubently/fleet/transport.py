"""httpx over the fleet: in ``http://<cluster>/k8s/api/v1/pods`` the host name is the cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

from kubently.auth.peers import Caller
from kubently.fleet.fleet import Fleet
from kubently.schema import ClusterId
from kubently.tunnel import Exchange, status_of


class FleetTransport(httpx.AsyncBaseTransport):
    """Carries one caller's requests through the tunnels. Raises FleetError and TunnelError as they are."""

    def __init__(self, fleet: Fleet, caller: Caller) -> None:
        self._fleet = fleet
        self._caller = caller

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send *request* to the cluster that its host names."""
        fields = [(b":method", request.method.encode()), (b":path", request.url.raw_path)]
        fields += [(name.lower(), value) for name, value in request.headers.raw if name.lower() not in _HOP_BY_HOP]
        body = await request.aread()
        stream, _ = await self._fleet.open(
            ClusterId(request.url.host), fields, caller=self._caller, end_stream=not body
        )
        try:
            if body:
                await stream.write(body, end_stream=True)
            head = await stream.head()
            status = status_of(head)
        except BaseException:
            stream.reset()
            raise
        headers = [field for field in head if not field[0].startswith(b":")]
        return httpx.Response(status, headers=headers, stream=_Body(stream))


_HOP_BY_HOP = frozenset({b"host", b"connection", b"transfer-encoding", b"content-length", b"keep-alive"})


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: Exchange) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self._stream.read():
            yield chunk

    async def aclose(self) -> None:
        self._stream.reset()  # does nothing to a stream that is over
