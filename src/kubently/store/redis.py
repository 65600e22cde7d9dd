"""Redis (6.2 or newer) or Valkey as the store of several replicas.

Keys and values stand there as they are: an operator may read and write them with redis-cli. Each verb is one command
on one key, so that it is atomic and works in a cluster; what must compare first is a script. A log is a stream whose
ids are positions: milliseconds of Redis' clock, or one more than the last where that is more.

A caller that is cancelled waits for the command's end, a moment: redis-py gives a connection back to its pool while it
is cleaned up, which a cancelled scope would interrupt.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import anyio
from redis import exceptions

from kubently.errors import StoreUnavailableError
from kubently.settings import StoreSettings
from kubently.store.base import ABSENT, Entry, StoreHealth
from kubently.store.hints import Hints
from kubently.store.redis_client import CONNECTIONS, Client
from kubently.store.redis_errors import FAILURES, unavailable
from kubently.store.redis_hints import RemoteHints
from kubently.store.targets import RedisTarget

DEADLINE = 5.0
"""Seconds of one command in all, with the wait for a connection, its handshake and sentinels that are away."""
_PAGE = 500
_EXACT_BELOW = 1000
"""Logs that keep fewer records are trimmed to the letter; others by whole nodes of the stream, which costs nothing."""
_MAX_POSITION = 2**63 - 1

# Deletes answer as puts do: 1 when it was done. "-" stands for: whatever is there.
_PUT = """
if ARGV[4] ~= '-' then
  local present = redis.call('GET', KEYS[1])
  if ARGV[4] == 'absent' and present or ARGV[4] == 'equal' and present ~= ARGV[5] then return 0 end
