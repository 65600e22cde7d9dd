"""A client that costs little: GETs over kept HTTP/1.1 connections."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from typing import Self, cast
from urllib.parse import urlsplit

import httptools


class Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self, authority: str, token: str) -> None:
        self._authority, self._token = authority, token
        self._done: asyncio.Future[None] | None = None
        self._chunks: deque[bytes] = deque()
        self._more: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self.received = 0
        self.status = 0
        self.keep = False
        """Whether bodies are kept for `read` instead of only counted."""

    @classmethod
    async def open(cls, url: str, token: str = "", *, tls: ssl.SSLContext | None = None) -> Self:
        """Connect."""
        parts = urlsplit(url)
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: cls(parts.netloc, token), parts.hostname, parts.port, ssl=tls
        )
        return connection

    @classmethod
    async def over(cls, sock: socket.socket, url: str, *, tls: ssl.SSLContext) -> Self:
        """Begin TLS with the host of *url* on a Unix socket that leads there."""
        parts = urlsplit(url)
        _, connection = await asyncio.get_running_loop().create_unix_connection(
            lambda: cls(parts.netloc, ""), sock=sock, ssl=tls, server_hostname=parts.hostname
        )
        return connection

    async def get(self, path: str) -> int:
        """Ask, wait for the whole answer and return its length. Raises RuntimeError unless the status is 200."""
        self.send(path)
        return await self._answered(path)

    async def post(self, path: str, body: bytes) -> int:
        """Send JSON, wait for the whole answer and return its length. Raises RuntimeError unless the status is 200."""
        self._write("POST", path, f"content-type: application/json\r\ncontent-length: {len(body)}\r\n", body)
        return await self._answered(path)

    def send(self, path: str) -> None:
        """Ask only."""
        self._write("GET", path, "", b"")

    async def _answered(self, path: str) -> int:
        self._done = asyncio.get_running_loop().create_future()
        await self._done
        if self.status != 200:
            raise RuntimeError(f"{path} was answered with {self.status}")
        return self.received

    def _write(self, method: str, path: str, fields: str, body: bytes) -> None:
        self.received = 0
        self._parser = httptools.HttpResponseParser(self)
        authorization = f"authorization: Bearer {self._token}\r\n" if self._token else ""
        head = f"{method} {path} HTTP/1.1\r\nhost: {self._authority}\r\n{authorization}accept: application/json\r\n"
        self._transport.write(f"{head}{fields}\r\n".encode() + body)

    async def read(self) -> bytes:
        """The next piece of a body that is kept. Raises what ended the connection."""
        while not self._chunks:
            if self._error:
                raise self._error
            self._more = asyncio.get_running_loop().create_future()
            await self._more
        return self._chunks.popleft()

    def pause(self) -> None:
        """Read nothing more."""
        self._transport.pause_reading()

    def close(self) -> None:
        """End it."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._error = exc or ConnectionError("closed")
        for waiter in (self._done, self._more):
            if waiter and not waiter.done():
                waiter.set_exception(self._error)

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self.received += len(body)
        if self.keep:
            self._chunks.append(body)
            if self._more and not self._more.done():
                self._more.set_result(None)

    def on_message_complete(self) -> None:
        if self._done and not self._done.done():
            self._done.set_result(None)
