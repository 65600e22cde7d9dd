from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import anyio
import pytest

from kubently.analyzers.resources import PODS
from kubently.continuous.picture import Picture, State
from kubently.continuous.watching import Pauses, Watcher

from .watched_apiserver import WatchedApiserver, pod

pytestmark = pytest.mark.anyio
PATH = "/api/v1/pods"
QUICK = Pauses(first=0.001, last=0.01, refused=0.01, steady=60)


def make(apiserver: WatchedApiserver, picture: Picture, restarts: Counter[str], pauses: Pauses = QUICK) -> Watcher:
    return Watcher(
        apiserver.client(),
        PODS,
        picture,
        anyio.CapacityLimiter(1),
        restarts,
        clock=time.monotonic,
        now=lambda: datetime.now(UTC),
        pauses=pauses,
    )


@asynccontextmanager
async def watched(
    apiserver: WatchedApiserver, picture: Picture, *, pauses: Pauses = QUICK
) -> AsyncIterator[Counter[str]]:
    """A watcher of pods at work, and what it counts."""
    restarts: Counter[str] = Counter()
    watcher = make(apiserver, picture, restarts, pauses)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watcher.run)
        yield restarts
        tasks.cancel_scope.cancel()


async def until_names(picture: Picture, *names: str) -> None:
    """Wait until these pods are known."""
    with anyio.fail_after(5):
        while sorted(member["metadata"]["name"] for member in picture.snapshot().members(PODS)) != sorted(names):
            await picture.news()


async def until_state(picture: Picture, state: State) -> None:
    with anyio.fail_after(5):
        while picture.states()[PODS] is not state:
            await picture.news()


async def test_lists_once_and_then_hears_of_changes() -> None:
    apiserver, picture = WatchedApiserver({PATH: [pod("web-1")]}), Picture([PODS])

    async with watched(apiserver, picture):
        await apiserver.watched(PATH)
        await apiserver.tell(PATH, "ADDED", pod("web-2"))
        await apiserver.tell(PATH, "DELETED", pod("web-1"))
        await until_names(picture, "web-2")

    assert apiserver.lists(PATH) == 1
    assert apiserver.watched_from(PATH) == ["10"]
    assert apiserver.requests[-1].url.params["allowWatchBookmarks"] == "true"


async def test_goes_on_from_the_last_bookmark_when_a_watch_is_cut() -> None:
    apiserver, picture = WatchedApiserver({PATH: [pod("web-1")]}), Picture([PODS])

    async with watched(apiserver, picture):
        await apiserver.watched(PATH)
        await apiserver.tell(PATH, "BOOKMARK", {"kind": "Pod"})
        apiserver.cut(PATH)
        await apiserver.watched(PATH, 2)
        await apiserver.tell(PATH, "ADDED", pod("web-2"))
        await until_names(picture, "web-1", "web-2")

    assert apiserver.watched_from(PATH) == ["10", "11"]
    assert apiserver.lists(PATH) == 1


async def test_lists_anew_when_its_version_is_forgotten() -> None:
    apiserver, picture = WatchedApiserver({PATH: [pod("web-1")]}), Picture([PODS])

    async with watched(apiserver, picture) as restarts:
        await apiserver.watched(PATH)
        apiserver.collections[PATH] = [pod("web-3")]
        await apiserver.tell(PATH, "ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})
        await until_names(picture, "web-3")

    assert apiserver.lists(PATH) == 2
    assert restarts["expired"] == 1


async def test_lists_anew_when_the_watch_itself_is_refused_as_too_old() -> None:
    apiserver, picture = WatchedApiserver({PATH: [pod("web-1")]}), Picture([PODS])
    apiserver.unwatchable[PATH] = 410

    async with watched(apiserver, picture):
        await apiserver.watched(PATH, 2)

    assert apiserver.lists(PATH) == 2


async def test_what_is_forbidden_is_blind_until_it_is_allowed() -> None:
    apiserver, picture = WatchedApiserver({PATH: [pod("web-1")]}), Picture([PODS])
    apiserver.refused[PATH] = 403

    async with watched(apiserver, picture):
        await until_state(picture, State.BLIND)
        blind = picture.snapshot()
        del apiserver.refused[PATH]
        await until_state(picture, State.LIVE)

    assert [gap.resource for gap in blind.blind] == ["pods"]
    assert blind.blind[0].reason.startswith("forbidden")
    assert not blind.is_complete(PODS, "shop")
    assert picture.snapshot().is_complete(PODS, "shop")


async def test_a_failing_watch_waits_and_is_blind_only_after_a_while() -> None:
    apiserver, picture = WatchedApiserver({PATH: [pod("web-1")]}), Picture([PODS])
    impatient = Pauses(first=0.001, last=0.01, steady=60, patience=0.05)

    async with watched(apiserver, picture, pauses=impatient):
        await until_state(picture, State.LIVE)
        apiserver.refused[PATH] = 500
        apiserver.cut(PATH)
        await until_state(picture, State.BLIND)
        del apiserver.refused[PATH]
        await until_state(picture, State.LIVE)

    assert apiserver.lists(PATH) >= 2


async def test_a_line_that_is_no_event_breaks_the_watch_and_nothing_else() -> None:
    apiserver, picture = WatchedApiserver({PATH: [pod("web-1")]}), Picture([PODS])

    async with watched(apiserver, picture) as restarts:
        await apiserver.watched(PATH)
        await apiserver.watches[PATH].send(b'{"type": "ADDED"}\n')
        await apiserver.watched(PATH, 2)
        await apiserver.watches[PATH].send(b'{"type": "ADDED", "object"')
        member = '{"metadata": {"name": "web-2", "namespace": "shop", "resourceVersion": "12"}}'
        await apiserver.watches[PATH].send(f": {member}}}\n".encode())
        await until_names(picture, "web-1", "web-2")

    assert restarts["failed"] == 1


async def test_moves_its_watch_without_a_list_when_told_to() -> None:
    apiserver, picture = WatchedApiserver({PATH: [pod("web-1")]}), Picture([PODS])
    watcher = make(apiserver, picture, Counter())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watcher.run)
        await until_state(picture, State.LIVE)
        watcher.move()
        await apiserver.watched(PATH, 2)
        tasks.cancel_scope.cancel()

    assert apiserver.watched_from(PATH) == ["10", "10"]
    assert apiserver.lists(PATH) == 1
