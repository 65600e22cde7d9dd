"""A small apiserver for tests: collections in memory, pages, refusals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import anyio
import httpx

from kubently.kubeclient import KubeClient


class Apiserver:
    """Answers GETs from *collections* (path to members); records every request."""

    def __init__(self, collections: Mapping[str, list[dict[str, Any]]], *, page: int = 500) -> None:
        self.collections = dict(collections)
        self.texts: dict[str, str] = {}
        self.refused: dict[str, int] = {}
        self.slow: set[str] = set()
        self.gone_once: set[str] = set()
        self.failing: dict[str, Exception] = {}
        self.requests: list[httpx.Request] = []
        self.headers = {"date": "Mon, 02 Mar 2026 10:00:00 GMT"}
        self.in_flight = 0
        self.most_in_flight = 0
        self._page = page

    def client(self) -> KubeClient:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer), base_url="http://prod/k8s")
        return KubeClient(http)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await anyio.sleep(0)
            return await self._respond(request.url.path.removeprefix("/k8s"), request.url.params)
        finally:
            self.in_flight -= 1

    async def _respond(self, path: str, query: httpx.QueryParams) -> httpx.Response:
        if path in self.failing:
            raise self.failing[path]
        if path in self.slow:
            await anyio.sleep_forever()
        if path in self.refused:
            return self._status(self.refused[path], f"{path} is refused")
        if "continue" in query and path in self.gone_once:
            self.gone_once.discard(path)
            return self._status(410, "The provided continue parameter is too old")
        key = f"{path}?previous" if query.get("previous") == "true" else path
        if key in self.texts:
            return httpx.Response(200, text=self.texts[key], headers=self.headers)
        if path in self.collections:
            return self._list(path, query)
        return self._status(404, "the server could not find the requested resource")

    def _list(self, path: str, query: httpx.QueryParams) -> httpx.Response:
        members, start = self.collections[path], int(query.get("continue", "0"))
        end = start + min(self._page, int(query["limit"]))
        metadata: dict[str, Any] = {"resourceVersion": "1"}
        if end < len(members):
            metadata |= {"continue": str(end), "remainingItemCount": len(members) - end}
        body = {"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": members[start:end]}
        return httpx.Response(200, text=json.dumps(body), headers=self.headers)

    def _status(self, code: int, message: str) -> httpx.Response:
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
        return httpx.Response(code, text=json.dumps(body), headers=self.headers)


def pod(name: str, **status: Any) -> dict[str, Any]:
    """Return a pod as a member of a list: without kind and apiVersion."""
    metadata = {
        "name": name,
        "namespace": "shop",
        "uid": name,
        "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:spec": {}}}],
    }
    return {"metadata": metadata, "spec": {"containers": [{"name": "app"}]}, "status": status}
