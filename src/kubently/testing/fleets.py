"""A control plane and executors in one event loop, over real sockets on loopback."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import anyio
import httpx
from anyio.abc import TaskGroup

from kubently import api, wire
from kubently.auth import Caller
from kubently.schema import ClusterId, ClusterState, Permission, Principal, Role
from kubently.settings import ApiSettings
from kubently.store import Store
from kubently.tunnel import Application, AsgiServer, Link, LinkHandler, Receive, Scope, Send, Session
from kubently.tunnel.transports import poll_client, websocket
from kubently.wire import records

ADMIN_KEY = "admin-key-for-tests"
CALLER = Caller(Principal(name="key:test", role=Role.ADMIN), Permission.RUN, "request-of-a-test")
"""For who opens streams below the API's own routes."""

Handler = Callable[[Mapping[str, Any], Callable[[bytes], Awaitable[None]]], Awaitable[Mapping[str, Any] | None]]
"""Takes a command's request and a function that sends one record; gives the status, or None to break off."""


class _Link(Link, Protocol):
    def attach(self, handler: LinkHandler) -> None: ...


class ScriptedExecutor:
    """An executor's application whose commands are answered by a function, so that tests say what happens."""

    def __init__(self, handler: Handler, *, kubernetes: Application | None = None) -> None:
        self._handler = handler
        self._kubernetes = kubernetes
        self.requests: list[Mapping[str, Any]] = []
        """Every command's request, in order of arrival."""
        self.headers: list[Mapping[bytes, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of the control plane."""
        if scope["path"].startswith("/k8s") and self._kubernetes:
            await self._kubernetes(scope, receive, send)
            return
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message["more_body"]:
                break
        request = json.loads(body)
        self.requests.append(request)
        self.headers.append(dict(scope["headers"]))

        async def emit(record: bytes) -> None:
            await send({"type": "http.response.body", "body": record, "more_body": True})

        await send({"type": "http.response.start", "status": 200, "headers": []})
        status = await self._handler(request, emit)
        if status is not None:
            await emit(records.encode(records.STATUS, json.dumps(status).encode()))
            await send({"type": "http.response.body", "body": b""})


@dataclass
class RunningFleet:
    """What a test talks to."""

    serving: api.Serving
    http: httpx.AsyncClient
    """With the administrator's key."""
    tasks: TaskGroup
    sessions: dict[str, Session] = field(default_factory=dict)
    dialled: list[Session] = field(default_factory=list)
    """Every session, so that all are closed at the end."""

    @property
    def url(self) -> str:
        """The API's address."""
        return f"http://127.0.0.1:{self.serving.port}"

    async def dial(
        self, cluster: str, token: str, app: Application, *, url: str = "", long_poll: bool = False, **info: Any
    ) -> Session:
        """Connect an executor, at *url* where something stands in between.

        The newest session of a cluster is kept in ``sessions``.
        """
        headers, url = {"Authorization": f"Bearer {token}", "X-Kubently-Cluster": cluster}, url or self.url
        link: _Link
        if long_poll:
            link = await poll_client.dial(url, headers=headers, ssl=None, timeout=5, tasks=self.tasks)
        else:
            tunnel = url.replace("http", "ws") + websocket.PATH
            link = await websocket.dial(tunnel, headers=headers, ssl=None, timeout=5)
        server = AsgiServer(app, self.tasks)
        told = {"version": "test", "instance": f"{cluster}-1", **info}
        session = Session(wire.Role.EXECUTOR, link, clock=time.monotonic, info=told, on_request=server.serve)
        link.attach(session)
        session.flush()
        self.sessions[cluster] = session
        self.dialled.append(session)
        return session

    async def add(self, cluster: str, app: Application, **info: Any) -> Session:
        """Make a token for a new cluster, connect it and wait for it; *info* as in `dial`."""
        token = await self.serving.services.tokens.create(ClusterId(cluster))
        session = await self.dial(cluster, token, app, **info)
        await self.wait_for(lambda: self.state(cluster) is ClusterState.CONNECTED)
        return session

    def state(self, cluster: str) -> ClusterState:
        """What the fleet says of a cluster."""
        return self.serving.services.fleet.describe(ClusterId(cluster)).state

    async def wait_for(self, check: Callable[[], bool], timeout: float = 5) -> None:
        """Let the loop turn until *check* holds. Raises TimeoutError."""
        with anyio.fail_after(timeout):
            while not check():  # noqa: ASYNC110  # a test's patience
                await anyio.sleep(0.005)


@contextlib.asynccontextmanager
async def run_fleet(folder: Path, *, store: Store | None = None, **settings: Any) -> AsyncIterator[RunningFleet]:
    """Serve a control plane with a SQLite store in *folder*, or with *store*, which several may share.

    *settings* replace those of ApiSettings.
    """
    values = {
        "listen": ("127.0.0.1", 0),
        "store_url": f"sqlite://{folder}/store.db",
        "admin_key": ADMIN_KEY,
        **settings,
    }
    async with (
        api.serve(ApiSettings(**values), drain_grace=0.2, store=store) as serving,
        anyio.create_task_group() as tasks,
    ):
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        url = f"http://127.0.0.1:{serving.port}"
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30, trust_env=False) as http:
            fleet = RunningFleet(serving, http, tasks)
            try:
                yield fleet
            finally:
                for session in fleet.dialled:
                    session.close("the test ends")
        tasks.cancel_scope.cancel()
