"""The only API server that a kubectl child can reach: this executor's own, on loopback with TLS.

Each command gets a token of its own that ends with it. Every request of the child is decided by the policy here, so no
template, flag or plugin gets around it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from kubently import tracing, trust
from kubently.executor.caller import Caller
from kubently.executor.kubeapi import KubeApi
from kubently.listen import listen, while_connected
from kubently.tunnel import Message, Receive, Scope, Send

_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Door:
    """What a child needs to reach the proxy."""

    kubeconfig: bytes
    port: int


class Proxy:
    """An ASGI application behind per-command tokens."""

    def __init__(self, kube_api: KubeApi) -> None:
        self._kube_api = kube_api
        self._callers: dict[bytes, Caller] = {}
        """By digest of their token, so that looking one up takes the same time whatever was guessed."""
        self._ca = b""
        self.port = 0

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Listen while the block runs, with a certificate made for this run."""
        authority = trust.make_authority("kubently executor")
        self._ca = authority.cert
        async with contextlib.AsyncExitStack() as stack:
            # The files are read when it begins to listen, and gone before anything is served.
            with tempfile.TemporaryDirectory(prefix="kubently-proxy-") as folder:
                cert, key = Path(folder, "tls.crt"), Path(folder, "tls.key")
                trust.issue(authority, [_HOST]).write(cert, key)
                server = listen(self, (_HOST, 0), cert=cert, key=key, date_header=False, grace=1)
                self.port = await stack.enter_async_context(server)
            yield

    @contextlib.contextmanager
    def door(self, caller: Caller) -> Iterator[Door]:
        """Let a child act for *caller* while the block runs."""
        token = secrets.token_urlsafe(32)
        digest = _digest(token.encode())
        self._callers[digest] = caller
        try:
            yield Door(self._kubeconfig(token), self.port)
        finally:
            del self._callers[digest]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of a child."""
        if scope["type"] != "http":
            # A WebSocket that is closed before it was accepted is answered with 403; kubectl then asks without one.
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        token = next((v for n, v in scope["headers"] if n == b"authorization"), b"").removeprefix(b"Bearer ")
        caller = self._callers.get(_digest(token))
        if caller is None:
            await send(_start(401))
            await send({"type": "http.response.body", "body": b""})
            return
        with while_connected(scope), tracing.Span("kubectl", parent=caller.trace):
            await self._kube_api.serve(scope, receive, send, path=scope["raw_path"], caller=caller)

    def _kubeconfig(self, token: str) -> bytes:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "kubently",
            "clusters": [
                {
                    "name": "kubently",
                    "cluster": {
                        "server": f"https://{_HOST}:{self.port}",
                        "certificate-authority-data": base64.b64encode(self._ca).decode(),
                    },
                }
            ],
            "users": [{"name": "kubently", "user": {"token": token}}],
            "contexts": [{"name": "kubently", "context": {"cluster": "kubently", "user": "kubently"}}],
        }
        return json.dumps(config).encode()


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _start(status: int) -> Message:
    return {"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]}
