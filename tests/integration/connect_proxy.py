"""A CONNECT proxy for tests: it leads every name to 127.0.0.1, and can misbehave as a test says."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass
class ConnectProxy:
    """What it is told, and what it was asked."""

    port: int = 0
    answer: bytes = OPEN
    """What it says to CONNECT; it opens the way for OPEN alone."""
    pieces: int = 1
    """In how many writes it says so."""
    silent: bool = False
    endless: bool = False
    forward: Mapping[str, int] = field(default_factory=dict)
    """Ports on 127.0.0.1 by the host:port that is asked for; without an entry the asked port."""
    requests: list[bytes] = field(default_factory=list)
    """The heads of all requests."""

    @property
    def targets(self) -> list[str]:
        """The host:port of each CONNECT."""
        return [request.split(b" ")[1].decode() for request in self.requests]


@contextlib.contextmanager
def connect_proxy(proxy: ConnectProxy, tls: ssl.SSLContext | None = None) -> Iterator[ConnectProxy]:
    """Serve it on loopback, with *tls* where given, while the block runs."""
    listener = socket.create_server(("127.0.0.1", 0))
    proxy.port = listener.getsockname()[1]
    connections: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(connection)
            threading.Thread(target=_serve, args=(proxy, connection, tls), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        for one in (listener, *connections):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        thread.join(10)


def _serve(proxy: ConnectProxy, connection: socket.socket, tls: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        client = stack.enter_context(tls.wrap_socket(connection, server_side=True) if tls else connection)
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(65536)
            if not data:
                return
            head += data
        proxy.requests.append(head)
        if proxy.silent:
            client.recv(1)
            return
        if proxy.endless:
            client.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                client.sendall(b"X-Filler: x\r\n" * 100)
        size = -(-len(proxy.answer) // proxy.pieces)
        for begin in range(0, len(proxy.answer), size):
            client.sendall(proxy.answer[begin : begin + size])
        if proxy.answer != OPEN:
            return
        target = head.split(b" ")[1].decode()
        port = proxy.forward.get(target, int(target.rpartition(":")[2]))
        server = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
        _pump(client, server)


def _pump(client: socket.socket, server: socket.socket) -> None:
    """Move bytes both ways until either end closes; a TLS socket stands reading and writing at once in two threads."""

    def upwards() -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=upwards, daemon=True)
    thread.start()
    server.settimeout(None)
    with contextlib.suppress(OSError):
        while data := server.recv(65536):
            client.sendall(data)
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)
    thread.join(10)
