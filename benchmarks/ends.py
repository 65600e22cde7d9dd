"""Processes of `benchmarks.hub`: ``python -m benchmarks.ends ROLE ARGUMENT...``.

A process that asks reads ``CONCURRENCY COUNT`` from its input, asks that many times, and prints one line of JSON:
seconds each, and its own CPU. A process that answers runs until it is ended.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import cast

import anyio
import uvloop

from benchmarks import idle, upstream
from benchmarks.client import Connection
from kubently import wire
from kubently.api.program import serve
from kubently.auth import Caller
from kubently.schema import ClusterId, Permission, Principal, Role
from kubently.settings import ApiSettings
from kubently.tunnel import AsgiServer, Message, Receive, Scope, Send, Session, Stream
from kubently.tunnel.transports import websocket

MESSAGE = b"x" * 300
CLUSTER = "cluster-0"
SMALL = f"/clusters/{CLUSTER}/k8s{upstream.SMALL}"
COMMAND = f"/api/v1/clusters/{CLUSTER}/commands"
_HEADER = struct.Struct("!II")

Ask = Callable[[int], Awaitable[object]]
"""One question and its answer; the number says which of those at the same time asks."""


async def measure(ask: Ask, concurrency: int, count: int) -> dict[str, object]:
    """Ask *count* times, *concurrency* at a time."""
    taken: list[float] = []
    left = count

    async def one(number: int) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            started = time.perf_counter()
            await ask(number)
            taken.append(time.perf_counter() - started)

    cpu, started = time.process_time(), time.perf_counter()
    await asyncio.gather(*map(one, range(concurrency)))
    seconds = time.perf_counter() - started
    return {"taken": taken, "cpu": time.process_time() - cpu, "seconds": seconds}


async def obey(ask: Ask) -> None:
    """Measure what the input says until it ends."""
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        concurrency, count = map(int, line.split())
        print(json.dumps(await measure(ask, concurrency, count)), flush=True)


# ---------------------------------------------------------------------- R1


class Raw(asyncio.Protocol):
    """Id, length and 300 bytes; a future for each question."""

    def __init__(self) -> None:
        self._buffer = b""
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._next = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    async def ask(self, number: int) -> bytes:
        """Send a message and wait for the one with its id."""
        self._next += 1
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[self._next] = future
        self._transport.write(_HEADER.pack(self._next, len(MESSAGE)) + MESSAGE)
        return await future

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        at = 0
        while len(data) - at >= _HEADER.size:
            name, length = _HEADER.unpack_from(data, at)
            end = at + _HEADER.size + length
            if len(data) < end:
                break
            self.take(name, data[at + _HEADER.size : end])
            at = end
        self._buffer = data[at:]

    def take(self, name: int, message: bytes) -> None:
        """One message came."""
        self._waiting.pop(name).set_result(message)


class RawEcho(Raw):
    """Sends each message back."""

    def take(self, name: int, message: bytes) -> None:
        self._transport.write(_HEADER.pack(name, len(message)) + message)


async def raw(port: int) -> None:
    """The asking end of R1."""
    arrived: asyncio.Future[Raw] = asyncio.get_running_loop().create_future()

    class Arriving(Raw):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            arrived.set_result(self)

    await asyncio.get_running_loop().create_server(Arriving, "127.0.0.1", port)
    print("listening", flush=True)
    await obey((await arrived).ask)


async def raw_echo(port: int) -> None:
    """The answering end of R1."""
    await asyncio.get_running_loop().create_connection(RawEcho, "127.0.0.1", port)
    await asyncio.Event().wait()


# ---------------------------------------------------------------------- the hub


async def hub(folder: str, port: int) -> None:
    """A whole API, asked below its edge: a stream to the executor and back."""
    settings = ApiSettings.from_env({"KUBENTLY_LISTEN": f"127.0.0.1:{port}", "KUBENTLY_EXECUTOR_TOKENS_DIR": folder})
    fields = [(b":method", b"POST"), (b":path", b"/echo"), (b"x", MESSAGE[:270])]
    caller = Caller(Principal(name="benchmark", role=Role.ADMIN), Permission.RUN, "benchmark")
    async with serve(settings) as serving:
        fleet = serving.services.fleet

        async def ask(number: int) -> None:
            stream, _ = await fleet.open(ClusterId(CLUSTER), fields, caller=caller, end_stream=True)
            await stream.head()

        print("listening", flush=True)
        while not fleet.executors():
            await asyncio.sleep(0.01)
        await obey(ask)


async def executor(port: int) -> None:
    """Answers at once: an echo, a command, or a small list."""
    async with anyio.create_task_group() as tasks:
        await _connect(port, partial(_serve, AsgiServer(_answer, tasks)))
        await asyncio.Event().wait()


def _serve(server: AsgiServer, stream: Stream) -> None:
    if any(value == b"/echo" for _, value in stream.fields):
        stream.respond([(b":status", b"200"), (b"x", MESSAGE[:285])], end_stream=True)
        stream.release()
    else:
        server.serve(stream)


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/commands":
        await idle.answer(scope, receive, send)
        return
    while (await receive())["more_body"]:
        pass
    start: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
    await send(start)
    await send({"type": "http.response.body", "body": upstream.SMALL_BODY})


async def _connect(port: int, serve_stream: Callable[[Stream], None]) -> None:
    link = await websocket.dial(
        f"ws://127.0.0.1:{port}{websocket.PATH}",
        headers={"Authorization": f"Bearer {idle.TOKEN}", "X-Kubently-Cluster": CLUSTER},
        ssl=None,
        timeout=30,
    )
    info = {"version": "benchmark", "instance": "one"}
    session = Session(wire.Role.EXECUTOR, link, clock=time.monotonic, info=info, on_request=serve_stream)
    link.attach(session)
    session.flush()


# ---------------------------------------------------------------------- callers


async def rest(port: int, what: str, token: str) -> None:
    """Clients of the API, each with a kept connection."""
    url = f"http://127.0.0.1:{port}"
    connections = [await Connection.open(url, token) for _ in range(32)]
    body = json.dumps({"argv": ["get", "pods", "-n", "shop"]}).encode()

    async def ask(number: int) -> None:
        if what == "command":
            await connections[number].post(COMMAND, body)
        else:
            await connections[number].get(SMALL)

    await obey(ask)


_ROLES: dict[str, Callable[..., Awaitable[None]]] = {
    "raw": lambda port: raw(int(port)),
    "raw-echo": lambda port: raw_echo(int(port)),
    "hub": lambda folder, port: hub(folder, int(port)),
    "executor": lambda port: executor(int(port)),
    "rest": lambda port, what, token: rest(int(port), what, token),
}


async def _main() -> None:
    await _ROLES[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    uvloop.run(_main())
