"""A TCP connection that can be cut: a relay on loopback, between a client and a server that know nothing of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

from anyio.from_thread import BlockingPortal, start_blocking_portal

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing sends a reset, and what was not sent is thrown away."""
_SIZE = 64 * 1024


class Cable:
    """Relays connections to *port* of loopback; with *hold_after* each client gets so many bytes until `release`."""

    def __init__(self, portal: BlockingPortal, port: int, hold_after: int | None) -> None:
        self._portal = portal
        self._target = port
        self._hold_after = hold_after
        self._writers: set[asyncio.StreamWriter] = set()
        self._released = asyncio.Event()
        self.is_held = threading.Event()
        """Set when a client has got as much as it gets."""
        self.port = 0

    @classmethod
    @contextlib.contextmanager
    def to(cls, port: int, *, hold_after: int | None = None) -> Iterator[Cable]:
        """A cable while the block runs, in a thread of its own."""
        with start_blocking_portal() as portal:
            cable = cls(portal, port, hold_after)
            server = portal.call(cable._listen)
            try:
                yield cable
            finally:
                portal.call(server.close)
                cable.cut()

    def cut(self) -> None:
        """Reset every connection that stands, at both ends; new ones are welcome."""
        self._portal.call(self._cut)

    def release(self) -> None:
        """Hold nothing back any more."""
        self._portal.call(self._released.set)

    async def _listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def _cut(self) -> None:
        for writer in self._writers:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        self._writers.clear()
        self._released.set()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        both = {writer, back}
        self._writers |= both
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, back, None))
                tasks.create_task(self._pump(there, writer, self._hold_after))
        except* OSError:  # cut, here or by one of the two
            for each in both:
                each.transport.abort()
        finally:
            self._writers -= both
            for each in both:
                each.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, hold_after: int | None) -> None:
        passed = 0
        while data := await source.read(_SIZE):
            sink.write(data)
            await sink.drain()
            passed += len(data)
            if hold_after is not None and passed >= hold_after:
                self.is_held.set()
                await self._released.wait()
        sink.write_eof()
