"""The store on real servers: Redis and Valkey, with TLS and a password, behind Sentinel, as a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.testbed.redis_servers import PASSWORD, RedisCluster, RedisServer, SentinelGroup

from kubently.settings import StoreSettings, TrustSettings
from kubently.store import Store, open_store
from kubently.testing import check_store

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A plain server of this module; tests that stop it start it again."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@asynccontextmanager
async def opened(url: str, settings: StoreSettings | None = None) -> AsyncIterator[Store]:
    """A store that is closed at the end."""
    store = open_store(url, settings)
    try:
        yield store
    finally:
        await store.aclose()


@pytest.mark.parametrize("program", ["redis-server", "valkey-server"])
async def test_it_conforms(program: str, tmp_path: Path) -> None:
    with RedisServer(tmp_path, program=program) as server:
        async with opened(server.url) as store:
            await check_store(store)


async def test_it_conforms_over_tls_with_a_password(tmp_path: Path) -> None:
    with RedisServer(tmp_path, tls=True, password=PASSWORD) as server:
        settings = StoreSettings(password=PASSWORD, trust=TrustSettings(ca_cert=str(server.ca)))
        async with opened(server.url, settings) as store:
            await check_store(store)


async def test_it_conforms_behind_sentinel(tmp_path: Path) -> None:
    with SentinelGroup(tmp_path, password=PASSWORD) as group:
        async with opened(group.url, StoreSettings(password=PASSWORD)) as store:
            await check_store(store)


async def test_it_conforms_as_a_cluster(tmp_path: Path) -> None:
    with RedisCluster(tmp_path, password=PASSWORD) as cluster:
        async with opened(cluster.url, StoreSettings(password=PASSWORD)) as store:
            await check_store(store)
