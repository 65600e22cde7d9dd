"""Many clusters at once: who is meant, bounded parallelism, results as they come."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TypeVar

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from kubently.auth import grants
from kubently.errors import ClusterNotFoundError, InvalidRequestError
from kubently.fleet import Fleet
from kubently.kube import objects
from kubently.schema import Cluster, ClusterId, Principal, parse_cluster_id

T = TypeVar("T")
PARALLEL = 64


def visible(fleet: Fleet, principal: Principal) -> list[Cluster]:
    """The clusters that *principal* may see."""
    return [cluster for cluster in fleet.status() if grants.may_see(principal, cluster.id)]


def select(
    fleet: Fleet, principal: Principal, *, names: Sequence[str] = (), selector: str = "", everything: bool = False
) -> list[ClusterId]:
    """The clusters that a request means: by name, by label selector or all.

    Raises InvalidRequestError unless exactly one way is used, and ClusterNotFoundError for a name or selector of none:
    a typing error must not look like a fleet without problems.
    """
    if sum((bool(names), bool(selector), everything)) != 1:
        raise InvalidRequestError(
            "name clusters, or give a selector, or ask for all", hint="exactly one of clusters, selector and all"
        )
    clusters = visible(fleet, principal)
    if names:
        known = {cluster.id for cluster in clusters}
        for name in names:
            if parse_cluster_id(name) not in known:
                raise grants.unknown_cluster(name)
        return list(dict.fromkeys(map(ClusterId, names)))
    if selector:
        wanted = parse_selector(selector)
        clusters = [cluster for cluster in clusters if wanted.matches(cluster.labels)]
        if not clusters:
            raise ClusterNotFoundError(
                f"no cluster that you may see has labels {selector!r}", hint="kubently clusters shows each one's labels"
            )
    return [ClusterId(cluster.id) for cluster in clusters]


def parse_selector(text: str) -> objects.Selector:
    """A label selector; an empty one means all. Raises InvalidRequestError."""
    try:
        return objects.parse_selector(text)
    except ValueError as error:
        raise InvalidRequestError(f"the selector {text!r} cannot be read: {error}") from error


async def gather(
    clusters: Sequence[ClusterId], work: Callable[[ClusterId, MemoryObjectSendStream[T]], Awaitable[None]]
) -> AsyncGenerator[T, None]:
    """Do *work* for each cluster, at most 64 at once, and give what the works send, as it comes.

    A slow consumer slows the works down. The caller closes the generator, which cancels what still works.
    """
    send, receive = anyio.create_memory_object_stream[T](0)
    slots = anyio.Semaphore(PARALLEL)

    async def one(cluster: ClusterId, out: MemoryObjectSendStream[T]) -> None:
        async with out, slots:
            await work(cluster, out)

    async with anyio.create_task_group() as tasks:
        async with send:
            for cluster in clusters:
                tasks.start_soon(one, cluster, send.clone())
        # Closed by its caller it ends its works and itself: the group would wrap what closes it as an error.
        with contextlib.suppress(GeneratorExit):
            async with receive:
                async for item in receive:
                    yield item
        tasks.cancel_scope.cancel()
