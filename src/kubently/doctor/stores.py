"""Looks at the API's store with the API's own settings; what it writes there is gone after a minute, or at once.

Not among `CHECKS`: clients and executors carry no store. ``kubently api doctor`` runs these.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import urlsplit

from kubently.doctor import redis
from kubently.doctor.checks import Check
from kubently.doctor.results import Result, error, passed, skipped, warning
from kubently.doctor.subject import Subject
from kubently.errors import ConfigError
from kubently.store import targets


def settings(subject: Subject) -> Result:
    """What the URL names."""
    url = subject.store_url
    if redis.is_redis(url):
        return passed(f"Redis at {targets.parse_redis(url)}")
    scheme = urlsplit(url).scheme
    if scheme == "memory":
        return warning(
            "store-memory",
            "KUBENTLY_STORE=memory: forgets every key and token when the API stops",
            "use sqlite:///path/to/file.db for one API, redis:// for several",
        )
    if scheme == "sqlite" and urlsplit(url).path:
        return passed("a file, for one API: several need redis://")
    raise ConfigError(f"{targets.masked(url)!r} names no store", hint=targets.HINT)


def file(subject: Subject) -> Result:
    """Whether the file of SQLite can be used and is whole."""
    path = Path(urlsplit(subject.store_url).path)
    if urlsplit(subject.store_url).scheme != "sqlite":
        return skipped("the store is no file")
    if not path.exists():
        return passed(f"{path} is made at the first start")
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=5)) as db:
            said = str(db.execute("PRAGMA quick_check").fetchone()[0])
    except sqlite3.Error as failure:
        return error("store-unreachable", f"{path} cannot be read: {failure}", "check its path, owner and disk")
    if said != "ok":
        return error("store-damaged", f"{path} is damaged: {said}", "restore it from a copy; sqlite3 FILE .recover")
    return passed(f"{path} is whole")


CHECKS: tuple[Check, ...] = (
    Check("store-settings", "store", "the store is named", settings),
    Check("store-file", "store", "the store's file is whole", file, ("store-settings",)),
    Check("store-reachable", "store", "Redis lets us in", redis.reachable, ("store-settings",)),
    Check("store-version", "store", "Redis is new enough", redis.version, ("store-reachable",)),
    Check("store-role", "store", "Redis is a master", redis.role, ("store-reachable",)),
    Check("store-memory", "store", "Redis drops no keys", redis.memory, ("store-reachable",)),
    Check("store-persistence", "store", "Redis keeps its data", redis.persistence, ("store-reachable",)),
    Check("store-latency", "store", "Redis is near", redis.latency, ("store-reachable",)),
    Check("store-writes", "store", "all that the API does may be done", redis.writes, ("store-reachable",)),
)
"""All of them, in the order in which they run."""
