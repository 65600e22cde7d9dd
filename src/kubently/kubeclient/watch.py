"""Follows the changes of one resource from a resourceVersion on, as informers do.

A watch ends by itself after the time it asked for, or whenever something between here and the apiserver cuts it. Then
one watches again from the last version that was told (`Change.version`; bookmarks tell it where nothing else happens).
An apiserver that has forgotten that version says 410, at once or in the stream: then everything is listed anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import anyio
import httpx

from kubently.analyzers import Resource
from kubently.errors import KubeError
from kubently.kube import objects
from kubently.kubeclient.client import KubeClient, date_of, parse, parts_of, slim

MAX_LINE = 16 * 1024 * 1024
"""Bytes of one change: an object has at most 1.5 MiB in etcd, in protobuf."""

OVERDUE = 30.0
"""Seconds after the time that was asked for at which a watch that still stands counts as broken."""

ADDED, MODIFIED, DELETED, BOOKMARK = "ADDED", "MODIFIED", "DELETED", "BOOKMARK"
_KINDS = frozenset({ADDED, MODIFIED, DELETED, BOOKMARK})


@dataclass(frozen=True, slots=True)
class Change:
    """One event of a watch; of a bookmark only the version means anything."""

    kind: str
    member: dict[str, Any]
    """Slimmed as `KubeClient.list` does."""
    version: str
    """To watch from after it."""
    size: int
    """Bytes of its line."""


class Watch:
    """A watch that the apiserver has granted; iterate it once."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self.served_at: datetime | None = date_of(response)
        """The cluster's clock when it began."""

    async def __aiter__(self) -> AsyncIterator[Change]:
        """Raises KubeError for an ERROR event (410: the version is forgotten) and for what is no event."""
        pending = bytearray()
        async for part in parts_of(self._response):
            *lines, rest = part.split(b"\n")
            for line in lines:
                pending += line
                whole, pending = bytes(pending), bytearray()
                if whole.strip():
                    yield _change(whole)
            pending += rest
            if len(pending) > MAX_LINE:
                raise KubeError(f"a change in {self._response.request.url.path} is over {MAX_LINE} bytes")


@contextlib.asynccontextmanager
async def watching(client: KubeClient, resource: Resource, *, version: str, seconds: int) -> AsyncIterator[Watch]:
    """Watch *resource* in all namespaces for *seconds*. Raises KubeError, TimeoutError, and what the transport raises.

    In the block the watch stands.
    """
    with anyio.fail_after(seconds + OVERDUE):
        async with client.stream(
            resource.path(), watch=True, resourceVersion=version, allowWatchBookmarks=True, timeoutSeconds=seconds
        ) as response:
            yield Watch(response)


def _change(line: bytes) -> Change:
    event = parse(line)
    kind = objects.text(event, "type")
    member = event.get("object") if event else None
    if not isinstance(member, dict):
        raise KubeError("a line of a watch is no event")
    if kind not in _KINDS:
        message = objects.text(member, "message") or f"a watch said {kind[:40]!r}"
        raise KubeError(message[:1000], details={"status": member})
    return Change(kind, slim(member), objects.text(member, "metadata", "resourceVersion"), len(line))
