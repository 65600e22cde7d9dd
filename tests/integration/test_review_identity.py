"""Attacks on the identity of executors, against a running API and the executor's own side."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from kubently import trust, wire
from kubently.auth import Blocklist, Enrolments, ExecutorTokens, Identities, open_authority
from kubently.errors import CertificateBlockedError, ConfigError, ExecutorCertificateError, KubentlyError
from kubently.executor import refusals
from kubently.executor.identity import Identity
from kubently.executor.keeping import Folder
from kubently.schema import ClusterId, ExecutorCertificate
from kubently.store import Store, open_store
from kubently.testing import RunningFleet, run_fleet
from kubently.trust import identity, spellings
from kubently.tunnel import Session
from kubently.tunnel.transports import opening, polling

pytestmark = pytest.mark.anyio

PROD = ClusterId("prod")


def now() -> datetime:
    return datetime.now(UTC)


async def token_for(fleet: RunningFleet) -> str:
    token: str = (await fleet.http.post("/api/v1/clusters/prod/enrolments", json={})).json()["token"]
    return token


async def enrol(fleet: RunningFleet) -> x509.Certificate:
    wish = {"cluster": "prod", "request": identity.make_request(identity.make_key(), PROD).decode()}
    headers = {"Authorization": f"Bearer {await token_for(fleet)}"}
    answer = await fleet.http.post("/executor/v1/enrol", json=wish, headers=headers)
    return x509.load_pem_x509_certificate(answer.json()["certificate"].encode())


def showing(der: bytes) -> dict[str, str]:
    shown = base64.b64encode(der).decode()
    return {"Authorization": f"{identity.SCHEME} {shown}", "X-Kubently-Cluster": "prod"}


async def make_identities(store: Store, **more: Any) -> Identities:
    authority = await open_authority(store, None, lifetime=timedelta(days=1), now=now)
    return Identities(
        store, ExecutorTokens(store), Enrolments(store, now=now), Blocklist(store, now=now), authority, **more
    )


async def make_certificate(identities: Identities, key: identity.PrivateKey) -> x509.Certificate:
    token, _ = await identities.enrolments.create(PROD, ttl=600)
    made = await identities.enrol(PROD, token, identity.make_request(key, PROD).decode(), kube_system_uid="")
    return x509.load_pem_x509_certificate(made.certificate.encode())


def spelled_anew(certificate: x509.Certificate) -> bytes:
    """The same content under the signature's other s: valid for whoever verifies it."""
    names = spellings.fingerprints(certificate)
    for order in spellings._ORDERS.values():
        r, s = decode_dss_signature(certificate.signature)
        if not 0 < s < order:
            continue
        der = spellings._with(certificate, encode_dss_signature(r, order - s))
        assert identity.fingerprint(x509.load_der_x509_certificate(der)) in names
        return der
    raise AssertionError("the signature is of no curve")


def with_unused_bits(certificate: x509.Certificate) -> bytes:
    """The last bit of the signature, which must be 0, said not to count."""
    der, signature = certificate.public_bytes(Encoding.DER), certificate.signature
    assert der.endswith(b"\0" + signature)
    return der[: -len(signature) - 1] + b"\1" + signature


# ---------------------------------------------------------------------- blocking


@pytest.mark.parametrize("how", ["other s", "unused bits"])
async def test_a_certificate_spelled_anew_does_not_get_around_a_block(tmp_path: Path, how: str) -> None:
    async with run_fleet(tmp_path) as fleet:
        certificate = await enrol(fleet)
        while how == "unused bits" and certificate.signature[-1] % 2:
            certificate = await enrol(fleet)
        original = certificate.public_bytes(Encoding.DER)
        again = spelled_anew(certificate) if how == "other s" else with_unused_bits(certificate)
        assert again != original

        answer = await fleet.http.post(polling.OPEN_PATH, headers=showing(again))

        assert (answer.status_code, answer.json()["code"]) == (401, "executor-certificate-invalid")
        assert (await fleet.http.post(polling.OPEN_PATH, headers=showing(original))).status_code == 200


