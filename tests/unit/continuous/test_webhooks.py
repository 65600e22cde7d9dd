"""Webhooks against a real HTTP server on loopback."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from kubently.continuous import webhooks
from kubently.continuous.history import Event, News
from kubently.errors import ConfigError
from kubently.listen import listen
from kubently.schema import FindingRecord, ResourceRef, Severity
from kubently.tunnel import Receive, Scope, Send

pytestmark = pytest.mark.anyio
KEY = b"k" * 32
AT = datetime(2026, 3, 2, 10, tzinfo=UTC)


@dataclass
class Receiver:
    """Answers with the codes it is given, then with 204, and keeps what came."""

    codes: list[int] = field(default_factory=list)
    got: list[tuple[Mapping[bytes, bytes], bytes]] = field(default_factory=list)
    news: anyio.Event = field(default_factory=anyio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        self.got.append((dict(scope["headers"]), body))
        code = self.codes.pop(0) if self.codes else 204
        headers = [(b"location", b"http://127.0.0.1:1/elsewhere")] if code == 302 else []
        await send({"type": "http.response.start", "status": code, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        news, self.news = self.news, anyio.Event()
        news.set()


@contextlib.asynccontextmanager
async def delivering(receiver: Receiver) -> AsyncIterator[webhooks.Webhook]:
    async with listen(receiver, ("127.0.0.1", 0)) as port, anyio.create_task_group() as tasks:
        webhook = webhooks.Webhook(
            f"http://127.0.0.1:{port}/hook?token=secret",
            KEY,
            ssl.create_default_context,
            clock=time.monotonic,
            now=lambda: AT,
            retry=(0.001, 0.01),
        )
        tasks.start_soon(webhook.run)
        with anyio.fail_after(10):
            yield webhook
        tasks.cancel_scope.cancel()


async def settled(webhook: webhooks.Webhook, events: int) -> None:
    """Wait until so many events were delivered or dropped."""
    with anyio.fail_after(10):
        while webhook.progress.delivered + webhook.progress.dropped < events:
            await anyio.sleep(0.005)


def event(news: News = News.FOUND, **more: Any) -> Event:
    record = FindingRecord(
        cluster="prod",
        id="0123456789ab",
        code="pod/crash-loop",
        severity=Severity.OUTAGE,
        title="pod shop/web crashes",
        objects=(ResourceRef(kind="Pod", namespace="shop", name="web"),),
        first_seen=AT,
        began_at=AT,
        last_seen=AT,
    )
    return Event(news, record, AT, **more)


async def test_an_event_is_a_signed_cloud_event() -> None:
    receiver = Receiver()

    async with delivering(receiver) as webhook:
        webhook.tell(event(News.SEVERITY_CHANGED, before=Severity.RISK))
        await settled(webhook, 1)

    headers, body = receiver.got[0]
    told = json.loads(body)
    assert headers[b"content-type"].startswith(b"application/cloudevents+json")
    assert (told["specversion"], told["type"]) == ("1.0", "io.kubently.finding.severity-changed.v1")
    assert (told["data"]["code"], told["data"]["severity_before"]) == ("pod/crash-loop", "risk")
    assert headers[b"webhook-id"].decode() == told["id"]
    signed = b"%b.%b.%b" % (headers[b"webhook-id"], headers[b"webhook-timestamp"], body)
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest())
    assert headers[b"webhook-signature"] == b"v1," + expected


async def test_an_event_is_sent_again_with_the_same_id_until_it_is_taken_and_in_order() -> None:
    receiver = Receiver(codes=[503, 429])

    async with delivering(receiver) as webhook:
        webhook.tell(event())
        webhook.tell(event(News.RESOLVED))
        await settled(webhook, 2)

    ids = [headers[b"webhook-id"] for headers, _ in receiver.got]
    assert ids[0] == ids[1] == ids[2] != ids[3]
    assert (webhook.progress.delivered, webhook.progress.failures, webhook.progress.dropped) == (2, 2, 0)


@pytest.mark.parametrize("code", [302, 400, 410])
async def test_a_refusal_for_good_drops_the_event_and_redirects_are_not_followed(code: int) -> None:
    receiver = Receiver(codes=[code])

    async with delivering(receiver) as webhook:
        webhook.tell(event())
        webhook.tell(event(News.RESOLVED))
        await settled(webhook, 2)

    assert (webhook.progress.delivered, webhook.progress.dropped) == (1, 1)
    assert len(receiver.got) == 2


async def test_a_certificate_that_nobody_vouches_for_gets_nothing() -> None:
    receiver = Receiver()

    async with delivering(receiver) as plain, anyio.create_task_group() as tasks:
        port = plain._url.split(":")[2].split("/")[0]
        secure = webhooks.Webhook(
            f"https://127.0.0.1:{port}/",
            KEY,
            ssl.create_default_context,
            clock=time.monotonic,
            now=lambda: AT,
            retry=(0.001, 0.01),
        )
        secure.tell(event())
        tasks.start_soon(secure.run)
        while not secure.progress.failures:
            await anyio.sleep(0.005)
        tasks.cancel_scope.cancel()

    assert receiver.got == []
    assert secure.progress.delivered == 0


async def test_a_full_queue_drops_the_oldest_and_counts() -> None:
    webhook = webhooks.Webhook(
        "https://hooks.example/x", KEY, ssl.create_default_context, clock=time.monotonic, now=lambda: AT
    )

    for _ in range(webhooks.QUEUE + 3):
        webhook.tell(event())

    assert webhook.progress.dropped == 3


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "no base64!", "whsec_" + "QUFB" * 40])
def test_weak_keys_are_refused(secret: str) -> None:
    with pytest.raises(ConfigError):
        webhooks.read_key(secret)


def test_a_key_is_read_with_and_without_its_prefix() -> None:
    plain = base64.b64encode(KEY).decode()

    assert webhooks.read_key("whsec_" + plain) == webhooks.read_key(plain) == KEY
