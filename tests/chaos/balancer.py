"""TCP in front of the API's replicas, as an ingress is: it spreads connections, cuts them, and forgets them.

A connection that is forgotten is half-open: nothing is carried any more and neither end is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field


@dataclass(eq=False)
class _Carried:
    writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)

    def cut(self) -> None:
        for task in self.tasks:
            task.cancel()
        for writer in self.writers:
            writer.transport.abort()


class Balancer:
    """Listens on one address; each connection goes to one of ``targets`` that takes it."""

    def __init__(self, rng: random.Random) -> None:
        self.targets: list[int] = []
        self._rng = rng
        self._carried: set[_Carried] = set()
        self._server: asyncio.Server

    async def start(self, host: str) -> int:
        """Listen and give the port."""
        self._server = await asyncio.start_server(self._take, host, 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def close(self) -> None:
        """Cut everything and listen no more."""
        self._server.close()
        self.cut(1.0)

    def cut(self, share: float) -> None:
        """Reset a share of all connections."""
        for carried in self._some(share):
            carried.cut()

    def forget(self, share: float) -> list[_Carried]:
        """Let a share of all connections hang; give them to `remember`."""
        forgotten = self._some(share)
        for carried in forgotten:
            carried.goes_on.clear()
        return forgotten

    def remember(self, forgotten: list[_Carried]) -> None:
        """What hung is reset at last, as a middlebox does that restarts."""
        for carried in forgotten:
            carried.cut()

    def _some(self, share: float) -> list[_Carried]:
        return [carried for carried in sorted(self._carried, key=id) if self._rng.random() < share]

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for target in self._rng.sample(self.targets, len(self.targets)):
            try:
                async with asyncio.timeout(1):
                    up = await asyncio.open_connection("127.0.0.1", target)
                break
            except OSError:  # TimeoutError is one
                continue
        else:
            writer.transport.abort()
            return
        carried = _Carried((writer, up[1]))
        carried.goes_on.set()
        self._carried.add(carried)
        carried.tasks = [
            asyncio.create_task(_copy(carried, reader, up[1])),
            asyncio.create_task(_copy(carried, up[0], writer)),
        ]
        carried.tasks[1].add_done_callback(lambda _: self._carried.discard(carried))


async def _copy(carried: _Carried, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await carried.goes_on.wait()
                writer.write(data)
                await writer.drain()
    finally:
        if carried.goes_on.is_set():
            writer.close()
