"""What the policy permits, sent to a real API server: its audit log holds reads only, no answer holds a Secret's value.

The requests and argument lists come from the generators of ``tests/oracle``, as many from each stratum; those are taken
that Kubently permits. Each request has a user agent of its own, so the API server's audit log says what each became.
"""

from __future__ import annotations

import base64
import http.client
import ssl
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import anyio
import pytest
import yaml

from kubently import trust
from kubently.kube import policy
from tests.e2e import content
from tests.e2e.audit_proof import SUBRESOURCES, unexpected
from tests.e2e.content import EXECUTOR, FORMS
from tests.e2e.harness import Fleet
from tests.oracle import argvs, gate, raw, requests
from tests.oracle.requests import Attributes, Raw
from tests.testbed.cluster import AuditRecord, Cluster
from tests.testbed.processes import until

SEED = 11
REQUESTS, COMMANDS, OF_SECRETS = 2_000, 245, 300
WORKERS = 8
METADATA = "proof-metadata"
METADATA_USER = "kubently:proof"
"""Not the user of the other executors, of whom the audit proof says that they never touch Secrets."""

_ENOUGH = 64 * 1024
_PATIENCE = 0.2
"""Seconds that a stream is given for its first bytes."""
_OURS = frozenset(
    {
        *(b"authorization", b"connection", b"content-length", b"expect", b"host", b"te", b"transfer-encoding"),
        *(b"user-agent", b"origin"),
    }
)
"""Headers that the client itself needs, and the one for which the API refuses a request before any policy."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    """As it was on the wire and, where that was compressed, as it reads."""


class Client:
    """Sends raw requests over a kept connection."""

    def __init__(self, fleet: Fleet, cluster: str) -> None:
        token = fleet.api.client().post(f"/api/v1/clusters/{cluster}/kubernetes-token")["token"]
        self._authorization = f"Bearer {token}"
        self._prefix = f"/clusters/{cluster}/k8s"
        self._address = "localhost", fleet.api.port
        self._context = trust.client_context(ca=str(fleet.api.ca))

    def ask_all(self, asked: Sequence[Raw]) -> list[Answer]:
        """Send each, and give the answers in the same order."""
        slices = [asked[number::WORKERS] for number in range(WORKERS)]
        with ThreadPoolExecutor(WORKERS) as pool:
            found = list(pool.map(self._ask_slice, slices))
        return [found[number % WORKERS][number // WORKERS] for number in range(len(asked))]

    def _ask_slice(self, asked: Sequence[Raw]) -> list[Answer]:
        connection = http.client.HTTPSConnection(*self._address, timeout=30, context=self._context)
        with closing(connection):
            return [self._ask(connection, request) for request in asked]

    def _ask(self, connection: http.client.HTTPConnection, request: Raw) -> Answer:
        target = request.path + (b"?" + request.query if request.query else b"")
        connection.putrequest(
            request.method, self._prefix + target.decode("ascii"), skip_host=False, skip_accept_encoding=True
        )
        connection.putheader("Authorization", self._authorization)
        for name, value in request.headers:
            connection.putheader(name.decode("ascii"), value)
        if request.method != "GET":
            connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body if request.method != "GET" else None)
        response = connection.getresponse()
        body = _beginning(connection, response) if is_stream(request) else response.read()
        return Answer(response.status, body + _unpacked(response, body))


def is_stream(request: Raw) -> bool:
    """Whether the answer may go on for ever."""
    return requests.attributes(request).verb == "watch" or b"follow" in request.query


def _beginning(connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> bytes:
    """What comes first of a stream; it is then broken off."""
    body = b""
    if connection.sock is not None:
        connection.sock.settimeout(_PATIENCE)
    with closing(connection), closing(response), suppress(TimeoutError, ssl.SSLError):
        while len(body) < _ENOUGH and (chunk := response.read1(_ENOUGH)):
            body += chunk
    return body


def _unpacked(response: http.client.HTTPResponse, body: bytes) -> bytes:
    return zlib.decompressobj(31).decompress(body) if response.getheader("Content-Encoding") == "gzip" else b""


# ---------------------------------------------------------------------- choosing


def permitted(count: int, rules: policy.Policy, is_wanted: Callable[[Raw], bool], strata: Sequence[str]) -> list[Raw]:
    """*count* different requests that Kubently permits, as many from each stratum, each with its own user agent."""
    return anyio.run(_permitted, count, rules, is_wanted, strata)


async def _permitted(
    count: int, rules: policy.Policy, is_wanted: Callable[[Raw], bool], strata: Sequence[str]
) -> list[Raw]:
    subject = gate.Gate(rules)
    room = Counter({stratum: -(-count // len(strata)) for stratum in strata})
    chosen: list[Raw] = []
    for stratum, request in raw.requests(SEED, 1_000_000):
        if room[stratum] and is_wanted(request) and (await subject.ask(request)).sent:
            chosen.append(_tagged(request, f"proof/{len(chosen)}"))
            room[stratum] -= 1
            if len(chosen) == count:
                return chosen
    raise AssertionError(f"not enough are permitted: {room}")


def _tagged(request: Raw, agent: str) -> Raw:
    kept = [(name, value) for name, value in request.headers if name.lower() not in _OURS]
    return replace(request, headers=(*kept, (b"User-Agent", agent.encode())))


def commands(count: int) -> list[argvs.Argv]:
    """*count* argument lists that Kubently permits, as many from each stratum; few of those that go on for ever."""
    room = Counter({stratum: count // len(argvs.STRATA) for stratum in argvs.STRATA})
    chosen: list[argvs.Argv] = []
    streams = 5
    for stratum, argv in argvs.argument_lists(SEED, 100_000):
        command = gate.command(argv)
        if command is None or not room[stratum]:
            continue
        streams -= command.is_streaming
        if not command.is_streaming or streams >= 0:
            chosen.append(argv)
            room[stratum] -= 1
    assert not room.total(), room
    return chosen


# ---------------------------------------------------------------------- the proof


def assert_only_reads(records: Sequence[AuditRecord]) -> None:
    """Nothing but reads and reviews, as nobody else, and each URI once more as the oracle reads it."""
    assert list(unexpected(list(records))) == []
    assert {record.subresource for record in records} <= SUBRESOURCES
    assert {record.impersonated for record in records} == {""}
    for record in records:
        path, _, query = record.uri.partition("?")
        request = Raw("POST" if record.verb == "create" else "GET", path.encode(), query.encode())
        assert not [why for why in requests.objections(request) if why != "it reads Secrets"], record


def assert_shows_nothing(answers: Sequence[Answer]) -> None:
    """The planted value stands in no answer, in no form."""
    assert not [answer for answer in answers if any(form in answer.body for form in FORMS)]


def by_agent(cluster: Cluster, user: str, since: int) -> dict[str, AuditRecord]:
    """What the API server noted of each of our requests."""
    return {record.agent: record for record in cluster.audit(user=user, since=since) if record.agent[:6] == "proof/"}


def as_noted(record: AuditRecord) -> Attributes:
    """A record in the oracle's words."""
    if not record.resource:
        return Attributes(record.verb, unquote(record.uri.partition("?")[0]).rstrip("/"))
    version = record.uri.split("/")[2 if record.uri.startswith("/api/") else 3]
    where = record.resource, record.subresource, record.namespace, record.name
    return Attributes(record.verb, "", record.group, version, *where)


