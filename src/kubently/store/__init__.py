"""Dumb persistence."""

import time
from pathlib import Path
from urllib.parse import urlsplit

from kubently.errors import ConfigError
from kubently.store.base import ABSENT, Entry, Store
from kubently.store.memory import MemoryStore
from kubently.store.sqlite import SqliteStore

__all__ = ["ABSENT", "Entry", "MemoryStore", "SqliteStore", "Store", "open_store"]


def open_store(url: str) -> Store:
    """Open the store that *url* names: ``memory:`` or ``sqlite:///path/to/file``.

    The caller closes it. Raises ConfigError for another scheme, StoreUnavailableError when it cannot be opened.
    """
    parts = urlsplit(url)
    if parts.scheme == "memory":
        return MemoryStore(clock=time.monotonic)
    if parts.scheme == "sqlite" and parts.path:
        return SqliteStore(Path(parts.path))
    raise ConfigError(f"{url!r} names no store", hint="use memory: or sqlite:///absolute/path/to/file.db")
