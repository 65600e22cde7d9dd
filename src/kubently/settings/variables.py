"""Values of environment variables, by kind: each reader names the variable in what it raises."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from kubently.errors import ConfigError

Environ = Mapping[str, str]
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?|[0-9a-fA-F:.]{2,45}")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


def process_environ() -> Environ:
    """The environment of this process."""
    return os.environ


def bad(name: str, value: str, hint: str) -> ConfigError:
    """The error for a *value* of variable *name*; *hint* says what would do."""
    return ConfigError(f"{name}={value!r} cannot be used", hint=hint)


def required(environ: Environ, name: str, *, also: str = "") -> str:
    """A value that must be there. Raises ConfigError that names it, and *also* where either will do."""
    value = environ.get(name, "")
    if not value:
        names = f"{also} or {name}" if also else name
        raise ConfigError(f"{names} is not set", hint=f"set {also or name} in the environment")
    return value


def number(environ: Environ, name: str, default: float, *, low: float, high: float) -> float:
    """A number within bounds; a trailing s, for seconds, is taken. Raises ConfigError."""
    text = environ.get(name, "")
    if not text:
        return default
    try:
        value = float(text.removesuffix("s"))
    except ValueError:
        raise bad(name, text, "use a number") from None
    if not low <= value <= high:
        raise bad(name, text, f"use a number from {low:g} to {high:g}")
    return value


def flag(environ: Environ, name: str) -> bool:
    """A truth value; empty is false. Raises ConfigError."""
    text = environ.get(name, "").lower()
    values: Mapping[str, bool] = {
        "": False,
        "false": False,
        "0": False,
        "no": False,
        "off": False,
        "true": True,
        "1": True,
        "yes": True,
        "on": True,
    }
    if text not in values:
        raise bad(name, text, "use true or false")
    return values[text]


def choice(environ: Environ, name: str, known: tuple[str, ...]) -> str:
    """One of *known*, in any case; the first is the default. Raises ConfigError."""
    text = environ.get(name, "").lower() or known[0]
    if text not in known:
        raise bad(name, text, f"use {' or '.join(known)}")
    return text


def networks(environ: Environ, name: str) -> tuple[IPNetwork, ...]:
    """Networks, comma-separated. Raises ConfigError."""
    parts = [part.strip() for part in environ.get(name, "").split(",") if part.strip()]
    try:
        return tuple(ipaddress.ip_network(part) for part in parts)
    except ValueError as error:
        raise bad(name, environ[name], f"use networks such as 10.0.0.0/8, comma-separated: {error}") from None


def pair(environ: Environ, first: str, second: str) -> tuple[Path, Path] | None:
    """Two paths that belong together, or None. Raises ConfigError where only one is set."""
    one, other = path(environ, first), path(environ, second)
    if (one is None) != (other is None):
        raise ConfigError(f"{first} and {second} belong together", hint="set both or neither")
    return (one, other) if one and other else None


def path(environ: Environ, name: str) -> Path | None:
    """A path, or None."""
    return Path(environ[name]) if environ.get(name) else None


def secret(environ: Environ, name: str) -> str:
    """A secret, from the variable or from the file that *name*``_FILE`` names; empty: neither. Raises ConfigError."""
    if environ.get(name):
        return environ[name].strip()
    file = path(environ, f"{name}_FILE")
    if file is None:
        return ""
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}_FILE={file} cannot be read: {error}", hint="check the path and its mount") from error


def address(name: str, text: str) -> tuple[str, int]:
    """``host:port``; no host means all addresses. Raises ConfigError."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise bad(name, text, "use host:port, for example 0.0.0.0:8080")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104  # an empty host means all, as it does for others


def optional_address(environ: Environ, name: str) -> tuple[str, int] | None:
    """The same, or None."""
    return address(name, environ[name]) if environ.get(name) else None


def url(name: str, text: str) -> str:
    """A URL to dial, without a slash at its end. Raises ConfigError."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("https", "http") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, half an IPv6 address
        usable = False
    if not usable or parts.query or parts.fragment:
        raise bad(name, text, "use https://host[:port][/prefix]")
    if parts.username or parts.password:
        raise ConfigError(f"{name} carries credentials", hint="put the token into KUBENTLY_TOKEN")
    return text.rstrip("/")


def headers(environ: Environ, name: str) -> Mapping[str, str]:
    """``name=value`` pairs, comma-separated. Raises ConfigError."""
    pairs = [part.partition("=") for part in environ.get(name, "").split(",") if part.strip()]
    for header, is_pair, value in pairs:
        if not is_pair or not re.fullmatch(r"[A-Za-z0-9-]+", header.strip()) or not value.strip().isprintable():
            raise ConfigError(f"{name} cannot be used", hint="use name=value pairs, comma-separated")
    return {header.strip(): value.strip() for header, _, value in pairs}


def labels(text: str) -> Mapping[str, str]:
    """Labels as Kubernetes has them, ``name=value``, comma-separated. Raises ConfigError."""
    found = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, value = part.partition("=")
        if not _LABEL.fullmatch(name.rpartition("/")[2]) or (value and not _LABEL.fullmatch(value)):
            raise bad("KUBENTLY_LABELS", text, "use name=value pairs, comma-separated, as Kubernetes labels are")
        found[name] = value
    return found


def server_name(environ: Environ, name: str = "KUBENTLY_TLS_SERVER_NAME") -> str:
    """A host name or address. Raises ConfigError."""
    text = environ.get(name, "")
    if text and not _HOST_NAME.fullmatch(text):
        raise bad(name, text, "use a host name, without scheme or port")
    return text


def is_safe_url(text: str) -> bool:
    """Whether *text* is an https URL without credentials, query and fragment; on loopback http will do."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or parts.username or parts.password or parts.query or parts.fragment:
        return False
    return text.isascii() and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
