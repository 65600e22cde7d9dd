"""A thousand executors that enrol at once, then come back at once over TLS after their API was restarted."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from benchmarks import machine
from kubently import trust, wire
from kubently.client import Api
from kubently.schema import ClusterId
from kubently.trust import identity
from kubently.tunnel import Session
from kubently.tunnel.transports import websocket

KEY = "benchmark-admin-key"
AT_ONCE = 100


class Served:
    """An API process with TLS and a store in files, so that it can be restarted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        authority = trust.make_authority("benchmark")
        trust.issue(authority, ["localhost"]).write(folder / "tls.crt", folder / "tls.key")
        self.ca = authority.cert.decode()
        self.context = trust.client_context(ca=self.ca)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"https://localhost:{self.port}"
        self.api = Api(self.url, KEY, ca=self.ca)

    @contextlib.contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """The process, up."""
        env = {
            **os.environ,
            "KUBENTLY_LISTEN": f"127.0.0.1:{self.port}",
            "KUBENTLY_TLS_CERT": str(self.folder / "tls.crt"),
            "KUBENTLY_TLS_KEY": str(self.folder / "tls.key"),
            "KUBENTLY_STORE": f"sqlite://{self.folder / 'store.db'}",
            "KUBENTLY_ADMIN_KEY": KEY,
            "KUBENTLY_LOG_LEVEL": "error",
        }
        process = subprocess.Popen([sys.executable, "-m", "kubently.main", "api"], env=env)
        try:
            machine.wait_for(self._is_up)
            yield process
        finally:
            machine.stop(process)

    def _is_up(self) -> bool:
        try:
            return bool(self.api.get("/healthz"))
        except Exception:
            return False


class Executor:
    """One cluster's, as small as it can be."""

    def __init__(self, served: Served, number: int) -> None:
        self._served = served
        self.cluster = ClusterId(f"cluster-{number}")
        self.key = identity.make_key()
        self.certificate: x509.Certificate
        self.session: Session

    async def enrol(self, http: httpx.AsyncClient, token: str) -> None:
        request = identity.make_request(self.key, self.cluster).decode()
        answer = await http.post(
            "/executor/v1/enrol",
            json={"cluster": self.cluster, "request": request},
            headers={"Authorization": f"Bearer {token}"},
        )
        answer.raise_for_status()
        self.certificate = x509.load_pem_x509_certificate(answer.json()["certificate"].encode())

    async def connect(self) -> None:
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        link = await websocket.dial(
            self._served.url.replace("https", "wss") + websocket.PATH,
            headers={
                "Authorization": f"{identity.SCHEME} {base64.b64encode(der).decode()}",
                "X-Kubently-Cluster": self.cluster,
            },
            ssl=self._served.context,
            timeout=60,
        )
        self.session = Session(
            wire.Role.EXECUTOR,
            link,
            clock=time.monotonic,
            info={"version": "benchmark", "instance": self.cluster},
            on_auth=self._prove,
        )
        link.attach(self.session)
        self.session.flush()

    def _prove(self, payload: bytes) -> None:
        words = identity.decode(payload)
        challenge = identity.Challenge(words["nonce"], words["session"])
        proof = identity.sign(self.key, challenge, self.cluster, f"localhost:{self._served.port}")
        self.session.send_auth(identity.encode("proof", host=proof.host, signature=proof.signature))


async def _each(executors: list[Executor], work) -> float:  # type: ignore[no-untyped-def]
    """Seconds until *work* was done for all."""
    started = time.monotonic()
    limit = anyio.Semaphore(AT_ONCE)

    async def one(executor: Executor) -> None:
        async with limit:
            await work(executor)

    async with anyio.create_task_group() as tasks:
        for executor in executors:
            tasks.start_soon(one, executor)
    return time.monotonic() - started


def _connected(api: Api) -> int:
    return sum(c["state"] == "connected" for c in api.get("/api/v1/clusters"))


async def _wait_all(served: Served, count: int) -> int:
    with anyio.move_on_after(60):
        while await anyio.to_thread.run_sync(_connected, served.api) < count:
            await anyio.sleep(0.1)
    return await anyio.to_thread.run_sync(_connected, served.api)


async def run(count: int) -> None:
    """Print the figures for *count* executors."""
    with tempfile.TemporaryDirectory() as name:
        served = Served(Path(name))
        executors = [Executor(served, i) for i in range(count)]
        async with httpx.AsyncClient(base_url=served.url, verify=served.context, timeout=120, trust_env=False) as http:
            with served.running() as process:
                tokens: dict[str, str] = {}

                async def make_token(executor: Executor) -> None:
                    path = f"/api/v1/clusters/{executor.cluster}/enrolments"
                    made = await http.post(path, json={}, headers={"Authorization": f"Bearer {KEY}"})
                    tokens[executor.cluster] = made.json()["token"]

                await _each(executors, make_token)
                cpu = machine.cpu_seconds(process.pid)
                took = await _each(executors, lambda e: e.enrol(http, tokens[e.cluster]))
                used = machine.cpu_seconds(process.pid) - cpu
                print(f"{count} enrolments at once: {took:.2f} s, {used / count * 1000:.2f} ms CPU each in the API")
                before = machine.pss_bytes(process.pid)
                took = await _each(executors, Executor.connect)
                there = await _wait_all(served, count)
                memory = (machine.pss_bytes(process.pid) - before) / count / 1024
                print(f"  {there} of {count} connected by certificate over TLS after {took:.2f} s")
                print(f"  memory {memory:.1f} KiB each in the API process, TLS and proof included (bar: 64)")
        with served.running() as process:
            cpu = machine.cpu_seconds(process.pid)
            took = await _each(executors, Executor.connect)
            there = await _wait_all(served, count)
            used = machine.cpu_seconds(process.pid) - cpu
            print(f"after a restart: {there} of {count} back after {took:.2f} s, {used / count * 1000:.2f} ms CPU each")
            full, resumed = await anyio.to_thread.run_sync(_handshakes, served, 200)
            print(f"  a resumed TLS handshake takes {resumed / full:.2f} of a full one's time (client and server)")
        for executor in executors:
            executor.session.close("the benchmark ends")


def _handshakes(served: Served, count: int) -> tuple[float, float]:
    """Seconds of *count* full handshakes, and of as many resumed ones."""

    def connect(session: ssl.SSLSession | None) -> ssl.SSLSession | None:
        with (
            socket.create_connection(("127.0.0.1", served.port)) as plain,
            served.context.wrap_socket(plain, server_hostname="localhost", session=session) as made,
        ):
            made.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            while made.recv(4096):
                pass
            if session is not None:
                assert made.session_reused
            return made.session

    started = time.monotonic()
    for _ in range(count):
        session = connect(None)
    full = time.monotonic() - started
    started = time.monotonic()
    for _ in range(count):
        session = connect(session)
    return full, time.monotonic() - started