def test_of_two_thousand_permitted_requests_each_is_a_read_at_the_api_server(fleet: Fleet, alpha: Cluster) -> None:
    asked = permitted(REQUESTS, policy.DEFAULT_POLICY, lambda _: True, tuple(raw.STRATA))
    since = alpha.audit_position()
    answers = Client(fleet, "alpha").ask_all(asked)
    print(f"{len(answers)} answers: {Counter(answer.status for answer in answers)}")

    assert_shows_nothing(answers)
    # An access review that our policy answers with no is not sent; every other request arrives.
    until(lambda: not list(missing(alpha, since, asked)), "each is in the audit log", timeout=10)
    noted = by_agent(alpha, EXECUTOR, since)
    assert_only_reads(alpha.audit(user=EXECUTOR, since=since))
    assert not [record for record in noted.values() if record.resource == "secrets"]
    differing = [
        (str(request), requests.attributes(request), as_noted(record))
        for number, request in enumerate(asked)
        if (record := noted.get(f"proof/{number}")) and as_noted(record) != requests.attributes(request)
    ]
    assert differing == []
    assert Counter(answer.status for answer in answers)[200] > REQUESTS / 3


def missing(cluster: Cluster, since: int, asked: Sequence[Raw]) -> Iterator[str]:
    """Requests that should be in the audit log and are not."""
    noted = by_agent(cluster, EXECUTOR, since)
    for number, request in enumerate(asked):
        if f"proof/{number}" not in noted and not request.path.rstrip(b"/").endswith(b"reviews"):
            yield str(request)


