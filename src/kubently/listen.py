"""Serve an ASGI application on a listener of this process's own event loop, and notice clients that go away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from kubently.errors import ConfigError

MAX_HEAD = 64 * 1024
"""Bytes of a request's head."""
HEAD_TIMEOUT = 30.0
"""Seconds for a head to come whole, from the connection's beginning or the head's first byte."""


_CLIENT = "kubently.client"
"""Under this name a scope says whether its client is still there."""
_TLS = "kubently.tls"
"""Under this name a scope has the connection's TLS, where it has any."""


@dataclass(slots=True)
class _Client:
    """The other end of one connection. A task a request that waits for its end would cost a tenth of a small one."""

    is_gone: bool = False
    waiting: set[anyio.CancelScope] = field(default_factory=set)

    def go(self) -> None:
        self.is_gone = True
        for cancel in tuple(self.waiting):
            cancel.cancel()


class _Protocol(HttpToolsProtocol):
    """uvicorn's, which knows neither bound: anybody could fill the memory or the table of sockets without a key."""

    _in_head = True
    _head_bytes = 0
    _heads = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._peer = _Client()
        self._expect_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[_CLIENT] = self._peer  # type: ignore[literal-required]  # of ours
        self.scope[_TLS] = self.transport.get_extra_info("ssl_object")  # type: ignore[literal-required]

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        self._peer.go()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        in_head, heads = self._in_head, self._heads
        if in_head:
            self._expect_head()
        super().data_received(data)
        if in_head and heads == self._heads:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD and not self.transport.is_closing():
                self.send_400_response(f"The request's head is over {MAX_HEAD} bytes.")

    def on_headers_complete(self) -> None:
        self._heads += 1
        self._in_head, self._head_bytes = False, 0
        self._head_came()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True  # of the next request; uvicorn's own timer bounds how long nothing comes at all
        super().on_message_complete()

    def _expect_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_TIMEOUT, self._head_is_late)

    def _head_came(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _head_is_late(self) -> None:
        self._deadline = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._expect_head()  # an answer is under way: what came after its request must not end it
        else:
            self.transport.close()


class _WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's, whose scopes say nothing of TLS."""

    async def run_asgi(self) -> None:
        self.scope[_TLS] = self.transport.get_extra_info("ssl_object")  # type: ignore[literal-required]
        await super().run_asgi()


_FALSE_ALARMS = frozenset(
    {
        # A WebSocket that was refused with an HTTP response, which is how we refuse.
        "ASGI callable returned without completing handshake.",
        # An answer that cannot be completed, whose connection is closed so that the client notices; logged by the edge.
        "ASGI callable returned without completing response.",
        # At the end, of kept connections that nobody uses.
        "Cancel 0 running task(s), timeout graceful shutdown exceeded",
    }
)


class _NoFalseAlarm(logging.Filter):
    """Drops what uvicorn says of things that we do on purpose."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep all other sentences."""
        return record.getMessage() not in _FALSE_ALARMS


_uvicorn_log = logging.getLogger("uvicorn.error")
_uvicorn_log.addFilter(_NoFalseAlarm())
# Below this level the server prints every header of a WebSocket upgrade, tokens included.
_uvicorn_log.setLevel(logging.WARNING)


class _Server(uvicorn.Server):
    """Signals belong to the program, not to each of its listeners."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def listen(
    app: Any,
    address: tuple[str, int],
    *,
    cert: Path | None = None,
    key: Path | None = None,
    tls: ssl.SSLContext | None = None,
    date_header: bool = True,
    grace: int = 5,
) -> AsyncIterator[int]:
    """Serve *app* on *address* while the block runs and give the port (useful when it was 0).

    With TLS by *cert* and *key*, or by a context that its maker may change meanwhile.

    On leaving, open requests get *grace* seconds. Raises ConfigError when the address cannot be bound.
    """
    listener = _bind(address)
    config = uvicorn.Config(
        app,
        ssl_certfile=cert,
        ssl_keyfile=key,
        ssl_context_factory=(lambda *_: tls) if tls else None,
        http=_Protocol,
        ws=_WebSocketProtocol,
        ws_ping_interval=None,
        ws_ping_timeout=None,
        ws_per_message_deflate=False,
        ws_max_size=128 * 1024,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=date_header,
        proxy_headers=False,
        timeout_graceful_shutdown=grace,
        timeout_keep_alive=75,
    )
    if config.is_ssl:
        _load_certificate(config, listener)
    server = _Server(config)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            while not server.started:  # noqa: ASYNC110  # uvicorn sets a flag, not an event
                await anyio.sleep(0.005)
            try:
                yield listener.getsockname()[1]
            finally:
                server.should_exit = True
    finally:
        # The server has closed these itself, unless the block failed or was cancelled.
        for each in getattr(server, "servers", ()):
            each.close()
        listener.close()


@contextlib.contextmanager
def while_connected(scope: Mapping[str, Any]) -> Iterator[None]:
    """Cancel the block when the HTTP client of *scope* goes away; other servers' scopes say nothing of that."""

    with anyio.CancelScope() as cancel:
        client: _Client | None = scope.get(_CLIENT)
        if client is None:
            yield
            return
        client.waiting.add(cancel)
        if client.is_gone:
            cancel.cancel()
        try:
            yield
        finally:
            client.waiting.discard(cancel)


def client_certificate(scope: Mapping[str, Any]) -> bytes | None:
    """The certificate (DER) that the client showed in TLS and that was verified; None without one."""
    tls: ssl.SSLObject | None = scope.get(_TLS)
    return tls.getpeercert(binary_form=True) if tls else None


def _load_certificate(config: uvicorn.Config, listener: socket.socket) -> None:
    try:
        config.load()
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        listener.close()
        reason = error.reason if isinstance(error, ssl.SSLError) and error.reason else error
        raise ConfigError(
            f"the TLS certificate {config.ssl_certfile} with the key {config.ssl_keyfile} cannot be used: {reason}",
            hint="both must be PEM, readable, and belong together",
        ) from error


def _bind(address: tuple[str, int]) -> socket.socket:
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"{host}:{port} cannot be listened on: {error.strerror}", hint="stop what uses it, or take another port"
        ) from error
    listener.listen(2048)
    listener.setblocking(False)
    return listener