end
if ARGV[3] == '-' then redis.call('SET', KEYS[1], ARGV[2]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
redis.call('PUBLISH', ARGV[1], ARGV[6] .. ' ' .. KEYS[1])
return 1
"""
_DELETE = """
if ARGV[2] ~= '-' and redis.call('GET', KEYS[1]) ~= ARGV[3] then return 0 end
if redis.call('DEL', KEYS[1]) == 0 then return 0 end
redis.call('PUBLISH', ARGV[1], ARGV[4] .. ' ' .. KEYS[1])
return 1
"""
_ADD = """
local begins = redis.call('EXISTS', KEYS[1]) == 0
local total = redis.call('INCRBY', KEYS[1], ARGV[1])
if begins and ARGV[2] ~= '-' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return total
"""
_APPEND = """
local now = redis.call('TIME')
local position = now[1] * 1000 + math.floor(now[2] / 1000)
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if last then position = math.max(position, tonumber(string.match(last[1], '^%d+')) + 1) end
local id = string.format('%.0f', position)
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[2], ARGV[3], id .. '-0', 'v', ARGV[1])
return id
"""

T = TypeVar("T")


class RedisStore:
    """A `Store` in Redis."""

    def __init__(
        self,
        target: RedisTarget,
        settings: StoreSettings,
        *,
        heard: Callable[[str], None] = lambda _: None,
        health: StoreHealth | None = None,
    ) -> None:
        """*heard* is told each key that another process changed, at once; the empty key means any."""
        self._health = health or StoreHealth()
        self._target = target
        self._client = Client(target, settings)
        self._hints = Hints()
        self._remote = RemoteHints(self._client, target, self._on_hint, self._health)
        self._heard = heard
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._closed = False

    async def get(self, key: str) -> bytes | None:
        """See `Store.get`."""
        value: bytes | None = await self._do(lambda: self._client.ask("GET", key), again=True)
        return value

    async def put(self, key: str, value: bytes, *, ttl: float | None = None, expected: bytes | None = None) -> bool:
        """See `Store.put`."""
        mode = "-" if expected is None else "absent" if expected == ABSENT else "equal"
        words = (value, _milliseconds(ttl), mode, expected or b"", self._remote.sender)
        return await self._write(_PUT, key, *words, again=expected is None)

    async def delete(self, key: str, *, expected: bytes | None = None) -> bool:
        """See `Store.delete`."""
        mode = "-" if expected is None else "equal"
        return await self._write(_DELETE, key, mode, expected or b"", self._remote.sender)

    async def scan(self, prefix: str) -> Sequence[tuple[str, bytes]]:
        """See `Store.scan`. All keys of the database are walked: it should be Kubently's own."""
        pattern = re.sub(r"([\\*?\[\]])", r"\\\1", prefix) + "*"
        found: dict[str, bytes] = {}
        for node in await self._do(self._client.masters, again=True):
            cursor = 0
            while True:
                cursor, keys = await self._page(node, cursor, pattern)
                found |= await self._read(keys)
                if cursor == 0:
                    break
        return sorted(found.items())

    async def append(self, log: str, value: bytes, *, keep: int = 100_000) -> int:
        """See `Store.append`."""
        words = (value, "=" if keep < _EXACT_BELOW else "~", keep)
        return int(await self._do(lambda: self._client.ask("EVAL", _APPEND, 1, log, *words)))

    async def tail(self, log: str, *, after: int = 0, limit: int = 1000) -> Sequence[Entry]:
        """See `Store.tail`."""
        if after >= _MAX_POSITION or limit <= 0:
            return []
        if after < 0:
            words: tuple[Any, ...] = ("XREVRANGE", log, "+", "-", "COUNT", min(-after, _MAX_POSITION))
        else:
            words = ("XRANGE", log, str(after + 1), "+", "COUNT", limit)
        found = await self._do(lambda: self._client.ask(*words), again=True)
        entries = [Entry(int(position.partition(b"-")[0]), fields[b"v"]) for position, fields in found]
        return entries[::-1][:limit] if after < 0 else entries

    async def add(self, key: str, amount: int, *, ttl: float | None = None) -> int:
        """See `Store.add`."""
        return int(await self._do(lambda: self._client.ask("EVAL", _ADD, 1, key, amount, _milliseconds(ttl))))

    def subscribe(self, prefix: str) -> AsyncIterator[str]:
        """See `Store.subscribe`."""
        self._listen()
        return self._hints.subscribe(prefix)

    async def aclose(self) -> None:
        """See `Store.aclose`."""
        if self._closed:
            return
        self._closed = True
        self._hints.close()
        await self._remote.aclose()
        await self._client.aclose()

    # ------------------------------------------------------------------ one command

    async def _write(self, script: str, key: str, *words: Any, again: bool = False) -> bool:
        channel = self._remote.channel
        done = bool(await self._do(lambda: self._client.ask("EVAL", script, 1, key, channel, *words), again=again))
        if done:
            self._hints.publish(key)
        return done

    async def _page(self, node: Any, cursor: int, pattern: str) -> tuple[int, list[bytes]]:
        words = ("SCAN", cursor, "MATCH", pattern, "COUNT", _PAGE, "TYPE", "string")
        following, keys = await self._do(lambda: self._client.ask(*words, node=node), again=True)
        # A cluster's client tells a cursor for each server that was asked: this one.
        return int(next(iter(following.values())) if isinstance(following, dict) else following), keys

    async def _read(self, keys: Sequence[bytes]) -> dict[str, bytes]:
        """The values of *keys*, which may be thousands or none; those that went meanwhile are left out."""
        if not keys:
            return {}
        if self._client.is_cluster:
            values = await self._do(lambda: self._client.ask_many([("GET", key) for key in keys]), again=True)
        else:
            values = await self._do(lambda: self._client.ask("MGET", *keys), again=True)
        return {
            key.decode(errors="replace"): value for key, value in zip(keys, values, strict=True) if value is not None
        }

    async def _do(self, work: Callable[[], Awaitable[T]], *, again: bool = False) -> T:
        """What *work* gives; with *again*, a second attempt after a connection that was lost. Raises
        StoreUnavailableError."""
        self._listen()
        try:
            with anyio.CancelScope(shield=True):
                async with asyncio.timeout(DEADLINE), self._slots:
                    found = await self._attempt(work, again=again)
        except FAILURES as error:
            failure = unavailable(error, self._target)
            self._health.failures[failure.details["reason"]] += 1
            raise failure from error
        return found

    async def _attempt(self, work: Callable[[], Awaitable[T]], *, again: bool) -> T:
        try:
            return await work()
        except exceptions.ConnectionError as error:
            # A refused credential is one as well; that and what was never connected would fail again.
            if not again or isinstance(error, exceptions.AuthenticationError | exceptions.BusyLoadingError):
                raise
        return await work()

    def _listen(self) -> None:
        """Hear other processes from the first use on, whether somebody subscribes or not: the cache does."""
        if self._closed:
            raise StoreUnavailableError("the store is closed")
        self._remote.start()

    def _on_hint(self, key: str) -> None:
        self._heard(key)
        if key:
            self._hints.publish(key)
        else:
            self._hints.publish_lost()


def _milliseconds(ttl: float | None) -> str:
    return "-" if ttl is None else str(max(1, round(ttl * 1000)))
