"""Tells others of news: each URL gets every event, in order, signed, and again until it takes it.

The body is a CloudEvent (1.0, structured JSON), the signature that of Standard Webhooks: an HMAC-SHA256 over id, time
and body. Each URL has a queue of its own, so that one that is away holds nobody up. What waits is in memory: a process
that dies takes it along, while the history keeps what happened.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import logging
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx

from kubently.continuous.history import Event
from kubently.errors import ConfigError
from kubently.schema import Severity

log = logging.getLogger(__name__)

QUEUE = 1000
"""Events that wait for one URL; beyond it the oldest is dropped, and counted."""
TIMEOUT = 10.0
"""Seconds for one delivery."""
RETRY_FIRST, RETRY_LAST = 1.0, 60.0
"""Seconds between two attempts: doubled each time."""
GIVE_UP = 3600.0
"""Seconds after which an event that was not taken is dropped."""

_AGAIN = frozenset({408, 425, 429})
"""Of the refusals (4xx) those after which asking again makes sense."""


@dataclass(slots=True)
class Progress:
    """How a URL fares."""

    delivered: int = 0
    failures: int = 0
    """Attempts that failed."""
    dropped: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Waiting:
    id: str
    body: bytes
    since: float


class Webhook:
    """One URL while `run` runs. ``key`` signs; ``clock`` gives monotonic seconds, ``now`` the wall clock."""

    def __init__(
        self,
        url: str,
        key: bytes,
        make_context: Callable[[], ssl.SSLContext],
        *,
        clock: Callable[[], float],
        now: Callable[[], datetime],
        retry: tuple[float, float] = (RETRY_FIRST, RETRY_LAST),
    ) -> None:
        self._url = url
        self._key = key
        self._make_context = make_context
        self._clock = clock
        self._now = now
        self._retry = retry
        self._queue: deque[_Waiting] = deque()
        self._more = anyio.Event()
        self.name = urlsplit(url).hostname or ""
        """Its host: a URL's path is often a secret."""
        self.progress = Progress()

    def tell(self, event: Event) -> None:
        """Queue an event."""
        if len(self._queue) >= QUEUE:
            self._queue.popleft()
            self.progress.dropped += 1
        document = to_cloud_event(event)
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        self._queue.append(_Waiting(document["id"], body, self._clock()))
        self._more.set()

    async def run(self) -> None:
        """Deliver for ever."""
        pause = self._retry[0]
        while True:
            self._more = anyio.Event()
            if not self._queue:
                await self._more.wait()
            waiting = self._queue[0]
            problem, is_final = await self._attempt(waiting)
            if not problem:
                self.progress.delivered += 1
            else:
                self._note(problem)
                if not is_final and self._clock() - waiting.since < GIVE_UP:
                    await anyio.sleep(pause)
                    pause = min(2 * pause, self._retry[1])
                    continue
                self.progress.dropped += 1
            pause = self._retry[0]
            self._done(waiting, problem)

    async def _attempt(self, waiting: _Waiting) -> tuple[str, bool]:
        """Try once; what went wrong, if anything, and whether trying again is of no use."""
        at = int(self._now().timestamp())
        headers = {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            "User-Agent": "kubently",
            "webhook-id": waiting.id,
            "webhook-timestamp": str(at),
            "webhook-signature": sign(self._key, waiting.id, at, waiting.body),
        }
        try:
            with anyio.fail_after(TIMEOUT):
                context = await anyio.to_thread.run_sync(self._make_context)
                async with (
                    httpx.AsyncClient(verify=context, follow_redirects=False, trust_env=False, timeout=TIMEOUT) as http,
                    http.stream("POST", self._url, content=waiting.body, headers=headers) as response,
                ):
                    status = response.status_code
        except (httpx.HTTPError, OSError, TimeoutError, ConfigError) as error:
            return type(error).__name__, False
        if 200 <= status < 300:
            return "", True
        return f"it answered {status}", 300 <= status < 500 and status not in _AGAIN

    def _note(self, problem: str) -> None:
        self.progress.failures += 1
        if not self.progress.problem:
            log.warning("a webhook does not take events", extra={"target": self.name, "reason": problem})
        self.progress.problem = problem

    def _done(self, waiting: _Waiting, problem: str) -> None:
        if not problem and self.progress.problem:
            log.info("a webhook takes events again", extra={"target": self.name})
            self.progress.problem = ""
        # A full queue may have dropped it meanwhile.
        if self._queue and self._queue[0] is waiting:
            self._queue.popleft()


def sign(key: bytes, message_id: str, at: int, body: bytes) -> str:
    """The value of webhook-signature."""
    digest = hmac.digest(key, f"{message_id}.{at}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


def read_key(secret: str) -> bytes:
    """The key of a secret in the form whsec_BASE64. Raises ConfigError."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not 24 <= len(key) <= 64:
        raise ConfigError(
            "KUBENTLY_FINDINGS_WEBHOOK_SECRET is no key of 24 to 64 bytes",
            hint='make one: echo "whsec_$(openssl rand -base64 32)"',
        )
    return key


def to_cloud_event(event: Event) -> dict[str, Any]:
    """The event as others read it. Its id is the same whenever it is told."""
    record = event.record
    at = event.at.isoformat()
    name = f"{record.cluster}/{record.id}/{event.news.value}/{at}"
    data = record.model_dump(mode="json", exclude_none=True)
    if event.before is not None:
        data["severity_before"] = Severity(event.before).value
    return {
        "specversion": "1.0",
        "id": hashlib.sha256(name.encode()).hexdigest()[:32],
        "source": f"/kubently/clusters/{record.cluster}",
        "type": f"io.kubently.finding.{event.news.value}.v1",
        "subject": record.id,
        "time": at,
        "datacontenttype": "application/json",
        "data": data,
    }


def tell_all(webhooks: Sequence[Webhook], events: Sequence[Event]) -> None:
    """Queue *events* for all of them."""
    for webhook in webhooks:
        for event in events:
            webhook.tell(event)
