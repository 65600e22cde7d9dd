"""Executors as small as they can be, thousands in a process: ``python -m benchmarks.swarm PORT FIRST [CA]``.

They open a WebSocket, say who they are, answer pings, and come back by the executor's own backoff when they are lost.
Each line of the input is how many there are to be; each is answered by one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import ssl
import sys
import time
from typing import cast

import uvloop

from benchmarks.idle import TOKEN
from kubently import trust
from kubently.executor import lanes
from kubently.tunnel.transports import framing, websocket
from kubently.wire import frames

AT_ONCE = 64

_TOLD = {
    "version": "0.1.0",
    "kubernetes_version": "v1.36.0",
    "labels": {"env": "production", "region": "eu-central-1"},
    "capabilities": {"secrets": "none", "resume": "1", "sandbox": "landlock 7", "transport": "websocket", "grants": ""},
    "lane": "b3b1a6e0",
}


class Executor(asyncio.Protocol):
    """One session of one cluster."""

    def __init__(self, swarm: Swarm, number: int) -> None:
        self._swarm = swarm
        self._number = number
        self._head: bytes | None = b""
        self._reader = framing.Reader(websocket.MAX_MESSAGE, masked=False)
        self.up: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._write(
            f"GET {websocket.PATH} HTTP/1.1\r\nHost: 127.0.0.1:{self._swarm.port}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            f"Sec-WebSocket-Protocol: {websocket.SUBPROTOCOL}\r\nX-Kubently-Cluster: cluster-{self._number}\r\n"
            f"Authorization: Bearer {TOKEN}-{self._number}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._swarm.bytes += len(data)
        if self._head is not None:
            self._head, end, data = (self._head + data).partition(b"\r\n\r\n")
            if not end:
                return
            status, self._head = self._head[9:12], None
            if status != b"101":
                self._swarm.refused += 1
                self._transport.close()
                return
            self._send(frames.encode(frames.FrameType.SETTINGS, 0, json.dumps(self._settings()).encode()))
            self._swarm.accepted.append(time.time())
            self.up.set_result(True)
        found: list[framing.Received] = []
        self._reader.feed(data, found)
        for _, message in found:
            frame = frames.decode(message)
            if frame.type == frames.FrameType.PING and not frame.flags:
                self._send(frames.encode(frames.FrameType.PING, 0, frame.payload, flags=frames.ACK))

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(None)
        if not self.up.done():
            self.up.set_result(False)

    def close(self) -> None:
        """End it."""
        self._transport.abort()

    def _settings(self) -> dict[str, object]:
        uid = f"5f3c2a7e-0000-4000-8000-{self._number:012d}"
        told = {**_TOLD, "instance": f"{self._number:016x}", "kube_system_uid": uid}
        return {"version": 1, "window": 262144, "max_streams": 512, "info": told}

    def _send(self, message: bytes) -> None:
        self._write(framing.encode_masked(framing.BINARY, message, os.urandom(4)))

    def _write(self, data: bytes) -> None:
        self._swarm.bytes += len(data)
        self._transport.write(data)


class Swarm:
    """All executors of this process."""

    def __init__(self, port: int, first: int, context: ssl.SSLContext | None) -> None:
        self.port = port
        self.bytes = 0
        self.refused = 0
        self.accepted: list[float] = []
        self.up = 0
        self._first = first
        self._context = context
        self._limit = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    async def grow(self, count: int) -> None:
        """Have so many, and wait until all are up."""
        for number in range(self._first + len(self._tasks), self._first + count):
            self._tasks.add(asyncio.get_running_loop().create_task(self._live(number)))
        while self.up < count:
            await asyncio.sleep(0.02)

    async def _live(self, number: int) -> None:
        rng, attempt, lost_at, was_up = random.Random(), 0, time.monotonic(), False
        while True:
            executor = await self._dial(number, was_up=was_up)
            if executor is not None:
                self.up, was_up = self.up + 1, True
                await executor.lost
                self.up, attempt, lost_at = self.up - 1, 0, time.monotonic()
            attempt += 1
            outage = time.monotonic() - lost_at
            await asyncio.sleep(lanes.backoff(attempt, outage=outage, refused=False, rng=rng))

    async def _dial(self, number: int, *, was_up: bool) -> Executor | None:
        """Connect; the first time only so many at once, for nobody starts ten thousand machines in a second."""
        name = "127.0.0.1" if self._context else None
        if not was_up:
            await self._limit.acquire()
        try:
            _, executor = await asyncio.get_running_loop().create_connection(
                lambda: Executor(self, number), "127.0.0.1", self.port, ssl=self._context, server_hostname=name
            )
            return executor if await executor.up else None
        except OSError:
            return None
        finally:
            if not was_up:
                self._limit.release()


async def _main(port: int, first: int, ca: str) -> None:
    swarm = Swarm(port, first, trust.client_context(ca=ca) if ca else None)
    while line := await asyncio.to_thread(sys.stdin.readline):
        await swarm.grow(int(line))
        told = {"up": swarm.up, "bytes": swarm.bytes, "refused": swarm.refused, "accepted": swarm.accepted}
        print(json.dumps(told), flush=True)
        swarm.accepted = []


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1]), int(sys.argv[2]), *(sys.argv[3:] or [""])))
