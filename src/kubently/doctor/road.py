"""Goes to the API as the executor does: through the same proxy, trusting the same, and one request at a time."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from kubently import __version__, trust
from kubently.doctor.subject import Subject
from kubently.trust import nested, proxies

_MAX_BODY = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What came."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    body: bytes = field(repr=False)


def endpoint(url: str) -> tuple[str, int, bool]:
    """Host, port and whether TLS is spoken."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    return parts.hostname or "", parts.port or (443 if secure else 80), secure


def is_inside(host: str) -> bool:
    """Whether what is sent to *host* stays on this machine or in this cluster."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return "." not in host or host.rstrip(".").endswith((".svc", ".svc.cluster.local", ".localhost"))


def connect(subject: Subject) -> tuple[socket.socket, proxies.Proxy | None]:
    """TCP to the API, through the proxy where there is one. Raises OSError, ProxyError, ConfigError."""
    host, port, _ = endpoint(subject.url)
    proxy = proxies.choose(subject.trust.proxies, subject.url)
    if proxy is None:
        return socket.create_connection((host, port), subject.timeout), None
    context = trust.Keeper(subject.trust).context() if proxy.secure else None
    return nested.open_through(proxy, host, port, timeout=subject.timeout, tls=context), proxy


def secured(subject: Subject) -> socket.socket | ssl.SSLSocket | nested.NestedTls:
    """The same with TLS over it, where the URL has it. Raises OSError, ProxyError, ConfigError."""
    host, _, secure = endpoint(subject.url)
    connection, _ = connect(subject)
    if not secure:
        return connection
    return nested.wrap(connection, trust.Keeper(subject.trust).context(), subject.trust.server_name or host)


def ask(subject: Subject, path: str, headers: Mapping[str, str] | None = None, *, method: str = "GET") -> Answer:
    """Ask without a body; redirects are not followed. Raises OSError, HTTPException, ProxyError, ConfigError."""
    host, port, secure = endpoint(subject.url)
    prefix = urlsplit(subject.url).path.rstrip("/")
    client = http.client.HTTPConnection(host, port, timeout=subject.timeout)
    client.default_port = 443 if secure else 80  # which the Host header leaves out
    client.sock = secured(subject)
    try:
        client.request(method, prefix + path, headers={"User-Agent": f"kubently/{__version__}", **(headers or {})})
        response = client.getresponse()
        body = b"" if response.status == http.client.SWITCHING_PROTOCOLS else response.read(_MAX_BODY)
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)
    finally:
        client.close()
