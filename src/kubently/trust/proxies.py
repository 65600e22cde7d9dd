"""Which HTTP proxy stands on the way to a URL, by the rules of Go's ``httpproxy``.

Operators write these variables for the programs around us, most of which are in Go: a ``NO_PROXY`` that works for
kubectl must mean the same here. What Go does not know: a lower-case variable wins over its upper-case twin, as for
curl, and ``ALL_PROXY`` stands in for a missing one, as for curl.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from kubently.errors import ConfigError
from kubently.settings import ProxySettings

_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_MAPPED = 96
"""Bits before the IPv4 address in ``::ffff:0:0/96``."""
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Proxy:
    """One HTTP proxy. As text it is what may be shown: without credentials."""

    host: str
    port: int
    secure: bool = False
    """Whether the proxy itself is spoken to by TLS."""
    authorization: str = field(default="", repr=False)
    """Value of ``Proxy-Authorization``, or empty."""

    def __str__(self) -> str:
        return f"{'https' if self.secure else 'http'}://{authority(self.host, self.port)}"


def choose(settings: ProxySettings, url: str) -> Proxy | None:
    """The proxy to *url* (http, https, ws, wss), or None to dial directly.

    Raises ConfigError for a proxy that cannot be used; one that this URL does not need is not looked at.
    """
    parts = urlsplit(url)
    host, port = _ascii(parts.hostname or ""), parts.port or _PORTS[parts.scheme]
    name, value = _variable(settings, secure=parts.scheme in ("https", "wss"))
    if not value or not _is_proxied(settings.exceptions, host, port):
        return None
    return _parse(name, value)


def authority(host: str, port: int) -> str:
    """``host:port``, with the brackets of an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _variable(settings: ProxySettings, *, secure: bool) -> tuple[str, str]:
    chosen = ("HTTPS_PROXY", settings.https) if secure else ("HTTP_PROXY", settings.http)
    return chosen if chosen[1] else ("ALL_PROXY", settings.fallback)


# ---------------------------------------------------------------------- the proxy's URL


def _parse(name: str, value: str) -> Proxy:
    try:
        parts = _split(value.strip())
        host, port = _ascii(parts.hostname or ""), parts.port
    except ValueError:  # a port that is no number, half an IPv6 address
        raise _bad(name, "is no URL of a proxy") from None
    if parts.scheme not in ("http", "https"):
        raise _bad(name, f"asks for {parts.scheme[:20]}://, which is not supported")
    if not host or port == 0 or not all("!" <= c <= "~" for c in host):
        raise _bad(name, "is no URL of a proxy")
    return Proxy(host, port or _PORTS[parts.scheme], parts.scheme == "https", _authorization(parts))


def _split(value: str) -> SplitResult:
    parts = urlsplit(value if "://" in value else f"http://{value}")
    return parts._replace(scheme=parts.scheme.lower())


def _authorization(parts: SplitResult) -> str:
    user, colon, password = parts.netloc.rpartition("@")[0].partition(":")
    if not user and not colon:
        return ""
    pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return f"Basic {base64.b64encode(pair).decode()}"


def _bad(name: str, what: str) -> ConfigError:
    # Never the value: a password may stand in it.
    return ConfigError(
        f"{name} {what}", hint="use http://[user:password@]host:port or https://..., for a CONNECT proxy"
    )


# ---------------------------------------------------------------------- NO_PROXY


def _is_proxied(exceptions: str, host: str, port: int) -> bool:
    """Go's rules: localhost and loopback never, else whatever no entry of *exceptions* matches."""
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return False
    return not any(_matches(entry, host, port, address) for entry in _entries(exceptions))


def _entries(exceptions: str) -> Iterator[str]:
    return filter(None, (entry.strip().lower() for entry in exceptions.split(",")))


def _matches(entry: str, host: str, port: int, address: _Address | None) -> bool:
    if entry == "*":
        return True
    network = _network(entry)
    if network is not None:
        return address is not None and address.version == network.version and address in network
    name, wanted = _host_and_port(entry)
    if not name or wanted not in ("", str(port)):
        return False
    excepted = _address(name)
    if excepted is not None or address is not None:
        return excepted == address
    return _matches_name(name, host)


def _matches_name(name: str, host: str) -> bool:
    suffix = _ascii(name.removeprefix("*") if name.startswith("*.") else name)
    if suffix.startswith("."):
        return host.endswith(suffix)
    return host == suffix or host.endswith(f".{suffix}")


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    base, slash, bits = entry.partition("/")
    # Python would take a netmask for the bits as well, which Go takes for a name that nothing has.
    if not slash or not (bits.isascii() and bits.isdecimal()):
        return None
    try:
        network = ipaddress.ip_network(f"{base}/{int(bits)}", strict=False)
    except ValueError:
        return None
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is not None and network.prefixlen >= _MAPPED:
        return ipaddress.ip_network((mapped, network.prefixlen - _MAPPED))
    return network


def _host_and_port(entry: str) -> tuple[str, str]:
    """As Go's ``net.SplitHostPort``; what that refuses is all host."""
    if entry.startswith("["):
        host, bracket, rest = entry[1:].partition("]")
        return (host, rest[1:]) if bracket and rest.startswith(":") and ":" not in rest[1:] else (entry, "")
    host, _, port = entry.partition(":")
    return (host, port) if ":" not in port else (entry, "")


def _address(text: str) -> _Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _ascii(host: str) -> str:
    """Lower case, and an international name in the letters that DNS has."""
    if host.isascii():
        return host.lower()
    try:
        return host.encode("idna").decode().lower()
    except UnicodeError:
        return host.lower()
