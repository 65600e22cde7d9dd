"""Servers on loopback that answer one dial after another, each in a way that a test chooses."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from kubently import trust


@contextlib.contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Accept on loopback and call *answer* with each connection, in a thread, while the block runs; gives the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(10)
                answer(connection)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        # A closed listener does not wake accept() on every system; a last dial does.
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def tls_answer(
    pair: trust.Pair, folder: Path, then: Callable[[ssl.SSLSocket], None] = lambda connection: None
) -> Callable[[socket.socket], None]:
    """Answer with TLS by this certificate, then as *then* says."""
    cert, key = folder / "server.crt", folder / "server.key"
    pair.write(cert, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            then(wrapped)

    return answer
