"""What a Redis says of itself (INFO), judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubently.doctor.results import Result, Status, error, passed, warning

OLDEST = (6, 2)
NEARLY_FULL = 0.9


def memory(info: Mapping[str, Any]) -> Result:
    """Whether keys may be dropped, by INFO memory."""
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


def persistence(info: Mapping[str, Any], snapshots: str | None) -> Result:
    """What a restart leaves, by INFO persistence and the setting ``save`` where that is known."""
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


def gravity(result: Result) -> int:
    """Orders results, the worst last."""
    return (Status.PASS, Status.WARNING, Status.ERROR).index(result.status)


def name(info: Mapping[str, Any]) -> str:
    """What it is."""
    return f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info.get('redis_version', '?')}"


def version(info: Mapping[str, Any]) -> tuple[int, ...]:
    """Of Redis, or that which Valkey is compatible with."""
    parts = str(info.get("redis_version", "0")).split(".")
    return tuple(int(part) for part in parts if part.isdecimal())
