"""What a Redis says of itself, judged."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from kubently.doctor import redis_facts


@pytest.mark.parametrize(
    ("info", "code"),
    [
        ({"maxmemory": 0, "maxmemory_policy": "allkeys-lru", "used_memory": 10**9}, ""),
        ({"maxmemory": 100, "maxmemory_policy": "noeviction", "used_memory": 50}, ""),
        ({"maxmemory": 100, "maxmemory_policy": "noeviction", "used_memory": 95}, "store-nearly-full"),
        ({"maxmemory": 100, "maxmemory_policy": "volatile-ttl", "used_memory": 1}, "store-evicts"),
        ({"maxmemory": 100, "maxmemory_policy": "allkeys-lru", "used_memory": 1}, "store-evicts"),
    ],
)
def test_memory(info: Mapping[str, object], code: str) -> None:
    assert redis_facts.memory(info).code == code


@pytest.mark.parametrize(
    ("info", "snapshots", "code"),
    [
        ({"aof_enabled": 1}, "", ""),
        ({"aof_enabled": 1, "aof_last_write_status": "err"}, "", "store-takes-no-writes"),
        ({"aof_enabled": 0, "rdb_last_bgsave_status": "err"}, "3600 1", "store-takes-no-writes"),
        ({"aof_enabled": 0}, "3600 1", "store-not-persistent"),
        ({"aof_enabled": 0}, "", "store-not-persistent"),
        ({"aof_enabled": 0}, None, "store-not-persistent"),
    ],
)
def test_persistence(info: Mapping[str, object], snapshots: str | None, code: str) -> None:
    assert redis_facts.persistence(info, snapshots).code == code


def test_versions() -> None:
    assert redis_facts.version({"redis_version": "6.0.16"}) < redis_facts.OLDEST
    assert redis_facts.version({"redis_version": "7.2.4"}) > redis_facts.OLDEST
    assert redis_facts.name({"redis_version": "7.2.4", "valkey_version": "9.1.2"}) == "Valkey 9.1.2"


def test_the_gravest_of_several_servers_is_told() -> None:
    found = [redis_facts.persistence(info, "") for info in ({"aof_enabled": 1}, {"aof_enabled": 0})]

    assert max(found, key=redis_facts.gravity).code == "store-not-persistent"
