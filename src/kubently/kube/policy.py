"""What may be asked of a cluster: one table of rules, and limits per principal on top of it.

The first rule that matches a request decides; a request that none matches is denied. The table is read-only by
construction: nothing in a policy document can allow more than `rules` does, it can only deny or narrow further.
Requests are described by `paths.parse`, so commands and proxied API requests meet the same table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubently.errors import ConfigError
from kubently.kube import _documents, statuses
from kubently.kube._decisions import Allow, Decision, Deny, document_of, list_of
from kubently.kube._documents import Grant, SecretsMode
from kubently.kube._helm_requests import asks_as_helm
from kubently.kube._impersonation import Impersonation
from kubently.kube._narrowing import UNLIMITED, Limits, Narrowing
from kubently.kube._patterns import NO_PATTERNS, Patterns
from kubently.kube._rules import Rule, Rules
from kubently.kube.paths import READ_VERBS, SELF_REVIEWS, ApiRequest

__all__ = [
    "DEFAULT_POLICY",
    "DEFAULT_RULES",
    "READABLE_PATHS",
    "UNLIMITED",
    "Allow",
    "Decision",
    "Deny",
    "Grant",
    "Impersonation",
    "Limits",
    "Narrowing",
    "Patterns",
    "Policy",
    "Rule",
    "Rules",
    "SecretsMode",
    "asks_as_helm",
    "decide",
    "deny_status",
    "parse_policy",
    "rules",
]

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
READABLE_PATHS = (*_DISCOVERY_PATHS, *_HEALTH_PATHS)
"""What can be read besides resources; "/*" at the end stands for all that lies below."""

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


def _secret_rules(mode: SecretsMode, grants: frozenset[Grant]) -> Iterable[Rule]:
    """Refuse Secrets; where their metadata may be read Helm is still refused: it would take blanked data for none."""
    is_helm_granted = "helm-releases" in grants
    if not is_helm_granted:
        yield Rule(
            "helm-releases",
            allows=False,
            as_helm=True,
            reason="Helm keeps its releases in Secrets, and those of this cluster are not shown through Kubently",
            hint="`grants: [helm-releases]` in the executor's policy makes `helm list`, `get` and `status` work",
        )
    if mode == "none":
        yield Rule(
            "no-secrets",
            allows=False,
            resources=frozenset({"secrets"}),
            as_helm=False if is_helm_granted else None,
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
    # Reached where the grant took away the refusals above.
    yield Rule("helm-releases", allows=True, as_helm=True)
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


def rules(
    *,
    secrets: SecretsMode = "none",
    grants: frozenset[Grant] = frozenset(),
    own_secret: tuple[str, str] | None = None,
    extra: Rules = (),
) -> Rules:
    """Return the table: first what is never allowed, then denials of the operator (*extra*), then what may be read."""
    return (
        *_subresource_rules(),
        *_review_rules(),
        *_write_rules(),
        *_own_secret_rules(own_secret),
        *_secret_rules(secrets, grants),
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
    grants: frozenset[Grant] = frozenset()
    """"helm-releases": Helm's own Secrets may be read as Helm asks for them, with values and Secrets blanked inside."""
    denials: Rules = ()
    """Further denials of the operator."""
    narrowing: Narrowing = UNLIMITED
    """Limits for everybody."""
    own_secret: tuple[str, str] | None = None
    """Namespace and name of the executor's own Secret."""
    patterns: Patterns = NO_PATTERNS
    """What else is taken out of text."""
    impersonation: Impersonation | None = None
    """As whom requests are made; None: as the executor itself."""
    rules: Rules = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        table = rules(secrets=self.secrets, grants=self.grants, own_secret=self.own_secret, extra=self.denials)
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


_KEYS = frozenset({"mode", "secrets", "ownSecret", "grants", "deny", "narrow", "redact", "impersonate"})


def parse_policy(value: object) -> Policy:
    """Read a policy document: mode ("read-only", required), secrets, ownSecret, grants, deny, narrow, redact,
    impersonate.

    Raises ConfigError for anything unknown or unreadable, so that nobody runs under another policy than was written.
    """
    document = document_of(value, "a policy", _KEYS)
    if document.get("mode") != "read-only":
        raise ConfigError(
            f"the policy's mode is {document.get('mode')!r}",
            hint='the only mode is "read-only", and it must be written',
        )
    return Policy(
        secrets=_documents.secrets_mode(document.get("secrets", "none")),
        grants=_documents.grants(document),
        denials=tuple(_documents.denial(item, index) for index, item in enumerate(list_of(document, "deny"))),
        narrowing=Narrowing.from_json(document["narrow"]) if "narrow" in document else UNLIMITED,
        own_secret=_documents.own_secret(document["ownSecret"]) if "ownSecret" in document else None,
        patterns=Patterns.from_json(document["redact"]) if "redact" in document else NO_PATTERNS,
        impersonation=Impersonation.from_json(document["impersonate"]) if "impersonate" in document else None,
    )


# ---- refusals as Kubernetes clients read them


def deny_status(deny: Deny, request: ApiRequest) -> dict[str, Any]:
    """Return a denial as a metav1.Status, whose message kubectl prints after "Error from server (Forbidden)"."""
    details: dict[str, Any] = {"causes": [{"reason": "KubentlyPolicy", "message": deny.rule}]}
    if request.is_resource_request:
        details |= {"group": request.group, "kind": request.resource, "name": request.name}
    return statuses.failure("Forbidden", 403, str(deny), {key: value for key, value in details.items() if value})
