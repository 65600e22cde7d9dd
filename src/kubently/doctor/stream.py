"""The real tunnel: dialled as the executor dials it, with a session that says that it is a probe.

The API sends random bytes and gets them back; both ends compare digests. Its counterpart is ``fleet.probes``.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from urllib.parse import urlsplit

import anyio

from kubently import __version__, trust, wire
from kubently.doctor.results import Result, error, passed, skipped
from kubently.doctor.subject import Subject
from kubently.errors import KubentlyError, TunnelError
from kubently.trust import proxies
from kubently.tunnel import Session, Stream
from kubently.tunnel.transports import websocket

_LIMIT = 25.0
_MAX_SIZE = 4 * 1024 * 1024
_FIX = "look at the log of API and proxies at this time; executors may need KUBENTLY_TRANSPORT=long-poll"


def echo(subject: Subject) -> Result:
    """Whether a mebibyte comes and goes unchanged, and how fast."""
    if subject.certificate:
        return skipped("an executor with a certificate has to prove its key, which the doctor does not touch")
    if not subject.token or not subject.cluster:
        return skipped("needs an executor's token (--token-file) and --cluster")
    try:
        return anyio.run(_probe, subject)
    except (OSError, KubentlyError) as failure:
        return error("stream-broken", f"the tunnel did not stand: {failure}", _FIX)


async def _probe(subject: Subject) -> Result:
    parts = urlsplit(subject.url)
    secure = parts.scheme == "https"
    link = await websocket.dial(
        f"{'wss' if secure else 'ws'}://{parts.netloc}{parts.path.rstrip('/')}{websocket.PATH}",
        headers={
            "Authorization": f"Bearer {subject.token}",
            "X-Kubently-Cluster": subject.cluster,
            "User-Agent": f"kubently-doctor/{__version__}",
        },
        ssl=trust.Keeper(subject.trust).context() if secure else None,
        timeout=subject.timeout,
        server_hostname=subject.trust.server_name or None,
        proxy=proxies.choose(subject.trust.proxies, subject.url),
    )
    closed, reasons, came = anyio.Event(), [""], anyio.Event()
    streams: list[Stream] = []

    def on_closed(reason: str) -> None:
        reasons.append(reason)
        closed.set()
        came.set()

    def on_request(stream: Stream) -> None:
        streams.append(stream)
        came.set()

    session = Session(
        wire.Role.EXECUTOR,
        link,
        clock=time.monotonic,
        info={"version": __version__, "purpose": "probe"},
        on_request=on_request,
        on_closed=on_closed,
    )
    link.attach(session)
    session.flush()
    intact, size, seconds = False, 0, 0.0
    try:
        with anyio.move_on_after(_LIMIT):
            await came.wait()
            if streams:
                intact, size, seconds = await _send_back(streams[0])
            await closed.wait()
    except TunnelError as failure:
        reasons.append(failure.message)
    finally:
        session.close("the probe ended")
    if not intact or "the echo was intact" not in " ".join(reasons):
        return error("stream-broken", f"after {size} bytes: {reasons[-1] or 'no answer in time'}", _FIX, bytes=size)
    rate = size / max(seconds, 1e-6) / 1024 / 1024
    return passed(f"{size} bytes each way, {rate:.1f} MiB/s", bytes=size, mebibytesPerSecond=round(rate, 2))


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
