"""Which part of a cluster a principal may read; part of `policy`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from kubently.errors import ConfigError
from kubently.kube._decisions import LABEL, NAME, Deny, document_of, words_of
from kubently.kube._scopes import is_cluster_scoped
from kubently.kube.paths import SELF_REVIEWS, ApiRequest

_RESOURCE = re.compile(r"(?:[a-z0-9][-a-z0-9]{0,62}|\*)(?:\.[-a-z0-9.]{0,253})?(?:/(?:[a-z]{1,63}|\*))?")


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Which part of a cluster a principal may read, by RBAC's rules; a field that is None sets no limit.

    Lists are not filtered: a list that reaches beyond the limit is refused and the refusal says how to ask. Discovery,
    health and the self reviews are always inside.
    """

    namespaces: frozenset[str] | None = None
    """Allowed namespaces; resources without namespace are then outside, but for these Namespace objects themselves."""
    resources: frozenset[str] | None = None
    """"pods", "pods/log", "pods/*", "deployments.apps", "*.apps", "*/status", "*"; without a dot any group is meant,
    with a dot at the end the core group. As in RBAC a resource does not include its subresources, nor they it."""
    names: frozenset[str] | None = None
    """Allowed names: for get, and for list and watch with the field selector metadata.name=."""

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read the JSON form: an object with lists under namespaces, resources and names, each optional.

        Raises ConfigError for anything else, an empty list too (leave the key out to set no limit).
        """
        document = document_of(value, "a narrowing", frozenset({"namespaces", "resources", "names"}))
        return cls(
            namespaces=words_of(document, "namespaces", LABEL),
            resources=words_of(document, "resources", _RESOURCE),
            names=words_of(document, "names", NAME),
        )

    def to_json(self) -> dict[str, list[str]]:
        """Return the JSON form; `from_json` gives an equal value."""
        limits = {"namespaces": self.namespaces, "resources": self.resources, "names": self.names}
        return {key: sorted(values) for key, values in limits.items() if values is not None}

    @property
    def named_resources(self) -> frozenset[str]:
        """The entries of `resources`; empty where there is no limit to them."""
        return self.resources or frozenset()

    def __str__(self) -> str:
        what = _series(self.resources) if self.resources else "everything"
        where = f" in {_series(self.namespaces)}" if self.namespaces else ""
        return what + where + (f" named {_series(self.names)}" if self.names else "")

    def denial(self, request: ApiRequest) -> Deny | None:
        """Return why a request is outside, or None if it is inside."""
        if not request.is_resource_request or (request.group, request.resource) in SELF_REVIEWS:
            return None
        return self._resource_denial(request) or self._namespace_denial(request) or self._name_denial(request)

    def _resource_denial(self, request: ApiRequest) -> Deny | None:
        if self.resources is None or any(_resource_matches(entry, request) for entry in self.resources):
            return None
        reason = f"{request.qualified_resource} are outside of what you may read here"
        return Deny("narrowed-resource", reason, f"you may read {_series(self.resources)}")

    def _namespace_denial(self, request: ApiRequest) -> Deny | None:
        if self.namespaces is None or request.namespace in self.namespaces:
            return None
        use = " or ".join(f"-n {namespace}" for namespace in sorted(self.namespaces)[:5])
        if request.namespace:
            reason = f"the namespace {request.namespace} is outside of what you may read here"
        elif request.verb == "get" or is_cluster_scoped(request):
            reason = f"{request.qualified_resource} have no namespace, and you may read only {_series(self.namespaces)}"
            return Deny("narrowed-namespace", reason)
        else:
            reason = f"{request.qualified_resource} of all namespaces are outside of what you may read here"
        return Deny("narrowed-namespace", reason, f"use {use}")

    def _name_denial(self, request: ApiRequest) -> Deny | None:
        if self.names is None or request.name in self.names:
            return None
        reason = f"you may read only objects named {_series(self.names)}"
        hint = "" if request.name else "ask for one by name, or with --field-selector metadata.name=NAME"
        return Deny("narrowed-name", reason, hint)


UNLIMITED = Narrowing()

MAX_LIMITS_BYTES = 8 * 1024
"""Of limits as JSON: they travel with every request."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Narrowings of which one must let a request in, as RBAC adds its rules up; none at all lets nothing in."""

    narrowings: tuple[Narrowing, ...]

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Read what `encode` writes. Raises ConfigError."""
        try:
            items = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"the limits are no JSON: {error}") from error
        if not isinstance(items, list) or len(value) > MAX_LIMITS_BYTES:
            raise ConfigError(f"the limits are no list, or over {MAX_LIMITS_BYTES} bytes")
        return cls(tuple(map(Narrowing.from_json, items)))

    def encode(self) -> bytes:
        """Write them as one line of ASCII. Raises ConfigError when they are over MAX_LIMITS_BYTES."""
        value = json.dumps([item.to_json() for item in self.narrowings], separators=(",", ":")).encode()
        if len(value) > MAX_LIMITS_BYTES:
            raise ConfigError(f"the limits are over {MAX_LIMITS_BYTES} bytes", hint="use patterns or fewer names")
        return value

    @property
    def namespaces(self) -> frozenset[str] | None:
        """The namespaces that something can be read in; None where there is no limit to them."""
        found: set[str] = set()
        for item in self.narrowings:
            if item.namespaces is None:
                return None
            found |= item.namespaces
        return frozenset(found)

    @property
    def named_resources(self) -> frozenset[str]:
        """The entries of all `Narrowing.resources`."""
        return frozenset(entry for item in self.narrowings for entry in item.named_resources)

    def denial(self, request: ApiRequest) -> Deny | None:
        """Return why a request is outside of all, or None if it is inside of one."""
        denials = [denial for item in self.narrowings if (denial := item.denial(request))]
        if len(denials) < len(self.narrowings):
            return None
        if len(denials) == 1:
            return denials[0]
        choices = "; or ".join(map(str, self.narrowings)) or "nothing in this cluster"
        return Deny("narrowed", f"{request} is outside of what you may read here", f"you may read {choices}")


def _series(words: Iterable[str]) -> str:
    listed = sorted(words)
    return ", ".join(listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")


def _resource_matches(entry: str, request: ApiRequest) -> bool:
    qualified, _, subresource = entry.partition("/")
    resource, dot, group = qualified.partition(".")
    if entry == "*":
        return True
    return (
        resource in ("*", request.resource)
        and (not dot or group == request.group)
        and (subresource == request.subresource or (subresource == "*" and bool(request.subresource)))
    )
