"""The tunnel over WebSocket (RFC 6455), one binary message a frame.

`dial` is the executor's end: the handshake and framing are the sans-IO protocol of ``websockets``, moved by a plain
asyncio protocol, so a session is driven by callbacks. `serve` is the control side's end on any ASGI server. Compression
is never offered: it costs tens of KiB a connection and mixes secrets of different requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl as tls
from collections import deque
from collections.abc import Callable, Mapping
from typing import cast

import anyio
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from kubently import wire
from kubently.errors import TunnelClosedError
from kubently.trust.proxies import Proxy
from kubently.tunnel.asgi import Receive, Send
from kubently.tunnel.link import WRITE_LIMIT, LinkHandler
from kubently.tunnel.transports.opening import Road, shown_to

PATH = "/executor/v1/tunnel"
SUBPROTOCOL = "kubently.v1"
UPGRADE_HEADER = "X-Kubently-Upgrade"
"""Says again that an upgrade is wanted: where it arrives alone, something on the way took the upgrade out."""
MAX_MESSAGE = wire.MAX_PAYLOAD + 64


# Below this level the library prints headers and frames, tokens and output included.
_library_log = logging.getLogger("kubently.websocket")
_library_log.setLevel(logging.WARNING)


class UpgradeRefusedError(TunnelClosedError):
    """The server answered the upgrade with another status than 101.

    ``status``, ``headers`` (lower-case names) and ``body`` are the server's.
    """

    code = "tunnel-upgrade-refused"

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"the server answered the WebSocket upgrade with {status}")
        self.status, self.headers, self.body = status, headers, body


class _ClientLink(asyncio.Protocol):
    """The executor's end."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._handler: LinkHandler | None = None
        self._early: list[bytes] = []
        """Messages that came in the same read as the 101, before a handler was set."""
        self._protocol = ClientProtocol(
            parse_uri(url), subprotocols=[Subprotocol(SUBPROTOCOL)], max_size=MAX_MESSAGE, logger=_library_log
        )
        self._headers = headers
        self._transport: asyncio.Transport
        self._fragments: list[bytes] = []
        self._paused = False
        self._lost = False
        self.was_cut = False
        """Whether it was lost on the way, and neither end closed it."""

    # ------------------------------------------------------------------ Link

    @property
    def is_writable(self) -> bool:
        """Whether the socket's buffer is below the write limit."""
        return not self._paused and not self._lost

    def send(self, message: bytes) -> None:
        """Write one masked binary frame."""
        if not self._lost and self._protocol.state.name == "OPEN":
            self._protocol.send_binary(message)
            self._write()

    def close(self, code: int, reason: str) -> None:
        """Send a close frame and close the socket; a peer that is gone is not waited for."""
        if self._lost:
            return
        if self._protocol.state.name == "OPEN":
            self._protocol.send_close(code, reason.encode()[:120].decode(errors="ignore"))
            self._write()
        self._transport.close()
        # A link whose peer does not read any more never finishes a graceful close.
        asyncio.get_running_loop().call_later(2.0, self._transport.abort)

    def peer_certificate(self) -> bytes:
        """The certificate (DER) that the server showed; empty without TLS."""
        return shown_to(self._transport)

    def attach(self, handler: LinkHandler) -> None:
        """Set who is called; messages that came before are delivered now."""
        self._handler = handler
        early, self._early = self._early, []
        for message in early:
            handler.received(message)
        if self._lost:
            handler.lost("the server closed the connection")

    # ------------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's have the interface and are no subclass
        self._transport.set_write_buffer_limits(high=WRITE_LIMIT)
        request = self._protocol.connect()
        for name, value in self._headers.items():
            request.headers[name] = value
        self._protocol.send_request(request)
        self._write()

    def data_received(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        self._take_events()
        if self._paused and self._protocol.state.name == "OPEN":
            self._protocol.data_to_send()  # pongs for a peer that does not read: dropped, or they would pile up
        else:
            self._write()

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._take_events()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._handler:
            self._handler.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self.was_cut = self._protocol.close_rcvd is None and self._protocol.close_sent is None
        if isinstance(exc, OSError) and not self.opened.done():
            self.opened.set_exception(exc)  # an alert after the handshake, say: the caller knows what it means
        self._protocol.receive_eof()
        self._take_events()
        reason = self._close_reason(exc)
        if not self.opened.done():
            self.opened.set_exception(TunnelClosedError(reason))
        elif self._handler:
            self._handler.lost(reason)

    # ------------------------------------------------------------------ steps

    def _write(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()

    def _take_events(self) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self._on_response(event)
            elif isinstance(event, Frame):
                self._on_frame(event)
        if self._protocol.handshake_exc is not None:
            self._on_handshake_failure(self._protocol.handshake_exc)

    def _on_response(self, response: Response) -> None:
        if self._protocol.handshake_exc is None and not self.opened.done():
            self.opened.set_result(None)

    def _on_handshake_failure(self, error: Exception) -> None:
        if self.opened.done():
            return
        if isinstance(error, InvalidStatus):
            response = error.response
            headers = {name.lower(): value for name, value in response.headers.raw_items()}
            failure: Exception = UpgradeRefusedError(response.status_code, headers, bytes(response.body or b""))
        elif isinstance(error, InvalidHandshake):
            failure = TunnelClosedError(f"the server's answer to the WebSocket upgrade is wrong: {error}")
        else:
            failure = TunnelClosedError(f"the WebSocket upgrade failed: {error}")
        self.opened.set_exception(failure)
        self._transport.close()

    def _on_frame(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.BINARY, Opcode.CONT):
            return
        self._fragments.append(bytes(frame.data))
        if not frame.fin:
            return
        message = b"".join(self._fragments)
        self._fragments.clear()
        if self._handler is None:
            self._early.append(message)
        else:
            self._handler.received(message)

    def _close_reason(self, exc: Exception | None) -> str:
        if exc is not None:
            return f"the connection broke: {exc}"
        received = self._protocol.close_rcvd
        if received is not None:
            return received.reason or f"the server closed with code {received.code}"
        return "the server closed the connection"


async def dial(
    url: str,
    *,
    headers: Mapping[str, str],
    ssl: tls.SSLContext | None,
    timeout: float,
    server_hostname: str | None = None,
    proxy: Proxy | None = None,
    on_connected: Callable[[], None] = lambda: None,
) -> _ClientLink:
    """Open a WebSocket to *url* (``wss`` or ``ws``) and return its link; the caller attaches a handler and closes it.

    *ssl* is for the server, and for a *proxy* that speaks TLS. *timeout* bounds each stage in seconds: connecting with
    TLS, the same for the proxy, and the upgrade. *on_connected* is called between the two: what fails after it is the
    upgrade. Raises UpgradeRefusedError, TunnelClosedError, ProxyError, OSError
    (including ``ssl.SSLError``) or TimeoutError.
    """
    uri = parse_uri(url)
    link = _ClientLink(url, {**headers, UPGRADE_HEADER: "websocket"})
    secure, name = (ssl, server_hostname or uri.host) if uri.secure else (None, None)
    await Road(uri.host, uri.port, secure, name, timeout, proxy, ssl).connect(link)
    on_connected()
    try:
        with anyio.fail_after(timeout):
            await link.opened
    except BaseException:
        link._transport.abort()
        raise
    return link


class AsgiLink:
    """The control side's end on an ASGI server; its queue is bounded by ``is_writable``."""

    def __init__(self) -> None:
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._wake = anyio.Event()
        self._close: tuple[int, str] | None = None
        self._scope = anyio.CancelScope()
        self.handler: LinkHandler

    @property
    def is_writable(self) -> bool:
        """Whether less than the write limit waits."""
        return self._close is None and self._queued_bytes < WRITE_LIMIT

    def send(self, message: bytes) -> None:
        """Queue for the writer task."""
        if self._close is None:
            self._queue.append(message)
            self._queued_bytes += len(message)
            self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Close after what is queued, or at once when the peer does not read."""
        if self._close is None:
            self._close = code, reason.encode()[:120].decode(errors="ignore")
            self._wake.set()
            # A peer that does not read any more would keep the writer waiting for as long as TCP does.
            asyncio.get_running_loop().call_later(2.0, self._scope.cancel)

    async def serve(self, receive: Receive, send: Send, *, subprotocol: str) -> None:
        """Accept the WebSocket and move messages until either end closes. The handler must be set."""
        reason = "the executor closed the connection"
        try:
            with self._scope:
                with contextlib.suppress(OSError):  # gone already, which the reader hears
                    await send({"type": "websocket.accept", "subprotocol": subprotocol})
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._write_until_lost, send)
                    reason = await self._read(receive)
                    tasks.cancel_scope.cancel()
        finally:
            self.close(1006, reason)
            self.handler.lost(self._close[1] if self._close and self._close[0] != 1006 else reason)

    async def _read(self, receive: Receive) -> str:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return str(message.get("reason") or f"the connection closed with code {message.get('code', 1006)}")
            data = message.get("bytes")
            if data is None:
                self.close(1003, "only binary messages are understood")
            else:
                self.handler.received(data)

    async def _write_until_lost(self, send: Send) -> None:
        try:
            await self._write(send)
        except OSError:  # the client is gone; the reader hears it too, and says how
            self.close(1006, "the connection broke")

    async def _write(self, send: Send) -> None:
        try:
            await self._write_queue(send)
        except OSError:
            # What ASGI servers raise when the peer went away before they could say so.
            self._scope.cancel()

    async def _write_queue(self, send: Send) -> None:
        while True:
            while self._queue:
                message = self._queue.popleft()
                await send({"type": "websocket.send", "bytes": message})
                self._queued_bytes -= len(message)
                if self._close is None and not self._queue:
                    self.handler.writable()
            if self._close is not None:
                with anyio.move_on_after(2):
                    await send({"type": "websocket.close", "code": self._close[0], "reason": self._close[1]})
                self._scope.cancel()
                return
            self._wake = anyio.Event()
            await self._wake.wait()
