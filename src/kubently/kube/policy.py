"""What may be asked of a cluster: one table of rules, and limits per principal on top of it.

The first rule that matches a request decides; a request that none matches is denied. The table is read-only by
construction: nothing in a policy document can allow more than `rules` does, it can only deny or narrow further.
Requests are described by `paths.parse`, so commands and proxied API requests meet the same table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from kubently.errors import ConfigError, InvalidRequestError
from kubently.kube._decisions import LABEL, NAME, Allow, Decision, Deny, document_of, list_of, words_of
from kubently.kube._narrowing import UNLIMITED, Limits, Narrowing
from kubently.kube._scopes import is_cluster_scoped
from kubently.kube.paths import READ_VERBS, SELF_REVIEWS, ApiRequest

__all__ = [
    "DEFAULT_POLICY",
    "DEFAULT_RULES",
    "UNLIMITED",
    "Allow",
    "Decision",
    "Deny",
    "Limits",
    "Narrowing",
    "Policy",
    "Rule",
    "Rules",
    "SecretsMode",
    "decide",
    "deny_status",
    "invalid_status",
    "parse_policy",
    "rules",
]

SecretsMode = Literal["none", "metadata"]


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


# ---- the table

_DENIED_SUBRESOURCES: Sequence[tuple[str, str, str]] = (
    ("exec", "running programs in containers (exec, cp) is not served through Kubently", ""),
    ("attach", "attaching to containers is not served through Kubently", "`logs -f` follows a container's output"),
    ("portforward", "port forwarding is not served through Kubently", ""),
    ("proxy", "reaching pods, services and nodes by the proxy subresource is not served through Kubently", ""),
    ("token", "service account tokens are not issued through Kubently", ""),
    ("ephemeralcontainers", "debug containers are not served through Kubently", "`describe` and `logs` are"),
)

_HINTS: Mapping[str, str] = {
    "create": "only SelfSubjectAccessReview, SelfSubjectRulesReview and SelfSubjectReview may be created",
    "patch": "`kubectl diff` and server-side dry runs are patches too",
}

_DISCOVERY_PATHS = (
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/version",
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/*",
)
_HEALTH_PATHS = ("/healthz", "/healthz/*", "/livez", "/livez/*", "/readyz", "/readyz/*")

_SECRETS_HINT = "use your own access to the cluster for that"


def _subresource_rules() -> Iterable[Rule]:
    for subresource, reason, hint in _DENIED_SUBRESOURCES:
        yield Rule(f"no-{subresource}", allows=False, subresources=frozenset({subresource}), reason=reason, hint=hint)


def _review_rules() -> Iterable[Rule]:
    for group, resource in sorted(SELF_REVIEWS):
        yield Rule(
            "self-review",
            allows=True,
            verbs=frozenset({"create"}),
            groups=frozenset({group}),
            resources=frozenset({resource}),
            subresources=frozenset({""}),
            namespaces=frozenset({""}),
            names=frozenset({""}),
        )


def _write_rules() -> Iterable[Rule]:
    for verb in ("create", "update", "patch", "delete", "deletecollection"):
        yield Rule(
            f"no-{verb}",
            allows=False,
            verbs=frozenset({verb}),
            reason="Kubently is read-only: {verb} {resource} is refused",
            hint=_HINTS.get(verb, ""),
        )


def _secret_rules(mode: SecretsMode) -> Iterable[Rule]:
    if mode == "none":
        yield Rule(
            "no-secrets",
            allows=False,
            resources=frozenset({"secrets"}),
            reason="Secrets are not shown through Kubently",
            hint=_SECRETS_HINT,
        )


def _own_secret_rules(own: tuple[str, str] | None) -> Iterable[Rule]:
    if own is not None:
        yield Rule(
            "no-own-secret",
            allows=False,
            groups=frozenset({""}),
            resources=frozenset({"secrets"}),
            namespaces=frozenset({own[0]}),
            names=frozenset({own[1]}),
            reason="the executor's own Secret is never shown",
        )


def _read_rules() -> Iterable[Rule]:
    yield Rule(
        "read-logs",
        allows=True,
        verbs=frozenset({"get"}),
        groups=frozenset({""}),
        resources=frozenset({"pods/log"}),
    )
    yield Rule(
        "read",
        allows=True,
        verbs=frozenset(READ_VERBS),
        subresources=frozenset({"", "status", "scale"}),
    )
    yield Rule(
        "no-other-subresource",
        allows=False,
        reason="{verb} {resource} is not served through Kubently: only the subresources status, scale and log are",
    )
    yield Rule("discovery", allows=True, verbs=frozenset({"get"}), paths=_DISCOVERY_PATHS)
    yield Rule("health", allows=True, verbs=frozenset({"get"}), paths=_HEALTH_PATHS)
    yield Rule(
        "no-other-path",
        allows=False,
        paths=("/", "/*"),
        reason="only discovery, version, OpenAPI and health paths are served through Kubently",
    )


def rules(*, secrets: SecretsMode = "none", own_secret: tuple[str, str] | None = None, extra: Rules = ()) -> Rules:
    """Return the table: first what is never allowed, then denials of the operator (*extra*), then what may be read."""
    return (
        *_subresource_rules(),
        *_review_rules(),
        *_write_rules(),
        *_own_secret_rules(own_secret),
        *_secret_rules(secrets),
        *extra,
        *_read_rules(),
    )


DEFAULT_RULES: Rules = rules()


# ---- policies


@dataclass(frozen=True, slots=True)
class Policy:
    """What one executor lets through."""

    secrets: SecretsMode = "none"
    """"metadata": Secrets may be read, and their data is blanked before it leaves the cluster."""
    denials: Rules = ()
    """Further denials of the operator."""
    narrowing: Narrowing = UNLIMITED
    """Limits for everybody."""
    own_secret: tuple[str, str] | None = None
    """Namespace and name of the executor's own Secret."""
    rules: Rules = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        table = rules(secrets=self.secrets, own_secret=self.own_secret, extra=self.denials)
        object.__setattr__(self, "rules", table)


