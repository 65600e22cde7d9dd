"""Executor and command line behind HTTP proxies: a small one that misbehaves, and tinyproxy."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner, Result
from tests.integration.connect_proxy import ConnectProxy, connect_proxy
from tests.integration.test_dial import listening, server_tls, upgrade

from kubently import trust
from kubently.errors import ConfigError, KubentlyError
from kubently.executor.apiserver import ApiServer
from kubently.executor.refusals import explain
from kubently.executor.supervisor import Supervisor
from kubently.executor.target import NoCredential, Target
from kubently.main import root
from kubently.main.servers import BACKEND
from kubently.schema import ClusterId, ClusterState
from kubently.settings import ExecutorSettings, ProxySettings, TimingSettings, TrustSettings
from kubently.testing import RunningFleet, run_fleet
from kubently.testing.fleets import ADMIN_KEY
from kubently.trust.proxies import Proxy
from kubently.tunnel.transports import websocket

pytestmark = pytest.mark.anyio

HOST = "kubently.example"
"""The API's name: nothing but the proxies of these tests knows where it is."""
ANYWHERE = "0.0.0.0"
"""An address of this machine that is not loopback, which would never be proxied."""


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both loops: TLS inside of TLS is another implementation in each."""
    return "asyncio", {"use_uvloop": request.param}


# The executor's own loop alone: before Python 3.11.8 asyncio's TLS inside of TLS raises a TypeError when both ends
# close it at once, which tests of the dial do not do.
executors_loop = pytest.mark.parametrize("anyio_backend", [("asyncio", BACKEND)], ids=["uvloop"])


@dataclass(frozen=True)
class Tls:
    """Server contexts of API and proxy, and the CA file of both."""

    api: ssl.SSLContext
    proxy: ssl.SSLContext
    ca: Path

    @property
    def client(self) -> ssl.SSLContext:
        return trust.client_context(ca=str(self.ca))


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    """Two CAs, one for each."""
    made = {}
    for name, names in (("api", (HOST, ANYWHERE)), ("proxy", ("127.0.0.1",))):
        (tmp_path / name).mkdir()
        made[name] = server_tls(tmp_path / name, *names)
    (tmp_path / "ca.crt").write_text(made["api"][1] + made["proxy"][1])
    return Tls(made["api"][0], made["proxy"][0], tmp_path / "ca.crt")


async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await upgrade(reader, writer)
    await reader.read()


# ---------------------------------------------------------------------- the tunnel's dial


@pytest.mark.parametrize("secure_proxy", [False, True], ids=["http-proxy", "https-proxy"])
@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
async def test_the_tunnel_goes_through(tls: Tls, secure: bool, secure_proxy: bool) -> None:
    async with listening(accept, tls.api if secure else None) as port:
        with connect_proxy(ConnectProxy(pieces=9), tls.proxy if secure_proxy else None) as proxy:
            way = Proxy("127.0.0.1", proxy.port, secure_proxy, "Basic YTpi")
            url = f"{'wss' if secure else 'ws'}://{HOST}:{port}/"

            link = await websocket.dial(url, headers={}, ssl=tls.client, timeout=5, proxy=way)

            assert link.is_writable
            assert proxy.targets == [f"{HOST}:{port}"]
            assert b"\r\nProxy-Authorization: Basic YTpi\r\n" in proxy.requests[0]
            link.close(1000, "")


async def fails(tls: Tls, proxy: ConnectProxy, *, secure: bool, timeout: float = 5) -> tuple[str, str]:
    """Dial through *proxy*, and give code and sentence of the failure."""
    way = Proxy("127.0.0.1", proxy.port, secure, "Basic c2VjcmV0OnNlY3JldA==")
    with pytest.raises((OSError, KubentlyError)) as caught:
        await websocket.dial(f"wss://{HOST}:1/", headers={}, ssl=tls.client, timeout=timeout, proxy=way)
    said, refused = explain(caught.value, f"wss://{HOST}:1/")  # type: ignore[arg-type]
    assert "c2VjcmV0" not in f"{said} {caught.value!r}"
    assert not refused
    return said.code, said.message


@pytest.mark.parametrize("secure", [False, True], ids=["http-proxy", "https-proxy"])
@pytest.mark.parametrize(
    ("behaviour", "code", "words"),
    [
        ({"answer": b"HTTP/1.1 403 Filtered\r\n\r\n"}, "proxy-refused", f"forbids {HOST}:1 (403 Filtered)"),
        ({"answer": b"HTTP/1.1 407 x\r\n\r\n"}, "proxy-auth-required", "refuses the credentials"),
        ({"answer": b"HTTP/1.1 502 x\r\n\r\n"}, "proxy-refused", f"could not reach {HOST}:1"),
        ({"answer": b"220 smtp.example ESMTP\r\n"}, "proxy-answer-invalid", "it is not HTTP"),
        ({"answer": b"HTTP/1.1 200 OK\r\n"}, "proxy-answer-invalid", "it closed the connection"),
        ({"answer": b"HTTP/1.1 200 OK\r\n\r\nearly"}, "proxy-answer-invalid", "more follows it"),
        ({"answer": b"HTTP/1.1 200 OK\r\n\r\nearly", "pieces": 24}, "proxy-answer-invalid", ""),
        ({"endless": True}, "proxy-answer-invalid", "over 16 KiB"),
    ],
)
async def test_proxy_that_opens_no_way(
    tls: Tls, behaviour: Mapping[str, Any], code: str, words: str, secure: bool
) -> None:
    with connect_proxy(ConnectProxy(**behaviour), tls.proxy if secure else None) as proxy:
        found, message = await fails(tls, proxy, secure=secure)

    if behaviour.get("pieces"):  # what comes late may meet the handshake with the API
        assert found in (code, "tls-not-spoken", "tls-cut", "dial-closed")
        return
    assert found == code
    assert words in message
    assert f"127.0.0.1:{proxy.port}" in message


async def test_proxy_that_says_nothing_is_given_up(tls: Tls) -> None:
    with connect_proxy(ConnectProxy(silent=True)) as proxy:
        assert await fails(tls, proxy, secure=False, timeout=0.2) == (
            "proxy-answer-invalid",
            f"the answer of the proxy http://127.0.0.1:{proxy.port} to CONNECT {HOST}:1 is invalid: "
            "nothing came in time",
        )


async def test_proxy_that_is_not_there_or_not_trusted_is_named_and_not_the_api(tls: Tls) -> None:
    with connect_proxy(ConnectProxy()) as gone:
        pass
    nobody = await fails(tls, gone, secure=False)
    with connect_proxy(ConnectProxy()) as plain:
        wrong_scheme = await fails(tls, plain, secure=True, timeout=2)
    with connect_proxy(ConnectProxy(), tls.api) as stranger:
        wrong_name = await fails(tls, stranger, secure=True)

    assert [code for code, _ in (nobody, wrong_scheme, wrong_name)] == ["proxy-unreachable"] * 3
    assert "nothing listens there" in nobody[1] or "refused" in nobody[1]
    assert "its certificate was refused" in wrong_name[1]
    assert HOST not in nobody[1] + wrong_scheme[1] + wrong_name[1]


async def test_certificate_of_the_api_is_looked_at_through_the_proxy(tls: Tls) -> None:
    async with listening(accept, tls.api) as port:
        with connect_proxy(ConnectProxy()) as proxy:
            proxies = ProxySettings(https=f"http://127.0.0.1:{proxy.port}")
            way, url = Proxy("127.0.0.1", proxy.port), f"wss://{HOST}:{port}/"
            with pytest.raises(ssl.SSLError) as caught:
                await websocket.dial(url, headers={}, ssl=trust.client_context(), timeout=5, proxy=way)
            facts = await anyio.to_thread.run_sync(
                trust.observe, caught.value, url, TrustSettings(proxies=proxies), trust.client_context()
            )

    assert proxy.targets == [f"{HOST}:{port}"] * 2
    assert HOST in facts.presented[0].names
    assert explain(caught.value, url, facts)[0].code == "tls-unknown-ca"


# ---------------------------------------------------------------------- executor and command line


async def kubernetes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An API server that knows its version."""
    while await reader.readuntil(b"\r\n\r\n"):
        body = b'{"gitVersion": "v1.36.3", "metadata": {"uid": "u-1"}}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()


