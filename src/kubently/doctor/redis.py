"""Looks at a Redis: what it says of itself, and whether all may be done there that the API does."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio

from kubently.doctor import redis_facts
from kubently.doctor.results import Result, error, passed, skipped, warning
from kubently.doctor.subject import Subject
from kubently.errors import StoreUnavailableError
from kubently.store import ABSENT, open_store, targets
from kubently.store.redis_client import Client
from kubently.store.redis_errors import FAILURES, unavailable

SLOW = 0.010
"""Seconds of a round trip from which every request suffers."""
_PINGS = 20
_LIFETIME = 60.0
_HINT_TIMEOUT = 5.0

REASONS = {
    **dict.fromkeys(("no-password", "wrong-password", "not-permitted"), "store-credentials"),
    **dict.fromkeys(("read-only", "out-of-memory", "not-saved", "no-replicas"), "store-takes-no-writes"),
    **dict.fromkeys(("wrong-kind", "wrong-database", "settings"), "store-settings"),
}
"""Codes, by the reasons that the store gives; those of TLS are codes already."""


def is_redis(url: str) -> bool:
    """Whether *url* names one, well or not."""
    return url.startswith("redis")


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
        names = [redis_facts.name(info) for info in found]
        old = [name for name, info in zip(names, found, strict=True) if redis_facts.version(info) < redis_facts.OLDEST]
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
        shown = f"{len(found)} master{'s' * (len(found) != 1)}, {replicas} replica{'s' * (replicas != 1)}"
        return passed(shown, replicas=replicas)

    return _with_client(subject, look)


def memory(subject: Subject) -> Result:
    """Whether keys may be dropped, and how much room there is."""

    async def look(client: Client) -> Result:
        return max((redis_facts.memory(info) for info in await _info(client, "memory")), key=redis_facts.gravity)

    return _with_client(subject, look)


def persistence(subject: Subject) -> Result:
    """What a restart leaves."""

    async def look(client: Client) -> Result:
        snapshots = await _setting(client, "save")
        return max(
            (redis_facts.persistence(info, snapshots) for info in await _info(client, "persistence")),
            key=redis_facts.gravity,
        )

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
    if not is_redis(subject.store_url):
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


# ---------------------------------------------------------------------- asking


def _with_client(subject: Subject, look: Callable[[Client], Awaitable[Result]]) -> Result:
    if not is_redis(subject.store_url):
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