DEFAULT_POLICY = Policy()


def decide(request: ApiRequest, policy: Policy = DEFAULT_POLICY, limits: Narrowing | Limits = UNLIMITED) -> Decision:
    """Say whether *request* may be sent: the first matching rule wins, silence means no, limits come last."""
    decision = _first_match(request, policy.rules)
    if isinstance(decision, Deny):
        return decision
    return policy.narrowing.denial(request) or limits.denial(request) or decision


def _first_match(request: ApiRequest, table: Rules) -> Decision:
    for rule in table:
        if rule.matches(request):
            return rule.decide(request)
    return Deny("default", "no rule of the policy allows this request")


def parse_policy(value: object) -> Policy:
    """Read a policy document: mode ("read-only", required), secrets, ownSecret, deny (a list of rules), narrow.

    Raises ConfigError for anything unknown or unreadable, so that nobody runs under another policy than was written.
    """
    document = document_of(value, "a policy", frozenset({"mode", "secrets", "ownSecret", "deny", "narrow"}))
    if document.get("mode") != "read-only":
        raise ConfigError(
            f"the policy's mode is {document.get('mode')!r}",
            hint='the only mode is "read-only", and it must be written',
        )
    return Policy(
        secrets=_secrets_mode(document.get("secrets", "none")),
        denials=tuple(_denial(item, index) for index, item in enumerate(list_of(document, "deny"))),
        narrowing=Narrowing.from_json(document["narrow"]) if "narrow" in document else UNLIMITED,
        own_secret=_own_secret(document["ownSecret"]) if "ownSecret" in document else None,
    )


def _secrets_mode(value: object) -> SecretsMode:
    match value:
        case "none":
            return "none"
        case "metadata":
            return "metadata"
        case _:
            raise ConfigError(f"secrets is {value!r}", hint='it is "none" or "metadata"')


def _own_secret(value: object) -> tuple[str, str]:
    document = document_of(value, "ownSecret", frozenset({"namespace", "name"}))
    namespace, name = document.get("namespace"), document.get("name")
    if not (isinstance(namespace, str) and isinstance(name, str) and namespace and name):
        raise ConfigError("ownSecret needs a namespace and a name")
    return namespace, name


_DENIAL_KEYS = frozenset({"name", "reason", "verbs", "groups", "resources", "subresources", "namespaces", "names"})
_VERB = re.compile("|".join(sorted(READ_VERBS)))
_GROUP = re.compile(r"|[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
_SUBRESOURCE = re.compile(r"|[a-z]{1,63}")
_PLURAL = re.compile(r"[a-z0-9][-a-z0-9]{0,62}(?:/[a-z]{1,63})?")


def _denial(value: object, index: int) -> Rule:
    document = document_of(value, f"deny[{index}]", _DENIAL_KEYS)
    name, reason = document.get("name"), document.get("reason", "")
    if not (isinstance(name, str) and LABEL.fullmatch(name) and isinstance(reason, str) and len(reason) <= 500):
        raise ConfigError(f"deny[{index}] needs a name of a-z, 0-9 and '-', and a reason of at most 500 characters")
    return Rule(
        name,
        allows=False,
        verbs=words_of(document, "verbs", _VERB),
        groups=words_of(document, "groups", _GROUP),
        resources=words_of(document, "resources", _PLURAL),
        subresources=words_of(document, "subresources", _SUBRESOURCE),
        namespaces=words_of(document, "namespaces", LABEL),
        names=words_of(document, "names", NAME),
        covers_lists=True,
        reason=reason or "{verb} {resource} is refused by the policy of this cluster",
    )


# ---- refusals as Kubernetes clients read them


def deny_status(deny: Deny, request: ApiRequest) -> dict[str, Any]:
    """Return a denial as a metav1.Status, whose message kubectl prints after "Error from server (Forbidden)"."""
    details: dict[str, Any] = {"causes": [{"reason": "KubentlyPolicy", "message": deny.rule}]}
    if request.is_resource_request:
        details |= {"group": request.group, "kind": request.resource, "name": request.name}
    return _status("Forbidden", 403, str(deny), {key: value for key, value in details.items() if value})


def invalid_status(error: InvalidRequestError) -> dict[str, Any]:
    """Return a request that could not be parsed as a metav1.Status."""
    message = f"{error.message}; {error.hint}" if error.hint else error.message
    return _status("BadRequest", 400, message, {"causes": [{"reason": "KubentlyRequest", "message": error.code}]})


def _status(reason: str, code: int, message: str, details: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": details,
        "code": code,
    }