@dataclass(frozen=True)
class World:
    """A fleet whose API speaks TLS, and what an executor of it needs."""

    fleet: RunningFleet
    settings: ExecutorSettings
    api_server: ApiServer
    ca: Path

    @property
    def port(self) -> int:
        return self.fleet.serving.port

    @contextlib.asynccontextmanager
    async def executor(self, environ: Mapping[str, str], *, host: str = HOST) -> AsyncIterator[Supervisor]:
        """An executor with the proxies of *environ*, while the block runs."""
        settings = replace(
            self.settings,
            api_url=f"https://{host}:{self.port}",
            trust=TrustSettings(ca_cert=str(self.ca), proxies=ProxySettings.from_env(environ)),
        )
        one = Supervisor(settings, None, self.api_server, capabilities={})  # type: ignore[arg-type]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.run)
            try:
                yield one
            finally:
                await one.stop(0)
                tasks.cancel_scope.cancel()

    async def cli(self, environ: Mapping[str, str], *, host: str = HOST) -> Result:
        """``kubently clusters --output json``."""
        url = f"https://{host}:{self.port}"
        clean = dict.fromkeys(("NO_PROXY", "no_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"))
        own = {"KUBENTLY_URL": url, "KUBENTLY_API_KEY": ADMIN_KEY, "KUBENTLY_CA_CERT": str(self.ca)}
        return await anyio.to_thread.run_sync(
            lambda: CliRunner().invoke(root, ["clusters", "--output", "json"], env={**clean, **own, **environ})
        )

    async def connected(self) -> None:
        await self.fleet.wait_for(lambda: self.fleet.state("prod") is ClusterState.CONNECTED)


