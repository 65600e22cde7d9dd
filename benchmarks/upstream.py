"""A stand-in for an API server that costs next to nothing: ``python -m benchmarks.upstream PORT CERT KEY``.

Small lists, large bodies of a kind that is not redacted, and watches whose events carry the time they were sent.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from typing import cast

import httptools
import uvloop

SMALL = "/api/v1/namespaces/shop/endpoints"
LARGE = "/api/v1/namespaces/shop/services"
WATCH = "/api/v1/namespaces/shop/services?watch=true"
LARGE_BYTES = 10 * 1024 * 1024
HUGE = "/api/v1/namespaces/shop/services?labelSelector=huge"
HUGE_BYTES = 256 * 1024 * 1024
"""More than all buffers on the way hold, for readers that stop in the middle."""

_ITEM = {"metadata": {"name": "web", "namespace": "shop", "uid": "1", "labels": {"app": "web"}}, "subsets": []}
SMALL_BODY = json.dumps({"kind": "EndpointsList", "apiVersion": "v1", "metadata": {}, "items": [_ITEM] * 10}).encode()
_PIECE = b"x" * (64 * 1024)


def _head(length: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % length


_CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"


class Server(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._writable = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def on_url(self, url: bytes) -> None:
        self._url = url

    def on_message_complete(self) -> None:
        if b"watch=true" in self._url:
            self._task = asyncio.get_running_loop().create_task(self._watch())
        elif self._url.startswith(LARGE.encode()):
            self._task = asyncio.get_running_loop().create_task(self._large())
        else:
            self._transport.write(_head(len(SMALL_BODY)) + SMALL_BODY)

    async def _large(self) -> None:
        length = HUGE_BYTES if b"huge" in self._url else LARGE_BYTES
        self._transport.write(_head(length))
        for _ in range(length // len(_PIECE)):
            await self._writable.wait()
            self._transport.write(_PIECE)

    async def _watch(self) -> None:
        self._transport.write(_CHUNKED)
        padding = "x" * 1000
        while True:
            await self._writable.wait()
            metadata = {"name": "web", "annotations": {"sent": repr(time.monotonic()), "padding": padding}}
            event = {"type": "MODIFIED", "object": {"kind": "Service", "apiVersion": "v1", "metadata": metadata}}
            line = json.dumps(event).encode() + b"\n"
            self._transport.write(b"%x\r\n%b\r\n" % (len(line), line))
            await asyncio.sleep(0.02)


async def serve(port: int, cert: str, key: str) -> None:
    """Listen on loopback until the process ends."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if cert else None
    if context:
        context.load_cert_chain(cert, key)
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", port, ssl=context)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), *(sys.argv[2:4] or ("", ""))))
