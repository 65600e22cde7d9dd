"""What is kept of a Redis, for how long, and what ends it. Redis itself is in tests/integration/test_redis.py."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from kubently.errors import StoreUnavailableError
from kubently.store import MemoryStore, cached
from kubently.store.cached import CachedStore
from kubently.store.read_cache import ReadCache

pytestmark = pytest.mark.anyio


@dataclass
class Away(MemoryStore):
    """A store that can be away, and counts how often it is asked."""

    now: list[float]
    is_away: bool = False
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(clock=lambda: self.now[0])

    async def get(self, key: str) -> bytes | None:
        self.asked.append(key)
        if self.is_away:
            raise StoreUnavailableError("it is away")
        return await super().get(key)


@dataclass
class Bench:
    """A store, what is kept of it, and a clock."""

    grace: float = 60.0
    now: list[float] = field(default_factory=lambda: [1000.0])

    def __post_init__(self) -> None:
        self.store = Away(self.now)
        self.cache = ReadCache()
        self.cached = CachedStore(
            self.store, self.cache, prefixes=("auth:",), grace=self.grace, clock=lambda: self.now[0]
        )


async def test_a_value_is_asked_for_once_a_second() -> None:
    bench = Bench()
    await bench.store.put("auth:key", b"1")

    for _ in range(10):
        assert await bench.cached.get("auth:key") == b"1"
    bench.now[0] += cached.FRESH
    assert await bench.cached.get("auth:key") == b"1"

    assert bench.store.asked == ["auth:key"] * 2


async def test_other_prefixes_are_always_asked_for() -> None:
    bench = Bench()

    await bench.cached.get("lease:a")
    await bench.cached.get("lease:a")

    assert bench.store.asked == ["lease:a"] * 2


async def test_a_key_that_is_not_there_is_kept_too() -> None:
    bench = Bench()

    assert await bench.cached.get("auth:key") is None
    assert await bench.cached.get("auth:key") is None

    assert bench.store.asked == ["auth:key"]


@pytest.mark.parametrize("hint", ["auth:key", ""])
async def test_a_hint_ends_it_even_while_the_store_is_away(hint: str) -> None:
    bench = Bench()
    await bench.store.put("auth:key", b"1")
    await bench.cached.get("auth:key")

    bench.cache.drop(hint)
    bench.store.is_away = True

    with pytest.raises(StoreUnavailableError):
        await bench.cached.get("auth:key")


async def test_an_own_write_counts_at_once_whatever_came_of_it() -> None:
    bench = Bench()
    assert await bench.cached.get("auth:key") is None
    await bench.store.put("auth:key", b"theirs")

    assert not await bench.cached.put("auth:key", b"mine", expected=b"other")
    assert await bench.cached.get("auth:key") == b"theirs"

    await bench.cached.delete("auth:key")
    assert await bench.cached.get("auth:key") is None


async def test_a_value_holds_within_the_grace_and_not_beyond() -> None:
    bench = Bench()
    await bench.store.put("auth:key", b"1")
    await bench.cached.get("auth:key")
    bench.store.is_away = True

    bench.now[0] += 59
    assert await bench.cached.get("auth:key") == b"1"
    bench.now[0] += 1
    with pytest.raises(StoreUnavailableError):
        await bench.cached.get("auth:key")


async def test_without_a_grace_it_counts_for_its_second_alone() -> None:
    bench = Bench(grace=0)
    await bench.store.put("auth:key", b"1")
    await bench.cached.get("auth:key")
    bench.store.is_away = True

    assert await bench.cached.get("auth:key") == b"1"
    bench.now[0] += cached.FRESH
    with pytest.raises(StoreUnavailableError):
        await bench.cached.get("auth:key")


async def test_one_caller_asks_whether_it_is_back() -> None:
    bench = Bench()
    await bench.store.put("auth:key", b"1")
    await bench.cached.get("auth:key")
    bench.store.is_away = True
    bench.now[0] += cached.FRESH
    bench.store.asked.clear()

    for _ in range(10):
        assert await bench.cached.get("auth:key") == b"1"
    assert len(bench.store.asked) == 1
    assert bench.cached.health.is_away
    assert bench.cached.health.kept_answers == 10

    bench.now[0] += cached.PAUSE
    bench.store.is_away = False
    await bench.store.put("auth:key", b"2")
    assert await bench.cached.get("auth:key") == b"2"
    assert not bench.cached.health.is_away


async def test_a_write_that_succeeds_says_that_it_is_back() -> None:
    bench = Bench()
    await bench.store.put("auth:key", b"1")
    await bench.cached.get("auth:key")
    bench.store.is_away = True
    bench.now[0] += cached.FRESH
    assert await bench.cached.get("auth:key") == b"1"
    bench.store.is_away = False

    await bench.cached.put("auth:other", b"1")
    bench.store.asked.clear()

    assert not bench.cached.health.is_away
    assert await bench.cached.get("auth:key") == b"1"
    assert bench.store.asked == ["auth:key"]


async def test_what_is_new_while_it_is_away_fails() -> None:
    bench = Bench()
    bench.store.is_away = True

    with pytest.raises(StoreUnavailableError):
        await bench.cached.get("auth:other")


async def test_a_scan_answers_what_is_asked_for_next_there_or_not() -> None:
    bench = Bench()
    await bench.cached.get("auth:token:gone")
    await bench.store.put("auth:token:a", b"1")
    await bench.cached.get("auth:token:a")
    await bench.store.put("auth:token:a", b"2")

    await bench.cached.scan("auth:token:")
    bench.store.asked.clear()

    assert await bench.cached.get("auth:token:a") == b"2"
    assert await bench.cached.get("auth:token:gone") is None
    assert await bench.cached.get("auth:token:never") is None
    assert bench.store.asked == []
    bench.now[0] += cached.FRESH
    await bench.cached.get("auth:token:never")
    assert bench.store.asked == ["auth:token:never"]


@pytest.mark.parametrize("hint", ["auth:token:new", ""])
async def test_a_hint_counts_for_what_a_scan_did_not_find(hint: str) -> None:
    bench = Bench()
    await bench.cached.scan("auth:token:")
    assert await bench.cached.get("auth:token:new") is None

    await bench.store.put("auth:token:new", b"1")
    bench.cache.drop(hint)

    assert await bench.cached.get("auth:token:new") == b"1"