@pytest.fixture
async def world(tls: Tls, tmp_path: Path) -> AsyncIterator[World]:
    folder = tmp_path / "api"
    cert, key = folder / "tls.crt", folder / "tls.key"
    async with listening(kubernetes) as port, run_fleet(tmp_path, tls_cert=cert, tls_key=key) as fleet:
        token = await fleet.serving.services.tokens.create(ClusterId("prod"))
        settings = ExecutorSettings("", "prod", token, timing=TimingSettings(dial_timeout=5))
        api_server = ApiServer(Target(ANYWHERE, port, "", None, "", NoCredential()))
        try:
            yield World(fleet, settings, api_server, tls.ca)
        finally:
            await api_server.aclose()


@pytest.mark.parametrize("secure", [False, True], ids=["http-proxy", "https-proxy"])
@executors_loop
async def test_executor_and_command_line_take_the_proxy_and_the_api_server_does_not(
    world: World, tls: Tls, secure: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "kubently.executor.supervisor")
    with connect_proxy(ConnectProxy(), tls.proxy if secure else None) as proxy:
        shown = f"{'https' if secure else 'http'}://127.0.0.1:{proxy.port}"
        environ = {name: shown.replace("://", "://ann:hunter2@") for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")}
        async with world.executor(environ):
            await world.connected()
            result = await world.cli(environ)

    assert result.exit_code == 0, result.output
    assert set(proxy.targets) == {f"{HOST}:{world.port}"}  # and not the API server's, which was asked as well
    assert len(proxy.targets) == 2
    credentials = b"Proxy-Authorization: Basic " + base64.b64encode(b"ann:hunter2")
    assert all(credentials in request for request in proxy.requests)
    executor = json.loads(result.stdout)[0]["executors"][0]
    assert executor["kubernetes_version"] == "v1.36.3"
    assert executor["capabilities"]["proxy"] == shown
    record = next(record for record in caplog.records if record.message == "connected to the API")
    assert record.proxy == shown  # type: ignore[attr-defined]
    assert "hunter2" not in caplog.text + result.output


@executors_loop
async def test_no_proxy_keeps_both_off_it(world: World) -> None:
    with connect_proxy(ConnectProxy()) as proxy:
        environ = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}", "NO_PROXY": "0.0.0.0/8"}
        async with world.executor(environ, host=ANYWHERE):
            await world.connected()
            result = await world.cli(environ, host=ANYWHERE)

    assert result.exit_code == 0, result.output
    assert proxy.requests == []
    assert "proxy" not in json.loads(result.stdout)[0]["executors"][0]["capabilities"]


@pytest.mark.parametrize(
    ("answer", "code", "exit_code"),
    [
        (b"HTTP/1.1 403 Filtered\r\n\r\n", "proxy-refused", 69),
        (b"HTTP/1.1 407 x\r\n\r\n", "proxy-auth-required", 77),
        (b"garbage\r\n", "proxy-answer-invalid", 69),
    ],
)
@executors_loop
async def test_both_say_what_the_proxy_said(world: World, answer: bytes, code: str, exit_code: int) -> None:
    with connect_proxy(ConnectProxy(answer=answer)) as proxy:
        environ = {"HTTPS_PROXY": f"http://ann:hunter2@127.0.0.1:{proxy.port}"}
        async with world.executor(environ) as executor:
            await world.fleet.wait_for(lambda: f"[{code}]" in executor.problem)
            result = await world.cli(environ)

        assert f"[{code}]" in result.output
        assert result.exit_code == exit_code
        assert f"the proxy http://127.0.0.1:{proxy.port}" in executor.problem
        assert f"the proxy http://127.0.0.1:{proxy.port}" in result.output
        assert "hunter2" not in executor.problem + result.output


