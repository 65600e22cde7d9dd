"""The executor's end of the long-poll transport (see ``polling``): one task sends, one asks for what comes.

A request whose answer is lost is sent again under its number until it is answered, or until the patience of
`RETRY_FOR` is over. Where answers that are kept back are cut, they are kept back for half as long.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import ssl as tls
from collections import deque
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import anyio
from anyio.abc import TaskGroup

from kubently.errors import KubentlyError, RemoteProtocolError, TunnelClosedError
from kubently.trust.proxies import Proxy
from kubently.tunnel.link import LinkHandler
from kubently.tunnel.transports import http, polling
from kubently.tunnel.transports.opening import Road
from kubently.tunnel.transports.websocket import UpgradeRefusedError

RETRY_FOR = 20.0
"""Seconds for which a request is sent again and again before the session is given up."""
FIRST_DELAY, MAX_DELAY = 0.1, 2.0
"""Seconds between two attempts, doubling, with jitter."""
MIN_HOLD = 1.0
CLOSE_TIMEOUT = 2.0

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses of something on the way that may be over in a moment."""


class _PollClientLink:
    """A ``Link``."""

    def __init__(self, up: _Asker, down: _Asker, tasks: TaskGroup, *, hold: float) -> None:
        self._up, self._down = up, down
        self._tasks = tasks
        self._hold = hold
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._pending = b""
        """What was sent under the number `_sent` and is not answered yet."""
        self._sent = 0
        self._wake = asyncio.Event()
        self._handler: LinkHandler | None = None
        self._scope = anyio.CancelScope()
        self._over = ""
        """Why it was closed here, where it was."""
        self._lost_by = ""
        self.was_cut = False
        """Whether it was lost on the way, and neither end closed it."""

    @property
    def is_writable(self) -> bool:
        """Whether less than a batch waits."""
        return not self._over and self._queued_bytes < polling.BATCH

    def send(self, message: bytes) -> None:
        """Queue for the next request."""
        if not self._over:
            self._queue.append(message)
            self._queued_bytes += len(message)
            self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Send what waits, tell the API, and end."""
        if not self._over:
            self._over = reason or "closed here"
            self._scope.cancel()

    def peer_certificate(self) -> bytes:
        """The certificate (DER) that the server showed; empty without TLS or a connection."""
        return self._up.peer_certificate()

    def attach(self, handler: LinkHandler) -> None:
        """Set who is called and begin."""
        self._handler = handler
        self._tasks.start_soon(self._run)

    # ------------------------------------------------------------------ tasks

    async def _run(self) -> None:
        reason = "closed here"
        try:
            with self._scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._send_until_lost, tasks)
                    reason = await self._receive()
                    tasks.cancel_scope.cancel()
        finally:
            if self._over:
                await self._leave()
            self._up.close()
            self._down.close()
            self._over = self._over or self._lost_by or reason
            assert self._handler is not None
            self._handler.lost(self._over)

    async def _leave(self) -> None:
        """Send what waits, which may be the end of answers, and say goodbye."""
        with anyio.move_on_after(CLOSE_TIMEOUT, shield=True), contextlib.suppress(OSError, KubentlyError):
            await self._send_queue()
            await self._up.ask(polling.CLOSE_PATH, self._sent, dict)

    async def _receive(self) -> str:
        """Ask for batch after batch; gives why it ended."""
        assert self._handler is not None
        number = 1
        while True:
            try:
                answer = await self._down.ask(
                    polling.DOWN_PATH,
                    number,
                    lambda: {polling.HOLD: f"{self._hold:g}"},
                    hold=lambda: self._hold,
                    on_cut=self._hold_less,
                )
                frames = polling.unpack(answer.body) if answer.status == 200 else []
            except (OSError, KubentlyError) as error:
                return self._failed(error)
            for frame in frames:
                self._handler.received(frame)
            number += bool(frames)

    async def _send_until_lost(self, tasks: TaskGroup) -> None:
        try:
            while True:
                await self._send_queue()
                self._wake.clear()
                await self._wake.wait()
        except (OSError, KubentlyError) as error:
            self._lost_by = self._failed(error)
            tasks.cancel_scope.cancel()

    async def _send_queue(self) -> None:
        assert self._handler is not None
        while self._pending or self._queue:
            if not self._pending:
                self._pending = self._take()
                self._sent += 1
            # Kept until it is answered: who is cancelled here sends it again under the same number.
            await self._up.ask(polling.UP_PATH, self._sent, dict, body=self._pending)
            self._pending = b""
            if not self._over:
                self._handler.writable()

    def _take(self) -> bytes:
        frames, size = [], 0
        while self._queue and size < polling.BATCH:
            frames.append(self._queue.popleft())
            size += len(frames[-1])
        self._queued_bytes -= size
        return polling.pack(frames)

    def _hold_less(self) -> None:
        self._hold = max(MIN_HOLD, self._hold / 2)

    def _failed(self, error: OSError | KubentlyError) -> str:
        self.was_cut = isinstance(error, OSError)
        return str(error) or type(error).__name__


class _Asker:
    """Asks the API over one connection, again and again where answers are lost on the way."""

    def __init__(self, client: http.Client, prefix: str, headers: Mapping[str, str], timeout: float) -> None:
        self._client = client
        self._prefix = prefix
        self._headers = headers
        self._timeout = timeout

    def peer_certificate(self) -> bytes:
        """What the connection that stands was shown."""
        return self._client.peer_certificate()

    async def ask(
        self,
        path: str,
        number: int,
        more: Callable[[], Mapping[str, str]],
        *,
        body: bytes = b"",
        hold: Callable[[], float] = lambda: 0.0,
        on_cut: Callable[[], None] = lambda: None,
    ) -> http.Answer:
        """One answer of the API. Raises TunnelClosedError when it says no, and how the last attempt failed."""
        clock = asyncio.get_running_loop().time
        began, delay = clock(), FIRST_DELAY
        while True:
            asked = clock()
            error: OSError | KubentlyError
            try:
                headers = {**self._headers, polling.SEQUENCE: str(number), **more()}
                answer = await self._post(path, headers, body, self._timeout + hold())
                if answer.status in (200, 204):
                    return answer
                error = refusal(answer)
                if answer.status not in _PASSING or _is_ours(answer):
                    raise TunnelClosedError(_told(answer) or str(error)) from error
            except OSError as failure:
                error = failure
            if clock() - asked >= MIN_HOLD:
                on_cut()  # it was kept back, and then lost
            if clock() - began > RETRY_FOR + hold():
                raise error
            await anyio.sleep(delay * random.uniform(0.5, 1))
            delay = min(MAX_DELAY, delay * 2)

    async def _post(self, path: str, headers: Mapping[str, str], body: bytes, timeout: float) -> http.Answer:
        return await self._client.post(self._prefix + path, headers, body, timeout=timeout, limit=polling.MAX_BODY)

    def close(self) -> None:
        self._client.close()


async def dial(
    url: str,
    *,
    headers: Mapping[str, str],
    ssl: tls.SSLContext | None,
    timeout: float,
    tasks: TaskGroup,
    server_hostname: str | None = None,
    proxy: Proxy | None = None,
    hold: float = polling.DEFAULT_HOLD,
    on_connected: Callable[[], None] = lambda: None,
) -> _PollClientLink:
    """Begin a session at the API *url* and return its link; the caller attaches a handler and closes it.

    Its two tasks run in *tasks*. *timeout* bounds each stage, as for WebSocket; *hold* is for how long the API may keep
    an empty answer back, in seconds. Raises UpgradeRefusedError (whatever the API or something else answered),
    TunnelClosedError, ProxyError, OSError or TimeoutError.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host = parts.hostname or ""
    name = (server_hostname or host) if secure else None
    port = parts.port or (443 if secure else 80)
    road = Road(host, port, ssl if secure else None, name, timeout, proxy, ssl)
    first = http.Client(road, parts.netloc)
    try:
        await first.connect()
        on_connected()
        prefix = parts.path.rstrip("/")
        answer = await first.post(prefix + polling.OPEN_PATH, headers, b"", timeout=timeout)
        session = _session_of(answer)
    except BaseException:
        first.close()
        raise
    named = {**headers, polling.SESSION: session}
    up, down = (_Asker(client, prefix, named, timeout) for client in (first, http.Client(road, parts.netloc)))
    return _PollClientLink(up, down, tasks, hold=min(hold, polling.MAX_HOLD))


def _session_of(answer: http.Answer) -> str:
    if answer.status != 200:
        raise refusal(answer)
    try:
        session = json.loads(answer.body)["session"]
    except (ValueError, KeyError, TypeError):
        raise refusal(answer) from None
    if not isinstance(session, str) or not (session.isascii() and session.isprintable() and 16 <= len(session) <= 200):
        raise RemoteProtocolError("the API's name for a long-poll session cannot be used")
    return session


def refusal(answer: http.Answer) -> UpgradeRefusedError:
    """What came in place of a session or a batch."""
    return UpgradeRefusedError(answer.status, answer.headers, answer.body)


def _is_ours(answer: http.Answer) -> bool:
    return "application/problem+json" in answer.headers.get("content-type", "")


def _told(answer: http.Answer) -> str:
    try:
        return str(json.loads(answer.body)["detail"])[:500] if _is_ours(answer) else ""
    except (ValueError, KeyError, TypeError):
        return ""
