"""What is kept of what was read, and what ends it."""

from __future__ import annotations

import pytest

from kubently.store import read_cache
from kubently.store.read_cache import Kept, ReadCache


def test_what_changed_while_it_was_asked_for_is_not_kept() -> None:
    cache = ReadCache()
    with cache.asking() as changed:
        cache.drop("auth:key")

    cache.keep("auth:key", Kept(b"old", 0), changed)
    cache.keep("auth:other", Kept(b"1", 0), changed)
    cache.keep_all("auth:all:", {}, 0.0, changed)

    assert cache.look("auth:key") is None
    assert cache.look("auth:other") == Kept(b"1", 0)
    assert cache.look("auth:all:any") == Kept(None, 0.0)


def test_what_changed_while_all_was_asked_for_is_not_kept() -> None:
    cache = ReadCache()
    with cache.asking() as changed:
        cache.drop("auth:all:a")
        cache.drop("auth:all:b")

    cache.keep_all("auth:all:", {"auth:all:a": b"old"}, 0.0, changed)

    assert cache.look("auth:all:a") is None
    assert cache.look("auth:all:b") is None


def test_made_up_names_push_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_cache, "ABSENT_CAPACITY", 10)
    cache = ReadCache()
    cache.keep("auth:key", Kept(b"1", 0), ())

    for number in range(100):
        cache.keep(f"auth:{number}", Kept(None, 0), ())

    assert cache.look("auth:key") == Kept(b"1", 0)
    assert [n for n in range(100) if cache.look(f"auth:{n}")] == list(range(90, 100))


def test_what_changed_since_a_scan_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_cache, "ABSENT_CAPACITY", 10)
    cache = ReadCache()
    cache.keep_all("auth:", {}, 0.0, ())
    assert cache.look("auth:any") == Kept(None, 0.0)

    for number in range(11):
        cache.drop(f"auth:{number}")

    assert cache.look("auth:any") is None
