"""An apiserver that lists what it has and tells its changes to whoever watches, over httpx without a socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import anyio
import httpx
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from kubently.kubeclient import KubeClient

Parts = MemoryObjectSendStream[bytes]


class WatchedApiserver(httpx.AsyncBaseTransport):
    """Serves *collections* (path to members); whatever else is asked for has no members."""

    def __init__(self, collections: Mapping[str, list[dict[str, Any]]] | None = None) -> None:
        self.collections = dict(collections or {})
        self.version = 10
        self.refused: dict[str, int] = {}
        self.unwatchable: dict[str, int] = {}
        """Paths whose next watches are refused, with the code."""
        self.requests: list[httpx.Request] = []
        self.watches: dict[str, Parts] = {}
        """The newest of each path."""
        self._changed = anyio.Event()

    def client(self) -> KubeClient:
        """A client of it."""
        return KubeClient(httpx.AsyncClient(transport=self, base_url="http://prod/k8s", timeout=None))

    def lists(self, path: str) -> int:
        """How often *path* was listed."""
        return sum(self._is(request, path) and "watch" not in request.url.params for request in self.requests)

    def watched_from(self, path: str) -> list[str]:
        """The versions from which *path* was watched."""
        asked = [request.url.params for request in self.requests if self._is(request, path)]
        return [params["resourceVersion"] for params in asked if "watch" in params]

    async def watched(self, path: str, times: int = 1) -> None:
        """Wait until *path* was watched so often."""
        with anyio.fail_after(5):
            while len(self.watched_from(path)) < times:
                await self._changed.wait()

    async def tell(self, path: str, kind: str, member: dict[str, Any]) -> None:
        """Say that something changed."""
        self.version += 1
        member = {**member, "metadata": {**member.get("metadata", {}), "resourceVersion": str(self.version)}}
        await self.watches[path].send(json.dumps({"type": kind, "object": member}).encode() + b"\n")

    def cut(self, path: str) -> None:
        """End the watch of *path*."""
        self.watches.pop(path).close()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.AsyncBaseTransport`."""
        self.requests.append(request)
        changed, self._changed = self._changed, anyio.Event()
        changed.set()
        path, is_watch = request.url.path.removeprefix("/k8s"), "watch" in request.url.params
        code = self.refused.get(path, 0) or (self.unwatchable.pop(path, 0) if is_watch else 0)
        if code:
            return httpx.Response(code, json={"kind": "Status", "message": f"{path} is refused", "code": code})
        if not is_watch:
            members = self.collections.get(path, [])
            metadata = {"resourceVersion": str(self.version)}
            body = {"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": members, "groups": []}
            return httpx.Response(200, json=body, headers={"date": "Mon, 02 Mar 2026 10:00:00 GMT"})
        send, receive = anyio.create_memory_object_stream[bytes](100)
        self.watches[path] = send
        return httpx.Response(200, stream=_Parts(send, receive))

    @staticmethod
    def _is(request: httpx.Request, path: str) -> bool:
        return request.url.path == f"/k8s{path}"


class _Parts(httpx.AsyncByteStream):
    def __init__(self, send: Parts, parts: MemoryObjectReceiveStream[bytes]) -> None:
        self._send = send
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._parts:
            yield part

    async def aclose(self) -> None:
        self._send.close()
        self._parts.close()


def pod(name: str, **status: Any) -> dict[str, Any]:
    """A pod as a member of a list."""
    metadata = {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "1"}
    return {"metadata": metadata, "spec": {"containers": [{"name": "app"}]}, "status": status}
