"""Subscriptions within one process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

_BACKLOG = 1000
"""Hints kept for a slow subscriber; more are dropped, as the protocol allows."""


class Hints:
    """Tells subscribers which keys changed."""

    def __init__(self) -> None:
        self._subscribers: dict[MemoryObjectSendStream[str], tuple[str, MemoryObjectReceiveStream[str]]] = {}

    def publish(self, key: str) -> None:
        """Tell those whose prefix fits."""
        for stream, (prefix, _) in list(self._subscribers.items()):
            if key.startswith(prefix):
                self._tell(stream, key)

    def publish_lost(self) -> None:
        """Tell everybody, by the prefix itself, that hints may have been missed."""
        for stream, (prefix, _) in list(self._subscribers.items()):
            self._tell(stream, prefix)

    def subscribe(self, prefix: str) -> AsyncIterator[str]:
        """Begin to listen at once, not only at the first iteration."""
        send, receive = anyio.create_memory_object_stream[str](_BACKLOG)
        self._subscribers[send] = prefix, receive

        async def listen() -> AsyncIterator[str]:
            try:
                async with receive:
                    async for key in receive:
                        yield key
            except anyio.ClosedResourceError:  # the store was closed meanwhile
                return
            finally:
                self._subscribers.pop(send, None)
                send.close()

        return listen()

    def close(self) -> None:
        """End all subscriptions, those that were never listened to as well."""
        for send, (_, receive) in list(self._subscribers.items()):
            send.close()
            receive.close()
        self._subscribers.clear()

    def _tell(self, stream: MemoryObjectSendStream[str], key: str) -> None:
        with contextlib.suppress(anyio.WouldBlock):
            stream.send_nowait(key)
