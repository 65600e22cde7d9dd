"""One cluster from its lists to news, over an apiserver that changes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from kubently.analyzers import ANALYZERS
from kubently.continuous.cluster import ClusterWatch, Counts, Means, Rhythm
from kubently.continuous.histories import Histories
from kubently.continuous.history import Event, History, News, Rules
from kubently.continuous.watching import Pauses
from kubently.schema import ClusterId, Severity
from kubently.store import MemoryStore

from .watched_apiserver import WatchedApiserver, pod

pytestmark = pytest.mark.anyio
PATH = "/api/v1/pods"
LOOPING = {
    "phase": "Running",
    "containerStatuses": [
        {
            "name": "app",
            "ready": False,
            "restartCount": 7,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}},
        }
    ],
}
QUICK = Rhythm(interval=0.01, gather=0.001, idle=0.05, share=0)


class Watched:
    """A cluster under watch, its store and the news of it."""

    def __init__(self, apiserver: WatchedApiserver) -> None:
        self.apiserver = apiserver
        self.store = MemoryStore(clock=time.monotonic)
        self.events: list[Event] = []
        self.means = Means(
            histories=Histories(self.store, keep=timedelta(days=1)),
            rules=Rules(resolve_after=timedelta(), tell=Severity.RISK),
            analyzers=ANALYZERS,
            counts=Counts(),
            analysing=anyio.CapacityLimiter(1),
            starting=anyio.CapacityLimiter(1),
            tell=self._tell,
            rhythm=QUICK,
            pauses=Pauses(first=0.001, last=0.01, refused=0.01),
            now=lambda: datetime.now(UTC),
        )
        self.watch = ClusterWatch(ClusterId("prod"), apiserver.client(), self.means)

    def _tell(self, events: Sequence[Event]) -> None:
        self.events += events

    async def history(self, check: Callable[[History], object]) -> History:
        """The history as soon as *check* holds of it."""
        with anyio.fail_after(10):
            while True:
                found = (await self.means.histories.load("prod")).history
                if found is not None and check(found):
                    return found
                await anyio.sleep(0.005)


@asynccontextmanager
async def watching(**collections: list[dict[str, Any]]) -> AsyncIterator[Watched]:
    watched = Watched(WatchedApiserver({PATH: collections.get("pods", [])}))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watched.watch.run)
        yield watched
        tasks.cancel_scope.cancel()


async def test_a_change_becomes_news_and_its_end_too() -> None:
    async with watching(pods=[pod("web", phase="Running")]) as watched:
        await watched.history(lambda history: not history.records)
        await watched.apiserver.tell(PATH, "MODIFIED", pod("web", **LOOPING))
        found = await watched.history(lambda history: history.records)
        await watched.apiserver.tell(PATH, "DELETED", pod("web", **LOOPING))
        ended = await watched.history(lambda history: not any(kept.is_open for kept in history.records))

    assert {kept.code for kept in found.records} == {"pod/crash-loop"}
    assert ended.records[0].first_seen == found.records[0].first_seen
    assert [event.news for event in watched.events] == [News.FOUND, News.RESOLVED]
    assert watched.means.counts.found.total() == watched.means.counts.resolved.total() == 1
    assert watched.apiserver.lists(PATH) == 1


async def test_the_log_of_what_failed_is_read_once() -> None:
    async with watching(pods=[pod("web", **LOOPING)]) as watched:
        first = await watched.history(lambda history: history.records)
        await watched.history(lambda history: history.analysed_at > first.analysed_at)

    logs = [request for request in watched.apiserver.requests if request.url.path.endswith("/log")]
    assert len(logs) == 1


async def test_a_broken_watch_resolves_nothing() -> None:
    async with watching(pods=[pod("web", **LOOPING)]) as watched:
        before = await watched.history(lambda history: history.records)
        watched.apiserver.refused[PATH] = 503
        watched.apiserver.collections[PATH] = []
        watched.apiserver.cut(PATH)
        with anyio.move_on_after(0.3):
            await watched.history(lambda history: not all(kept.is_open for kept in history.records))
        during = await watched.history(lambda history: True)

    assert during.records[0].is_open
    assert during.records[0].first_seen == before.records[0].first_seen


async def test_what_another_replica_wrote_is_gone_on_from() -> None:
    async with watching(pods=[pod("web", **LOOPING)]) as watched:
        mine = await watched.history(lambda history: history.records)
        earlier = mine.records[0].model_copy(update={"first_seen": mine.records[0].first_seen - timedelta(days=1)})
        theirs = mine.model_copy(update={"records": (earlier,)})
        await watched.store.put("findings:prod", theirs.model_dump_json().encode())
        after = await watched.history(lambda history: history.analysed_at > mine.analysed_at)

    assert after.records[0].first_seen == earlier.first_seen
