"""Looks at the API's store with the API's own settings; what it writes there is gone after a minute, or at once.

Not among `CHECKS`: clients and executors carry no store. ``kubently api doctor`` runs these.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sqlite3
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio

from kubently.doctor.checks import Check
from kubently.doctor.results import Result, Status, error, passed, skipped, warning
from kubently.doctor.subject import Subject
from kubently.errors import ConfigError, StoreUnavailableError
from kubently.store import ABSENT, open_store, targets
from kubently.store.redis_client import Client
from kubently.store.redis_errors import FAILURES, unavailable

OLDEST = (6, 2)
SLOW = 0.010
"""Seconds of a round trip from which every request suffers."""
NEARLY_FULL = 0.9
_PINGS = 20
_LIFETIME = 60.0
_HINT_TIMEOUT = 5.0

REASONS = {
    **dict.fromkeys(("no-password", "wrong-password", "not-permitted"), "store-credentials"),
    **dict.fromkeys(("read-only", "out-of-memory", "not-saved", "no-replicas"), "store-takes-no-writes"),
    **dict.fromkeys(("wrong-kind", "wrong-database", "settings"), "store-settings"),
}
"""Codes, by the reasons that the store gives; those of TLS are codes already."""


def settings(subject: Subject) -> Result:
    """What the URL names."""
    url = subject.store_url
    if _is_redis(url):
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


def reachable(subject: Subject) -> Result:
    """Whether it answers, with our password and over our TLS."""

    async def look(client: Client) -> Result:
        await client.ask("PING") if not client.is_cluster else await client.masters()
        return passed()

    return _with_client(subject, look)


def version(subject: Subject) -> Result:
    """Whether it is new enough."""

    async def look(client: Client) -> Result:
        found = await _info(client, "server")
        names = [_name(info) for info in found]
        old = [name for name, info in zip(names, found, strict=True) if _version(info) < OLDEST]
        if old:
            return error("store-old", f"{old[0]} is too old", "6.2 is the oldest that will do", versions=names)
        return passed(", ".join(dict.fromkeys(names)), versions=names)

    return _with_client(subject, look)


def role(subject: Subject) -> Result:
    """Whether it is a master."""

    async def look(client: Client) -> Result:
        found = await _info(client, "replication")
        if any(info.get("role") != "master" for info in found):
            return error(
                "store-takes-no-writes", "it is a replica", "let KUBENTLY_STORE name the master, or the sentinels"
            )
        replicas = sum(int(info.get("connected_slaves", 0)) for info in found)
        return passed(f"{len(found)} master{'s' * (len(found) > 1)}, {replicas} replicas", replicas=replicas)

    return _with_client(subject, look)


def memory(subject: Subject) -> Result:
    """Whether keys may be dropped, and how much room there is."""

    async def look(client: Client) -> Result:
        return max((_memory(info) for info in await _info(client, "memory")), key=_gravity)

    return _with_client(subject, look)


def persistence(subject: Subject) -> Result:
    """What a restart leaves."""

    async def look(client: Client) -> Result:
        snapshots = await _setting(client, "save")
        return max((_persistence(info, snapshots) for info in await _info(client, "persistence")), key=_gravity)

    return _with_client(subject, look)


def latency(subject: Subject) -> Result:
    """How long a round trip takes."""

    async def look(client: Client) -> Result:
        taken = []
        for _ in range(_PINGS):
            started = time.monotonic()
            await client.ask("GET", "doctor:latency")
            taken.append(time.monotonic() - started)
        median = statistics.median(taken)
        shown = f"{median * 1000:.1f} ms, at most {max(taken) * 1000:.1f} ms"
        measured = {"median_ms": round(median * 1000, 2), "max_ms": round(max(taken) * 1000, 2)}
        if median > SLOW:
            return warning("store-slow", f"a round trip takes {shown}", "run it near the API", **measured)
        return passed(shown, **measured)

    return _with_client(subject, look)


def writes(subject: Subject) -> Result:
    """Whether all that the API does may be done, hints included."""
    if not _is_redis(subject.store_url):
        return skipped("the store is no Redis")
    return asyncio.run(_exercise(subject))


async def _exercise(subject: Subject) -> Result:
    name = f"doctor:{secrets.token_hex(8)}"
    one, other = (open_store(subject.store_url, subject.store) for _ in range(2))
    try:
        hints = other.subscribe(name)
        await one.put(name, b"1", ttl=_LIFETIME, expected=ABSENT)
        await one.add(f"{name}:count", 1, ttl=_LIFETIME)
        await one.append(f"{name}:log", b"1", keep=1)
        complete = len(await one.scan(name)) == 2 and len(await one.tail(f"{name}:log")) == 1
        for key in (name, f"{name}:count", f"{name}:log"):
            complete = await one.delete(key) and complete
        if not complete:
            return error("store-takes-no-writes", "what was written is not there", "look for a proxy in between")
        return await _hears(hints, one, name)
    except StoreUnavailableError as failure:
        return _failed(failure)
    finally:
        await one.aclose()
        await other.aclose()


async def _hears(hints: AsyncIterator[str], one: Any, name: str) -> Result:
    with anyio.move_on_after(_HINT_TIMEOUT):
        while await anext(hints) != name:  # the way stands once the prefix itself is told, which is the same word
            pass
        await one.put(name, b"1", ttl=_LIFETIME)
        await one.delete(name)
        await anext(hints)
        return passed("keys, counters, logs and hints")
    return error(
        "store-hints-lost",
        f"what one writes another does not hear within {_HINT_TIMEOUT:g} s",
        "let the user use the channels kubently:hints:* (ACL SETUSER … &kubently:hints:*)",
    )


CHECKS: tuple[Check, ...] = (
    Check("store-settings", "store", "the store is named", settings),
    Check("store-file", "store", "the store's file is whole", file, ("store-settings",)),
    Check("store-reachable", "store", "Redis lets us in", reachable, ("store-settings",)),
    Check("store-version", "store", "Redis is new enough", version, ("store-reachable",)),
    Check("store-role", "store", "Redis is a master", role, ("store-reachable",)),
    Check("store-memory", "store", "Redis drops no keys", memory, ("store-reachable",)),
    Check("store-persistence", "store", "Redis keeps its data", persistence, ("store-reachable",)),
    Check("store-latency", "store", "Redis is near", latency, ("store-reachable",)),
    Check("store-writes", "store", "all that the API does may be done", writes, ("store-reachable",)),
)
"""All of them, in the order in which they run."""


# ---------------------------------------------------------------------- what is told


def _memory(info: Mapping[str, Any]) -> Result:
    policy, limit, used = str(info.get("maxmemory_policy", "")), int(info.get("maxmemory", 0)), int(info["used_memory"])
    told = {"policy": policy, "maxmemory": limit, "used": used}
    if not limit:
        return passed("no maxmemory: the machine's memory is the limit", **told)
    if policy != "noeviction":
        return error(
            "store-evicts",
            f"maxmemory-policy is {policy}: when memory runs short, Redis drops tokens and what was revoked",
            "CONFIG SET maxmemory-policy noeviction, and in its configuration",
            **told,
        )
    if used > NEARLY_FULL * limit:
        return warning("store-nearly-full", f"{used / limit:.0%} of maxmemory are in use", "raise maxmemory", **told)
    return passed(f"{used / limit:.0%} of maxmemory are in use", **told)


def _persistence(info: Mapping[str, Any], snapshots: str | None) -> Result:
    has_log = int(info.get("aof_enabled", 0)) == 1
    failing = [name for name in ("rdb_last_bgsave_status", "aof_last_write_status") if info.get(name, "ok") != "ok"]
    if failing:
        return error("store-takes-no-writes", f"it cannot save: {failing[0]} is err", "look at its disk and its log")
    if has_log:
        return passed("each write is appended to its log")
    if snapshots == "":
        return warning("store-not-persistent", "a restart forgets every key and token", "CONFIG SET appendonly yes")
    return warning(
        "store-not-persistent",
        "only snapshots are written: a crash forgets the keys and tokens made since the last",
        "CONFIG SET appendonly yes",
    )


def _gravity(result: Result) -> int:
    return (Status.PASS, Status.WARNING, Status.ERROR).index(result.status)


def _name(info: Mapping[str, Any]) -> str:
    return f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info.get('redis_version', '?')}"


def _version(info: Mapping[str, Any]) -> tuple[int, ...]:
    parts = str(info.get("redis_version", "0")).split(".")
    return tuple(int(part) for part in parts if part.isdecimal())


# ---------------------------------------------------------------------- asking


def _is_redis(url: str) -> bool:
    return url.startswith("redis")


def _with_client(subject: Subject, look: Callable[[Client], Awaitable[Result]]) -> Result:
    if not _is_redis(subject.store_url):
        return skipped("the store is no Redis")
    target = targets.parse_redis(subject.store_url)

    async def run() -> Result:
        async with _opened(target, subject) as client:
            return await look(client)

    try:
        return asyncio.run(run())
    except FAILURES as failure:
        return _failed(unavailable(failure, target))


@asynccontextmanager
async def _opened(target: targets.RedisTarget, subject: Subject) -> AsyncIterator[Client]:
    client = Client(target, subject.store)
    try:
        yield client
    finally:
        await client.aclose()


def _failed(failure: StoreUnavailableError) -> Result:
    reason = str(failure.details.get("reason", ""))
    code = reason if reason.startswith("tls-") else REASONS.get(reason, "store-unreachable")
    return error(code, failure.message, failure.hint, reason=reason)


async def _info(client: Client, section: str) -> list[Mapping[str, Any]]:
    """A section of INFO, of each server that has keys."""
    found = []
    for node in await client.masters():
        told = await client.ask("INFO", section, node=node)
        found.append(told.get(node.name, told) if node is not None else told)
    return found


async def _setting(client: Client, name: str) -> str | None:
    """A setting of the server, where it may be asked for; of a cluster's servers nobody's."""
    if client.is_cluster:
        return None
    with contextlib.suppress(*FAILURES):
        told = await client.ask("CONFIG GET", name)
        return str(next(iter(told.values()), "")) if isinstance(told, dict) else None
    return None
