"""Hints between processes: one connection that hears which keys others changed, for as long as the store is open.

A message is sixteen hexadecimal digits of its sender, a space and the key. What this process wrote itself it knows
already. After a loss, everything may have changed meanwhile: that is told as a hint of the empty key.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable

from kubently.store.base import StoreHealth
from kubently.store.redis_client import Client, Connection
from kubently.store.redis_errors import FAILURES, unavailable
from kubently.store.targets import RedisTarget

log = logging.getLogger(__name__)

PING_AFTER = 5.0
"""Seconds of silence after which it is asked whether the other end is there; twice as many end the connection."""
LOOK_EVERY = 1.0
"""Seconds between two questions to the sentinels, where there are some, who is master: one that was demoted may take
writes for some seconds more, which are lost."""
FIRST_PAUSE = 0.1
LAST_PAUSE = 2.0
"""Seconds between two attempts to connect; each doubles the pause."""
_SENDER = 16


class RemoteHints:
    """Hears the hints of other processes and tells *heard* each key; the empty one means any."""

    def __init__(self, client: Client, target: RedisTarget, heard: Callable[[str], None], health: StoreHealth) -> None:
        self._client = client
        self._target = target
        self._heard = heard
        self._task: asyncio.Task[None] | None = None
        self.channel = f"kubently:hints:{target.db}"
        self.sender = secrets.token_hex(_SENDER // 2)
        self._health = health

    def start(self) -> None:
        """Begin to listen, if that has not begun. Needs a running loop; `aclose` ends it."""
        if self._task is None:
            # Not a task group's: the store is opened before there is one, and awaits it when it is closed.
            self._task = asyncio.get_running_loop().create_task(self._run(), name="redis-hints")

    async def aclose(self) -> None:
        """End listening. Idempotent."""
        while self._task is not None and not self._task.done():
            self._task.cancel()
            # Again and again: asyncio loses a cancellation that meets the moment in which a connection is made.
            await asyncio.wait({self._task}, timeout=0.1)

    async def _run(self) -> None:
        pause, is_lost = FIRST_PAUSE, False
        while True:
            try:
                await self._listen()
            except FAILURES as error:
                if self._health.is_hearing or not is_lost:
                    log.warning("hints of the store are lost", extra={"reason": str(unavailable(error, self._target))})
                pause = FIRST_PAUSE if self._health.is_hearing else min(LAST_PAUSE, 2 * pause)
                is_lost = True
            except Exception:  # nobody awaits this task before the end: it must not end unseen
                log.exception("hints of the store are lost for a reason that was not foreseen")
                pause, is_lost = LAST_PAUSE, True
            finally:
                self._health.is_hearing = False
            await asyncio.sleep(pause)

    async def _listen(self) -> None:
        """Connect and hear until the connection is lost, which raises."""
        connection = self._client.dedicated()
        try:
            await connection.connect()
            await connection.send_command("SUBSCRIBE", self.channel)
            if await connection.read_response(timeout=PING_AFTER) is None:
                raise TimeoutError
            self._health.is_hearing = True
            self._heard("")  # from here on nothing is missed; what came before may have been
            await self._hear(connection)
        finally:
            await connection.disconnect(nowait=True)

    async def _hear(self, connection: Connection) -> None:
        now = asyncio.get_running_loop().time
        heard_at = looked_at = now()
        while True:
            message = await connection.read_response(timeout=LOOK_EVERY)
            if message:
                heard_at = now()
            elif now() - heard_at >= 2 * PING_AFTER:
                raise TimeoutError
            elif now() - heard_at >= PING_AFTER:
                await connection.send_command("PING")
            if message and message[0] == b"message":
                self._take(message[2].decode(errors="replace"))
            if now() - looked_at >= LOOK_EVERY:
                looked_at = now()
                if await self._client.has_moved():
                    raise ConnectionResetError("there is another master")

    def _take(self, text: str) -> None:
        sender, _, key = text.partition(" ")
        if len(sender) != _SENDER or not key:
            sender, key = "", text  # an operator's own PUBLISH
        if sender != self.sender:
            self._heard(key)
