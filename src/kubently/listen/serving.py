"""A listener of this process's own event loop, by uvicorn's server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import anyio
import uvicorn
from uvicorn.server import ServerState

from kubently.errors import ConfigError
from kubently.listen.http import HandingProtocol, HttpProtocol, WebSocketProtocol

log = logging.getLogger(__name__)

_FALSE_ALARMS = frozenset(
    {
        # A WebSocket that was refused with an HTTP response, which is how we refuse.
        "ASGI callable returned without completing handshake.",
        # An answer that cannot be completed, whose connection is closed so that the client notices; logged by the edge.
        "ASGI callable returned without completing response.",
        # At the end, of kept connections that nobody uses.
        "Cancel 0 running task(s), timeout graceful shutdown exceeded",
    }
)


class _NoFalseAlarm(logging.Filter):
    """Drops what uvicorn says of things that we do on purpose."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep all other sentences."""
        return record.getMessage() not in _FALSE_ALARMS


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
    tls: ssl.SSLContext | None = None,
    date_header: bool = True,
    grace: int = 5,
    hands_over: bool = False,
) -> AsyncIterator[int]:
    """Serve *app* on *address* while the block runs and give the port (useful when it was 0).

    With TLS by *cert* and *key*, or by a context that its maker may change meanwhile. With *hands_over* the application
    may `take` the connections of WebSockets, and must, where `can_be_taken` says that it can.

    On leaving, open requests get *grace* seconds. Raises ConfigError when the address cannot be bound.
    """
    listener = _bind(address)
    config = uvicorn.Config(
        app,
        ssl_certfile=cert,
        ssl_keyfile=key,
        ssl_context_factory=(lambda *_: tls) if tls else None,
        http=HandingProtocol if hands_over and seam_holds() else HttpProtocol,
        ws=WebSocketProtocol,
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
    )
    if config.is_ssl:
        _load_certificate(config, listener)
    server = _Server(config)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            while not server.started:  # noqa: ASYNC110  # uvicorn sets a flag, not an event
                await anyio.sleep(0.005)
            try:
                yield listener.getsockname()[1]
            finally:
                server.should_exit = True
    finally:
        # The server has closed these itself, unless the block failed or was cancelled.
        for each in getattr(server, "servers", ()):
            each.close()
        listener.close()


class _Trial(HandingProtocol):
    """Notes the opening that it would begin."""

    begun = b""

    def open(self, early: bytes) -> None:
        self.begun = b" ".join((self.scope["method"].encode(), self.url, dict(self.headers)[b"host"], early))


def seam_holds() -> bool:
    """Whether this uvicorn is one whose connections can be taken: what is used of it is no promise of it.

    Where not, a warning says so and WebSockets are served as ASGI knows them.
    """
    trial = _Trial(uvicorn.Config(_no_application, log_config=None, lifespan="off", factory=False), ServerState(), {})
    try:
        trial.connection_made(cast("asyncio.Transport", _NoTransport()))
        trial.data_received(b"GET /x HTTP/1.1\r\nhost: y\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nz")
        begun = trial.begun if trial in trial.connections and trial.tasks == set() and trial.loop else b""
        trial.connection_lost(None)
    except Exception as error:
        log.warning("connections cannot be taken over from this uvicorn", exc_info=error)
        return False
    if begun != b"GET /x y z" or trial.parser is not None:
        log.warning("connections cannot be taken over from this uvicorn", extra={"version": uvicorn.__version__})
        return False
    return True


async def _no_application(scope: Any, receive: Any, send: Any) -> None:
    """Of the trial."""


class _NoTransport(asyncio.Transport):
    """Of the trial."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def close(self) -> None:
        pass


def _load_certificate(config: uvicorn.Config, listener: socket.socket) -> None:
    try:
        config.load()
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        listener.close()
        reason = error.reason if isinstance(error, ssl.SSLError) and error.reason else error
        raise ConfigError(
            f"the TLS certificate {config.ssl_certfile} with the key {config.ssl_keyfile} cannot be used: {reason}",
            hint="both must be PEM, readable, and belong together",
        ) from error


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
