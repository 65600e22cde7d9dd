"""One rule of the policy's table; part of `policy`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kubently.kube._decisions import Allow, Decision, Deny
from kubently.kube._helm_requests import asks_as_helm
from kubently.kube._scopes import is_cluster_scoped
from kubently.kube.paths import ApiRequest


@dataclass(frozen=True, slots=True)
class Rule:
    """Which requests it is about, and what becomes of them. A field that is None matches everything."""

    name: str
    allows: bool
    verbs: frozenset[str] | None = None
    groups: frozenset[str] | None = None
    resources: frozenset[str] | None = None
    """Plurals; "pods" means pods and all its subresources, "pods/log" only that one."""
    subresources: frozenset[str] | None = None
    """The empty string stands for the resource itself."""
    namespaces: frozenset[str] | None = None
    names: frozenset[str] | None = None
    covers_lists: bool = False
    """Whether lists that would show what namespaces and names say are matched as well."""
    as_helm: bool | None = None
    """Whether it is about requests that ask for Secrets as Helm does, or about all others."""
    paths: tuple[str, ...] = ()
    """Patterns for requests that are not about resources: an exact path, or a prefix that ends in "/*". A rule with
    paths matches such requests only, a rule without matches resource requests only."""
    reason: str = ""
    """May hold {verb}, {resource} (qualified) and {name}."""
    hint: str = ""

    def matches(self, request: ApiRequest) -> bool:
        """Say whether this rule is about the request."""
        if request.is_resource_request == bool(self.paths) or not _within(request.verb, self.verbs):
            return False
        if self.paths:
            return any(_path_matches(pattern, request.path) for pattern in self.paths)
        return (
            _within(request.group, self.groups)
            and self._names_resource(request)
            and _within(request.subresource, self.subresources)
            and (_within(request.namespace, self.namespaces) or self._lists_namespaces(request))
            and (_within(request.name, self.names) or self._lists_names(request))
            and self.as_helm in (None, asks_as_helm(request))
        )

    def _lists_namespaces(self, request: ApiRequest) -> bool:
        lists_all = request.verb in ("list", "watch") and not request.namespace
        return self.covers_lists and lists_all and not is_cluster_scoped(request)

    def _lists_names(self, request: ApiRequest) -> bool:
        return self.covers_lists and not request.name

    def _names_resource(self, request: ApiRequest) -> bool:
        return _within(request.resource, self.resources) or _within(
            f"{request.resource}/{request.subresource}", self.resources
        )

    def decide(self, request: ApiRequest) -> Decision:
        """Return what becomes of a request that this rule matches."""
        if self.allows:
            return Allow(self.name)
        words = {"verb": _GERUNDS[request.verb], "resource": request.qualified_resource, "name": request.name}
        return Deny(self.name, _fill(self.reason, words), _fill(self.hint, words))


Rules = tuple[Rule, ...]

_GERUNDS = {
    "get": "reading",
    "list": "listing",
    "watch": "watching",
    "create": "creating",
    "update": "replacing",
    "patch": "patching",
    "delete": "deleting",
    "deletecollection": "deleting all",
}


def _within(value: str, choices: frozenset[str] | None) -> bool:
    return choices is None or value in choices


def _path_matches(pattern: str, path: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith("/*") else path == pattern


def _fill(template: str, words: Mapping[str, str]) -> str:
    """Put words into a sentence; braces that are not ours stay (str.format would read attributes from them)."""
    for key, word in words.items():
        template = template.replace("{" + key + "}", word)
    return template