@executors_loop
async def test_command_line_bounds_an_endless_answer_and_names_a_proxy_that_is_gone(world: World) -> None:
    with connect_proxy(ConnectProxy(endless=True)) as proxy:
        endless = await world.cli({"HTTPS_PROXY": f"127.0.0.1:{proxy.port}"})
    gone = await world.cli({"HTTPS_PROXY": f"127.0.0.1:{proxy.port}"})

    assert "over 16 KiB [proxy-answer-invalid]" in endless.output
    assert "[proxy-unreachable]" in gone.output
    assert f"http://127.0.0.1:{proxy.port}" in gone.output


@executors_loop
async def test_socks_is_refused_at_the_start(world: World) -> None:
    environ = {"ALL_PROXY": "socks5://ann:hunter2@127.0.0.1:1080"}
    with pytest.raises(ConfigError) as caught:
        async with world.executor(environ):
            pass
    result = await world.cli(environ)

    assert "ALL_PROXY asks for socks5://, which is not supported" in caught.value.message
    assert "ALL_PROXY asks for socks5://, which is not supported [config-invalid]" in result.output
    assert "hunter2" not in result.output


# ---------------------------------------------------------------------- tinyproxy


@contextlib.contextmanager
def tinyproxy(folder: Path, *directives: str) -> Iterator[int]:
    """The real thing on loopback, while the block runs; gives its port."""
    binary = shutil.which("tinyproxy") or shutil.which("tinyproxy", path="/usr/sbin:/usr/bin")
    if binary is None:
        pytest.skip("tinyproxy is not installed")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = folder / "tinyproxy.conf"
    lines = [f"Port {port}", "Listen 127.0.0.1", "Timeout 60", "MaxClients 20", "Allow 127.0.0.1", *directives]
    config.write_text("\n".join(lines) + "\n")
    with subprocess.Popen(
        [binary, "-d", "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as one:
        try:
            yield port
        finally:
            one.kill()


async def listens(port: int) -> None:
    """Wait until something does."""
    with anyio.fail_after(10):
        while True:
            with contextlib.suppress(OSError):
                async with await anyio.connect_tcp("127.0.0.1", port):
                    return
            await anyio.sleep(0.02)


@executors_loop
async def test_tinyproxy_with_a_password(world: World, tmp_path: Path) -> None:
    with tinyproxy(tmp_path, "BasicAuth ann hunter2", f"ConnectPort {world.port}") as port:
        await listens(port)
        right = {"HTTPS_PROXY": f"http://ann:hunter2@127.0.0.1:{port}"}
        async with world.executor(right, host=ANYWHERE):
            await world.connected()
            result = await world.cli(right, host=ANYWHERE)
        wrong = await world.cli({"HTTPS_PROXY": f"http://ann:wrong@127.0.0.1:{port}"}, host=ANYWHERE)
        none = await world.cli({"HTTPS_PROXY": f"http://127.0.0.1:{port}"}, host=ANYWHERE)

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)[0]["executors"][0]["capabilities"]["proxy"] == f"http://127.0.0.1:{port}"
    assert "[proxy-auth-required]" in none.output
    assert "wants credentials" in none.output
    assert "[proxy-auth-required]" in wrong.output or "[proxy-refused]" in wrong.output


@executors_loop
async def test_tinyproxy_that_forbids_the_port(world: World, tmp_path: Path) -> None:
    with tinyproxy(tmp_path, "ConnectPort 443") as port:
        await listens(port)
        environ = {"HTTPS_PROXY": f"http://127.0.0.1:{port}"}
        result = await world.cli(environ, host=ANYWHERE)
        async with world.executor(environ, host=ANYWHERE) as executor:
            await world.fleet.wait_for(lambda: "[proxy-refused]" in executor.problem)

    assert f"forbids {ANYWHERE}:{world.port} (403" in result.output
    assert f"forbids {ANYWHERE}:{world.port} (403" in executor.problem
