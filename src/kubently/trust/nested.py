"""Sockets through a proxy, for those who wait for them: a plain one, and TLS inside of TLS."""

from __future__ import annotations

import io
import socket
import ssl
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

from kubently.trust.connect import Handshake
from kubently.trust.proxies import Proxy

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_CHUNK = 16 * 1024
T = TypeVar("T")


def open_through(
    proxy: Proxy, host: str, port: int, *, timeout: float, tls: ssl.SSLContext | None
) -> socket.socket | ssl.SSLSocket:
    """A socket to host:port through *proxy*; *tls* is for the proxy itself, where it speaks TLS.

    *timeout* bounds in seconds the connection to the proxy, then its answer, then each operation. Raises ProxyError.
    """
    handshake = Handshake(proxy, host, port)
    try:
        connection: socket.socket = socket.create_connection((proxy.host, proxy.port), timeout)
        if proxy.secure and tls is not None:
            connection = tls.wrap_socket(connection, server_hostname=proxy.host)
    except OSError as error:  # a failed wrap_socket has closed it
        raise handshake.unreachable(error) from error
    try:
        _ask(handshake, connection, time.monotonic() + timeout)
        connection.settimeout(timeout)
    except TimeoutError as error:
        connection.close()
        raise handshake.late() from error
    except OSError as error:
        connection.close()
        raise handshake.cut() from error
    except BaseException:
        connection.close()
        raise
    return connection


def wrap(connection: socket.socket, context: ssl.SSLContext, server_hostname: str) -> ssl.SSLSocket | NestedTls:
    """TLS over *connection*, whatever that is; closes it when the handshake fails. Raises OSError."""
    try:
        if isinstance(connection, ssl.SSLSocket):
            return NestedTls(connection, context, server_hostname)
        return context.wrap_socket(connection, server_hostname=server_hostname)
    except BaseException:
        connection.close()
        raise


class NestedTls:
    """TLS over a socket that is TLS already, which ``ssl`` cannot wrap; it has what ``http.client`` uses of a socket.

    Unlike an SSLSocket it takes an end without close_notify for an error: that is a cut, not an end.
    """

    def __init__(self, outer: ssl.SSLSocket, context: ssl.SSLContext, server_hostname: str) -> None:
        self._outer = outer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        self._readers = 0
        self._closed = False
        self._drive(self._tls.do_handshake)

    def sendall(self, data: ReadableBuffer) -> None:
        """Send all of it."""
        rest = memoryview(data).cast("B")
        while rest:
            sent = self._drive(lambda piece=rest: self._tls.write(piece))  # type: ignore[misc]
            rest = rest[sent:]

    def recv_into(self, buffer: memoryview) -> int:
        """Read into *buffer*; 0 at the end."""
        try:
            # With a buffer it gives a length, which its stub does not know.
            return cast("int", self._drive(lambda: self._tls.read(len(buffer), buffer)))
        except ssl.SSLZeroReturnError:
            return 0

    def makefile(self, mode: str = "rb", buffering: int | None = None) -> io.BufferedReader:
        """A reader that keeps the connection open, as a socket's does, until it is closed too."""
        self._readers += 1
        return io.BufferedReader(_Reader(self), _CHUNK)

    def close(self) -> None:
        """Close once all readers are."""
        self._closed = True
        if not self._readers:
            self._outer.close()

    def release(self) -> None:
        """One reader is closed."""
        self._readers -= 1
        if self._closed:
            self.close()

    def _drive(self, step: Callable[[], T]) -> T:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self._flush()
                if data := self._outer.recv(_CHUNK):
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            finally:
                self._flush()

    def _flush(self) -> None:
        if pending := self._outgoing.read():
            self._outer.sendall(pending)


class _Reader(io.RawIOBase):
    def __init__(self, connection: NestedTls) -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        return self._connection.recv_into(memoryview(buffer).cast("B"))

    def close(self) -> None:
        if not self.closed:
            self._connection.release()
        super().close()


def _ask(handshake: Handshake, connection: socket.socket, deadline: float) -> None:
    connection.sendall(handshake.request)
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise handshake.late()
        connection.settimeout(left)
        data = connection.recv(_CHUNK)
        if not data:
            raise handshake.cut()
        if handshake.receive(data):
            return
