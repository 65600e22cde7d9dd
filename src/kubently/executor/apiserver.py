"""Requests to the cluster's API server: HTTP/1.1 over a small pool of kept connections.

Bodies pass through as bytes and are read only as fast as their reader takes them; heads are parsed by httptools. A
general client costs several times the CPU for each of the many small requests that go through here.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import cast

import anyio
import httptools

from kubently import tracing
from kubently.errors import KubeError
from kubently.executor import metrics
from kubently.executor.target import Target

Header = tuple[bytes, bytes]

_BUFFER = 256 * 1024
"""Bytes of a response held for a slow reader before the socket is no longer read."""
_MAX_HEAD = 1024 * 1024
"""Bytes of a response's head, 1xx answers included."""
_IDLE = 16
_CONNECT_TIMEOUT = 10.0
_HEAD_TIMEOUT = 75.0
"""Seconds until the head must be there: above the API server's own 60 s limit for a request."""


class UpstreamError(KubeError):
    """The API server could not be reached, or broke off."""

    code = "apiserver-unreachable"
    retryable = True


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.status = 0
        self.headers: list[Header] = []
        self.reusable = False
        self.lost = False
        self.used = 0
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._head_done = self._complete = False
        self._head_bytes = 0
        self._framed = False
        """Whether the body's end is marked by a length or chunks, not by the connection's end."""
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._parser = httptools.HttpResponseParser(self)

    def begin(self, data: bytes) -> None:
        self.used += 1
        self.status, self.headers, self.reusable = 0, [], False
        self._head_done = self._complete = self._framed = False
        self._head_bytes = 0
        self._parser = httptools.HttpResponseParser(self)
        self.transport.write(data)

    # ------------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's have the interface and are no subclass

    def data_received(self, data: bytes) -> None:
        if self._complete:  # nothing was asked: what this is must not be taken for the next answer
            self.transport.abort()
            return
        if not self._head_done:
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD:
                self._fail(ConnectionError(f"the head of its answer is over {_MAX_HEAD} bytes"))
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(ConnectionError("the API server switched protocols unasked"))
        except httptools.HttpParserError as error:
            if self._complete:
                self.reusable = False
                self.transport.abort()
            else:
                self._fail(error)
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self._head_done and not self._complete and not self._framed and exc is None:
            self._complete = True
        elif not self._complete and self._error is None:
            self._error = exc or ConnectionError("the connection was closed")
        self._wake()

    # ------------------------------------------------------------------ httptools

    def on_message_begin(self) -> None:
        if self._complete:  # one more answer than was asked for, in the same read
            raise ConnectionError("it sent more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._framed = any(n in (b"content-length", b"transfer-encoding") for n, _ in self.headers)
        # 1xx answers come before the real one.
        self._head_done = self.status >= 200
        if not self._head_done:
            self.headers = []

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)
        self._buffered += len(body)
        if self._buffered > _BUFFER and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._head_done:
            self._complete = True
            self.reusable = self._parser.should_keep_alive() and not self.lost

    # ------------------------------------------------------------------ reading

    async def wait_head(self) -> None:
        while not self._head_done:
            self._raise()
            await self._wait()

    async def read(self) -> bytes:
        while not self._chunks:
            if self._complete:
                return b""
            self._raise()
            await self._wait()
        chunk = self._chunks.popleft()
        self._buffered -= len(chunk)
        if self._paused and self._buffered < _BUFFER // 2 and not self.lost:
            self._paused = False
            self.transport.resume_reading()
        return chunk

    @property
    def is_complete(self) -> bool:
        return self._complete and not self._chunks

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _fail(self, error: Exception) -> None:
        self._error = error
        self.transport.abort()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


class Response:
    """One answer; the caller closes it."""

    def __init__(self, connection: _Connection, pool: ApiServer) -> None:
        self._connection = connection
        self._pool = pool
        self._closed = False
        self.status = connection.status
        self.headers: Sequence[Header] = connection.headers

    async def read(self) -> bytes:
        """The next piece of the body; empty at its end. Raises UpstreamError."""
        try:
            return await self._connection.read()
        except (OSError, httptools.HttpParserError) as error:
            raise UpstreamError(f"the API server broke off its answer: {error}") from error

    def close(self) -> None:
        """Give the connection back, or close it when the body was not read to its end. Idempotent."""
        if not self._closed:
            self._closed = True
            self._pool._release(self._connection)


