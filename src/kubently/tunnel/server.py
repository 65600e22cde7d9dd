"""The executor's end: a stream becomes a call of an ASGI application.

A reset of the stream cancels the call, so whatever works for it (a child process, a request to the API server) ends
with it. So does the loss of the tunnel, unless the application has said that it knows better.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup

from kubently import wire
from kubently.tunnel.asgi import Application, Message, Scope
from kubently.tunnel.session import Stream

log = logging.getLogger(__name__)


ON_LOSS = "kubently.on_loss"
"""Under this name a scope has a function that takes what is to be called when the tunnel is lost, in place of the
call's cancellation. What is sent then raises TunnelClosedError."""


class AsgiServer:
    """Runs *app* for each stream, in tasks of *tasks*."""

    def __init__(self, app: Application, tasks: TaskGroup) -> None:
        self._app = app
        self._tasks = tasks

    def serve(self, stream: Stream) -> None:
        """Begin to answer *stream*; suits `Session`'s ``on_request``."""
        self._tasks.start_soon(self._serve, stream)

    async def _serve(self, stream: Stream) -> None:
        try:
            with anyio.CancelScope() as scope:
                call = _Call(stream, scope)
                stream.on_failed = call.failed
                if not stream.is_closed:
                    await call.run(self._app)
        finally:
            stream.on_failed = None
            stream.release()


class _Call:
    """One call of the application."""

    def __init__(self, stream: Stream, cancel: anyio.CancelScope) -> None:
        self._stream = stream
        self._cancel = cancel
        self._on_loss: Callable[[], object] | None = None
        self._started = self._finished = False
        self._body_read = False

    def failed(self) -> None:
        """The stream was reset, or its tunnel lost."""
        if self._on_loss is not None and self._stream.is_lost:
            self._on_loss()
        else:
            self._cancel.cancel()

    async def run(self, app: Application) -> None:
        if any(name == b":protocol" for name, _ in self._stream.fields):
            await self._refuse_protocol()
            return
        try:
            await app(self._scope(), self._receive, self._send)
        except Exception:
            if self._stream.is_closed:  # nobody is there to be answered; task groups wrap what told the application so
                return
            log.exception("a request through the tunnel failed")
            if not self._started:
                await self._send({"type": "http.response.start", "status": 500, "headers": []})
                await self._send({"type": "http.response.body", "body": b""})
        if not self._finished:
            self._stream.reset(wire.ErrorCode.INTERNAL_ERROR, "the answer was not completed")

    async def _refuse_protocol(self) -> None:
        """What is laid out for exec and port-forward (both halves as plain bytes) and served by nobody yet."""
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        await self._send({"type": "http.response.start", "status": 501, "headers": headers})
        await self._send({"type": "http.response.body", "body": b"this executor changes no stream's protocol"})

    def _scope(self) -> Scope:
        pseudo = {name: value for name, value in self._stream.fields if name.startswith(b":")}
        raw_path, _, query = pseudo.get(b":path", b"/").partition(b"?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "2",
            "method": pseudo.get(b":method", b"GET").decode("latin-1"),
            "scheme": "https",
            "path": raw_path.decode("latin-1"),
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": [field for field in self._stream.fields if not field[0].startswith(b":")],
            "client": None,
            "server": None,
            ON_LOSS: self._set_on_loss,
        }

    def _set_on_loss(self, call: Callable[[], object]) -> None:
        self._on_loss = call

    async def _receive(self) -> Message:
        if self._body_read:
            await anyio.sleep_forever()  # a reset cancels this call
        chunk = await self._stream.read()
        self._body_read = not chunk
        return {"type": "http.request", "body": chunk, "more_body": bool(chunk)}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            status = b":status", str(message["status"]).encode()
            self._stream.respond([status, *((n.lower(), v.strip(b" \t")) for n, v in message.get("headers", ()))])
            self._started = True
        elif message["type"] == "http.response.body":
            self._finished = not message.get("more_body", False)
            await self._stream.write(message.get("body", b""), end_stream=self._finished)
