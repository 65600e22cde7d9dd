"""The pool towards the API server: framing, reuse, back-pressure, failures, and no socket left."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
import pytest

from kubently.executor.apiserver import ApiServer, UpstreamError
from kubently.executor.target import NoCredential, StaticCredential, Target

pytestmark = pytest.mark.anyio

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextlib.asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[tuple[ApiServer, list[int]]]:
    """A server whose answers the test writes; counts its connections."""
    connections: list[int] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                await answer(await reader.readuntil(b"\r\n\r\n"), writer)

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    pool = ApiServer(Target("127.0.0.1", port, "/prefix", None, "", StaticCredential(b"Bearer t")))
    try:
        yield pool, connections
    finally:
        await pool.aclose()
        for writer in writers:
            writer.close()
        listener.close()
        await listener.wait_closed()
        await asyncio.sleep(0)


async def body_of(pool: ApiServer, path: bytes = b"/x") -> bytes:
    response = await pool.request(b"GET", path)
    body = b""
    while chunk := await response.read():
        body += chunk
    response.close()
    return body


async def test_a_request_carries_prefix_host_and_credential() -> None:
    seen: list[bytes] = []

    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(head)
        writer.write(OK)

    async with server(answer) as (pool, _):
        assert await body_of(pool, b"/api?limit=1") == b"ok"

    assert seen[0].startswith(b"GET /prefix/api?limit=1 HTTP/1.1\r\nhost: 127.0.0.1:")
    assert b"authorization: Bearer t\r\n" in seen[0]


async def test_connections_are_kept_and_used_again() -> None:
    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)

    async with server(answer) as (pool, connections):
        for _ in range(5):
            await body_of(pool)

        assert len(connections) == 1
        assert pool.open_connections == 1


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
async def test_every_framing_is_read(answer: bytes, body: bytes) -> None:
    async def reply(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    async with server(reply) as (pool, _):
        assert await body_of(pool) == body


async def test_a_body_without_length_ends_with_the_connection() -> None:
    async def reply(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nto the end")
        writer.close()

    async with server(reply) as (pool, _):
        assert await body_of(pool) == b"to the end"
        assert pool.open_connections == 0


async def test_a_body_that_is_cut_is_an_error() -> None:
    async def reply(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        writer.close()

    async with server(reply) as (pool, _):
        with pytest.raises(UpstreamError, match="broke off"):
            await body_of(pool)


async def test_a_kept_connection_that_died_is_replaced_unseen() -> None:
    async def reply(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        writer.close()

    async with server(reply) as (pool, connections):
        assert await body_of(pool) == b"ok"
        assert await body_of(pool) == b"ok"

        assert len(connections) == 2


@pytest.mark.parametrize(
    "answer", [b"nonsense\r\n\r\n", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"]
)
async def test_nonsense_is_an_error(answer: bytes) -> None:
    async def reply(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    async with server(reply) as (pool, _):
        with pytest.raises(UpstreamError):
            await body_of(pool)
        assert pool.open_connections == 0


async def test_a_slow_reader_holds_the_server_back() -> None:
    """Memory stays bounded while nobody reads: the socket is no longer drained."""
    sent = 0

    async def reply(head: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(200):
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()
            sent += 65536
        writer.write(b"0\r\n\r\n")

    async with server(reply) as (pool, _):
        response = await pool.request(b"GET", b"/big")
        await anyio.sleep(0.2)
        assert response._connection._buffered < 2 * 1024 * 1024
        assert sent < 200 * 65536
        total = 0
        while chunk := await response.read():
            total += len(chunk)
        response.close()

        assert total == 200 * 65536


async def test_closing_early_closes_the_connection() -> None:
    async def reply(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")

    async with server(reply) as (pool, _):
        response = await pool.request(b"GET", b"/watch")
        assert await response.read() == b"abc"
        response.close()
        response.close()

        assert pool.open_connections == 0


async def test_an_api_server_that_is_not_there_is_named() -> None:
    pool = ApiServer(Target("127.0.0.1", 1, "", None, "", NoCredential()))

    with pytest.raises(UpstreamError, match=r"127\.0\.0\.1:1 cannot be reached"):
        await pool.request(b"GET", b"/")


async def test_bytes_after_an_answer_never_become_part_of_one() -> None:
    """What a second, unasked answer on a kept connection would do."""
    answers = iter((OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged", OK, OK))

    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(next(answers))

    async with server(answer) as (pool, connections):
        assert await body_of(pool) == b"ok"
        assert await body_of(pool) == b"ok"
        assert len(connections) == 2


async def test_bytes_on_an_idle_connection_end_it() -> None:
    writers: list[asyncio.StreamWriter] = []

    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(OK)

    async with server(answer) as (pool, connections):
        assert await body_of(pool) == b"ok"
        writers[0].write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
        with anyio.fail_after(5):
            while not pool._idle[0].transport.is_closing():
                await anyio.sleep(0)
        assert await body_of(pool) == b"ok"
        assert len(connections) == 2


async def test_a_head_without_end_is_an_error() -> None:
    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(b"X-Much: " + b"x" * 60_000 + b"\r\n")
            await writer.drain()

    async with server(answer) as (pool, _):
        with anyio.fail_after(10), pytest.raises(UpstreamError, match="head"):
            await pool.request(b"GET", b"/x")


async def test_an_ipv6_host_is_written_in_brackets() -> None:
    pool = ApiServer(Target("fd00::1", 6443, "", None, "", NoCredential()))

    assert b"host: [fd00::1]:6443\r\n" in await pool._encode(b"GET", b"/x", [], b"")
