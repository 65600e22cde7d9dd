"""Executors with keys of their own: enrolment, proof in the tunnel, renewal, recovery, and what is refused."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from kubently import trust, wire
from kubently.executor.identity import Identity
from kubently.executor.keeping import Folder, KeyPair
from kubently.schema import ClusterId, ClusterState, ExecutorCertificate, problems
from kubently.testing import RunningFleet, ScriptedExecutor, run_fleet
from kubently.trust import identity
from kubently.tunnel import AsgiServer, Session
from kubently.tunnel.transports import websocket
from kubently.tunnel.transports.websocket import UpgradeRefusedError

pytestmark = pytest.mark.anyio

PROD = ClusterId("prod")
ENROL = "/executor/v1/enrol"


async def hello(request: Any, emit: Any) -> dict[str, Any]:
    await emit(wire.records.encode(wire.records.STDOUT, b"hello\n"))
    return {"ending": "exited", "exit_code": 0}


async def token_for(fleet: RunningFleet, cluster: str = "prod", **wish: Any) -> str:
    made = await fleet.http.post(f"/api/v1/clusters/{cluster}/enrolments", json=wish)
    assert made.status_code == 201, made.text
    token: str = made.json()["token"]
    return token


async def send(fleet: RunningFleet, token: str, request: bytes, cluster: str = "prod", uid: str = "") -> Any:
    wish = {"cluster": cluster, "request": request.decode(), "kube_system_uid": uid}
    return await fleet.http.post(ENROL, json=wish, headers={"Authorization": f"Bearer {token}"})


@dataclass
class Enrolled:
    """An executor's certificate and key."""

    key: identity.PrivateKey
    certificate: x509.Certificate

    @property
    def header(self) -> dict[str, str]:
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        return {"Authorization": f"{identity.SCHEME} {base64.b64encode(der).decode()}"}

    @property
    def fingerprint(self) -> str:
        return identity.fingerprint(self.certificate)


async def enrol(fleet: RunningFleet, cluster: str = "prod") -> Enrolled:
    key = identity.make_key()
    answer = await send(fleet, await token_for(fleet, cluster), identity.make_request(key, ClusterId(cluster)), cluster)
    assert answer.status_code == 200, answer.text
    return Enrolled(key, x509.load_pem_x509_certificate(answer.json()["certificate"].encode()))


class Dialled:
    """A session by certificate, whose proof is made by ``answer``."""

    def __init__(self) -> None:
        self.closed = anyio.Event()
        self.reason = ""
        self.auth: list[Any] = []
        self.session: Session

    def on_closed(self, reason: str) -> None:
        self.reason = reason
        self.closed.set()


async def dial(
    fleet: RunningFleet,
    enrolled: Enrolled,
    *,
    host: str = "127.0.0.1",
    key: Any = None,
    cluster: str = "prod",
    **info: Any,
) -> Dialled:
    dialled = Dialled()

    def on_auth(payload: bytes) -> None:
        words = identity.decode(payload)
        dialled.auth.append(words)
        if words["kind"] == "challenge":
            challenge = identity.Challenge(words["nonce"], words["session"])
            proof = identity.sign(key or enrolled.key, challenge, ClusterId(cluster), host)
            dialled.session.send_auth(identity.encode("proof", host=proof.host, signature=proof.signature))

    link = await websocket.dial(
        fleet.url.replace("http", "ws") + websocket.PATH,
        headers={**enrolled.header, "X-Kubently-Cluster": cluster},
        ssl=None,
        timeout=5,
    )
    server = AsgiServer(ScriptedExecutor(hello), fleet.tasks)
    dialled.session = Session(
        wire.Role.EXECUTOR,
        link,
        clock=time.monotonic,
        info={"version": "test", "instance": "one", **info},
        on_request=server.serve,
        on_auth=on_auth,
        on_closed=dialled.on_closed,
    )
    link.attach(dialled.session)
    dialled.session.flush()
    fleet.dialled.append(dialled.session)
    return dialled


async def refused(fleet: RunningFleet, enrolled: Enrolled, cluster: str = "prod") -> tuple[int, str]:
    with pytest.raises(UpgradeRefusedError) as caught:
        await dial(fleet, enrolled, cluster=cluster)
    return caught.value.status, caught.value.body.decode()


