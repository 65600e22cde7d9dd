"""Serve an ASGI application on a listener of this process's own event loop, and notice clients that go away."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from anyio.abc import TaskGroup

from kubently.errors import ConfigError


class _NoFalseAlarm(logging.Filter):
    """Drops what uvicorn says of each WebSocket that was refused with an HTTP response, which is how we refuse."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep all but that one sentence."""
        return record.getMessage() != "ASGI callable returned without completing handshake."


_uvicorn_log = logging.getLogger("uvicorn.error")
_uvicorn_log.addFilter(_NoFalseAlarm())
# Below this level the server prints every header of a WebSocket upgrade, tokens included.
_uvicorn_log.setLevel(logging.WARNING)


class _Server(uvicorn.Server):
    """Signals belong to the program, not to each of its listeners."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def listen(
    app: Any,
    address: tuple[str, int],
    *,
    cert: Path | None = None,
    key: Path | None = None,
    date_header: bool = True,
    grace: int = 5,
) -> AsyncIterator[int]:
    """Serve *app* on *address* while the block runs and give the port (useful when it was 0).

    On leaving, open requests get *grace* seconds. Raises ConfigError when the address cannot be bound.
    """
    listener = _bind(address)
    config = uvicorn.Config(
        app,
        ssl_certfile=cert,
        ssl_keyfile=key,
        http="httptools",
        ws="websockets-sansio",
        ws_ping_interval=None,
        ws_ping_timeout=None,
        ws_per_message_deflate=False,
        ws_max_size=128 * 1024,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=date_header,
        proxy_headers=False,
        timeout_graceful_shutdown=grace,
        timeout_keep_alive=75,
        h11_max_incomplete_event_size=64 * 1024,
    )
    if config.is_ssl:
        config.load()
    server = _Server(config)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [listener])
        while not server.started:  # noqa: ASYNC110  # uvicorn sets a flag, not an event
            await anyio.sleep(0.005)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True


@contextlib.asynccontextmanager
async def while_connected(receive: Callable[[], Awaitable[Mapping[str, Any]]]) -> AsyncIterator[TaskGroup]:
    """Cancel the block when the HTTP client goes away. The request's body must have been read, or be empty."""

    async def watch(scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, tasks.cancel_scope)
            yield tasks
            tasks.cancel_scope.cancel()
    except ExceptionGroup as group:
        # The block's own error, which callers catch by its class, comes wrapped by the task group.
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise


def _bind(address: tuple[str, int]) -> socket.socket:
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"{host}:{port} cannot be listened on: {error.strerror}", hint="stop what uses it, or take another port"
        ) from error
    listener.listen(2048)
    listener.setblocking(False)
    return listener
