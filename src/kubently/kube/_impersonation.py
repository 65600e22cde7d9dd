"""As whom the API server takes a request, so that the cluster's own RBAC applies to each person; part of `policy`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Self
from urllib.parse import quote

from kubently.errors import ConfigError
from kubently.kube._decisions import document_of

PREFIX = "kubently:"
"""Of every user and group: no name of the cluster's own, and none of Kubernetes', begins so."""

_GROUP = re.compile(re.escape(PREFIX) + r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,200}")
_SAFE = ":@."
_MAX_GROUPS = 64


@dataclass(frozen=True, slots=True)
class Impersonation:
    """Which groups a principal is in. The user is always the principal's own name behind PREFIX."""

    groups: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Groups, each with the shell-style patterns of its principals' names."""

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read {"groups": {"kubently:NAME": [patterns]}}. Raises ConfigError."""
        document = document_of(value, "impersonate", frozenset({"groups"}))
        groups = document.get("groups", {})
        if not isinstance(groups, Mapping) or len(groups) > _MAX_GROUPS:
            raise ConfigError(f"impersonate.groups is no mapping of at most {_MAX_GROUPS} groups")
        for name, patterns in groups.items():
            if not (isinstance(name, str) and _GROUP.fullmatch(name)):
                raise ConfigError(f"{name!r} cannot be impersonated", hint=f"a group's name begins with {PREFIX}")
            if not (isinstance(patterns, list) and all(isinstance(item, str) and item for item in patterns)):
                raise ConfigError(f"impersonate.groups[{name}] is no list of principals", hint='e.g. ["key:alice"]')
        return cls(tuple((name, tuple(patterns)) for name, patterns in groups.items()))

    def headers(self, principal: str) -> list[tuple[bytes, bytes]]:
        """The header fields for a request of *principal*; nobody's name gives a user without groups."""
        fields = [(b"impersonate-user", (PREFIX + quote(principal or "unknown", safe=_SAFE)).encode())]
        return fields + [
            (b"impersonate-group", name.encode())
            for name, patterns in self.groups
            if principal and any(fnmatchcase(principal, pattern) for pattern in patterns)
        ]
