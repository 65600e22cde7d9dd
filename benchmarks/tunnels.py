"""Public tunnels that stand beside Kubently in `benchmarks.beside`: how each is started, and reached.

They carry bytes: a caller has TLS with the API server through them. Each server ends TLS of its own towards its
agents, as Kubently's does. The programs are those of the test bed; its build says which versions.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.testbed import binaries, pki, processes

from benchmarks import upstream
from benchmarks.client import Connection

KUBENTLY = "Kubently"
_SECRET = "benchmark-secret-of-enough-length"
_START = 30.0
"""Seconds that a tunnel may take until something goes through it."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to the API server; the processes are those of a tunnel's two ends, if there is one."""

    name: str
    open: Callable[[], Awaitable[Connection]]
    prefix: str = ""
    server: int | None = None
    agent: int | None = None

    @property
    def ends(self) -> tuple[int, ...]:
        """The processes of the server and of the agent; none of the direct way."""
        return tuple(pid for pid in (self.server, self.agent) if pid is not None)

    async def wait(self) -> None:
        """Wait until an answer comes through it. Raises TimeoutError."""
        async with asyncio.timeout(_START):
            while not await self._answers():
                await asyncio.sleep(0.1)

    async def _answers(self) -> bool:
        try:
            connection = await self.open()
            async with asyncio.timeout(5):
                await connection.get(self.prefix + upstream.SMALL)
        except (OSError, TimeoutError):
            return False
        connection.close()
        return True


class Tunnel(ABC):
    """One tool. What it starts ends with the stack."""

    name: str
    programs: tuple[str, ...]
    sockets_each = 1
    """How many the server has for an agent that is idle."""

    def __init__(self, folder: Path, target: int, stack: ExitStack) -> None:
        """Take a *folder* that is empty, and the port of loopback where the API server listens."""
        self._folder, self._target, self._stack = folder, target, stack
        self.port, self._front, *self._more = processes.free_ports(6)
        authority = pki.Authority("benchmark")
        cert, key = authority.issue("agent", names=("localhost", "127.0.0.1"))
        self._ca = pki.write(folder / "ca.crt", authority.cert)
        self._cert, self._key = pki.write(folder / "tls.crt", cert), pki.write(folder / "tls.key", key)

    @classmethod
    def missing(cls) -> list[str]:
        """Its programs that are not built."""
        return [program for program in cls.programs if not binaries.is_there(program)]

    @abstractmethod
    def serve(self) -> int:
        """Start the server; its process."""

    @abstractmethod
    def join(self) -> int:
        """Start the one agent through which callers come; its process."""

    @abstractmethod
    def crowd(self, count: int) -> int:
        """Start *count* agents that are idle, in one process."""

    async def connect(self, tls: ssl.SSLContext) -> Connection:
        """Reach the API server as a caller does, by name and with TLS."""
        return await Connection.open(f"https://localhost:{self._front}", tls=tls)

    def way(self, tls: ssl.SSLContext) -> Way:
        """Start both ends; callers use *tls* with the API server."""
        server = self.serve()
        wait_for_port(self.port)
        return Way(self.name, lambda: self.connect(tls), server=server, agent=self.join())

    def _start(self, program: str, *words: str) -> int:
        argv = [binaries.find(program), *words]
        log = self._folder / f"{program}.log"
        child = processes.Process(argv, log=log, env={"HOME": str(self._folder), "PATH": ""}, cwd=self._folder)
        self._stack.callback(child.kill)
        return child.pid


class Chisel(Tunnel):
    """SSH in a WebSocket; an agent asks for a port at the server."""

    name = "chisel"
    programs = ("chisel", "chisel-agents")
    sockets_each = 2

    def serve(self) -> int:
        tls = (f"--tls-cert={self._cert}", f"--tls-key={self._key}")
        listen = ("--host=127.0.0.1", f"--port={self.port}")
        return self._start("chisel", "server", *listen, "--reverse", f"--auth=agent:{_SECRET}", *tls)

    def join(self) -> int:
        remote = f"R:127.0.0.1:{self._front}:127.0.0.1:{self._target}"
        options = (f"--auth=agent:{_SECRET}", f"--tls-ca={self._ca}")
        return self._start("chisel", "client", *options, f"https://127.0.0.1:{self.port}", remote)

    def crowd(self, count: int) -> int:
        url = f"https://127.0.0.1:{self.port}"
        return self._start("chisel-agents", url, str(self._ca), f"agent:{_SECRET}", str(count))


