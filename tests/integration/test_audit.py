"""The audit log as a whole: from the journal to the store and to sinks, over restarts and failures."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.testbed.redis_servers import RedisServer

from kubently.broker import Auditing, open_auditing
from kubently.errors import AuditUnavailableError, ConfigError, StoreUnavailableError
from kubently.journal import segments, verify
from kubently.journal.records import Line, read
from kubently.schema import Principal, Role
from kubently.settings import AuditSettings
from kubently.store import MemoryStore, Store, open_store
from kubently.trust import issue, make_authority
from kubently.trust.contexts import client_context

pytestmark = pytest.mark.anyio

ANN = Principal(name="key:ann", role=Role.ADMIN, clusters=("*",))


def memory() -> MemoryStore:
    return MemoryStore(clock=lambda: 0.0)


@contextlib.asynccontextmanager
async def auditing(
    folder: Path | None, store: Store, *sinks: str, ca: str = "", fail_closed: bool = True
) -> AsyncIterator[Auditing]:
    settings = AuditSettings(folder=folder, sinks=sinks, fail_closed=fail_closed)
    async with open_auditing(settings, store, make_context=lambda: client_context(ca=ca)) as opened:
        yield opened


async def do_something(opened: Auditing, number: int = 1, *, first: int = 0) -> None:
    for n in range(first, first + number):
        async with opened.audit.recorded(ANN, "prod", "command", f"get pods {n}", request_id=f"r{n}") as entry:
            entry.outcome = "exited 0"


async def shipped(opened: Auditing, target: str, number: int) -> None:
    """Wait until the target took so many lines."""
    with anyio.fail_after(20):
        while sum(p.delivered for name, p in opened.targets().items() if name.startswith(target)) < number:
            await anyio.sleep(0.02)


async def problem_of(opened: Auditing, target: str) -> str:
    """Wait until a target refuses, and say why."""
    with anyio.fail_after(10):
        while True:
            problems = [progress.problem for name, progress in opened.targets().items() if name.startswith(target)]
            if any(problems):
                return problems[0]
            await anyio.sleep(0.02)


async def all_lines(store: Store) -> list[bytes]:
    return [raw for entry in await store.tail("audit", limit=100_000) for raw in entry.value.split(b"\n")]


# ---------------------------------------------------------------------- the store


async def test_what_was_written_can_be_read_at_once(tmp_path: Path) -> None:
    async with auditing(tmp_path, memory()) as opened:
        await do_something(opened)

        records, _ = await opened.audit.tail()

        assert [(r.event, r.what, r.outcome) for r in records] == [
            ("started", "get pods 0", ""),
            ("ended", "get pods 0", "exited 0"),
        ]


@pytest.mark.parametrize("number", [1, 7, 40])
async def test_pages_give_every_record_once(tmp_path: Path, number: int) -> None:
    async with auditing(tmp_path, memory()) as opened:
        await do_something(opened, 40)
        seen: list[tuple[str, str]] = []
        position = 0

        while True:
            records, position = await opened.audit.tail(after=position, limit=number)
            if not records:
                break
            seen += [(record.request_id, record.event) for record in records]

        assert seen == [(f"r{n}", event) for n in range(40) for event in ("started", "ended")]
        last, _ = await opened.audit.tail(after=-number, limit=1000)
        assert [(record.request_id, record.event) for record in last] == seen[-number:]


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    with contextlib.ExitStack() as stack:
        url = {"memory": "memory:", "sqlite": f"sqlite://{tmp_path}/store.db"}.get(request.param, "")
        opened = open_store(url or stack.enter_context(RedisServer(tmp_path / "redis")).url)
        yield opened
        await opened.aclose()


async def test_every_record_is_in_the_store_once_over_restarts(tmp_path: Path, store: Store) -> None:
    tmp_path = tmp_path / "audit"
    for run in range(4):
        async with auditing(tmp_path, store) as opened:
            await do_something(opened, 50, first=50 * run)

    lines = await all_lines(store)

    (verdict,) = verify.verify([("store", raw) for raw in lines], ordered=True)
    ended = [line.request_id for line in map(read, lines) if line.event == "ended"]
    assert verdict.holds and verdict.is_from_the_beginning
    assert ended == [f"r{n}" for n in range(200)]


async def test_lines_that_were_shipped_but_not_remembered_are_not_shipped_twice(tmp_path: Path) -> None:
    store = memory()
    async with auditing(tmp_path, store) as opened:
        await do_something(opened, 20)
    for file in tmp_path.glob("*/shipped/store"):
        file.write_text("3")

    async with auditing(tmp_path, store) as opened:
        await do_something(opened, 20, first=20)

    (verdict,) = verify.verify([("store", raw) for raw in await all_lines(store)], ordered=True)
    assert verdict.holds and len(await all_lines(store)) == verdict.lines


async def test_the_last_records_are_found_from_the_end(tmp_path: Path, store: Store) -> None:
    async with auditing(None, store) as opened:
        await do_something(opened, 1200)
        mine, _ = await opened.audit.tail(after=-5, wanted=lambda record: record.request_id in ("r3", "r1100"))
        last, position = await opened.audit.tail(after=-3)
        nothing, same = await opened.audit.tail(after=position)

    assert [(record.request_id, record.event) for record in mine] == [
        ("r3", "started"),
        ("r3", "ended"),
        ("r1100", "started"),
        ("r1100", "ended"),
    ]
    assert [record.request_id for record in last] == ["r1198", "r1199", "r1199"]
    assert (list(nothing), same) == ([], position)


async def test_what_others_wrote_into_the_log_is_left_to_verification(tmp_path: Path) -> None:
    store = memory()
    async with auditing(tmp_path, store) as opened:
        await do_something(opened)
        await opened.audit.flush()
        await store.append("audit", b"\xff\n" + b"[" * 100_000 + b'\n{"id":1}')
        await do_something(opened, first=1)

        records, _ = await opened.audit.tail(after=-100)

        assert [record.request_id for record in records] == ["r0", "r0", "r1", "r1"]
        assert records == (await opened.audit.tail())[0]
    verdicts = verify.verify([("store", raw) for raw in await all_lines(store)], ordered=False)
    assert [(verdict.replica == "", verdict.holds) for verdict in verdicts] == [(True, False), (False, True)]


async def test_an_emptied_store_is_filled_from_the_journal(tmp_path: Path) -> None:
    async with auditing(tmp_path, memory()) as opened:
        await do_something(opened, 10)
    fresh = memory()

    async with auditing(tmp_path, fresh) as opened:
        records, _ = await opened.audit.tail()

    assert [record.request_id for record in records if record.event == "ended"] == [f"r{n}" for n in range(10)]


class AwayStore(MemoryStore):
    """A store that takes nothing while it is away."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: 0.0)
        self.away = False

    async def append(self, log: str, value: bytes, *, keep: int = 100_000) -> int:
        if self.away:
            raise StoreUnavailableError("the store is away")
        return await super().append(log, value, keep=keep)


