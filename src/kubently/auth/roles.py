"""The roles file: which groups and users of the OpenID provider may do what.

A person gets the sum of the rules with their highest role. Rules of a lower role are left out then, so that no rule
ever gives its role on another rule's clusters; without any rule there is no role. The file is read anew when it
changes; a change that cannot be used is logged and not taken.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from kubently.errors import ConfigError, InvalidRequestError, NoRoleError
from kubently.schema import Limit, Principal, Role
from kubently.schema.base import Frozen

log = logging.getLogger(__name__)

MAX_BYTES = 1024 * 1024
_RANK = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2}

Check = Callable[[Role, Sequence[Limit]], None]


class Rule(Frozen):
    """Who gets a role, and on what."""

    groups: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    """Names as `kubently whoami` shows them, without "user:"."""
    role: Role
    clusters: tuple[str, ...] = ("*",)
    limits: tuple[Limit, ...] = ()

    def is_about(self, user: str, groups: Sequence[str]) -> bool:
        """Whether it names this person or one of these groups; there are no patterns here."""
        return user in self.users or not set(self.groups).isdisjoint(groups)


class Document(Frozen):
    """The whole file."""

    rules: tuple[Rule, ...] = Field(max_length=1000)


class Roles:
    """The rules of *path* as they are now; *check* says whether limits can be kept. Raises ConfigError."""

    def __init__(self, path: Path, *, check: Check) -> None:
        self._path = path
        self._check = check
        self._seen: tuple[int, ...] = self._status()
        self._rules = read(path, check)

    def principal(self, user: str, groups: Sequence[str]) -> Principal:
        """Who *user* is. Raises NoRoleError."""
        return decide(self._current(), user, groups)

    def _current(self) -> tuple[Rule, ...]:
        try:
            status = self._status()
            if status != self._seen:
                self._seen = status
                self._rules = read(self._path, self._check)
                log.info("roles file read anew", extra={"path": str(self._path), "rules": len(self._rules)})
        except ConfigError as error:
            log.error("roles file not taken", extra={"path": str(self._path), "reason": error.message})
        return self._rules

    def _status(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def decide(rules: Sequence[Rule], user: str, groups: Sequence[str]) -> Principal:
    """The principal that *rules* make of a person. Raises NoRoleError."""
    about = [rule for rule in rules if rule.is_about(user, groups)]
    if not about:
        seen = ", ".join(groups) or "none"
        raise NoRoleError(
            f"no rule of the roles file is about {user} or a group of theirs (groups seen: {seen[:1000]})",
            hint="ask an administrator for a rule; without groups, see KUBENTLY_OIDC_GROUPS_CLAIM",
            details={"groups": list(groups)},
        )
    role = max((rule.role for rule in about), key=_RANK.__getitem__)
    counted = [rule for rule in about if rule.role is role]
    clusters = tuple(dict.fromkeys(pattern for rule in counted for pattern in rule.clusters))
    limits = tuple(limit for rule in counted for limit in _limits(rule)) if any(r.limits for r in counted) else ()
    return Principal(name=f"user:{user}", role=role, clusters=clusters, limits=limits)


def read(path: Path, check: Check) -> tuple[Rule, ...]:
    """The rules in *path*. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise ValueError("it is larger than 1 MiB")
        rules = Document.model_validate(yaml.safe_load(text)).rules
    except ValidationError as error:
        first = error.errors()[0]
        raise _bad(path, f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}") from error
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise _bad(path, str(error)) from error
    for number, rule in enumerate(rules, 1):
        _require_sound(path, number, rule, check)
    return rules


def _require_sound(path: Path, number: int, rule: Rule, check: Check) -> None:
    if not rule.groups and not rule.users:
        raise _bad(path, f"rule {number} names neither groups nor users")
    if not rule.clusters:
        raise _bad(path, f"rule {number} names no clusters")
    for limit in rule.limits:
        if beyond := [pattern for pattern in limit.clusters if not _is_within(pattern, rule.clusters)]:
            raise _bad(path, f"rule {number} has a limit for {beyond[0]!r}, which is beyond the rule's clusters")
    try:
        check(rule.role, rule.limits)
    except InvalidRequestError as error:
        raise _bad(path, f"rule {number}: {error.message}") from error


def _is_within(pattern: str, clusters: Sequence[str]) -> bool:
    """Whether *pattern* means no cluster beyond *clusters*; "*" stands for all of the rule's."""
    is_name = not set(pattern) & set("*?[")
    return (
        pattern == "*"
        or pattern in clusters
        or "*" in clusters
        or (is_name and any(fnmatchcase(pattern, wide) for wide in clusters))
    )


def _limits(rule: Rule) -> tuple[Limit, ...]:
    """A rule's limits, none wider than its clusters: another rule's clusters are beside them."""
    if not rule.limits:
        return (Limit(clusters=rule.clusters),)
    return tuple(
        limit.model_copy(update={"clusters": rule.clusters}) if "*" in limit.clusters else limit
        for limit in rule.limits
    )


def _bad(path: Path, why: str) -> ConfigError:
    return ConfigError(f"the roles file {path} cannot be used: {why}", hint="docs/howto/log-in.md shows one")
