"""Subscriptions within one process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

_BACKLOG = 1000
"""Hints kept for a slow subscriber; when there are more, it is told that any key may have changed."""


@dataclass(eq=False, slots=True)
class _Subscription:
    prefix: str
    send: MemoryObjectSendStream[str]
    receive: MemoryObjectReceiveStream[str]
    has_missed: bool = False

    def tell(self, key: str) -> None:
        try:
            self.send.send_nowait(key)
        except anyio.WouldBlock:
            self.has_missed = True

    def close(self) -> None:
        self.send.close()
        self.receive.close()


class Hints:
    """Tells subscribers which keys changed."""

    def __init__(self) -> None:
        self._subscriptions: list[_Subscription] = []

    def publish(self, key: str) -> None:
        """Tell those whose prefix fits."""
        for subscription in self._subscriptions:
            if key.startswith(subscription.prefix):
                subscription.tell(key)

    def publish_lost(self) -> None:
        """Tell everybody, by the prefix itself, that hints may have been missed."""
        for subscription in self._subscriptions:
            subscription.tell(subscription.prefix)

    def subscribe(self, prefix: str) -> AsyncIterator[str]:
        """Begin to listen at once, not only at the first iteration."""
        subscription = _Subscription(prefix, *anyio.create_memory_object_stream[str](_BACKLOG))
        self._subscriptions.append(subscription)
        return self._listen(subscription)

    def close(self) -> None:
        """End all subscriptions, those that were never listened to as well."""
        for subscription in self._subscriptions:
            subscription.close()
        self._subscriptions.clear()

    async def _listen(self, subscription: _Subscription) -> AsyncIterator[str]:
        receive = subscription.receive
        try:
            with contextlib.suppress(anyio.ClosedResourceError):  # the store was closed meanwhile
                async for key in receive:
                    yield key
                    if subscription.has_missed and not receive.statistics().current_buffer_used:
                        subscription.has_missed = False
                        yield subscription.prefix
        finally:
            subscription.close()
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)
