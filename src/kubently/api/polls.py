"""Where executors arrive that get no WebSocket through: long-poll under ``/executor/v1/tunnel/``.

Each request shows the same credential as a WebSocket would, and is checked like one; a session belongs to the cluster
and the credential that began it.
"""

from __future__ import annotations

from kubently.api import connect, requests
from kubently.api.services import Services
from kubently.auth import Admitted
from kubently.errors import InvalidRequestError, KubentlyError, UpgradeStrippedError
from kubently.schema import Transport
from kubently.tunnel import Receive, Scope, Send, read_body
from kubently.tunnel.transports import polling
from kubently.tunnel.transports.websocket import PATH, UPGRADE_HEADER

_ACTIONS = {polling.UP_PATH: "up", polling.DOWN_PATH: "down", polling.CLOSE_PATH: "close"}
PATHS = frozenset({polling.OPEN_PATH, *_ACTIONS})

_HEADERS = (
    (b"content-type", b"application/octet-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)
_MAX_SEQUENCE = 2**63


def check_upgrade(scope: Scope) -> None:
    """Raise UpgradeStrippedError for a request that was meant to become a WebSocket and did not arrive as one."""
    if scope["path"] == PATH and requests.header(scope, UPGRADE_HEADER.lower().encode()) == "websocket":
        arrived = ", ".join(f"{name}: {requests.header(scope, name.encode())[:60]!r}" for name in _UPGRADING)
        raise UpgradeStrippedError(
            f"a WebSocket was asked for, and what arrived is HTTP/{scope['http_version']} with {arrived}",
            hint="something between the executor and the API does not pass WebSocket upgrades on",
        )


_UPGRADING = ("connection", "upgrade")


async def serve(scope: Scope, receive: Receive, send: Send, services: Services) -> None:
    """Answer one request of a long-poll session. Raises KubentlyError."""
    if scope["method"] != "POST":
        raise InvalidRequestError(f"{scope['path']} takes POST only", hint="executors use it by themselves")
    if scope["path"] == polling.OPEN_PATH:
        await _open(scope, send, services)
        return
    poll = polling.Poll(
        _ACTIONS[scope["path"]],
        requests.header(scope, polling.SESSION.lower().encode()),
        _owner(await _admit(scope, services)),
        int(_number(scope, polling.SEQUENCE, most=_MAX_SEQUENCE)),
        min(polling.MAX_HOLD, _number(scope, polling.HOLD, most=600)) if scope["path"] == polling.DOWN_PATH else 0.0,
        b"" if scope["path"] == polling.DOWN_PATH else await read_body(receive, limit=polling.MAX_BODY),
    )
    peers = services.fleet.peers
    place = services.polls.place(poll.session) if peers else ""
    answer = await peers.poll(place, poll) if peers and place else await services.polls.answer(poll)
    await _send(send, 200 if answer else 204, answer)


async def _open(scope: Scope, send: Send, services: Services) -> None:
    services.fleet.require_open()
    admitted = await _admit(scope, services)
    services.limits.let_in()
    services.metrics.accepts.labels(result="ok").inc()
    name, link = services.polls.open(_owner(admitted))
    link.handler = services.fleet.accept(
        admitted, link, transport=Transport.LONG_POLL, view=connect.view_of(scope, services)
    )
    await requests.send_json(send, 200, {"session": name}, headers={"x-accel-buffering": "no"})


async def _admit(scope: Scope, services: Services) -> Admitted:
    try:
        return await connect.admit(scope, services)
    except KubentlyError as error:
        await connect.note_refusal(scope, services, error)
        raise


def _owner(admitted: Admitted) -> str:
    return f"{admitted.cluster} {admitted.credential}"


def _number(scope: Scope, name: str, *, most: float) -> float:
    text = requests.header(scope, name.lower().encode())
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise InvalidRequestError(f"{name} is no number that can be used: {text[:40]!r}", hint="update the executor")
    return value


async def _send(send: Send, status: int, body: bytes) -> None:
    headers = [*_HEADERS, *([(b"content-length", str(len(body)).encode())] if status == 200 else [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
