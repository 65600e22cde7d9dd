"""What breaks, and how: one thing after the other, as a seed decides; what is broken is whole again seconds later."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from tests.chaos.plant import LOSS, Member, Plant

NOBODY = "(nobody is whole)"

Breakage = Callable[[], Awaitable[str]]


class Nemesis:
    """Breaks *plant*; ``said`` is what it did, in order."""

    def __init__(self, plant: Plant, rng: random.Random) -> None:
        self._plant = plant
        self._rng = rng
        self.said: list[str] = []
        self.emptied: list[float] = []
        """When the store was emptied; monotonic."""
        self._mending: set[asyncio.Task[None]] = set()
        self._is_losing = False

    async def run(self, seconds: float) -> None:
        """Break something every other second; every kind once before the first comes again."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        due: list[Breakage] = []
        while loop.time() - began < seconds:
            if not due:
                due = self._kinds()
                self._rng.shuffle(due)
            self.said.append(f"{loop.time() - began:5.1f} s  {await due.pop()()}")
            await asyncio.sleep(self._rng.uniform(0.5, 2.5))

    async def mend(self) -> None:
        """Wait until all is whole again."""
        if self._mending:
            await asyncio.gather(*self._mending)

    def _kinds(self) -> list[Breakage]:
        kinds: list[Breakage] = [
            self._kill_api,
            self._end_api,
            self._stop_api,
            self._kill_executor,
            self._end_executor,
            self._stop_executor,
            self._kill_redis,
            self._stop_redis,
            self._empty_redis,
            self._cut,
            self._forget,
        ]
        return kinds if self._plant.network.missing else [*kinds, self._lose]

    # ------------------------------------------------------------------ processes

    async def _kill_api(self) -> str:
        return self._kill(self._plant.apis)

    async def _kill_executor(self) -> str:
        return self._kill(self._plant.executors)

    def _kill(self, members: list[Member]) -> str:
        if (member := self._one(members)) is None:
            return NOBODY
        member.kill()
        pause = self._rng.uniform(0, 2)
        self._later(pause, member.start)
        return f"kill -9 {member.name}, again after {pause:.1f} s"

    async def _end_api(self) -> str:
        return self._end(self._plant.apis)

    async def _end_executor(self) -> str:
        return self._end(self._plant.executors)

    def _end(self, members: list[Member]) -> str:
        if (member := self._one(members)) is None:
            return NOBODY
        member.end()
        self._begin(self._restart(member))
        return f"SIGTERM {member.name}, again when it has ended"

    async def _restart(self, member: Member) -> None:
        while member.is_running:
            await asyncio.sleep(0.1)
        member.start()

    async def _stop_api(self) -> str:
        return self._stop(self._plant.apis, most=8)

    async def _stop_executor(self) -> str:
        return self._stop(self._plant.executors, most=12)

    def _stop(self, members: list[Member], *, most: float) -> str:
        if (member := self._one(members)) is None:
            return NOBODY
        member.stop()
        pause = self._rng.uniform(1, most)
        self._later(pause, member.go_on)
        return f"SIGSTOP {member.name} for {pause:.1f} s"

    # ------------------------------------------------------------------ Redis

    async def _kill_redis(self) -> str:
        self._plant.redis.kill()
        pause = self._rng.uniform(0.2, 5)
        self._later(pause, self._plant.redis.start)
        return f"kill -9 Redis, again after {pause:.1f} s"

    async def _stop_redis(self) -> str:
        self._plant.redis.pause()
        pause = self._rng.uniform(0.5, 5)
        self._later(pause, self._plant.redis.resume)
        return f"SIGSTOP Redis for {pause:.1f} s"

    async def _empty_redis(self) -> str:
        await self.mend()  # one that is away cannot be emptied
        self._plant.redis.empty()
        self.emptied.append(time.monotonic())
        return "FLUSHALL"

    # ------------------------------------------------------------------ the network

    async def _cut(self) -> str:
        share = self._rng.choice([0.3, 1.0])
        self._plant.balancer.cut(share)
        return f"reset {share:.0%} of the connections"

    async def _forget(self) -> str:
        forgotten = self._plant.balancer.forget(0.4)
        pause = self._rng.uniform(2, 15)
        self._later(pause, lambda: self._plant.balancer.remember(forgotten))
        return f"{len(forgotten)} connections half-open for {pause:.1f} s"

    async def _lose(self) -> str:
        pause = self._rng.uniform(3, 10)
        self._plant.network.lose(self._plant.port, LOSS)
        self._later(pause, lambda: self._plant.network.lose(self._plant.port, 0))
        return f"{LOSS} % of the packets to and from the executors lost for {pause:.1f} s"

    # ------------------------------------------------------------------ steps

    def _one(self, members: list[Member]) -> Member | None:
        """One that is whole, to be broken."""
        whole = [member for member in members if not member.is_broken]
        if not whole:
            return None
        member = self._rng.choice(whole)
        member.is_broken = True
        return member

    def _later(self, seconds: float, mend: Callable[[], object]) -> None:
        async def wait() -> None:
            await asyncio.sleep(seconds)
            mend()

        self._begin(wait())

    def _begin(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._mending.add(task)
        task.add_done_callback(self._mending.discard)
