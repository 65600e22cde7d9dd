"""A connection through an HTTP proxy, for asyncio.

One protocol holds the connection from the proxy's first byte to the end of the TLS handshake with the API, so nothing
that comes early can reach the protocol that takes over.
"""

from __future__ import annotations

import asyncio
import ssl as tls
from typing import cast

import anyio

from kubently.trust.connect import Handshake, ProxyError
from kubently.trust.proxies import Proxy


class _Opening(asyncio.Protocol):
    """Asks the proxy for the way, then refuses whatever comes unasked."""

    def __init__(self, handshake: Handshake) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._handshake = handshake
        self._transport: asyncio.Transport
        self._broken: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's have the interface and are no subclass
        self._transport.write(self._handshake.request)

    def data_received(self, data: bytes) -> None:
        if self.opened.done():
            self._fail(self._handshake.early())
            return
        try:
            if self._handshake.receive(data):
                self.opened.set_result(None)
        except ProxyError as error:
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(self._handshake.cut())

    def check(self) -> None:
        """Raise what went wrong since the way was open."""
        if self._broken is not None:
            raise self._broken

    def _fail(self, error: ProxyError) -> None:
        self._broken = self._broken or error
        if not self.opened.done():
            self.opened.set_exception(error)
            self.opened.exception()  # nobody may be waiting any more
        self._transport.abort()


async def connect(
    protocol: asyncio.Protocol,
    proxy: Proxy,
    host: str,
    port: int,
    *,
    ssl: tls.SSLContext | None,
    server_hostname: str | None,
    proxy_ssl: tls.SSLContext | None,
    timeout: float,
) -> None:
    """Connect *protocol* with host:port through *proxy*; with *ssl* by TLS. *proxy_ssl* is for an https proxy.

    *timeout* bounds each stage in seconds: the proxy, its answer, TLS. Raises ProxyError, and of TLS with host:port
    OSError and TimeoutError.
    """
    handshake = Handshake(proxy, host, port)
    opening = _Opening(handshake)
    loop = asyncio.get_running_loop()
    try:
        with anyio.fail_after(timeout):
            transport, _ = await loop.create_connection(
                lambda: opening,
                proxy.host,
                proxy.port,
                ssl=proxy_ssl if proxy.secure else None,
                server_hostname=proxy.host if proxy.secure else None,
            )
    except OSError as error:
        raise handshake.unreachable(error) from error
    try:
        await _wait(opening, handshake, timeout)
        upgraded = await _secure(transport, opening, ssl, server_hostname, timeout)
        opening.check()
    except BaseException:
        transport.abort()
        raise
    upgraded.set_protocol(protocol)
    protocol.connection_made(upgraded)


async def _wait(opening: _Opening, handshake: Handshake, timeout: float) -> None:
    try:
        with anyio.fail_after(timeout):
            await opening.opened
    except TimeoutError as error:
        raise handshake.late() from error


async def _secure(
    transport: asyncio.Transport,
    opening: _Opening,
    ssl: tls.SSLContext | None,
    server_hostname: str | None,
    timeout: float,
) -> asyncio.Transport:
    if ssl is None:
        return transport
    opening.check()
    with anyio.fail_after(timeout):
        made = await asyncio.get_running_loop().start_tls(transport, opening, ssl, server_hostname=server_hostname)
    if made is None:  # the connection was lost at once
        raise ConnectionResetError("the connection was closed during the TLS handshake")
    return made
