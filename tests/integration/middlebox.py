"""Something between executor and API, for tests: passes HTTP/1.1 on, and does what it is told to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import anyio

Rule = Callable[["Request"], bytes | None]


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    method: str
    path: str
    head: bytes
    body: bytes
    count: int
    """How many came before it, of that path."""

    @property
    def wants_upgrade(self) -> bool:
        return b"upgrade: websocket" in self.head.lower()


@dataclass
class Middlebox:
    """What stands in between; change it while it runs."""

    target: int
    strip_upgrade: bool = False
    """Take Connection and Upgrade out of requests, as a proxy does that was not told otherwise."""
    answer: Rule = lambda _: None
    """An answer in the API's place."""
    lose: Callable[[Request], bool] = lambda _: False
    """Whether the API's answer is lost: the request arrived, the connection is cut."""
    twice: Callable[[Request], bool] = lambda _: False
    """Whether the API gets the request twice; the first answer is thrown away."""
    cut_after: float = 0.0
    """Seconds after which any connection is cut."""
    idle_cut: float = 0.0
    """Seconds of silence after which an upgraded connection is cut."""
    requests: list[Request] = field(default_factory=list)
    port: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut_all(self) -> None:
        """Cut every connection now."""
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with anyio.move_on_after(self.cut_after or None), contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while await self._one(reader, writer):
                    pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = await self._read(reader)
        self.requests.append(request)
        if (answer := self.answer(request)) is not None:
            writer.write(answer)
            await writer.drain()
            return True
        if request.wants_upgrade and not self.strip_upgrade:
            await self._pipe(request, reader, writer)
            return False
        if self.twice(request):
            await self._ask(request)
        answer = await self._ask(request)
        if self.lose(request):
            return False
        writer.write(answer)
        await writer.drain()
        return True

    async def _read(self, reader: asyncio.StreamReader) -> Request:
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(_length(head))
        method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
        count = sum(r.path == path for r in self.requests)
        return Request(method, path, head, body, count)

    async def _ask(self, request: Request) -> bytes:
        """The whole answer: it buffers."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            writer.write(self._head(request) + request.body)
            head = await reader.readuntil(b"\r\n\r\n")
            return head + await reader.readexactly(_length(head))
        finally:
            writer.transport.abort()

    def _head(self, request: Request) -> bytes:
        if not self.strip_upgrade:
            return request.head
        lines = request.head.split(b"\r\n")
        return b"\r\n".join(
            line for line in lines if not line.lower().startswith((b"connection:", b"upgrade:", b"sec-websocket-"))
        )

    async def _pipe(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
        self._writers.add(up_writer)
        up_writer.write(request.head)
        heard = asyncio.get_running_loop().time()

        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            nonlocal heard
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    heard = asyncio.get_running_loop().time()
                    target.write(data)
                    await target.drain()
            tasks.cancel_scope.cancel()

        async def watch() -> None:
            while asyncio.get_running_loop().time() - heard < self.idle_cut:
                await anyio.sleep(0.02)
            tasks.cancel_scope.cancel()

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(copy, reader, up_writer)
                tasks.start_soon(copy, up_reader, writer)
                if self.idle_cut:
                    tasks.start_soon(watch)
        finally:
            self._writers.discard(up_writer)
            up_writer.transport.abort()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


@contextlib.asynccontextmanager
async def middlebox(target: int, *, kind: type[Middlebox] = Middlebox, **settings: object) -> AsyncIterator[Middlebox]:
    """Serve one before the port *target* while the block runs."""
    box = kind(target, **settings)  # type: ignore[arg-type]
    listener = await asyncio.start_server(box.serve, "127.0.0.1", 0)
    box.port = listener.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        listener.close()
        box.cut_all()
        await asyncio.sleep(0.01)