def test_hundreds_of_permitted_commands_cause_reads_only(fleet: Fleet, alpha: Cluster) -> None:
    asked = commands(COMMANDS)
    since = alpha.audit_position()

    def run(argv: argvs.Argv) -> dict[str, Any]:
        body = {"argv": list(argv), "timeout": 5}
        answer = fleet.api.client().post("/api/v1/clusters/alpha/commands", body)
        assert isinstance(answer, dict)
        return answer

    with ThreadPoolExecutor(WORKERS) as pool:
        answers = list(pool.map(run, asked))
    endings = Counter(answer["ending"] for answer in answers)
    codes = Counter(answer["exit_code"] for answer in answers)
    print(f"{len(asked)} commands: {dict(endings)}, exit codes {dict(codes)}")

    assert_shows_nothing([Answer(0, output_of(answer)) for answer in answers])
    records = alpha.audit(user=EXECUTOR, since=since)
    assert_only_reads(records)
    assert not [record for record in records if record.resource == "secrets"]
    assert len(records) > COMMANDS
    assert codes[0] > COMMANDS / 3


def output_of(answer: dict[str, Any]) -> bytes:
    """All that a command has printed."""
    printed = f"{answer['stdout']}\n{answer['stderr']}".encode()
    return base64.b64decode(answer["stdout"]) + base64.b64decode(answer["stderr"]) if answer["base64"] else printed


@pytest.fixture
def with_metadata(fleet: Fleet, alpha: Cluster, tmp_path: Path) -> Iterator[str]:
    """A further executor before alpha, with ``secrets: metadata``."""
    group = "rbac.authorization.k8s.io"
    alpha.apply(
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "proof"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": content.READER},
            "subjects": [{"apiGroup": group, "kind": "User", "name": METADATA_USER}],
        }
    )
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump({"mode": "read-only", "secrets": "metadata"}))
    extra = {"KUBENTLY_POLICY_FILE": str(tmp_path / "policy.yaml")}
    with fleet.temporary(METADATA, alpha.kubeconfig(METADATA_USER), extra=extra):
        yield METADATA


def test_where_secrets_metadata_may_be_read_no_value_leaves(fleet: Fleet, alpha: Cluster, with_metadata: str) -> None:
    rules = policy.Policy(secrets="metadata")
    reading = ("reads", "methods", "spelt paths", "odd queries", "odd headers", "all tricks")
    asked = permitted(OF_SECRETS, rules, lambda request: b"/secrets" in request.path, reading)
    since = alpha.audit_position()
    answers = Client(fleet, with_metadata).ask_all(asked)
    print(f"{len(answers)} answers: {Counter(answer.status for answer in answers)}")

    assert_shows_nothing(answers)
    records = alpha.audit(user=METADATA_USER, since=since)
    assert_only_reads(records)
    assert len([record for record in records if record.resource == "secrets" and record.code == 200]) > OF_SECRETS / 4
    assert [answer for answer in answers if b'"password"' in answer.body], "the Secret itself is to be seen"
