"""What a store's URL names, read without I/O; a password in it is never printed."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from kubently.errors import ConfigError

HINT = (
    "use memory:, sqlite:///absolute/path/to/file.db, redis[s]://host[:port][/db], "
    "redis[s]+sentinel://host[:port],…/service[/db] or redis[s]+cluster://host[:port],…"
)
_SCHEME = re.compile(r"redis(s?)(?:\+(sentinel|cluster))?")
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_SERVICE = re.compile(r"[A-Za-z0-9._-]{1,100}")


class Kind(enum.Enum):
    """How Redis is run."""

    SINGLE = "redis"
    SENTINEL = "redis+sentinel"
    CLUSTER = "redis+cluster"


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """Where Redis is."""

    kind: Kind
    hosts: tuple[tuple[str, int], ...]
    """Of sentinels, where there are some."""
    secure: bool = False
    username: str = ""
    password: str = field(default="", repr=False)
    service: str = ""
    """What the sentinels call the master."""
    db: int = 0

    def __str__(self) -> str:
        scheme = self.kind.value.replace("redis", "rediss", 1) if self.secure else self.kind.value
        path = "/".join(filter(None, (self.service, "" if self.kind is Kind.CLUSTER else str(self.db))))
        return f"{scheme}://{','.join(map(_authority, self.hosts))}{'/' + path if path else ''}"


def parse_redis(url: str) -> RedisTarget:
    """What a redis URL names. Raises ConfigError, which shows neither user nor password."""
    scheme, _, rest = url.partition("://")
    found = _SCHEME.fullmatch(scheme)
    place, _, path = rest.partition("/")
    userinfo, _, names = place.rpartition("@")
    if found is None or not names or "?" in rest or "#" in rest:
        raise _unusable(url)
    kind = Kind(f"redis+{found[2]}" if found[2] else "redis")
    username, _, password = userinfo.partition(":")
    service, db = _path(url, kind, path.rstrip("/"))
    hosts = tuple(_host(url, name, 26379 if kind is Kind.SENTINEL else 6379) for name in names.split(","))
    if kind is Kind.SINGLE and len(hosts) != 1:
        raise _unusable(url)
    return RedisTarget(kind, hosts, found[1] == "s", unquote(username), unquote(password), service, db)


def masked(url: str) -> str:
    """*url* without user and password."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _path(url: str, kind: Kind, path: str) -> tuple[str, int]:
    service, _, db = path.rpartition("/") if kind is Kind.SENTINEL and "/" in path else ("", "", path)
    if kind is Kind.SENTINEL and not service:
        service, db = path, ""
    is_right = bool(_SERVICE.fullmatch(service)) if kind is Kind.SENTINEL else not service
    if not is_right or (db and not db.isdecimal()) or (kind is Kind.CLUSTER and db not in ("", "0")):
        raise _unusable(url)
    return service, int(db or 0)


def _host(url: str, name: str, default: int) -> tuple[str, int]:
    found = _HOST.fullmatch(name.strip())
    port = int(found["port"] or default) if found else 0
    if found is None or not 0 < port < 65536:
        raise _unusable(url)
    return found["host"].strip("[]"), port


def _authority(host: tuple[str, int]) -> str:
    return f"[{host[0]}]:{host[1]}" if ":" in host[0] else f"{host[0]}:{host[1]}"


def _unusable(url: str) -> ConfigError:
    return ConfigError(f"{masked(url)!r} names no store", hint=HINT)
