"""One rule table: what may be asked, by whom, and how a refusal reads."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubently.errors import ConfigError
from kubently.kube import paths, policy
from kubently.kube.paths import ApiRequest
from kubently.kube.policy import Allow, Deny, Narrowing, Policy, decide

METADATA = Policy(secrets="metadata", own_secret=("kubently", "executor"))
SHOP = Narrowing.from_json({"namespaces": ["shop", "shop-test"]})


def asked(line: str) -> ApiRequest:
    """Describe "METHOD /path?query"."""
    method, _, target = line.partition(" ")
    path, _, query = target.partition("?")
    return paths.parse(method, path, query)


@pytest.mark.parametrize(
    "line",
    [
        "GET /api/v1/pods",
        "GET /api/v1/namespaces/shop/pods/web",
        "GET /api/v1/namespaces/shop/pods?watch=true",
        "GET /api/v1/namespaces/shop/pods/web/log?follow=true",
        "GET /api/v1/namespaces/shop/pods/web/status",
        "GET /apis/apps/v1/namespaces/shop/deployments/web/scale",
        "GET /apis/example.com/v1alpha1/widgets",
        "GET /apis/metrics.k8s.io/v1beta1/nodes",
        "GET /api/v1/namespaces",
        "GET /api",
        "GET /api/v1",
        "GET /apis",
        "GET /apis/apps/v1",
        "GET /version",
        "GET /openapi/v2",
        "GET /openapi/v3/apis/apps/v1?hash=AB",
        "GET /healthz",
        "GET /livez/ping",
        "GET /readyz?verbose",
        "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        "POST /apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
        "POST /apis/authentication.k8s.io/v1/selfsubjectreviews",
    ],
)
def test_reading_is_allowed(line: str) -> None:
    assert isinstance(decide(asked(line)), Allow)


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("GET /api/v1/namespaces/shop/pods/web/exec?command=sh", "no-exec"),
        ("POST /api/v1/namespaces/shop/pods/web/exec?command=sh&command=-c", "no-exec"),
        ("GET /api/v1/namespaces/shop/pods/web/attach", "no-attach"),
        ("POST /api/v1/namespaces/shop/pods/web/portforward", "no-portforward"),
        ("GET /api/v1/namespaces/shop/services/web/proxy/admin", "no-proxy"),
        ("GET /api/v1/nodes/n/proxy/run", "no-proxy"),
        ("POST /api/v1/namespaces/shop/serviceaccounts/s/token?dryRun=All", "no-token"),
        ("GET /api/v1/namespaces/shop/pods/web/ephemeralcontainers", "no-ephemeralcontainers"),
        ("PATCH /api/v1/namespaces/shop/pods/web/ephemeralcontainers", "no-ephemeralcontainers"),
        ("POST /api/v1/namespaces/shop/pods", "no-create"),
        ("POST /api/v1/namespaces/shop/pods/web/eviction", "no-create"),
        ("POST /api/v1/namespaces/shop/pods/web/binding", "no-create"),
        ("PUT /api/v1/namespaces/shop/pods/web", "no-update"),
        ("PATCH /apis/apps/v1/namespaces/shop/deployments/web?dryRun=All", "no-patch"),
        ("PATCH /apis/apps/v1/namespaces/shop/deployments/web/scale", "no-patch"),
        ("DELETE /api/v1/namespaces/shop/pods/web", "no-delete"),
        ("DELETE /api/v1/namespaces/shop/pods", "no-deletecollection"),
        ("POST /apis/authorization.k8s.io/v1/subjectaccessreviews", "no-create"),
        ("POST /apis/authorization.k8s.io/v1/namespaces/shop/localsubjectaccessreviews", "no-create"),
        ("POST /apis/authentication.k8s.io/v1/tokenreviews", "no-create"),
        ("POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews/x", "no-create"),
        ("POST /apis/authorization.k8s.io/v1/namespaces/a/selfsubjectaccessreviews", "no-create"),
        ("POST /apis/example.com/v1/selfsubjectaccessreviews", "no-create"),
        ("GET /api/v1/secrets", "no-secrets"),
        ("GET /api/v1/namespaces/shop/secrets", "no-secrets"),
        ("GET /api/v1/namespaces/shop/secrets/db", "no-secrets"),
        ("GET /api/v1/secrets?watch=true", "no-secrets"),
        ("GET /apis/example.com/v1/secrets", "no-secrets"),
        ("GET /api/v1/namespaces/shop/pods/web/resize", "no-other-subresource"),
        ("GET /apis/subresources.kubevirt.io/v1/namespaces/a/virtualmachineinstances/v/vnc", "no-other-subresource"),
        ("GET /apis/apps/v1/namespaces/a/deployments/d/log", "no-other-subresource"),
        ("GET /", "no-other-path"),
        ("GET /metrics", "no-other-path"),
        ("GET /logs/kube-apiserver.log", "no-other-path"),
        ("GET /debug/pprof", "no-other-path"),
        ("GET /.well-known/openid-configuration", "no-other-path"),
        ("GET /openid/v1/jwks", "no-other-path"),
        ("GET /apiserver", "no-other-path"),
        ("GET /versions", "no-other-path"),
        ("POST /version", "no-other-path"),
        ("DELETE /apis/apps/v1", "no-other-path"),
    ],
)
def test_everything_else_is_denied_by_its_rule(line: str, rule: str) -> None:
    decision = decide(asked(line))

    assert isinstance(decision, Deny)
    assert decision.rule == rule
    assert decision.reason
    assert not decision.reason.endswith(".")
    assert "{" not in str(decision)


SUBRESOURCES = [
    "",
    "status",
    "scale",
    "log",
    "exec",
    "attach",
    "portforward",
    "proxy",
    "token",
    "ephemeralcontainers",
    "binding",
    "eviction",
    "approval",
    "finalize",
    "resize",
    "console",
]
RESOURCES = [
    "pods",
    "secrets",
    "services",
    "nodes",
    "serviceaccounts",
    "configmaps",
    "deployments",
    "namespaces",
    "selfsubjectaccessreviews",
    "tokenreviews",
]
GROUPS = ["", "apps", "authorization.k8s.io", "authentication.k8s.io", "example.com"]
ALL_VERBS = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]


@given(
    verb=st.sampled_from(ALL_VERBS),
    group=st.sampled_from(GROUPS),
    resource=st.sampled_from(RESOURCES),
    subresource=st.sampled_from(SUBRESOURCES),
    namespace=st.sampled_from(["", "shop", "other"]),
    name=st.sampled_from(["", "web"]),
    secrets=st.sampled_from(["none", "metadata"]),
)
def test_agrees_with_an_oracle_written_apart(
    verb: Any, group: str, resource: str, subresource: str, namespace: str, name: str, secrets: Any
) -> None:
    request = ApiRequest(
        verb,
        True,
        group=group,
        version="v1",
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
    )

    is_read = verb in ("get", "list", "watch") and (
        subresource in ("", "status", "scale")
        or (verb == "get" and (group, resource, subresource) == ("", "pods", "log"))
    )
    is_review = (
        verb == "create"
        and (group, resource) == ("authorization.k8s.io", "selfsubjectaccessreviews")
        and not (subresource or namespace or name)
    )
    expected = is_review or (is_read and (resource != "secrets" or secrets == "metadata"))
    assert isinstance(decide(request, Policy(secrets=secrets)), Allow) == expected


@given(verb=st.sampled_from(ALL_VERBS), path=st.text(max_size=30))
def test_paths_that_are_not_listed_are_denied(verb: Any, path: str) -> None:
    request = ApiRequest(verb, False, path="/" + path)

    decision = decide(request)

    if isinstance(decision, Allow):
        assert verb == "get"
        assert request.path.split("/")[1] in ("api", "apis", "version", "openapi", "healthz", "livez", "readyz")


def test_an_empty_table_allows_nothing() -> None:
    bare = Policy()
    object.__setattr__(bare, "rules", ())

    decision = decide(asked("GET /api"), bare)

    assert isinstance(decision, Deny) and decision.rule == "default"


# ---- secrets


def test_with_metadata_secrets_are_read_except_the_executors_own() -> None:
    assert isinstance(decide(asked("GET /api/v1/namespaces/shop/secrets"), METADATA), Allow)
    assert isinstance(decide(asked("GET /api/v1/namespaces/shop/secrets/executor"), METADATA), Allow)
    for line in (
        "GET /api/v1/namespaces/kubently/secrets/executor",
        "GET /api/v1/namespaces/kubently/secrets?fieldSelector=metadata.name%3Dexecutor",
        "GET /api/v1/namespaces/kubently/secrets?watch=1&fieldSelector=metadata.name%3Dexecutor",
    ):
        decision = decide(asked(line), METADATA)
        assert isinstance(decision, Deny) and decision.rule == "no-own-secret"


# ---- narrowing


@pytest.mark.parametrize(
    "line",
    [
        "GET /api/v1/namespaces/shop/pods",
        "GET /api/v1/namespaces/shop/pods/web/log",
        "GET /api/v1/namespaces/shop",
        "GET /api",
        "GET /readyz",
        "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    ],
)
def test_inside_the_allowed_namespaces(line: str) -> None:
    assert isinstance(decide(asked(line), Policy(), SHOP), Allow)


def test_a_list_of_all_namespaces_is_refused_and_told_what_to_use() -> None:
    decision = decide(asked("GET /api/v1/pods"), Policy(), SHOP)

    assert decision == Deny(
        "narrowed-namespace",
        "pods of all namespaces are outside of what you may read here",
        "use -n shop or -n shop-test",
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("GET /api/v1/namespaces/other/pods", "the namespace other is outside"),
        ("GET /api/v1/namespaces/other", "the namespace other is outside"),
        ("GET /api/v1/namespaces", "namespaces have no namespace"),
        ("GET /api/v1/nodes", "nodes have no namespace"),
        ("GET /api/v1/nodes/n", "nodes have no namespace"),
        ("GET /apis/metrics.k8s.io/v1beta1/nodes", "nodes.metrics.k8s.io have no namespace"),
        ("GET /apis/example.com/v1/nodes", "of all namespaces"),
    ],
)
def test_outside_the_allowed_namespaces(line: str, words: str) -> None:
    decision = decide(asked(line), Policy(), SHOP)

    assert isinstance(decision, Deny)
    assert words in decision.reason


@pytest.mark.parametrize(
    ("entry", "inside", "outside"),
    [
        ("pods", "GET /api/v1/pods", "GET /api/v1/namespaces/a/pods/p/log"),
        ("pods/log", "GET /api/v1/namespaces/a/pods/p/log", "GET /api/v1/pods"),
        ("pods/*", "GET /api/v1/namespaces/a/pods/p/log", "GET /api/v1/services"),
        ("pods/*", "GET /api/v1/namespaces/a/pods/p/status", "GET /api/v1/namespaces/a/pods/p"),
        ("*/*", "GET /apis/apps/v1/namespaces/a/deployments/d/scale", "GET /api/v1/pods"),
        ("deployments.apps", "GET /apis/apps/v1/deployments", "GET /apis/example.com/v1/deployments"),
        ("deployments", "GET /apis/example.com/v1/deployments", "GET /apis/apps/v1/daemonsets"),
        ("pods.", "GET /api/v1/pods", "GET /apis/metrics.k8s.io/v1beta1/pods"),
        ("*.apps", "GET /apis/apps/v1/daemonsets", "GET /apis/apps/v1/namespaces/a/deployments/d/scale"),
        ("*/scale", "GET /apis/apps/v1/namespaces/a/deployments/d/scale", "GET /apis/apps/v1/deployments"),
    ],
)
def test_allowed_resources_are_named_as_rbac_does(entry: str, inside: str, outside: str) -> None:
    narrowing = Narrowing.from_json({"resources": [entry]})

    assert isinstance(decide(asked(inside), Policy(), narrowing), Allow)
    refused = decide(asked(outside), Policy(), narrowing)
    assert isinstance(refused, Deny) and refused.rule == "narrowed-resource" and entry in refused.hint


def test_a_star_is_no_limit_on_resources() -> None:
    star = Narrowing.from_json({"resources": ["*"]})

    assert isinstance(decide(asked("GET /api/v1/namespaces/a/pods/p/log"), Policy(), star), Allow)
    assert isinstance(decide(asked("GET /api/v1/secrets"), Policy(), star), Deny)


def test_allowed_names_are_for_get_and_for_lists_that_select_the_name() -> None:
    narrowing = Narrowing.from_json({"names": ["web"]})

    assert isinstance(decide(asked("GET /api/v1/namespaces/a/pods/web"), Policy(), narrowing), Allow)
    selected = asked("GET /api/v1/namespaces/a/pods?watch=1&fieldSelector=metadata.name%3Dweb")
    assert isinstance(decide(selected, Policy(), narrowing), Allow)
    everything = decide(asked("GET /api/v1/namespaces/a/pods"), Policy(), narrowing)
    assert isinstance(everything, Deny) and "--field-selector metadata.name=" in everything.hint
    assert isinstance(decide(asked("GET /api/v1/namespaces/a/pods/api"), Policy(), narrowing), Deny)
    negated = asked("GET /api/v1/namespaces/a/pods?fieldSelector=metadata.name%21%3Dweb")
    assert isinstance(decide(negated, Policy(), narrowing), Deny)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "namespaces": st.lists(st.sampled_from(["a", "b", "shop"]), min_size=1),
            "resources": st.lists(st.sampled_from(["pods", "*.apps", "pods/log", "*"]), min_size=1),
            "names": st.lists(st.sampled_from(["a", "system:x"]), min_size=1),
        },
    )
)
def test_narrowing_survives_json(value: dict[str, list[str]]) -> None:
    narrowing = Narrowing.from_json(value)

    assert Narrowing.from_json(narrowing.to_json()) == narrowing


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "shop",
        {"namespace": ["shop"]},
        {"namespaces": "shop"},
        {"namespaces": []},
        {"namespaces": ["Shop"]},
        {"namespaces": [3]},
        {"namespaces": ["*"]},
        {"resources": ["pods/log/x"]},
        {"resources": ["Pods"]},
        {"names": [""]},
        {"names": ["a/b"]},
    ],
)
def test_odd_narrowings_are_config_errors(value: Any) -> None:
    with pytest.raises(ConfigError):
        Narrowing.from_json(value)


def test_every_limit_of_policy_and_principal_counts() -> None:
    rules = policy.parse_policy({"mode": "read-only", "narrow": {"namespaces": ["shop"]}})
    pods = Narrowing.from_json({"resources": ["pods"]})

    assert isinstance(decide(asked("GET /api/v1/namespaces/shop/pods"), rules, pods), Allow)
    assert isinstance(decide(asked("GET /api/v1/namespaces/other/pods"), rules, pods), Deny)
    assert isinstance(decide(asked("GET /api/v1/namespaces/shop/services"), rules, pods), Deny)


# ---- policy documents


def test_reads_a_policy() -> None:
    document = {
        "mode": "read-only",
        "secrets": "metadata",
        "ownSecret": {"namespace": "kubently", "name": "executor"},
        "deny": [
            {
                "name": "no-config",
                "resources": ["configmaps"],
                "groups": [""],
                "reason": "{verb} {resource} {x} is off",
            },
            {"name": "no-payments", "namespaces": ["payments"]},
            {"name": "no-root-ca", "resources": ["services"], "names": ["vault"]},
            {"name": "no-logs", "resources": ["pods/log"]},
        ],
    }

    rules = policy.parse_policy(document)

    def rule(line: str) -> str:
        return decide(asked(line), rules).rule

    assert rule("GET /api/v1/configmaps") == "no-config"
    assert str(decide(asked("GET /api/v1/configmaps"), rules)) == "listing configmaps {x} is off"
    assert rule("GET /api/v1/namespaces/payments/pods") == "no-payments"
    assert rule("GET /api/v1/namespaces/payments") == "no-payments"
    assert rule("GET /api/v1/pods") == "no-payments"
    assert rule("GET /api/v1/pods?fieldSelector=metadata.name%3Dx") == "no-payments"
    assert rule("GET /api/v1/nodes") == "read"
    assert rule("GET /api/v1/namespaces/shop/pods") == "read"
    assert rule("GET /api/v1/namespaces/shop/services") == "no-root-ca"
    assert rule("GET /api/v1/namespaces/shop/services/vault") == "no-root-ca"
    assert rule("GET /api/v1/namespaces/shop/services/web") == "read"
    assert rule("GET /api/v1/namespaces/shop/pods/p/log") == "no-logs"
    assert rule("GET /api/v1/namespaces/shop/secrets") == "read"
    assert rules == policy.parse_policy(document)


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        [],
        {"mode": "full-access"},
        {"mode": "readOnly"},
        {"mode": "read-only", "allow": []},
        {"mode": "read-only", "customVerbs": ["drain"]},
        {"mode": "read-only", "secrets": "all"},
        {"mode": "read-only", "secrets": None},
        {"mode": "read-only", "ownSecret": {}},
        {"mode": "read-only", "ownSecret": {"namespace": "a", "name": "b", "key": "c"}},
        {"mode": "read-only", "deny": {}},
        {"mode": "read-only", "deny": ["x"]},
        {"mode": "read-only", "deny": [{}]},
        {"mode": "read-only", "deny": [{"name": "X"}]},
        {"mode": "read-only", "deny": [{"name": "x", "verbs": ["delete"]}]},
        {"mode": "read-only", "deny": [{"name": "x", "allows": True}]},
        {"mode": "read-only", "deny": [{"name": "x", "resources": []}]},
        {"mode": "read-only", "deny": [{"name": "x", "reason": 5}]},
        {"mode": "read-only", "narrow": {"namespaces": "a"}},
        {"mode": "read-only", "narrow": None},
        {"mode": "read-only", 3: 4},
    ],
)
def test_odd_policies_are_config_errors(document: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        policy.parse_policy(document)

    assert refused.value.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["mode", "secrets", "ownSecret", "deny", "narrow"]) | st.text(max_size=4),
        st.just("read-only") | JSON,
        max_size=4,
    )
)
def test_any_document_is_a_policy_or_a_config_error(document: Any) -> None:
    try:
        rules = policy.parse_policy(document)
    except ConfigError:
        return
    assert isinstance(decide(asked("DELETE /api/v1/namespaces/a/pods/b"), rules), Deny)


# ---- refusals


def test_a_denial_reads_well_in_kubectl() -> None:
    request = asked("DELETE /apis/apps/v1/namespaces/shop/deployments/web")
    decision = decide(request)
    assert isinstance(decision, Deny)

    status = policy.deny_status(decision, request)

    assert status == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "Kubently is read-only: deleting deployments.apps is refused",
        "reason": "Forbidden",
        "details": {
            "causes": [{"reason": "KubentlyPolicy", "message": "no-delete"}],
            "group": "apps",
            "kind": "deployments",
            "name": "web",
        },
        "code": 403,
    }


def test_a_denied_path_has_no_resource_in_its_details() -> None:
    request = asked("GET /metrics")
    decision = decide(request)
    assert isinstance(decision, Deny)

    assert set(policy.deny_status(decision, request)["details"]) == {"causes"}


# ---- limits of a key


def limits(*narrowings: dict[str, list[str]]) -> policy.Limits:
    return policy.Limits(tuple(map(Narrowing.from_json, narrowings)))


def test_limits_add_up() -> None:
    both = limits({"namespaces": ["a"], "resources": ["pods"]}, {"namespaces": ["b"]})

    assert isinstance(decide(asked("GET /api/v1/namespaces/a/pods"), Policy(), both), Allow)
    assert isinstance(decide(asked("GET /api/v1/namespaces/b/configmaps"), Policy(), both), Allow)
    refused = decide(asked("GET /api/v1/namespaces/a/configmaps"), Policy(), both)
    assert refused == Deny(
        "narrowed",
        "list configmaps in namespace a is outside of what you may read here",
        "you may read pods in a; or everything in b",
    )


def test_one_limit_says_what_it_lacks() -> None:
    refused = decide(asked("GET /api/v1/pods"), Policy(), limits({"namespaces": ["a"]}))

    assert isinstance(refused, Deny) and refused.rule == "narrowed-namespace" and refused.hint == "use -n a"


def test_limits_that_give_nothing_let_nothing_in() -> None:
    assert isinstance(decide(asked("GET /api/v1/pods"), Policy(), limits()), Deny)


def test_limits_give_nothing_that_the_table_denies() -> None:
    asks = asked("GET /api/v1/namespaces/a/secrets/db")

    refused = decide(asks, Policy(), limits({"resources": ["secrets"]}))

    assert isinstance(refused, Deny) and refused.rule == "no-secrets"


def test_limits_survive_their_journey() -> None:
    sent = limits({"namespaces": ["a"], "names": ["x y"]}, {"resources": ["*.apps"]})

    assert policy.Limits.decode(sent.encode()) == sent
    assert limits().encode() == b"[]" and policy.Limits.decode(b"[]") == limits()


@pytest.mark.parametrize("value", [b"", b"{}", b"null", b"[3]", b'[{"namespace":["a"]}]', b"[" * 9000, b"\xff"])
def test_unreadable_limits_are_errors(value: bytes) -> None:
    with pytest.raises(ConfigError):
        policy.Limits.decode(value)


def test_limits_too_long_to_travel_are_errors() -> None:
    with pytest.raises(ConfigError, match="over 8192 bytes"):
        limits({"names": [f"name-{number}" for number in range(1000)]}).encode()
