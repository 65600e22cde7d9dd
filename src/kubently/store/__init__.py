"""Dumb persistence."""

import time
from pathlib import Path
from urllib.parse import urlsplit

from kubently.errors import ConfigError
from kubently.settings import StoreSettings
from kubently.store import targets
from kubently.store.base import ABSENT, Entry, Store, StoreHealth
from kubently.store.cached import CachedStore
from kubently.store.memory import MemoryStore
from kubently.store.read_cache import ReadCache
from kubently.store.redis import RedisStore
from kubently.store.sqlite import SqliteStore
from kubently.store.targets import masked

__all__ = [
    "ABSENT",
    "CachedStore",
    "Entry",
    "MemoryStore",
    "RedisStore",
    "SqliteStore",
    "Store",
    "StoreHealth",
    "masked",
    "open_store",
]


def open_store(url: str, settings: StoreSettings | None = None, *, cached: tuple[str, ...] = ()) -> Store:
    """Open the store that *url* names; *settings* say how to get into a Redis. The caller closes it.

    *cached* are prefixes of keys whose values may be a second old, and older while a Redis is away. Raises ConfigError
    for what names no store, StoreUnavailableError for a file that cannot be opened; whether a Redis is there shows when
    it is used.
    """
    if url.startswith("redis"):
        return _open_redis(url, settings or StoreSettings(), cached)
    parts = urlsplit(url)
    if parts.scheme == "memory":
        return MemoryStore(clock=time.monotonic)
    if parts.scheme == "sqlite" and parts.path:
        return SqliteStore(Path(parts.path))
    raise ConfigError(f"{targets.masked(url)!r} names no store", hint=targets.HINT)


def _open_redis(url: str, settings: StoreSettings, cached: tuple[str, ...]) -> Store:
    cache, health = ReadCache(), StoreHealth()
    store = RedisStore(targets.parse_redis(url), settings, heard=cache.drop, health=health)
    if not cached:
        return store
    return CachedStore(store, cache, prefixes=cached, grace=settings.grace, clock=time.monotonic, health=health)
