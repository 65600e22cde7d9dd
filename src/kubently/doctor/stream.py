"""The real tunnel: dialled as the executor dials it, with sessions that say that they are probes.

One session for each question: does a mebibyte come and go unchanged, do small pieces arrive as they are sent, what does
the API see of us, and how long may it be silent. The counterpart is ``fleet.probes``.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import anyio
from anyio.abc import TaskGroup

from kubently import __version__, trust, wire
from kubently.doctor.results import Result, error, passed, skipped, warning
from kubently.doctor.subject import Subject
from kubently.errors import KubentlyError, TunnelError
from kubently.schema import ClusterId
from kubently.trust import identity, proxies
from kubently.tunnel import Session, Stream
from kubently.tunnel.transports import poll_client, websocket

_LIMIT = 25.0
_MAX_SIZE = 4 * 1024 * 1024
_FIX = "look at the log of API and proxies at this time; executors may need KUBENTLY_TRANSPORT=long-poll"
_APART = 0.5
"""Seconds that two pieces sent a second apart must at least be apart on arrival."""
_PING_LEAST = 6.0
"""Seconds of silence that executors can live with: they ping every five if they must."""


@dataclass
class _Probe:
    """A session that stands."""

    session: Session
    transport: str
    link: Any
    requests: list[Stream] = field(default_factory=list)
    reason: str = ""
    came: anyio.Event = field(default_factory=anyio.Event)
    closed: anyio.Event = field(default_factory=anyio.Event)

    async def request(self) -> Stream:
        """What the API asks. Raises TunnelError where it closes instead."""
        await self.came.wait()
        if not self.requests:
            raise TunnelError(self.reason or "the API asked nothing")
        return self.requests[0]


_GOODBYE = 0.05

_Look = Callable[[Subject, _Probe], Awaitable[Result]]


def _probing(purpose: str, look: _Look, subject: Subject) -> Result:
    if not subject.cluster or not (subject.token or subject.private_key):
        return skipped("needs an executor's token (--token-file) and --cluster, or the executor's own settings")
    try:
        return anyio.run(_run, purpose, look, subject)
    except (OSError, KubentlyError) as failure:
        return error("stream-broken", f"the tunnel did not stand: {failure or type(failure).__name__}", _FIX)


async def _run(purpose: str, look: _Look, subject: Subject) -> Result:
    async with anyio.create_task_group() as tasks:
        async with _dialled(purpose, subject, tasks) as probe:
            result = await look(subject, probe)
        tasks.cancel_scope.cancel()
    await anyio.sleep(_GOODBYE)  # connections end in turns of this loop, which ends now
    return result


@contextlib.asynccontextmanager
async def _dialled(purpose: str, subject: Subject, tasks: TaskGroup) -> AsyncIterator[_Probe]:
    link, transport = await _link(subject, tasks)

    def on_request(stream: Stream) -> None:
        probe.requests.append(stream)
        probe.came.set()

    def on_closed(reason: str) -> None:
        probe.reason = reason
        probe.came.set()
        probe.closed.set()

    session = Session(
        wire.Role.EXECUTOR,
        link,
        clock=time.monotonic,
        info={"version": __version__, "purpose": "probe", "probe": purpose, "hold": subject.hold},
        on_request=on_request,
        on_auth=lambda payload: _prove(subject, session, payload),
        on_closed=on_closed,
    )
    probe = _Probe(session, transport, link)
    link.attach(session)
    session.flush()
    try:
        yield probe
    finally:
        session.close("the probe ended")


async def _link(subject: Subject, tasks: TaskGroup) -> tuple[Any, str]:
    """By WebSocket, or by long-poll where that does not get through or is not wanted."""
    parts = urlsplit(subject.url)
    secure = parts.scheme == "https"
    proxy = proxies.choose(subject.trust.proxies, subject.url)
    common: dict[str, Any] = {
        "headers": {
            "Authorization": subject.certificate or f"Bearer {subject.token}",
            "X-Kubently-Cluster": subject.cluster,
            "User-Agent": f"kubently-doctor/{__version__}",
        },
        "ssl": trust.Keeper(subject.trust).context() if secure or (proxy and proxy.secure) else None,
        "timeout": subject.timeout,
        "server_hostname": subject.trust.server_name or None,
        "proxy": proxy,
    }
    wanted = subject.environ.get("KUBENTLY_TRANSPORT", "auto")
    scheme = "wss" if secure else "ws"
    if wanted != "long-poll":
        try:
            path = f"{parts.path.rstrip('/')}{websocket.PATH}"
            return await websocket.dial(f"{scheme}://{parts.netloc}{path}", **common), "websocket"
        except (OSError, KubentlyError):
            if wanted == "websocket":
                raise
    return await poll_client.dial(subject.url, tasks=tasks, **common), "long-poll"


def _prove(subject: Subject, session: Session, payload: bytes) -> None:
    words = identity.decode(payload)
    if words["kind"] == "challenge" and subject.private_key:
        challenge = identity.Challenge(identity.text(words, "nonce"), identity.text(words, "session"))
        key = identity.read_key(subject.private_key.encode())
        proof = identity.sign(key, challenge, ClusterId(subject.cluster), urlsplit(subject.url).netloc)
        session.send_auth(identity.encode("proof", host=proof.host, signature=proof.signature))


# ---------------------------------------------------------------------- echo


async def _echo(_: Subject, probe: _Probe) -> Result:
    intact, size, seconds = False, 0, 0.0
    with anyio.move_on_after(_LIMIT):
        with contextlib.suppress(TunnelError):  # the session's reason says it
            intact, size, seconds = await _send_back(await probe.request())
        await probe.closed.wait()
    if not intact or "the echo was intact" not in probe.reason:
        said = probe.reason or "no answer in time"
        return error("stream-broken", f"after {size} bytes over {probe.transport}: {said}", _FIX, bytes=size)
    rate = size / max(seconds, 1e-6) / 1024 / 1024
    detail = f"{size} bytes each way over {probe.transport}, {rate:.1f} MiB/s"
    return passed(detail, bytes=size, mebibytesPerSecond=round(rate, 2), transport=probe.transport)


async def _send_back(stream: Stream) -> tuple[bool, int, float]:
    """Whether what came is what was sent, its size, and the seconds that it took."""
    told = dict(stream.fields).get(b"x-probe-sha256", b"")
    digest, size, started = hashlib.sha256(), 0, time.monotonic()
    stream.respond([(b":status", b"200")])
    while (piece := await stream.read()) and size <= _MAX_SIZE:
        digest.update(piece)
        size += len(piece)
        await stream.write(piece)
    await stream.write(b"", end_stream=True)
    return hmac.compare_digest(digest.hexdigest().encode(), told), size, time.monotonic() - started


# ---------------------------------------------------------------------- what the API sees, and when it arrives


async def _view(probe: _Probe) -> tuple[Mapping[str, str], float]:
    """The API's words about this connection, and the seconds between their two pieces."""
    with anyio.fail_after(_LIMIT):
        stream = await probe.request()
        body = await stream.read()
        came = time.monotonic()
        while piece := await stream.read():
            body += piece
        apart = time.monotonic() - came
        stream.respond([(b":status", b"200")], end_stream=True)
    try:
        view = json.loads(body)
    except (ValueError, RecursionError):
        view = None
    found = view if isinstance(view, dict) else {}
    return {str(name)[:40]: str(value)[:200] for name, value in list(found.items())[:10]}, apart


