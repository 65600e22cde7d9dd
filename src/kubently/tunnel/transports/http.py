"""Small HTTP/1.1 exchanges over one kept connection, for the long-poll transport.

Answers are read whole, within a bound; redirects are answers like any other. Heads and chunks are parsed by httptools.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import anyio
import httptools

from kubently.errors import TunnelClosedError
from kubently.tunnel.transports.opening import Road, shown_to

_MAX_HEAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; ``headers`` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class _Reading:
    """An answer that is on its way."""

    limit: int
    done: asyncio.Future[Answer]
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    head_bytes: int = 0


class _Connection(asyncio.Protocol):
    """One exchange at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.reusable = False
        self._reading: _Reading | None = None
        self._parser = httptools.HttpResponseParser(self)

    async def exchange(self, data: bytes, *, limit: int) -> Answer:
        """Send a request and wait for its answer. Raises OSError, TunnelClosedError."""
        self.reusable = False
        self._reading = _Reading(limit, asyncio.get_running_loop().create_future())
        self._parser = httptools.HttpResponseParser(self)
        self.transport.write(data)
        return await self._reading.done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's have the interface and are no subclass

    def data_received(self, data: bytes) -> None:
        if self._reading is None or self._reading.done.done():  # nothing was asked: it must not become an answer
            self.transport.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(TunnelClosedError("the server switched protocols unasked"))
        except httptools.HttpParserError as error:
            # What a callback raised arrives wrapped.
            cause = error.__context__
            what = cause if isinstance(cause, TunnelClosedError) else TunnelClosedError(f"this is no HTTP: {error}")
            self._fail(what)

    def eof_received(self) -> None:
        """Let the transport close."""

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        why = exc if isinstance(exc, OSError) else ConnectionResetError("the connection was closed before an answer")
        self._fail(why)

    # ------------------------------------------------------------------ httptools

    def on_message_begin(self) -> None:
        if self._reading is None or self._reading.done.done():
            self.reusable = False
            raise TunnelClosedError("more than one answer came")

    def on_header(self, name: bytes, value: bytes) -> None:
        reading = self._reading
        assert reading is not None
        reading.head_bytes += len(name) + len(value)
        if reading.head_bytes > _MAX_HEAD:
            raise TunnelClosedError(f"the answer's head is over {_MAX_HEAD} bytes")
        reading.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        reading = self._reading
        assert reading is not None
        if len(reading.body) + len(body) > reading.limit:
            raise TunnelClosedError(f"the answer is over {reading.limit} bytes")
        reading.body += body

    def on_message_complete(self) -> None:
        reading, status = self._reading, self._parser.get_status_code()
        assert reading is not None
        if status < 200:
            reading.headers.clear()
            return
        if not reading.done.done():
            self.reusable = self._parser.should_keep_alive()
            reading.done.set_result(Answer(status, dict(reading.headers), bytes(reading.body)))

    def _fail(self, error: Exception) -> None:
        if self._reading is not None and not self._reading.done.done():
            self._reading.done.set_exception(error)
            self._reading.done.exception()  # nobody may be waiting any more
        self.transport.abort()


class Client:
    """Posts to one server, one request at a time, over a connection that is made anew where it was lost."""

    def __init__(self, road: Road, host: str) -> None:
        self._road = road
        self._host = host
        self._connection: _Connection | None = None

    @property
    def is_connected(self) -> bool:
        """Whether a connection stands: a failure before it does is one of TCP, TLS or a proxy."""
        return self._connection is not None

    def peer_certificate(self) -> bytes:
        """The certificate (DER) that the server showed; empty without TLS or a connection."""
        return shown_to(self._connection.transport if self._connection else None)

    async def connect(self) -> None:
        """Connect where that is due. Raises what `Road.connect` does."""
        if self._connection is None or not self._connection.reusable:
            self.close()
            connection = _Connection()
            await self._road.connect(connection)
            connection.reusable = True
            self._connection = connection

    async def post(
        self, path: str, headers: Mapping[str, str], body: bytes, *, timeout: float, limit: int = 64 * 1024
    ) -> Answer:
        """Send one request and give its answer, within *timeout* seconds and *limit* bytes.

        Raises OSError (TimeoutError among them), ProxyError and TunnelClosedError; the connection is then gone.
        """
        await self.connect()
        assert self._connection is not None
        lines = [f"POST {path} HTTP/1.1", f"Host: {self._host}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        data = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
        try:
            with anyio.fail_after(timeout):
                return await self._connection.exchange(data, limit=limit)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.transport.abort()
            self._connection = None
