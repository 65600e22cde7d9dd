"""Logs that analyzers want, read when their pod has changed and not again before.

A diagnosis asks for the ends of some logs each time; where it is made every few seconds that would be polling. So what
was read is kept with the version of its pod, and a run that goes on is read again only after ten minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import anyio
import anyio.to_thread
import httpx

from kubently.analyzers import LogKey, Snapshot, logs_wanted
from kubently.analyzers.resources import PODS
from kubently.errors import KubentlyError
from kubently.kube import objects
from kubently.kubeclient import KubeClient
from kubently.kubeclient.collect import LOG_BYTES, LOG_CONTAINERS
from kubently.schema.findings import Blind

PARALLEL = 4
LINES = 200
OLD = 600.0
"""Seconds after which the log of a run that goes on is read again though its pod has not changed."""
TIMEOUT = 30.0
"""Seconds for all logs of one analysis."""


@dataclass(frozen=True, slots=True)
class _Read:
    version: str
    at: float
    text: str | None
    """None where it could not be read."""
    problem: str = ""


class Logs:
    """What was read of one cluster; ``clock`` gives monotonic seconds."""

    def __init__(self, client: KubeClient, *, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._kept: dict[LogKey, _Read] = {}

    async def read(self, snapshot: Snapshot) -> tuple[dict[LogKey, str], tuple[Blind, ...]]:
        """The logs that analyzers want of *snapshot*, and of which containers none could be read. Never fails."""
        groups = await anyio.to_thread.run_sync(partial(logs_wanted, snapshot, limit=LOG_CONTAINERS))
        wanted = {key: _version(snapshot, key) for group in groups for key in group.keys}
        since = {key: group.since_seconds for group in groups for key in group.keys}
        self._kept = {key: read for key, read in self._kept.items() if key in wanted}
        due = [(key, version) for key, version in wanted.items() if self._is_due(key, version)]
        slots = anyio.CapacityLimiter(PARALLEL)
        with anyio.move_on_after(TIMEOUT):
            async with anyio.create_task_group() as tasks:
                for key, version in due:
                    tasks.start_soon(self._read, key, version, since[key], slots)
        texts = {key: read.text for key in wanted if (read := self._kept.get(key)) and read.text is not None}
        blind = tuple(
            Blind(resource=_name(group.keys[0]), reason=self._problem(group.keys[0]))
            for group in groups
            if not any(key in texts for key in group.keys)
        )
        return texts, blind

    def _is_due(self, key: LogKey, version: str) -> bool:
        read = self._kept.get(key)
        return read is None or read.version != version or (not key.previous and self._clock() - read.at > OLD)

    def _problem(self, key: LogKey) -> str:
        read = self._kept.get(key)
        return read.problem if read is not None else f"not read within {TIMEOUT:g} s"

    async def _read(self, key: LogKey, version: str, since: int | None, slots: anyio.CapacityLimiter) -> None:
        text, problem = None, ""
        async with slots:
            try:
                text = await self._client.logs(
                    key.namespace,
                    key.pod,
                    key.container,
                    previous=key.previous,
                    tail_lines=LINES,
                    limit_bytes=LOG_BYTES,
                    since_seconds=since,
                )
            except (KubentlyError, httpx.TransportError) as error:
                problem = str(error)[:1000] or type(error).__name__
        self._kept[key] = _Read(version, self._clock(), text, problem)


def _version(snapshot: Snapshot, key: LogKey) -> str:
    pod = snapshot.get(PODS, key.namespace, key.pod)
    return f"{objects.uid(pod)} {objects.text(pod, 'metadata', 'resourceVersion')}"


def _name(key: LogKey) -> str:
    return f"logs {key.namespace}/{key.pod} {key.container}"