class Remotedialer(Tunnel):
    """Rancher's library in a program of ours that does the least it can."""

    name = "remotedialer"
    programs = ("remotedialer",)

    def serve(self) -> int:
        ports, target = (str(self.port), str(self._front)), f"127.0.0.1:{self._target}"
        return self._start("remotedialer", "server", *ports, str(self._cert), str(self._key), _SECRET, target)

    def join(self) -> int:
        return self.crowd(1)

    def crowd(self, count: int) -> int:
        return self._start("remotedialer", "agents", str(self.port), str(self._ca), _SECRET, str(count))


class Konnectivity(Tunnel):
    """gRPC with client certificates; callers come over a Unix socket with CONNECT, as on a control plane's machine."""

    name = "konnectivity"
    programs = ("konnectivity-server", "konnectivity-agent", "konnectivity-agents")

    def serve(self) -> int:
        return self._start(
            "konnectivity-server",
            *("--mode=http-connect", f"--uds-name={self._socket}", "--server-port=0"),
            *(f"--agent-port={self.port}", "--agent-bind-address=127.0.0.1"),
            *(f"--admin-port={self._more[0]}", "--admin-bind-address=127.0.0.1"),
            *(f"--health-port={self._more[1]}", "--health-bind-address=127.0.0.1"),
            *(f"--cluster-cert={self._cert}", f"--cluster-key={self._key}", f"--cluster-ca-cert={self._ca}"),
        )

    def join(self) -> int:
        return self._start(
            "konnectivity-agent",
            *("--proxy-server-host=127.0.0.1", f"--proxy-server-port={self.port}"),
            *("--health-server-host=127.0.0.1", f"--health-server-port={self._more[2]}"),
            f"--admin-server-port={self._more[3]}",
            *(f"--agent-cert={self._cert}", f"--agent-key={self._key}", f"--ca-cert={self._ca}"),
        )

    def crowd(self, count: int) -> int:
        files = (str(self._ca), str(self._cert), str(self._key))
        return self._start("konnectivity-agents", str(self.port), *files, str(count))

    async def connect(self, tls: ssl.SSLContext) -> Connection:
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        try:
            await _ask_for(sock, str(self._socket), f"127.0.0.1:{self._target}")
        except BaseException:
            sock.close()
            raise
        return await Connection.over(sock, f"https://localhost:{self._target}", tls=tls)

    @property
    def _socket(self) -> Path:
        return self._folder / "front.sock"


TOOLS: tuple[type[Tunnel], ...] = (Chisel, Remotedialer, Konnectivity)


async def _ask_for(sock: socket.socket, path: str, target: str) -> None:
    """Say CONNECT on a Unix socket. Raises ConnectionError when that is refused."""
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, path)
    await loop.sock_sendall(sock, f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        piece = await loop.sock_recv(sock, 1)  # not one byte of what follows
        if not piece:
            raise ConnectionError("the proxy closed")
        answer += piece
    if answer.split(b" ", 2)[1] != b"200":
        raise ConnectionError(answer.partition(b"\r\n")[0].decode(errors="replace"))


def wait_for_port(port: int) -> None:
    """Wait until somebody listens there. Raises AssertionError."""

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    processes.until(listens, f"port {port} listens", timeout=_START)


def wait_for_sockets(pid: int, count: int) -> None:
    """Wait until the process has so many sockets. Raises AssertionError."""
    processes.until(lambda: sockets(pid) >= count, f"{count} sockets of process {pid}", timeout=_START)


def sockets(pid: int) -> int:
    """How many sockets a process has."""
    found = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found += os.readlink(entry).startswith("socket:")
        except FileNotFoundError:
            continue
    return found
