"""Dialling out: what the other end may be, and what each failure becomes."""

import asyncio
import base64
import contextlib
import hashlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from kubently import trust, wire
from kubently.errors import TunnelClosedError
from kubently.executor.refusals import explain
from kubently.tunnel import Session
from kubently.tunnel.transports import websocket
from kubently.tunnel.transports.websocket import UpgradeRefusedError, dial

pytestmark = pytest.mark.anyio

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def listening(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server of the test's own on loopback."""
    writers: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)


def answering(text: str) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text.replace("\n", "\r\n").encode())
        await writer.drain()
        writer.close()

    return serve


async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, more: bytes = b"") -> None:
    """Accept the upgrade (RFC 6455 section 4.2.2) and send *more* in the same write."""
    head = await reader.readuntil(b"\r\n\r\n")
    key = next(line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Protocol: kubently.v1\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n" + more
    )
    await writer.drain()


async def fails(port: int, *, tls: ssl.SSLContext | None = None, timeout: float = 5) -> tuple[Exception, str]:
    """Dial, expect a failure, and give it with the sentence that the executor logs."""
    url = f"{'wss' if tls else 'ws'}://localhost:{port}{websocket.PATH}"
    with pytest.raises((OSError, TunnelClosedError)) as caught:
        await dial(url, headers={}, ssl=tls, timeout=timeout)
    said, _ = explain(caught.value, url)  # type: ignore[arg-type]
    return caught.value, said.message


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("HTTP/1.1 301 Moved\nLocation: https://elsewhere/\nContent-Length: 0\n\n", "redirects to https://elsewhere/"),
        ("HTTP/1.1 502 Bad Gateway\nContent-Length: 6\n\n<html>", "a proxy in front of"),
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "answered the WebSocket upgrade with 200"),
        ("HTTP/1.1 404 Not Found\nContent-Length: 0\n\n", "there is no Kubently API at that path"),
        ("SSH-2.0-OpenSSH_9.2\n", "upgrade"),
        ("HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: Upgrade\n\n", "upgrade"),
    ],
)
async def test_what_is_no_kubently_api_is_told_apart(answer: str, words: str) -> None:
    async with listening(answering(answer)) as port:
        _, message = await fails(port)

    assert words in message


async def test_the_apis_problem_is_kept() -> None:
    body = '{"code": "unauthenticated", "detail": "the token is wrong"}'
    answer = f"HTTP/1.1 401 Unauthorized\nContent-Type: application/problem+json\nContent-Length: {len(body)}\n\n{body}"
    async with listening(answering(answer)) as port:
        error, message = await fails(port)

    assert isinstance(error, UpgradeRefusedError)
    assert message == "the API refused this executor: the token is wrong"


async def test_a_server_that_says_nothing_is_given_up() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(silent) as port:
        error, message = await fails(port, timeout=0.2)

    assert isinstance(error, TimeoutError)
    assert "did not answer in time" in message


async def test_nobody_there() -> None:
    async with listening(answering("")) as port:
        pass
    _, message = await fails(port)

    assert "nothing listens" in message or "cannot be reached" in message


def server_tls(folder: Path, *names: str) -> tuple[ssl.SSLContext, str]:
    authority = trust.make_authority("test")
    trust.issue(authority, names).write(folder / "tls.crt", folder / "tls.key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return context, authority.cert.decode()


async def test_an_unknown_ca_and_a_wrong_name_are_told_apart(tmp_path: Path) -> None:
    right, ca = server_tls(tmp_path, "localhost")
    async with listening(answering(""), right) as port:
        _, unknown = await fails(port, tls=trust.client_context())
    wrong, ca = server_tls(tmp_path, "other.example.com")
    async with listening(answering(""), wrong) as port:
        _, name = await fails(port, tls=trust.client_context(ca=ca))

    async def plain_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with listening(plain_http) as port:
        _, plain = await fails(port, tls=trust.client_context())

    assert "signed by a CA that is not trusted here" in unknown
    assert "is for another name" in name
    assert "does not speak TLS" in plain


async def test_messages_that_come_with_the_upgrade_are_not_lost() -> None:
    settings = b'{"version": 1, "window": 1000, "max_streams": 5}'
    frame = b"\x04\x00\x00\x00\x00\x00" + settings
    message = b"\x82" + bytes([len(frame)]) + frame

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer, more=message)
        await reader.read()

    async with listening(serve) as port:
        link = await dial(f"ws://localhost:{port}/", headers={}, ssl=None, timeout=5)
        session = Session(wire.Role.EXECUTOR, link, clock=time.monotonic)
        link.attach(session)

        assert session.is_settled
        session.close("done")


async def test_a_connection_that_breaks_is_told_to_the_session() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer)
        await reader.read(10)
        writer.transport.abort()

    reasons: list[str] = []
    async with listening(serve) as port:
        link = await dial(f"ws://localhost:{port}/", headers={}, ssl=None, timeout=5)
        session = Session(wire.Role.EXECUTOR, link, clock=time.monotonic, on_closed=reasons.append)
        link.attach(session)
        session.flush()
        with anyio.fail_after(5):
            while not reasons:
                await anyio.sleep(0.005)

    assert session.is_closed
    assert "connection" in reasons[0]