async def test_with_a_journal_requests_go_on_while_the_store_is_away(tmp_path: Path) -> None:
    store = AwayStore()
    async with auditing(tmp_path, store) as opened:
        store.away = True
        await do_something(opened, 5)
        store.away = False

        await shipped(opened, "store", 11)

    assert len(await all_lines(store)) == 12


async def test_without_a_journal_a_store_that_is_away_refuses_by_the_rule() -> None:
    store = AwayStore()
    async with auditing(None, store) as opened:
        await do_something(opened)
        store.away = True
        with pytest.raises(AuditUnavailableError, match="cannot be written"):
            await do_something(opened)
        store.away = False
        await do_something(opened, first=1)

    verdicts = verify.verify([("store", raw) for raw in await all_lines(store)], ordered=False)
    assert [verdict.holds for verdict in verdicts] == [True, True]


async def test_without_a_journal_what_may_run_unrecorded_is_counted() -> None:
    store = AwayStore()
    async with auditing(None, store, fail_closed=False) as opened:
        store.away = True

        await do_something(opened)

        assert opened.health.unrecorded == 1 and opened.health.lost == 2


async def test_journals_that_were_left_are_closed_and_shipped(tmp_path: Path) -> None:
    async with auditing(tmp_path, memory()) as one, auditing(tmp_path, memory()) as other:
        await do_something(one, 3)
        await do_something(other, 3, first=3)
    for journal in segments.journals(tmp_path):  # as a crash leaves them
        last = segments.segments(journal)[-1]
        last.write_bytes(last.read_bytes().removesuffix(b"\n").rpartition(b"\n")[0] + b"\n")
    store = memory()

    async with auditing(tmp_path, store):
        with anyio.fail_after(10):
            while len(await all_lines(store)) < 17:
                await anyio.sleep(0.02)

    verdicts = verify.verify_path(tmp_path)
    copies = verify.verify([("store", raw) for raw in await all_lines(store)], ordered=False)
    assert [verdict.holds and not verdict.unended for verdict in verdicts] == [True, True]
    assert {(v.replica, v.head) for v in copies} == {(v.replica, v.head) for v in verdicts}
    assert all(copy.holds for copy in copies)


