"""TLS inside of TLS for those who wait: what http.client needs of a socket, and how a cut differs from an end."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.connect_proxy import ConnectProxy, connect_proxy
from tests.unit.trust.servers import serving, tls_answer

from kubently import trust
from kubently.trust import nested
from kubently.trust.proxies import Proxy

BODY = bytes(range(256)) * 8192


@contextlib.contextmanager
def through(
    folder: Path, then: Callable[[ssl.SSLSocket], None], *, name: str = "server.example"
) -> Iterator[nested.NestedTls]:
    """A connection by an https proxy to a TLS server that does *then*."""
    authority = trust.make_authority("test")
    pair = trust.issue(authority, ["127.0.0.1", "server.example"])
    context = trust.client_context(ca=authority.cert.decode())
    with serving(tls_answer(pair, folder, then)) as port:
        proxy_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        proxy_tls.load_cert_chain(folder / "server.crt", folder / "server.key")
        with connect_proxy(ConnectProxy(), proxy_tls) as proxy:
            way = Proxy("127.0.0.1", proxy.port, secure=True)
            made = nested.open_through(way, "server.example", port, timeout=10, tls=context)
            wrapped = nested.wrap(made, context, name)
            assert isinstance(wrapped, nested.NestedTls)
            try:
                yield wrapped
            finally:
                wrapped.close()


def echo(connection: ssl.SSLSocket) -> None:
    data = b""
    while len(data) < len(BODY) and (more := connection.recv(65536)):
        data += more
    connection.sendall(data)
    connection.unwrap()


def test_two_mebibytes_go_there_and_back_and_the_end_is_an_end(tmp_path: Path) -> None:
    with through(tmp_path, echo) as connection:
        connection.sendall(BODY)
        with connection.makefile("rb") as reader:
            assert reader.read(len(BODY)) == BODY
            assert reader.read() == b""


def test_reader_goes_on_after_the_connection_is_closed(tmp_path: Path) -> None:
    with through(tmp_path, echo) as connection:
        connection.sendall(BODY)
        reader = connection.makefile("rb")
        connection.close()

        assert reader.read(len(BODY)) == BODY
        reader.close()
        with pytest.raises(OSError):
            connection.sendall(b"x")


def test_cut_is_an_error_and_no_end(tmp_path: Path) -> None:
    def cut(connection: ssl.SSLSocket) -> None:
        connection.sendall(b"half")
        connection.shutdown(socket.SHUT_RDWR)

    with through(tmp_path, cut) as connection, connection.makefile("rb") as reader:
        assert reader.read(4) == b"half"
        with pytest.raises(OSError):
            reader.read(1)


def test_wrong_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError), through(tmp_path, echo, name="other.example"):
        pass  # an unclosed socket would be a ResourceWarning, which fails a test
