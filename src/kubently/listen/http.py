"""uvicorn's HTTP protocol with the bounds that it lacks, clients that are noticed to go, and openings of WebSockets."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import anyio
import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from kubently.listen.cork import CorkedTransport
from kubently.listen.upgrade import Opening

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


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's, which knows neither bound: anybody could fill the memory or the table of sockets without a key."""

    _in_head = True
    _head_bytes = 0
    _heads = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(CorkedTransport(transport, self.loop))
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
        self._feed(data)
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

    def _feed(self, data: bytes) -> None:
        super().data_received(data)

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


class HandingProtocol(HttpProtocol):
    """One whose application may take the connections of WebSockets."""

    def _feed(self, data: bytes) -> None:
        # As uvicorn has it, which would drop what came behind the head of an upgrade, unseen.
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self.open(data[upgrade.args[0] :])

    def open(self, early: bytes) -> None:
        """Begin the opening of a WebSocket; *early* came behind its head."""
        Opening(self, self.scope).begin(early)  # type: ignore[arg-type]  # a typed dict


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's, whose scopes say nothing of TLS."""

    async def run_asgi(self) -> None:
        self.scope[_TLS] = self.transport.get_extra_info("ssl_object")  # type: ignore[literal-required]
        await super().run_asgi()


def while_connected(scope: Mapping[str, Any]) -> AbstractContextManager[object]:
    """Cancel the block when the HTTP client of *scope* goes away; other servers' scopes say nothing of that."""
    client: _Client | None = scope.get(_CLIENT)
    return contextlib.nullcontext() if client is None else _WhileConnected(client)


class _WhileConnected:
    __slots__ = ("_cancel", "_client")

    def __init__(self, client: _Client) -> None:
        self._client = client
        self._cancel = anyio.CancelScope()

    def __enter__(self) -> None:
        self._cancel.__enter__()
        self._client.waiting.add(self._cancel)
        if self._client.is_gone:
            self._cancel.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._client.waiting.discard(self._cancel)
        return self._cancel.__exit__(kind, error, traceback)


def client_certificate(scope: Mapping[str, Any]) -> bytes | None:
    """The certificate (DER) that the client showed in TLS and that was verified; None without one."""
    tls: ssl.SSLObject | None = scope.get(_TLS)
    return tls.getpeercert(binary_form=True) if tls else None