async def connected(fleet: RunningFleet, cluster: str = "prod") -> None:
    await fleet.wait_for(lambda: fleet.state(cluster) is ClusterState.CONNECTED)


# ---------------------------------------------------------------------- the way in


async def test_an_enrolled_executor_proves_its_key_and_is_asked(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        await dial(fleet, await enrol(fleet))
        await connected(fleet)

        ran = await fleet.http.post("/api/v1/clusters/prod/commands", json={"argv": ["get", "pods"]})

        assert ran.json()["stdout"] == "hello\n"
        audit = (await fleet.http.get("/api/v1/audit?limit=50")).json()["records"]
        assert any(r["action"] == "executor.enrol" and r["principal"] == "executor:prod" for r in audit)


async def test_nothing_is_asked_of_it_before_the_proof(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        enrolled = await enrol(fleet)
        link = await websocket.dial(
            fleet.url.replace("http", "ws") + websocket.PATH,
            headers={**enrolled.header, "X-Kubently-Cluster": "prod"},
            ssl=None,
            timeout=5,
        )
        settled = anyio.Event()
        silent = Session(wire.Role.EXECUTOR, link, clock=time.monotonic, info={}, on_settled=lambda _: settled.set())
        link.attach(silent)
        silent.flush()
        await settled.wait()
        await anyio.wait_all_tasks_blocked()

        assert fleet.state("prod") is ClusterState.NEVER
        silent.close("the test ends")


@pytest.mark.parametrize("what", ["another key", "another host"])
async def test_a_wrong_proof_ends_the_session(tmp_path: Path, what: str) -> None:
    async with run_fleet(tmp_path) as fleet:
        key = identity.make_key() if what == "another key" else None
        host = "evil.example" if what == "another host" else "127.0.0.1"
        dialled = await dial(fleet, await enrol(fleet), key=key, host=host)

        with anyio.fail_after(5):
            await dialled.closed.wait()
        assert fleet.state("prod") is ClusterState.NEVER
        assert ("not this API" in dialled.reason) == (what == "another host")


async def test_a_question_that_nobody_understands_is_answered_so(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        dialled = await dial(fleet, await enrol(fleet))
        await connected(fleet)

        for payload in (b"\x00[[[", b'{"kind": "renew"}', b'{"kind": "renew", "request": "x"}', b"[" * 60_000):
            seen = len(dialled.auth)
            dialled.session.send_auth(payload)
            await fleet.wait_for(lambda seen=seen: len(dialled.auth) > seen)

        assert [words["kind"] for words in dialled.auth] == ["challenge", *["refused"] * 4]
        assert not dialled.session.is_closed


async def test_a_token_is_good_once_and_an_answer_that_was_lost_can_be_asked_for_again(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        token, key = await token_for(fleet), identity.make_key()
        first = await send(fleet, token, identity.make_request(key, PROD))
        again = await send(fleet, token, identity.make_request(key, PROD))
        thief = await send(fleet, token, identity.make_request(identity.make_key(), PROD))

        assert (first.status_code, again.status_code) == (200, 200)
        assert (thief.status_code, thief.json()["code"]) == (409, "enrolment-token-used")


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda t: t[:-1] + ("a" if t[-1] != "a" else "b"), "enrolment-token-invalid"),
        (lambda t: "ket_prod_", "enrolment-token-invalid"),
        (lambda t: "x" * 10_000, "enrolment-token-invalid"),
        (lambda t: t.replace("ket_prod_", "ket_other_"), "enrolment-token-invalid"),
    ],
)
async def test_a_token_that_is_none_is_refused(tmp_path: Path, spoil: Any, code: str) -> None:
    async with run_fleet(tmp_path) as fleet:
        answer = await send(fleet, spoil(await token_for(fleet)), identity.make_request(identity.make_key(), PROD))

        assert (answer.status_code, answer.json()["code"]) == (401, code)


async def test_a_token_is_for_its_cluster_and_its_uid(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        token = await token_for(fleet, kube_system_uid="uid-1")
        other = await send(fleet, token, identity.make_request(identity.make_key(), ClusterId("other")), "other")
        foreign = await send(fleet, token, identity.make_request(identity.make_key(), PROD), uid="uid-2")
        right = await send(fleet, token, identity.make_request(identity.make_key(), PROD), uid="uid-1")

        assert [a.json().get("code") for a in (other, foreign)] == ["enrolment-token-invalid"] * 2
        assert right.status_code == 200


async def test_a_reset_ends_tokens_and_certificates_and_cuts_the_session(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        enrolled, pending = await enrol(fleet), await token_for(fleet)
        dialled = await dial(fleet, enrolled, kube_system_uid="uid-1")
        await connected(fleet)

        await fleet.http.post("/api/v1/clusters/prod/reset")

        with anyio.fail_after(2):
            await dialled.closed.wait()
        assert (await refused(fleet, enrolled))[0] == 401
        late = await send(fleet, pending, identity.make_request(identity.make_key(), PROD))
        assert late.json()["code"] == "enrolment-token-invalid"
        await dial(fleet, await enrol(fleet), kube_system_uid="uid-2")
        await connected(fleet)


# ---------------------------------------------------------------------- certificate requests (spoofing)


def request_of(key: Any, *attributes: tuple[Any, str], **extra: Any) -> bytes:
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    for extension in extra.get("extensions", ()):
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


ORG, CN, OU = NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME
SPOOFS = {
    "another cluster": ((ORG, identity.ORGANIZATION), (CN, "other")),
    "both of another cluster": ((ORG, f"{identity.ORGANIZATION}:other"), (CN, "other")),
    "a prefix of the organisation": ((ORG, f"{identity.ORGANIZATION}:x"), (CN, "prod")),
    "a longer name": ((ORG, identity.ORGANIZATION), (CN, "prod-2")),
    "upper case": ((ORG, identity.ORGANIZATION), (CN, "PROD")),
    "two organisations": ((ORG, identity.ORGANIZATION), (ORG, "system:masters"), (CN, "prod")),
    "two names": ((ORG, identity.ORGANIZATION), (CN, "prod"), (CN, "other")),
    "an extra unit": ((ORG, identity.ORGANIZATION), (OU, "x"), (CN, "prod")),
    "no organisation": ((CN, "prod"),),
    "nothing": (),
}


@pytest.mark.parametrize("spoof", SPOOFS)
async def test_a_request_for_anything_else_is_refused_and_costs_no_token(tmp_path: Path, spoof: str) -> None:
    async with run_fleet(tmp_path) as fleet:
        token, key = await token_for(fleet), identity.make_key()
        answer = await send(fleet, token, request_of(key, *SPOOFS[spoof]))

        assert (answer.status_code, answer.json()["code"]) == (400, "certificate-request-refused")
        assert (await send(fleet, token, identity.make_request(key, PROD))).status_code == 200


async def test_names_and_usages_that_a_request_brings_are_ignored(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        extensions = [
            x509.SubjectAlternativeName([x509.DNSName("api.kubently.example.com")]),
            x509.BasicConstraints(ca=True, path_length=None),
        ]
        right = ((ORG, identity.ORGANIZATION), (CN, "prod"))
        answer = await send(
            fleet, await token_for(fleet), request_of(identity.make_key(), *right, extensions=extensions)
        )

        certificate = x509.load_pem_x509_certificate(answer.json()["certificate"].encode())
        assert b"kubently.example" not in certificate.public_bytes(serialization.Encoding.DER)
        assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert [u._name for u in usage] == ["clientAuth"]


@pytest.mark.parametrize("kind", ["rsa", "small curve", "broken signature", "no request", "too large"])
async def test_a_request_with_a_weak_key_or_none_is_refused(tmp_path: Path, kind: str) -> None:
    right = ((ORG, identity.ORGANIZATION), (CN, "prod"))
    requests = {
        "rsa": lambda: request_of(rsa.generate_private_key(65537, 2048), *right),
        "small curve": lambda: request_of(ec.generate_private_key(ec.SECP192R1()), *right),
        "broken signature": lambda: _spoiled(identity.make_request(identity.make_key(), PROD)),
        "no request": lambda: b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "too large": lambda: b"x" * 20_000,
    }
    async with run_fleet(tmp_path) as fleet:
        answer = await send(fleet, await token_for(fleet), requests[kind]())

        assert (answer.status_code, answer.json()["code"]) == (400, "certificate-request-refused")


def _spoiled(pem: bytes) -> bytes:
    der = bytearray(base64.b64decode(b"".join(pem.splitlines()[1:-1])))
    der[-1] ^= 1
    body = base64.encodebytes(bytes(der))
    return b"-----BEGIN CERTIFICATE REQUEST-----\n" + body + b"-----END CERTIFICATE REQUEST-----\n"


# ---------------------------------------------------------------------- certificates


async def test_a_certificate_of_another_authority_or_cluster_is_refused(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        enrolled = await enrol(fleet)
        key = identity.make_key()
        own = trust.make_authority("kubently executors")
        ca = x509.load_pem_x509_certificate(own.cert)
        ca_key = identity.read_key(own.key)
        assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
        now = datetime.now(UTC)
        forged = (
            x509.CertificateBuilder()
            .subject_name(identity.subject(PROD))
            .issuer_name(ca.subject)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now)
            .not_valid_after(now + timedelta(days=1))
            .add_extension(identity.alternative_name(PROD, "0"), critical=False)
            .sign(ca_key, hashes.SHA256())
        )

        assert (await refused(fleet, Enrolled(key, forged)))[0] == 401
        status, body = await refused(fleet, enrolled, cluster="other")
        assert status == 401
        assert "not for other" in body


async def test_an_expired_certificate_is_refused_by_its_code(tmp_path: Path) -> None:
    async with run_fleet(tmp_path, executor_cert_lifetime=0.5) as fleet:
        enrolled = await enrol(fleet)
        await fleet.wait_for(lambda: datetime.now(UTC) > enrolled.certificate.not_valid_after_utc)

        status, body = await refused(fleet, enrolled)

        assert status == 401
        assert "executor-certificate-expired" in body
        assert "kubently cluster add prod" in body


async def test_blocking_cuts_the_session_within_two_seconds_and_survives_a_restart(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        enrolled = await enrol(fleet)
        dialled = await dial(fleet, enrolled)
        await connected(fleet)
        colons = ":".join(enrolled.fingerprint[i : i + 2].upper() for i in range(0, 64, 2))

        await fleet.http.post("/api/v1/blocked-certificates", json={"fingerprint": colons, "reason": "stolen laptop"})

        with anyio.fail_after(2):
            await dialled.closed.wait()
        status, body = await refused(fleet, enrolled)
        assert (status, "stolen laptop" in body, "certificate-blocked" in body) == (403, True, True)
    async with run_fleet(tmp_path) as fleet:
        assert (await refused(fleet, enrolled))[0] == 403
        assert (await fleet.http.delete(f"/api/v1/blocked-certificates/{enrolled.fingerprint}")).status_code == 204
        await dial(fleet, enrolled)
        await connected(fleet)


async def test_certificates_are_good_after_a_restart_of_the_api(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        enrolled = await enrol(fleet)
    async with run_fleet(tmp_path) as fleet:
        await dial(fleet, enrolled)
        await connected(fleet)


async def test_another_cluster_with_a_proven_key_takes_the_id_from_a_token(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        copied = await fleet.add("prod", ScriptedExecutor(hello), kube_system_uid="uid-1")
        enrolled = await enrol(fleet)

        await dial(fleet, enrolled, kube_system_uid="uid-2")

        await fleet.wait_for(lambda: copied.is_closed)
        shown = (await fleet.http.get("/api/v1/clusters/prod")).json()
        assert [e["kube_system_uid"] for e in shown["executors"]] == ["uid-2"]


async def test_a_copied_key_does_not_take_the_id_from_where_it_is_live(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        enrolled = await enrol(fleet)
        first = await dial(fleet, enrolled, kube_system_uid="uid-1")
        await connected(fleet)

        second = await dial(fleet, enrolled, kube_system_uid="uid-2", instance="two")

        with anyio.fail_after(5):
            await second.closed.wait()
        assert not first.session.is_closed
        problem = (await fleet.http.get("/api/v1/clusters/prod")).json()["problem"]
        assert "uid-1" in problem
        assert "uid-2" in problem


async def test_sessions_that_never_prove_their_key_make_way(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        enrolled = await enrol(fleet)
        silent = []
        for _ in range(20):
            dialled = Dialled()
            link = await websocket.dial(
                fleet.url.replace("http", "ws") + websocket.PATH,
                headers={**enrolled.header, "X-Kubently-Cluster": "prod"},
                ssl=None,
                timeout=5,
            )
            dialled.session = Session(
                wire.Role.EXECUTOR, link, clock=time.monotonic, info={}, on_closed=dialled.on_closed
            )
            link.attach(dialled.session)
            fleet.dialled.append(dialled.session)
            silent.append(dialled)

        await fleet.wait_for(lambda: sum(d.session.is_closed for d in silent) >= 4)
        await dial(fleet, enrolled)
        await connected(fleet)


# ---------------------------------------------------------------------- the executor's side


class Kept:
    """Keeps a pair in memory."""

    def __init__(self) -> None:
        self.pair: KeyPair | None = None

    async def load(self) -> KeyPair | None:
        return self.pair

    async def save(self, pair: KeyPair) -> bool:
        self.pair = pair
        return True


@contextlib.asynccontextmanager
async def running_identity(fleet: RunningFleet, keeping: Any, token: list[str]) -> AsyncIterator[Identity]:
    async def ask(secret: str, request: str) -> ExecutorCertificate:
        answer = await send(fleet, secret, request.encode())
        if answer.status_code != 200:
            raise problems.from_problem(answer.status_code, answer.json())
        return ExecutorCertificate.model_validate(answer.json())

    one = Identity(PROD, keeping, token=lambda: token[0], enrol=ask)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one.run)
        yield one
        tasks.cancel_scope.cancel()


async def session_of(fleet: RunningFleet, one: Identity) -> Dialled:
    dialled = Dialled()
    link = await websocket.dial(
        fleet.url.replace("http", "ws") + websocket.PATH,
        headers={**await one.headers(), "X-Kubently-Cluster": "prod"},
        ssl=None,
        timeout=5,
    )
    dialled.session = Session(
        wire.Role.EXECUTOR,
        link,
        clock=time.monotonic,
        info={"instance": "one"},
        on_auth=lambda payload: one.received(payload, dialled.session.send_auth, host="127.0.0.1"),
        on_closed=dialled.on_closed,
    )
    link.attach(dialled.session)
    dialled.session.flush()
    fleet.dialled.append(dialled.session)
    return dialled


async def test_it_renews_over_the_live_tunnel_with_a_new_key(tmp_path: Path) -> None:
    async with run_fleet(tmp_path, executor_cert_lifetime=2) as fleet:
        keeping, token = Folder(tmp_path / "identity"), [await token_for(fleet)]
        async with running_identity(fleet, keeping, token) as one:
            dialled = await session_of(fleet, one)
            await connected(fleet)
            first = await keeping.load()
            assert first is not None
            began = one.certificate

            # A certificate begins five minutes early, for clocks: with two seconds of life it is due at once.
            await fleet.wait_for(lambda: one.certificate is not began, timeout=15)

            renewed = await keeping.load()
            assert renewed is not None
            assert renewed.key != first.key
            assert not dialled.session.is_closed
            await session_of(fleet, one)
            assert (tmp_path / "identity" / "tls.key").stat().st_mode & 0o777 == 0o600


async def test_it_enrols_again_after_a_refusal_as_soon_as_there_is_a_new_token(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        keeping, token = Kept(), [await token_for(fleet)]
        async with running_identity(fleet, keeping, token) as one:
            await session_of(fleet, one)
            await connected(fleet)
            await fleet.http.post("/api/v1/clusters/prod/reset")

            with pytest.raises(UpgradeRefusedError):
                await session_of(fleet, one)
            one.refused("executor-certificate-expired")
            with pytest.raises(UpgradeRefusedError):  # no new token: what there is is shown again
                await session_of(fleet, one)
            one.refused("executor-certificate-expired")
            token[0] = await token_for(fleet)

            await session_of(fleet, one)
            await connected(fleet)


async def test_sessions_that_dial_at_once_enrol_once(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        token = [await token_for(fleet)]
        async with running_identity(fleet, Kept(), token) as one, anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(session_of, fleet, one)
        await connected(fleet)
        audit = (await fleet.http.get("/api/v1/audit?limit=100")).json()["records"]
        assert sum(r["action"] == "executor.enrol" and r["event"] == "started" for r in audit) == 1


async def test_a_cluster_that_is_expected_is_listed_and_an_unknown_one_is_not_reset(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        await token_for(fleet, "expected")

        listed = (await fleet.http.get("/api/v1/clusters")).json()
        unknown = await fleet.http.post("/api/v1/clusters/nosuch/reset")

        assert [(c["id"], c["state"]) for c in listed] == [("expected", "never-connected")]
        assert (unknown.status_code, unknown.json()["code"]) == (404, "cluster-not-found")
