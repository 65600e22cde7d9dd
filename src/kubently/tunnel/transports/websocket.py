"""The tunnel over WebSocket (RFC 6455), one binary message a frame.

`dial` is the executor's end: its opening is the sans-IO protocol of ``websockets``. `AsgiLink` is the control side's
end on any ASGI server, `taken.TakenLink` the one on ours. Compression is never offered: it costs tens of KiB a
connection and mixes secrets of different requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl as tls
from collections import deque
from collections.abc import Callable, Mapping
from typing import cast

import anyio
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from kubently import wire
from kubently.errors import TunnelClosedError
from kubently.trust.proxies import Proxy
from kubently.tunnel.asgi import Receive, Send
from kubently.tunnel.link import WRITE_LIMIT, LinkHandler
from kubently.tunnel.transports import framing
from kubently.tunnel.transports.framed import FramedLink
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


class _Early:
    """Notes what comes before a handler is set: frames may come in the same read as the 101."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.lost_with = ""

    def received(self, message: bytes) -> None:
        self.messages.append(message)

    def writable(self) -> None:
        pass

    def lost(self, reason: str) -> None:
        self.lost_with = reason


class _ClientLink(FramedLink):
    """The executor's end: the opening by the library, the frames by `framed`."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        super().__init__()
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.handler = _Early()
        self._opening = ClientProtocol(
            parse_uri(url), subprotocols=[Subprotocol(SUBPROTOCOL)], max_size=MAX_MESSAGE, logger=_library_log
        )
        self._headers = headers
        self._head: bytes | None = b""
        """What came of the head of the answer to the opening; None once it was whole."""
        self.was_cut = False
        """Whether it was lost on the way, and neither end closed it."""

    def encode(self, first: int, payload: bytes) -> bytes:
        """One frame of a client's."""
        return framing.encode_masked(first, payload, os.urandom(4))

    def peer_certificate(self) -> bytes:
        """The certificate (DER) that the server showed; empty without TLS."""
        return shown_to(self._transport)

    def attach(self, handler: LinkHandler) -> None:
        """Set who is called; messages that came before are delivered now."""
        early, self.handler = self.handler, handler
        assert isinstance(early, _Early)
        for message in early.messages:
            handler.received(message)
        if early.lost_with:
            handler.lost(early.lost_with)

    # ------------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's have the interface and are no subclass
        self._transport.set_write_buffer_limits(high=WRITE_LIMIT)
        request = self._opening.connect()
        for name, value in self._headers.items():
            request.headers[name] = value
        self._opening.send_request(request)
        self._transport.write(b"".join(self._opening.data_to_send()))

    def data_received(self, data: bytes) -> None:
        if self._reader is None and not self._is_closing:
            data = self._open(data)
        if data:
            super().data_received(data)

    def eof_received(self) -> None:
        if not self.opened.done():
            self._opening.receive_eof()
            self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.was_cut = not self._has_heard_goodbye and not self._is_closing
        if isinstance(exc, OSError) and not self.opened.done():
            self.opened.set_exception(exc)  # an alert after the handshake, say: the caller knows what it means
        self.eof_received()
        why = f"the connection broke: {exc}" if exc else "the server closed the connection"
        if not self.opened.done():
            self.opened.set_exception(TunnelClosedError(why))
        else:
            self.handler.lost(self._reason or why)

    # ------------------------------------------------------------------ the opening

    def _open(self, data: bytes) -> bytes:
        """Take of the answer to the opening what came, and give what came behind it."""
        rest = data
        if self._head is not None:
            head, end, rest = (self._head + data).partition(b"\r\n\r\n")
            if not end and len(head) <= MAX_MESSAGE:
                self._head = head
                return b""
            self._head = None
            self._opening.receive_data(head + end)
            if self._opening.state is State.OPEN:
                self._reader = framing.Reader(MAX_MESSAGE, masked=False)
                if not self.opened.done():
                    self.opened.set_result(None)
                return rest
        if rest:
            self._opening.receive_data(rest)  # the body of a refusal
        self._look()
        return b""

    def _look(self) -> None:
        """See whether the opening failed."""
        error = self._opening.handshake_exc
        if error is None or self.opened.done():
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
        if self._transport is not None:
            self._transport.close()

    def _say_goodbye(self, transport: asyncio.Transport, payload: bytes) -> None:
        super()._say_goodbye(transport, payload)
        transport.close()


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
        if link._transport is not None:
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