class ApiServer:
    """One API server. ``aclose`` ends its connections."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._idle: deque[_Connection] = deque()
        self._open: set[_Connection] = set()

    @property
    def open_connections(self) -> int:
        """How many sockets are open now."""
        return len(self._open)

    async def request(
        self, method: bytes, target: bytes, headers: Sequence[Header] = (), body: bytes = b""
    ) -> Response:
        """Send one request; *target* is path and query. Raises UpstreamError, ConfigError (credentials)."""
        with tracing.Span("kube-apiserver", tracing.Kind.CLIENT) as span:
            span.note("http.request.method", method.decode("latin-1"))
            span.note("url.path", target.partition(b"?")[0].decode("latin-1"))
            begun = time.monotonic()
            try:
                response = await self._request(method, target, headers, body)
            except UpstreamError:
                metrics.API_SERVER_FAILURES.inc()
                raise
            metrics.API_SERVER_SECONDS.observe(time.monotonic() - begun)
            span.note("http.response.status_code", response.status)
            return response

    async def _request(self, method: bytes, target: bytes, headers: Sequence[Header], body: bytes) -> Response:
        data = await self._encode(method, target, headers, body)
        while True:
            connection = self._take_idle() or await self._connect()
            fresh = connection.used == 0
            try:
                connection.begin(data)
                with anyio.fail_after(_HEAD_TIMEOUT):
                    await connection.wait_head()
                return Response(connection, self)
            except TimeoutError:
                self._discard(connection)
                raise UpstreamError(f"the API server did not answer within {_HEAD_TIMEOUT:.0f} s") from None
            except (OSError, httptools.HttpParserError) as error:
                self._discard(connection)
                # A kept connection may have been closed by the server just now; reads may be asked again.
                if fresh or method != b"GET" or connection.status:
                    raise UpstreamError(f"the API server broke off: {error}") from error
            except BaseException:
                self._discard(connection)
                raise

    async def aclose(self) -> None:
        """Close every connection."""
        for connection in list(self._open):
            self._discard(connection)

    async def _encode(self, method: bytes, target: bytes, headers: Sequence[Header], body: bytes) -> bytes:
        lines = [b"%s %s%s HTTP/1.1" % (method, self._target.path.encode(), target)]
        host = f"[{self._target.host}]" if ":" in self._target.host else self._target.host
        lines.append(b"host: %s:%d" % (host.encode(), self._target.port))
        if authorization := await self._target.credential.authorization():
            lines.append(b"authorization: " + authorization)
        lines += [name + b": " + value for name, value in headers]
        if trace := tracing.current.get():
            lines.append(tracing.HEADER + b": " + trace.encode())
        if body or method not in (b"GET", b"HEAD"):
            lines.append(b"content-length: %d" % len(body))
        return b"\r\n".join(lines) + b"\r\n\r\n" + body

    def _take_idle(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.lost and not connection.transport.is_closing():
                return connection
            self._discard(connection)
        return None

    async def _connect(self) -> _Connection:
        target = self._target
        try:
            with anyio.fail_after(_CONNECT_TIMEOUT):
                _, connection = await asyncio.get_running_loop().create_connection(
                    _Connection,
                    target.host,
                    target.port,
                    ssl=target.tls,
                    server_hostname=target.server_name if target.tls else None,
                )
        except OSError as error:  # includes TimeoutError and ssl.SSLError
            raise UpstreamError(
                f"the API server {target.host}:{target.port} cannot be reached: {error or 'time-out'}",
                hint="check that this executor's kubeconfig or service account is right and the API server runs",
            ) from error
        self._open.add(connection)
        return connection

    def _release(self, connection: _Connection) -> None:
        if connection.is_complete and connection.reusable and len(self._idle) < _IDLE:
            self._idle.append(connection)
        else:
            self._discard(connection)

    def _discard(self, connection: _Connection) -> None:
        self._open.discard(connection)
        connection.transport.abort()
