"""A request to the archived API server, and what its path names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from kubently.archive import answers

_TRUE = ("1", "t", "T", "true", "TRUE", "True")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, parsed."""

    method: str
    path: str
    query: Mapping[str, str]
    """The first value of every parameter."""
    headers: Mapping[str, str]
    """Names in lower case; of repeated headers the values are joined by commas."""
    body: bytes = b""

    def flag(self, name: str) -> bool:
        """Say whether a boolean parameter is set; as in an API server, an unreadable value counts as set."""
        value = self.query.get(name)
        return value is not None and value not in ("0", "f", "F", "false", "FALSE", "False")

    def number(self, name: str) -> int | None:
        """Return a whole number, or None if it is not given.

        Raises RefusedError (400) for anything else.
        """
        value = self.query.get(name, "")
        if not value:
            return None
        try:
            return int(value)
        except ValueError:
            message = f'strconv.ParseInt: parsing "{value}": invalid syntax'
            raise answers.bad_request(message) from None

    @property
    def pretty(self) -> bool:
        """Whether a person reads the answer: asked for, or the client is curl."""
        if "pretty" in self.query:
            return self.query["pretty"] in ("", *_TRUE)
        return self.headers.get("user-agent", "").startswith("curl/")


def parse_query(query: str) -> dict[str, str]:
    """Return the first value of every parameter."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        found.setdefault(name, value)
    return found


@dataclass(frozen=True, slots=True)
class Target:
    """What a path below /api/v1 or /apis/<group>/<version> names."""

    group: str
    version: str
    plural: str = ""
    """Empty for the group version itself."""
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def target(path: str) -> Target | None:
    """Return what a resource path names, or None if it has not that form."""
    segments = path.strip("/").split("/")
    if "" in segments or "//" in path:
        return None
    match segments:
        case ["api", version, *rest]:
            return _in_version("", version, rest)
        case ["apis", group, version, *rest]:
            return _in_version(group, version, rest)
        case _:
            return None


def _in_version(group: str, version: str, rest: list[str]) -> Target | None:
    match rest:
        case []:
            return Target(group, version)
        # "namespaces/x/status" is the status of a namespace, "namespaces/x/pods" a list inside it.
        case ["namespaces", name, ("status" | "finalize") as sub] if not group:
            return Target(group, version, "namespaces", name=name, subresource=sub)
        case ["namespaces", namespace, plural, *names] if len(names) <= 2:
            return Target(group, version, plural, namespace, *names)
        case [plural, *names] if len(names) <= 2:
            return Target(group, version, plural, "", *names)
        case _:
            return None