async def _flow(subject: Subject, probe: _Probe) -> Result:
    apart = (await _view(probe))[1]
    detail = f"two pieces that were sent 1.0 s apart arrived {apart:.1f} s apart, over {probe.transport}"
    if apart >= _APART:
        return passed(detail, secondsApart=round(apart, 2))
    fix = "switch off response buffering on the way (nginx: proxy_buffering off)"
    return warning("stream-buffered", f"{detail}: something on the way holds answers back", fix)


async def _pair(subject: Subject, probe: _Probe) -> Result:
    view, _ = await _view(probe)
    by_proxy = "through a trusted proxy" if view.get("trusted_proxy") == "yes" else "directly, as far as it knows"
    seen = f"the API sees {view.get('client') or 'no address'}, {by_proxy}"
    der = probe.link.peer_certificate()
    shown, served = hashlib.sha256(der).hexdigest() if der else "", view.get("served", "")
    evidence = {"client": view.get("client", ""), "shown": shown, "served": served}
    if not shown:
        return passed(f"{seen}; this connection has no TLS here", **evidence)
    if not served:
        return passed(f"{seen}; TLS ends before the API, in a proxy or ingress", **evidence)
    if hmac.compare_digest(shown, served):
        return passed(f"{seen}; both ends agree on the certificate, so nothing in between ends TLS", **evidence)
    detail = f"{seen}; it serves another certificate ({served[:16]}…) than the one shown here ({shown[:16]}…)"
    fix = "expected where a proxy ends TLS and speaks TLS to the API; else something intercepts"
    return warning("tls-ended-between", detail, fix, **evidence)


# ---------------------------------------------------------------------- silence


async def _silence(subject: Subject, probe: _Probe) -> Result:
    began = time.monotonic()
    with anyio.move_on_after(subject.hold + 5):
        await probe.closed.wait()
    lasted = time.monotonic() - began
    if probe.reason == "held" or not probe.session.is_closed:
        return passed(f"nothing cut {subject.hold:g} s of silence over {probe.transport}", seconds=round(lasted, 1))
    by = "something on the way" if getattr(probe.link, "was_cut", False) else "the other end"
    detail = f"{by} cut after {lasted:.1f} s of silence over {probe.transport}: {probe.reason or 'no reason given'}"
    fix = "raise the idle time-out of proxies and firewalls above 60 s; the executor pings every 20 s and adapts"
    if lasted >= _PING_LEAST:
        return warning("stream-cut", detail, fix, seconds=round(lasted, 1))
    return error("stream-cut", detail, fix, seconds=round(lasted, 1))


def silence(subject: Subject) -> Result:
    """How long the tunnel may be silent."""
    if subject.hold <= 0:
        return skipped("--hold 0")
    return _probing("hold", _silence, subject)


echo = functools.partial(_probing, "echo", _echo)
"""Whether a mebibyte comes and goes unchanged, and how fast."""
flow = functools.partial(_probing, "view", _flow)
"""Whether small pieces arrive as they are sent."""
pair = functools.partial(_probing, "view", _pair)
"""What the API sees of this end, and whether both see one certificate."""