@pytest.mark.parametrize("fail_closed", [True, False])
async def test_a_folder_that_cannot_be_one_ends_the_start_by_the_rule(tmp_path: Path, fail_closed: bool) -> None:
    (tmp_path / "audit").touch()
    store = memory()

    with pytest.raises(AuditUnavailableError) if fail_closed else contextlib.nullcontext():
        async with auditing(tmp_path / "audit", store, fail_closed=fail_closed) as opened:
            await do_something(opened)

    assert len(await all_lines(store)) == (0 if fail_closed else 3)


# ---------------------------------------------------------------------- sinks


class Receiver:
    """What a server of the test got."""

    def __init__(self) -> None:
        self.data = b""
        self.posts: list[tuple[str, dict[str, str], Any]] = []
        self.statuses: list[int] = []


@contextlib.contextmanager
def tcp_server(receiver: Receiver, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Reads everything from everybody."""

    def talk(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            wrapped = context.wrap_socket(connection, server_side=True) if context else connection
            with wrapped:
                while data := wrapped.recv(65536):
                    receiver.data += data

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            talking = threading.Thread(target=talk, args=(connection,))
            talking.start()
            threads.append(talking)

    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join(10)
    for thread in threads:
        thread.join(10)


def unframed(data: bytes) -> list[bytes]:
    """Messages that are counted in octets."""
    messages = []
    while data:
        length, _, data = data.partition(b" ")
        messages.append(data[: int(length)])
        data = data[int(length) :]
    return messages


def check_syslog(messages: list[bytes], number: int) -> list[Line]:
    head = re.compile(rb"<10[89]>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \S+ kubently [0-9a-f]{12} [a-z]+ - (\{.*\})")
    matches = [head.fullmatch(message) for message in messages]
    lines = [read(match[1]) for match in matches if match]
    assert len(lines) == len(messages) == number
    assert [line.sequence for line in lines] == list(range(1, number + 1))
    return lines


async def test_syslog_over_tcp_is_counted_in_octets(tmp_path: Path) -> None:
    receiver = Receiver()
    with tcp_server(receiver) as port:
        async with auditing(tmp_path, memory(), f"syslog+tcp://127.0.0.1:{port}") as opened:
            await do_something(opened, 10)
            await opened.audit.deny(ANN, "prod", "command", "delete — all", request_id="x", outcome="command-denied")
            await shipped(opened, "syslog", 22)

    lines = check_syslog(unframed(receiver.data), 23)
    assert [line.what for line in lines if line.event == "denied"] == ["delete — all"]


async def test_syslog_over_tls_is_verified(tmp_path: Path) -> None:
    authority = make_authority("Test")
    pair = issue(authority, ("127.0.0.1",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair.load_into(context)
    receiver = Receiver()
    with tcp_server(receiver, context) as port:
        url = f"syslog+tls://127.0.0.1:{port}"
        async with auditing(tmp_path / "a", memory(), url, ca=authority.cert.decode()) as opened:
            await do_something(opened, 3)
            await shipped(opened, "syslog", 7)
        async with auditing(tmp_path / "b", memory(), url) as opened:
            await do_something(opened, 3)
            problem = await problem_of(opened, "syslog")

    check_syslog(unframed(receiver.data), 8)
    assert "CERTIFICATE_VERIFY_FAILED" in problem


async def test_syslog_over_udp_is_a_datagram_each(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        async with auditing(tmp_path, memory(), f"syslog+udp://127.0.0.1:{server.getsockname()[1]}") as opened:
            await do_something(opened, 4)
            messages = [await anyio.to_thread.run_sync(server.recv, 65536) for _ in range(9)]

    check_syslog(messages, 9)


async def test_a_server_that_comes_back_gets_what_it_missed(tmp_path: Path) -> None:
    receiver = Receiver()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with auditing(tmp_path, memory(), f"syslog+tcp://127.0.0.1:{port}") as opened:
        await do_something(opened, 5)
        await problem_of(opened, "syslog")
        with rebound(receiver, port):
            await shipped(opened, "syslog", 11)

    check_syslog(unframed(receiver.data)[:11], 11)


@contextlib.contextmanager
def rebound(receiver: Receiver, port: int) -> Iterator[None]:
    """A TCP server at a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        thread = threading.Thread(target=_read_one, args=(listener, receiver))
        thread.start()
        yield
    thread.join(10)


def _read_one(listener: socket.socket, receiver: Receiver) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(10)
        while unfinished(receiver.data, 11):
            receiver.data += connection.recv(65536)


def unfinished(data: bytes, number: int) -> bool:
    return data.count(b'"hash":') < number or not data.endswith(b"}")


@contextlib.contextmanager
def http_server(receiver: Receiver) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = receiver.statuses.pop(0) if receiver.statuses else 200
            if status == 200:
                receiver.posts.append((self.path, dict(self.headers), body))
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join(10)


async def test_a_collector_gets_each_line_as_a_log_record_after_its_errors(tmp_path: Path) -> None:
    receiver = Receiver()
    receiver.statuses = [503, 429]
    with http_server(receiver) as port:
        async with auditing(tmp_path, memory(), f"otlp+http://127.0.0.1:{port}") as opened:
            await do_something(opened, 3)
            await shipped(opened, "otlp", 7)

    logs = [
        record
        for path, _, body in receiver.posts
        for record in body["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
        if path == "/v1/logs"
    ]
    lines = [read(record["body"]["stringValue"].encode()) for record in logs]
    assert [line.sequence for line in lines] == list(range(1, len(lines) + 1)) and len(lines) >= 7
    attributes = {pair["key"]: pair["value"] for pair in logs[1]["attributes"]}
    assert attributes["kubently.principal"] == {"stringValue": "key:ann"}
    assert logs[1]["timeUnixNano"] == str(round(lines[1].at.timestamp() * 1e6) * 1000)


async def test_a_file_gets_lines_that_verify(tmp_path: Path) -> None:
    file = tmp_path / "copy.jsonl"
    async with auditing(tmp_path / "audit", memory(), f"file://{file}") as opened:
        await do_something(opened, 10)

    (copy,) = verify.verify_path(file)
    (journal,) = verify.verify_path(tmp_path / "audit")
    assert copy.holds and (copy.last, copy.head) == (journal.last, journal.head)


async def test_a_journal_keeps_what_a_sink_has_not_got(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = listener.getsockname()[1]
    settings = AuditSettings(
        folder=tmp_path, segment_bytes=1, journal_bytes=1, sinks=(f"syslog+tcp://127.0.0.1:{nobody}",)
    )
    async with open_auditing(settings, memory(), make_context=client_context) as opened:
        await do_something(opened, 20)
    (journal,) = segments.journals(tmp_path)

    (verdict,) = verify.verify_path(tmp_path)

    assert verdict.first == 1 and verdict.holds and len(segments.segments(journal)) > 2


@pytest.mark.parametrize(
    "url", ["syslog://x", "file:relative", "otlp+http://", "kafka://x", "syslog+tcp://", "syslog+udp://h:99999"]
)
async def test_what_is_no_sink_ends_the_start(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="KUBENTLY_AUDIT_SINKS"):
        async with auditing(tmp_path, memory(), url):
            pass


async def test_heads_are_told_to_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("kubently.broker.auditing.HEAD_EVERY", 0.01)
    with caplog.at_level("INFO"):
        async with auditing(tmp_path, memory()) as opened:
            await do_something(opened)
            with anyio.fail_after(10):
                while not (heads := [record for record in caplog.records if record.getMessage() == "audit head"]):
                    await anyio.sleep(0.01)

    head = heads[-1].__dict__
    anchor = (head["sequence"], head["hash"])
    (verdict,) = verify.verify_path(tmp_path, anchors=[anchor])
    assert head["replica"] == verdict.replica and verdict.found == {anchor}
