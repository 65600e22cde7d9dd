"""The long-poll transport over real sockets: the same tunnel, through what loses, repeats, cuts and buffers."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from tests.integration.middlebox import Request, middlebox

from kubently import wire
from kubently.errors import TunnelClosedError, TunnelError
from kubently.schema import ClusterId, ClusterState
from kubently.testing import ScriptedExecutor, run_fleet
from kubently.testing.fleets import CALLER, RunningFleet
from kubently.tunnel import Session
from kubently.tunnel.transports import poll_client, polling
from kubently.tunnel.transports.poll_server import Polls
from kubently.tunnel.transports.websocket import PATH, UPGRADE_HEADER, UpgradeRefusedError
from kubently.wire import records

pytestmark = pytest.mark.anyio

GET = [(b":method", b"GET"), (b":path", b"/k8s/x")]
DONE = {"ending": "exited", "exit_code": 0, "seconds": 0.0}

Emit = Callable[[bytes], Awaitable[None]]


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[RunningFleet]:
    async with run_fleet(tmp_path) as running:
        yield running


async def echo(request: Mapping[str, Any], emit: Emit) -> Mapping[str, Any]:
    await emit(records.encode(records.STDOUT, " ".join(request["argv"]).encode()))
    return DONE


async def big(scope: Any, receive: Any, send: Any) -> None:
    """Ten MiB that differ from piece to piece."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for number in range(160):
        await send({"type": "http.response.body", "body": _piece(number), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _piece(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest() * 2048


async def digest_of(fleet: RunningFleet, cluster: str) -> str:
    stream, _ = await fleet.serving.services.fleet.open(ClusterId(cluster), GET, caller=CALLER, end_stream=True)
    await stream.head()
    found = hashlib.sha256()
    while chunk := await stream.read():
        found.update(chunk)
    return found.hexdigest()


EXPECTED = hashlib.sha256(b"".join(map(_piece, range(160)))).hexdigest()


async def say(fleet: RunningFleet, word: str) -> str:
    answer = await fleet.http.post("/api/v1/clusters/prod/commands", json={"argv": ["get", word]})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["stdout"])


@pytest.mark.parametrize("long_poll", [False, True], ids=["websocket", "long-poll"])
async def test_commands_at_once_are_answered_each_with_its_own(fleet: RunningFleet, long_poll: bool) -> None:
    await fleet.add("prod", ScriptedExecutor(echo), long_poll=long_poll)
    words = [f"w{number}" for number in range(20)]
    said: dict[str, str] = {}

    async def one(word: str) -> None:
        said[word] = await say(fleet, word)

    async with anyio.create_task_group() as tasks:
        for word in words:
            tasks.start_soon(one, word)

    assert said == {word: f"get {word}" for word in words}
    shown = (await fleet.http.get("/api/v1/clusters/prod")).json()["executors"][0]["sessions"]
    assert [session["transport"] for session in shown] == ["long-poll" if long_poll else "websocket"]


@pytest.mark.parametrize("long_poll", [False, True], ids=["websocket", "long-poll"])
async def test_ten_mebibytes_arrive_as_they_were_sent(fleet: RunningFleet, long_poll: bool) -> None:
    await fleet.add("prod", ScriptedExecutor(echo, kubernetes=big), long_poll=long_poll)

    assert await digest_of(fleet, "prod") == EXPECTED


def every_third(request: Request) -> bool:
    return request.path in (polling.UP_PATH, polling.DOWN_PATH) and request.count % 3 == 1


@pytest.mark.parametrize("fault", ["lose", "twice", "502"])
async def test_lost_repeated_and_refused_requests_change_nothing(fleet: RunningFleet, fault: str) -> None:
    """Each request is applied once, whatever happens to it or to its answer on the way."""
    executor = ScriptedExecutor(echo, kubernetes=big)
    async with middlebox(fleet.serving.port) as box:
        if fault == "502":
            refusal = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad"
            box.answer = lambda request: refusal if every_third(request) else None
        else:
            setattr(box, fault, every_third)
        session = await fleet.add("prod", executor, long_poll=True, url=box.url)

        said = [await say(fleet, f"w{number}") for number in range(10)]
        digest = await digest_of(fleet, "prod")

        assert not session.is_closed
    assert said == [f"get w{number}" for number in range(10)]
    assert len(executor.requests) == 10
    assert digest == EXPECTED


async def test_answers_that_are_kept_back_too_long_for_a_proxy_are_kept_back_less(fleet: RunningFleet) -> None:
    async with middlebox(fleet.serving.port, cut_after=2.0) as box:
        session = await fleet.add("prod", ScriptedExecutor(echo), long_poll=True, url=box.url)
        link = session._link
        with anyio.fail_after(30):
            while link._hold > 1.5:  # type: ignore[attr-defined]  # what is asked for on the wire
                await anyio.sleep(0.05)

        assert await say(fleet, "pods") == "get pods"
        assert not session.is_closed


async def test_a_slow_reader_stops_the_sender_and_memory_stays_bounded(fleet: RunningFleet) -> None:
    session = await fleet.add("prod", ScriptedExecutor(echo, kubernetes=big), long_poll=True)
    stream, connected = await fleet.serving.services.fleet.open(ClusterId("prod"), GET, caller=CALLER, end_stream=True)
    await stream.head()
    await fleet.wait_for(lambda: sum(map(len, stream._inbox)) >= wire.DEFAULT_WINDOW)
    assert await say(fleet, "pods") == "get pods"  # nothing else is stopped

    assert sum(map(len, stream._inbox)) == wire.DEFAULT_WINDOW
    assert session._link._queued_bytes < 2 * polling.BATCH  # type: ignore[attr-defined]
    found = hashlib.sha256()
    while chunk := await stream.read():
        found.update(chunk)
    assert found.hexdigest() == EXPECTED
    assert connected.session.open_streams == 0


async def test_each_end_hears_at_once_that_the_other_has_closed(fleet: RunningFleet) -> None:
    session = await fleet.add("prod", ScriptedExecutor(echo), long_poll=True)
    session.close("the executor stopped")
    await fleet.wait_for(lambda: fleet.state("prod") is ClusterState.DISCONNECTED)

    reasons: list[str] = []
    again = await fleet.add("other", ScriptedExecutor(echo), long_poll=True)
    again._on_closed = reasons.append
    await fleet.http.post("/api/v1/clusters/other/reset")
    await fleet.wait_for(lambda: bool(reasons))

    assert reasons == ["the cluster was reset"]
    assert again.is_closed


async def test_a_stream_fails_when_its_executor_is_gone(fleet: RunningFleet) -> None:
    async def forever(scope: Any, receive: Any, send: Any) -> None:
        await anyio.sleep_forever()

    session = await fleet.add("prod", ScriptedExecutor(echo, kubernetes=forever), long_poll=True)
    stream, _ = await fleet.serving.services.fleet.open(ClusterId("prod"), GET, caller=CALLER, end_stream=True)
    session.close("the executor stopped")

    with pytest.raises(TunnelClosedError), anyio.fail_after(5):
        await stream.head()


# ---------------------------------------------------------------------- who may


class Hostile:
    """Speaks the transport by hand, with an executor's token."""

    def __init__(self, fleet: RunningFleet, http: httpx.AsyncClient, cluster: str, token: str) -> None:
        self._fleet, self._http = fleet, http
        self.headers = {"Authorization": f"Bearer {token}", "X-Kubently-Cluster": cluster}

    async def post(self, path: str, *, session: str = "", sequence: object = 1, body: bytes = b"") -> httpx.Response:
        more = {polling.SESSION: session, polling.SEQUENCE: str(sequence), polling.HOLD: "0"}
        return await self._http.post(self._fleet.url + path, headers={**self.headers, **more}, content=body)

    async def open(self) -> str:
        answer = await self.post(polling.OPEN_PATH)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["session"])


@pytest.fixture
async def hostile(fleet: RunningFleet) -> AsyncIterator[Hostile]:
    token = await fleet.serving.services.tokens.create(ClusterId("prod"))
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        yield Hostile(fleet, http, "prod", token)


def settings_frame() -> bytes:
    return wire.Connection(wire.Role.EXECUTOR).frames_to_send()[0]


async def test_without_the_token_there_is_nothing(fleet: RunningFleet, hostile: Hostile) -> None:
    session = await hostile.open()
    hostile.headers["Authorization"] = "Bearer wrong"

    for path in (polling.OPEN_PATH, polling.UP_PATH, polling.DOWN_PATH, polling.CLOSE_PATH):
        answer = await hostile.post(path, session=session)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert "no-store" in answer.headers["cache-control"]


async def test_a_session_is_its_clusters_alone(fleet: RunningFleet, hostile: Hostile) -> None:
    session = await hostile.open()
    token = await fleet.serving.services.tokens.create(ClusterId("other"))
    hostile.headers |= {"Authorization": f"Bearer {token}", "X-Kubently-Cluster": "other"}

    answer = await hostile.post(polling.DOWN_PATH, session=session)
    made_up = await hostile.post(polling.DOWN_PATH, session="x" * 43)

    assert (answer.status_code, answer.json()["code"]) == (410, "tunnel-session-gone")
    assert answer.json()["detail"] == made_up.json()["detail"]


async def test_an_asked_again_batch_is_given_again_and_may_not_be_cached(hostile: Hostile) -> None:
    session = await hostile.open()

    first = await hostile.post(polling.DOWN_PATH, session=session, sequence=1)
    again = await hostile.post(polling.DOWN_PATH, session=session, sequence=1)
    empty = await hostile.post(polling.DOWN_PATH, session=session, sequence=2)
    late = await hostile.post(polling.DOWN_PATH, session=session, sequence=1)

    assert first.content == again.content != b""
    assert json.loads(polling.unpack(first.content)[0][6:])["version"] == 1
    assert (empty.status_code, late.status_code, late.content) == (204, 204, b"")
    for answer in (first, empty):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"


@pytest.mark.parametrize("path", [polling.UP_PATH, polling.DOWN_PATH])
async def test_a_number_that_cannot_be_ends_the_session(hostile: Hostile, path: str) -> None:
    session = await hostile.open()

    answer = await hostile.post(path, session=session, sequence=7)
    after = await hostile.post(polling.UP_PATH, session=session, sequence=1)

    assert (answer.status_code, answer.json()["code"]) == (502, "tunnel-remote-protocol")
    assert (after.status_code, after.json()["code"]) == (410, "tunnel-session-gone")


@pytest.mark.parametrize("sequence", ["", "x", "-1", "nan", "1e99"])
async def test_what_is_no_number_is_refused(hostile: Hostile, sequence: str) -> None:
    session = await hostile.open()

    answer = await hostile.post(polling.UP_PATH, session=session, sequence=sequence)

    assert (answer.status_code, answer.json()["code"]) == (400, "request-invalid")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"\0\0", "tunnel-remote-protocol"),
        (b"\xff\xff\xff\xff", "tunnel-remote-protocol"),
        (b"\0\0\0\x09" + b"x" * 8, "tunnel-remote-protocol"),
        (b"x" * (polling.MAX_BODY + 1), "request-invalid"),
    ],
    ids=["short length", "giant frame", "short frame", "giant body"],
)
async def test_bodies_that_are_none_are_refused(hostile: Hostile, body: bytes, code: str) -> None:
    session = await hostile.open()

    answer = await hostile.post(polling.UP_PATH, session=session, body=body)

    assert answer.json()["code"] == code


