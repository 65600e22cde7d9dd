"""What every store must do."""

from __future__ import annotations

import anyio

from kubently.store import ABSENT, Store


async def check_store(store: Store) -> None:
    """Run the conformance suite against an empty *store*; raises AssertionError at the first difference."""
    await _check_pairs(store)
    await _check_conditions(store)
    await _check_expiry(store)
    await _check_logs(store)
    await _check_counters(store)
    await _check_hints(store)


async def _check_pairs(store: Store) -> None:
    assert await store.get("pairs:a") is None
    assert await store.put("pairs:a", b"1")
    assert await store.put("pairs:b", b"\x00\xff")
    assert await store.put("other", b"x")
    assert await store.get("pairs:b") == b"\x00\xff"
    assert list(await store.scan("pairs:")) == [("pairs:a", b"1"), ("pairs:b", b"\x00\xff")]
    assert await store.delete("pairs:a")
    assert not await store.delete("pairs:a")
    assert [key for key, _ in await store.scan("pairs:")] == ["pairs:b"]


async def _check_conditions(store: Store) -> None:
    assert await store.put("cond", b"1", expected=ABSENT)
    assert not await store.put("cond", b"2", expected=ABSENT)
    assert not await store.put("cond", b"2", expected=b"wrong")
    assert await store.put("cond", b"2", expected=b"1")
    assert not await store.delete("cond", expected=b"1")
    assert await store.get("cond") == b"2"
    assert await store.delete("cond", expected=b"2")


async def _check_expiry(store: Store) -> None:
    await store.put("brief", b"x", ttl=0.01)
    await store.put("long", b"x", ttl=60)
    await anyio.sleep(0.05)
    assert await store.get("brief") is None
    assert await store.get("long") == b"x"
    assert await store.put("brief", b"y", expected=ABSENT)
    assert [key for key, _ in await store.scan("brief")] == ["brief"]


async def _check_logs(store: Store) -> None:
    positions = [await store.append("log", str(i).encode()) for i in range(5)]
    assert positions == sorted(set(positions))
    entries = await store.tail("log")
    assert [e.value for e in entries] == [b"0", b"1", b"2", b"3", b"4"]
    assert [e.value for e in await store.tail("log", after=positions[2])] == [b"3", b"4"]
    assert [e.value for e in await store.tail("log", after=-2)] == [b"3", b"4"]
    assert [e.value for e in await store.tail("log", limit=2)] == [b"0", b"1"]
    assert await store.tail("nothing") == []
    await store.append("log", b"5", keep=3)
    assert [e.value for e in await store.tail("log")] == [b"3", b"4", b"5"]


async def _check_counters(store: Store) -> None:
    assert await store.add("count", 1) == 1
    assert await store.add("count", 5) == 6
    assert await store.add("count", -6) == 0
    assert await store.add("count:brief", 1, ttl=0.01) == 1
    await anyio.sleep(0.05)
    assert await store.add("count:brief", 1, ttl=60) == 1


async def _check_hints(store: Store) -> None:
    hints = store.subscribe("hints:")
    await store.put("hints:a", b"1")
    await store.put("elsewhere", b"1")
    await store.delete("hints:a")
    heard = []
    with anyio.fail_after(5):
        async for key in hints:
            if key != "hints:":  # which says that any may have changed
                heard.append(key)
            if len(heard) == 2:
                break
    assert heard == ["hints:a", "hints:a"]