@pytest.mark.parametrize("blocks", ["the original", "the other spelling"])
async def test_nor_does_one_of_another_authority(tmp_path: Path, blocks: str) -> None:
    store = open_store(f"sqlite://{tmp_path}/store.db")
    made = trust.make_authority("somebody's own")
    authority, key = x509.load_pem_x509_certificate(made.cert), identity.read_key(made.key)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(identity.subject(PROD))
        .issuer_name(authority.subject)
        .public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
        .serial_number(1)
        .not_valid_before(now() - timedelta(hours=1))
        .not_valid_after(now() + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    other = spelled_anew(certificate)
    identities = await make_identities(store, client_authorities=(authority,))
    admitted = await identities.by_client_certificate(PROD, other, is_verified=False)
    shown = certificate if blocks == "the original" else x509.load_der_x509_certificate(other)
    assert await identities.is_current(PROD, admitted.credential)

    await identities.blocklist.block(identity.fingerprint(shown), by="admin")

    assert not await identities.is_current(PROD, admitted.credential)
    with pytest.raises(CertificateBlockedError):
        await identities.by_client_certificate(PROD, other, is_verified=True)
    await store.aclose()


# ---------------------------------------------------------------------- resetting


class _Interrupted:
    """A store of which a method waits for something else to happen behind it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.after: Callable[[str, str], Awaitable[None]] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def put(self, key: str, *args: Any, **more: Any) -> bool:
        done = await self._store.put(key, *args, **more)
        await self._tell("put", key)
        return done

    async def get(self, key: str) -> bytes | None:
        found = await self._store.get(key)
        await self._tell("get", key)
        return found

    async def _tell(self, what: str, key: str) -> None:
        if self.after:
            await self.after(what, key)


@pytest.mark.parametrize("way", ["enrolment", "renewal"])
async def test_what_is_issued_while_a_cluster_is_reset_is_good_for_nothing(tmp_path: Path, way: str) -> None:
    store = open_store(f"sqlite://{tmp_path}/store.db")
    interrupted: Any = _Interrupted(store)
    identities = await make_identities(interrupted)
    key = identity.make_key()
    present = await make_certificate(identities, key) if way == "renewal" else None
    token, _ = await identities.enrolments.create(PROD, ttl=600)

    async def reset(what: str, name: str) -> None:
        moment = ("put", "auth:enrolment:") if way == "enrolment" else ("get", "auth:identity-generation:")
        if (what, name[: len(moment[1])]) == moment:
            interrupted.after = None
            await identities.end(PROD)

    interrupted.after = reset
    request = identity.make_request(key, PROD).decode()
    if present is not None:
        made = await identities._renew(present.public_bytes(Encoding.DER), PROD, request)
    else:
        made = await identities.enrol(PROD, token, request, kube_system_uid="")

    assert interrupted.after is None
    der = x509.load_pem_x509_certificate(made.certificate.encode()).public_bytes(Encoding.DER)
    with pytest.raises(KubentlyError) as caught:
        await identities._checked(der, PROD)
    assert caught.value.code == "executor-certificate-expired"
    await store.aclose()


# ---------------------------------------------------------------------- what an executor says of itself


async def test_a_number_without_end_in_settings_is_no_failure_of_the_api(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    async with run_fleet(tmp_path) as fleet:
        headers = showing((await enrol(fleet)).public_bytes(Encoding.DER))
        opened = await fleet.http.post(polling.OPEN_PATH, headers=headers)
        headers |= {polling.SESSION: opened.json()["session"], polling.SEQUENCE: "1"}
        settings = wire.Connection(wire.Role.EXECUTOR, info={"hold": 10**400}).frames_to_send()

        answer = await fleet.http.post(polling.UP_PATH, headers=headers, content=polling.pack(settings))

        assert answer.status_code == 204
        assert not caplog.records


async def test_nothing_is_held_of_a_session_that_left_without_its_proof(tmp_path: Path) -> None:
    def held() -> int:
        gc.collect()
        return sum(isinstance(found, Session) for found in gc.get_objects())

    async with run_fleet(tmp_path) as fleet:
        headers = showing((await enrol(fleet)).public_bytes(Encoding.DER))
        before = held()
        for _ in range(20):
            opened = await fleet.http.post(polling.OPEN_PATH, headers=headers)
            named = {**headers, polling.SESSION: opened.json()["session"], polling.SEQUENCE: "0"}
            await fleet.http.post(polling.CLOSE_PATH, headers=named)

        await fleet.wait_for(lambda: held() == before)


# ---------------------------------------------------------------------- the executor's side


@pytest.mark.parametrize("garbage", [b"\xff\xfe\x00garbage", b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
async def test_garbage_where_the_identity_is_kept_is_enrolled_over(tmp_path: Path, garbage: bytes) -> None:
    async with run_fleet(tmp_path) as fleet:
        folder = tmp_path / "identity"
        folder.mkdir()
        for name in ("tls.crt", "tls.key"):
            (folder / name).write_bytes(garbage)
        token = await token_for(fleet)

        async def ask(secret: str, request: str) -> ExecutorCertificate:
            wish = {"cluster": "prod", "request": request}
            answer = await fleet.http.post(
                "/executor/v1/enrol", json=wish, headers={"Authorization": f"Bearer {secret}"}
            )
            return ExecutorCertificate.model_validate(answer.json())

        one = Identity(PROD, Folder(folder), token=lambda: token, enrol=ask)

        assert "Authorization" in await one.headers()
        assert (folder / "tls.crt").read_text().startswith("-----BEGIN CERTIFICATE-----")


async def test_an_identity_that_cannot_be_read_is_not_said_to_be_the_apis_fault(tmp_path: Path) -> None:
    (tmp_path / "tls.crt").mkdir()  # root reads whatever is a file

    with pytest.raises(ConfigError, match=r"identity in .* cannot be read") as caught:
        await Folder(tmp_path).load()

    assert refusals.explain(caught.value, "https://api.example")[0].code == "config-invalid"


async def test_a_certificate_for_another_key_does_not_end_the_executor(tmp_path: Path) -> None:
    """As of an answer that comes after the next attempt to renew began, or from an API that means ill."""
    store = open_store(f"sqlite://{tmp_path}/store.db")
    identities = await make_identities(store)
    clock = [now()]
    token, _ = await identities.enrolments.create(PROD, ttl=600)

    async def ask(secret: str, request: str) -> ExecutorCertificate:
        return await identities.enrol(PROD, secret, request, kube_system_uid="")

    one = Identity(PROD, Folder(tmp_path / "identity"), token=lambda: token, enrol=ask, now=lambda: clock[0])
    await one.headers()
    assert one.certificate is not None
    held, asked = one.certificate, anyio.Event()
    foreign = (await make_certificate(identities, identity.make_key())).public_bytes(Encoding.PEM).decode()

    def send(payload: bytes) -> None:
        words = json.loads(payload)
        if words["kind"] != "renew":
            return
        for answer in (foreign, "no certificate"):
            one.received(identity.encode("certificate", certificate=answer), send, host="api")
        asked.set()

    async with anyio.create_task_group() as tasks:
        nonce = identity.encode("challenge", nonce="n", session="s", certificate=identity.fingerprint(held))
        one.received(nonce, send, host="api")
        clock[0] = held.not_valid_after_utc - timedelta(minutes=1)
        tasks.start_soon(one.run)
        with anyio.fail_after(10):
            await asked.wait()
        await anyio.wait_all_tasks_blocked()

        assert one.certificate is held
        assert await one.headers()
        tasks.cancel_scope.cancel()
    await store.aclose()


async def test_a_kernel_without_a_family_reaches_a_name_that_has_both(monkeypatch: pytest.MonkeyPatch) -> None:
    class Socket(socket.socket):
        def __init__(self, family: int = -1, *args: Any, **more: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(97, "Address family not supported by protocol")
            super().__init__(family, *args, **more)

    listener = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]

    async def resolve(host: str, port: int, **more: Any) -> list[Any]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve, raising=False)
    monkeypatch.setattr(socket, "socket", Socket)

    with await opening.open_socket("api.example", port) as opened:
        assert opened.getpeername() == ("127.0.0.1", port)
    listener.close()


def test_every_certificate_of_ours_has_one_spelling(tmp_path: Path) -> None:
    async def many() -> list[x509.Certificate]:
        store = open_store(f"sqlite://{tmp_path}/store.db")
        identities = await make_identities(store)
        found = [await make_certificate(identities, identity.make_key()) for _ in range(16)]
        for certificate in found:
            with pytest.raises(ExecutorCertificateError):
                await identities._checked(spelled_anew(certificate), PROD)
            await identities._checked(certificate.public_bytes(Encoding.DER), PROD)
        await store.aclose()
        return found

    assert len({c.serial_number for c in anyio.run(many)}) == 16