async def test_a_request_applied_once_is_not_applied_again(fleet: RunningFleet, hostile: Hostile) -> None:
    """A second SETTINGS would end the session; the same request twice does not bring one."""
    session = await hostile.open()
    body = polling.pack([settings_frame()])

    answers = [await hostile.post(polling.UP_PATH, session=session, sequence=1, body=body) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [204, 204, 204]
    assert fleet.state("prod") is ClusterState.CONNECTED


async def test_of_two_polls_the_newer_is_told(fleet: RunningFleet, hostile: Hostile) -> None:
    session = await hostile.open()
    first = await hostile.post(polling.DOWN_PATH, session=session, sequence=1)
    assert first.status_code == 200
    link = fleet.serving.services.polls.find(session, _owner(fleet))
    answers: list[bytes] = []

    async def poll() -> None:
        answers.append(await link.down(2, hold=20))

    async with anyio.create_task_group() as tasks:
        for _ in range(1000):
            tasks.start_soon(poll)
        await fleet.wait_for(lambda: len(answers) == 999)
        link.send(b"frame!")

    assert answers == [b""] * 999 + [polling.pack([b"frame!"])]


def _owner(fleet: RunningFleet) -> str:
    return next(owner for owner, _ in fleet.serving.services.polls._links.values())


async def test_sessions_without_end_are_bounded(fleet: RunningFleet, hostile: Hostile) -> None:
    for _ in range(200):
        await hostile.open()

    links = [link for _, link in fleet.serving.services.polls._links.values()]
    assert len(links) <= 64
    assert sum(not link.is_over for link in links) <= 16


async def test_a_session_that_nobody_polls_is_over() -> None:
    polls = Polls(abandoned_after=0.05)
    name, link = polls.open("prod")
    session = Session(wire.Role.CONTROL, link, clock=time.monotonic)
    link.handler = session

    with anyio.fail_after(5):
        while name in polls._links:
            await anyio.sleep(0.01)

    assert session.is_closed
    assert len(polls) == 0


async def test_a_revoked_token_ends_the_session(fleet: RunningFleet) -> None:
    session = await fleet.add("prod", ScriptedExecutor(echo), long_poll=True)
    await fleet.serving.services.tokens.revoke(ClusterId("prod"))

    await fleet.wait_for(lambda: session.is_closed)

    assert fleet.state("prod") is ClusterState.DISCONNECTED


async def test_a_stripped_upgrade_is_named(fleet: RunningFleet) -> None:
    headers = {UPGRADE_HEADER: "websocket", "Connection": "close"}
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(fleet.url + PATH, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (426, "upgrade-stripped")
    assert "connection: 'close', upgrade: ''" in answer.json()["detail"]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 301 Moved\r\nLocation: https://elsewhere/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n" + b'{"session": 12}',
        b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n" + b'{"session": "s"}',
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 200_000,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 20_000 + b"\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    ],
    ids=["redirect", "page", "number", "short", "upgrade", "endless", "ssh", "long-head", "two"],
)
async def test_what_is_no_api_begins_no_session(fleet: RunningFleet, answer: bytes) -> None:
    async with middlebox(fleet.serving.port, answer=lambda _: answer) as box, anyio.create_task_group() as tasks:
        with pytest.raises((TunnelError, OSError)) as caught:
            await poll_client.dial(box.url, headers={"Authorization": "Bearer t"}, ssl=None, timeout=2, tasks=tasks)

    assert len(box.requests) == 1
    if isinstance(caught.value, UpgradeRefusedError) and caught.value.status == 301:
        assert caught.value.headers["location"] == "https://elsewhere/"


async def test_cancelled_dial_leaves_no_connection(fleet: RunningFleet) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.append(await reader.read(100_000) and await reader.read(100_000))
        writer.transport.abort()

    ends: list[bytes] = []
    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with anyio.create_task_group() as tasks:
        with pytest.raises(TimeoutError):
            await poll_client.dial(f"http://127.0.0.1:{port}", headers={}, ssl=None, timeout=0.1, tasks=tasks)
    with anyio.fail_after(5):
        while not ends:
            await anyio.sleep(0.01)
    listener.close()

    assert ends == [b""]


def test_frames_are_read_as_they_were_packed() -> None:
    frames = [b"abcdef", b"x" * 70, settings_frame()]

    assert polling.unpack(polling.pack(frames)) == frames
