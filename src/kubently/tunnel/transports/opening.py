"""Opens the connection below a transport: DNS anew each time, every address tried, then TLS or a proxy.

Addresses are tried in the resolver's order with families in turn, a new one every quarter of a second while none has
answered (RFC 8305, "Happy Eyeballs"), so that an address that swallows packets costs no time-out. uvloop's
``create_connection`` knows no such thing, hence our own.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl as tls
from dataclasses import dataclass

import anyio

from kubently.trust.proxies import Proxy
from kubently.tunnel.transports import proxied

NEXT_ADDRESS_AFTER = 0.25
"""Seconds after which the next address is tried beside the last (RFC 8305 section 8)."""
MAX_ADDRESSES = 8


@dataclass(frozen=True, slots=True)
class Road:
    """How a server is reached: where it is, by which TLS, through which proxy."""

    host: str
    port: int
    ssl: tls.SSLContext | None
    """For the server; None speaks plain."""
    server_hostname: str | None
    timeout: float
    """Seconds of each stage: addresses and TLS, and the same for a proxy."""
    proxy: Proxy | None = None
    proxy_ssl: tls.SSLContext | None = None

    async def connect(self, protocol: asyncio.Protocol) -> None:
        """Connect *protocol*. Raises ProxyError, OSError (including ``ssl.SSLError``) or TimeoutError."""
        if self.proxy is not None:
            await proxied.connect(
                protocol,
                self.proxy,
                self.host,
                self.port,
                ssl=self.ssl,
                server_hostname=self.server_hostname,
                proxy_ssl=self.proxy_ssl,
                timeout=self.timeout,
            )
            return
        with anyio.fail_after(self.timeout):
            connected = await open_socket(self.host, self.port)
            try:
                await asyncio.get_running_loop().create_connection(
                    lambda: protocol, sock=connected, ssl=self.ssl, server_hostname=self.server_hostname
                )
            except BaseException:
                connected.close()
                raise


def shown_to(transport: asyncio.BaseTransport | None) -> bytes:
    """The certificate (DER) that the other end of TLS showed; empty without TLS or a connection."""
    secured: tls.SSLObject | None = transport.get_extra_info("ssl_object") if transport else None
    return (secured.getpeercert(binary_form=True) or b"") if secured else b""


async def open_socket(host: str, port: int) -> socket.socket:
    """A TCP connection to any address of *host*; the caller closes it. Raises OSError: the first address' failure."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    race = _Race()
    async with anyio.create_task_group() as tasks:
        for family, address in _in_turn([(entry[0], entry[4]) for entry in found]):
            race.begin(tasks, family, address)
            with anyio.move_on_after(NEXT_ADDRESS_AFTER):
                await race.turn()
            if race.won is not None:
                break
        while race.won is None and race.running:
            await race.turn()
        tasks.cancel_scope.cancel()
    if race.won is None:
        raise race.errors[0] if race.errors else OSError(f"{host} has no address")
    return race.won


class _Race:
    """Attempts that run beside each other; the first that connects wins."""

    def __init__(self) -> None:
        self.won: socket.socket | None = None
        self.errors: list[OSError] = []
        self.running = 0
        self._turn = anyio.Event()

    def begin(self, tasks: anyio.abc.TaskGroup, family: int, address: tuple[object, ...]) -> None:
        self.running += 1
        tasks.start_soon(self._attempt, family, address)

    async def turn(self) -> None:
        """Wait until an attempt ended."""
        await self._turn.wait()

    async def _attempt(self, family: int, address: tuple[object, ...]) -> None:
        attempt: socket.socket | None = None
        try:
            attempt = socket.socket(family, socket.SOCK_STREAM)  # fails where the kernel has no such family
            attempt.setblocking(False)
            await asyncio.get_running_loop().sock_connect(attempt, address)
            attempt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.won is None:
                self.won = attempt
        except OSError as error:
            self.errors.append(error)
        finally:
            if attempt is not None and self.won is not attempt:
                attempt.close()
            self.running -= 1
            self._turn.set()
            self._turn = anyio.Event()


def _in_turn(found: list[tuple[int, tuple[object, ...]]]) -> list[tuple[int, tuple[object, ...]]]:
    """The addresses with their families in turn, the resolver's first choice first."""
    families = list(dict.fromkeys(family for family, _ in found))
    rows = [[entry for entry in found if entry[0] == family] for family in families]
    mixed = [entry for row in itertools.zip_longest(*rows) for entry in row if entry is not None]
    return list(dict.fromkeys(mixed))[:MAX_ADDRESSES]
