from __future__ import annotations

import json
from typing import Any

import pytest

from kubently.errors import InvalidRequestError
from kubently.kube import policy, protobuf, reviews

READ_ONLY = policy.Policy()
EVERYTHING = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}


def asking(**attributes: str) -> dict[str, Any]:
    return {"spec": {"resourceAttributes": attributes}}


def asking_path(**attributes: str) -> dict[str, Any]:
    return {"spec": {"nonResourceAttributes": attributes}}


def limits(*narrowings: dict[str, list[str]]) -> policy.Limits:
    return policy.Limits(tuple(map(policy.Narrowing.from_json, narrowings)))


def rule_of(review: dict[str, Any], given: reviews.Limits = policy.UNLIMITED) -> str:
    denial = reviews.access_denial(review, READ_ONLY, given)
    return denial.rule if denial else ""


@pytest.mark.parametrize(
    ("review", "rule"),
    [
        (asking(verb="get", resource="pods", namespace="shop"), ""),
        (asking(verb="list", resource="deployments", group="apps"), ""),
        (asking(verb="get", resource="pods", subresource="log"), ""),
        (asking(verb="create", resource="selfsubjectaccessreviews", group="authorization.k8s.io", namespace="a"), ""),
        (asking_path(verb="get", path="/healthz"), ""),
        (asking(verb="get", resource="secrets"), "no-secrets"),
        (asking(verb="list", resource="*"), "no-secrets"),
        (asking(verb="list", resource="*", group="*"), "no-secrets"),
        (asking(verb="list", resource="*", group="apps"), ""),
        (asking(verb="*", resource="pods"), "default"),
        (asking(verb="get", resource="pods", subresource="*"), "no-other-subresource"),
        (asking(verb="create", resource="pods", subresource="exec"), "no-exec"),
        (asking(verb="bind", resource="roles", group="rbac.authorization.k8s.io"), "default"),
        (asking_path(verb="post", path="/healthz"), "default"),
        (asking_path(verb="get", path="/metrics"), "no-other-path"),
        (asking_path(verb="get", path="*"), "default"),
        ({}, "default"),
        ({"spec": {"resourceAttributes": [3]}}, "default"),
    ],
)
def test_what_the_policy_refuses_is_no(review: dict[str, Any], rule: str) -> None:
    assert rule_of(review) == rule


def test_limits_count_and_resources_without_namespace_have_none() -> None:
    shop = limits({"namespaces": ["shop"]})

    assert rule_of(asking(verb="list", resource="pods", namespace="shop"), shop) == ""
    assert rule_of(asking(verb="list", resource="nodes", namespace="shop"), shop) == "narrowed-namespace"


def test_a_namespace_is_in_the_namespace_of_its_name() -> None:
    shop = limits({"namespaces": ["shop"]})

    assert rule_of(asking(verb="get", resource="namespaces", name="shop", namespace="default"), shop) == ""
    assert rule_of(asking(verb="get", resource="namespaces", name="other", namespace="shop"), shop) == (
        "narrowed-namespace"
    )
    assert rule_of(asking(verb="list", resource="namespaces", namespace="shop"), shop) == "narrowed-namespace"


def test_a_no_looks_like_the_api_servers_and_says_who_said_it() -> None:
    review = asking(verb="get", resource="secrets")
    denial = reviews.access_denial(review, READ_ONLY, policy.UNLIMITED)
    assert denial

    answer = reviews.denied_answer(review, denial)

    assert answer["kind"] == "SelfSubjectAccessReview"
    assert answer["spec"] == review["spec"]
    assert answer["status"]["allowed"] is False
    assert answer["status"]["reason"].startswith("Kubently: Secrets are not shown")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "application/json"),
        (b"[]", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"kind":"Pod"}', "application/json"),
        (b"k8s\0\xff", protobuf.CONTENT_TYPE),
        (b"{}", protobuf.CONTENT_TYPE),
        (b"\xa1", "application/cbor"),
    ],
)
def test_an_unreadable_review_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(InvalidRequestError):
        reviews.parse(body, content_type, reviews.ACCESS)


def test_a_review_is_read_from_json() -> None:
    body = json.dumps({"kind": "SelfSubjectRulesReview", "spec": {"namespace": "shop"}}).encode()

    assert reviews.parse(body, "application/json", reviews.RULES)["spec"] == {"namespace": "shop"}


# ---- rules


def restricted(
    *rules: dict[str, Any], paths: tuple[str, ...] = (), given: reviews.Limits = policy.UNLIMITED, error: str = ""
) -> dict[str, Any]:
    status = {
        "resourceRules": list(rules),
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": list(paths)}] if paths else [],
        "evaluationError": error,
    }
    answer = {"kind": "SelfSubjectRulesReview", "status": status}
    result: dict[str, Any] = reviews.restrict_rules(answer, "shop", READ_ONLY, given)["status"]
    return result


def granted(status: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {
        (verb, group, resource)
        for rule in status["resourceRules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def test_a_rule_for_everything_becomes_one_for_reading() -> None:
    status = restricted(EVERYTHING, paths=("*",))

    assert granted(status) == {(verb, "*", "*") for verb in ("get", "list", "watch")}
    assert status["nonResourceRules"] == [{"verbs": ["get"], "nonResourceURLs": list(policy.READABLE_PATHS)}]
    assert status["incomplete"] is True
    assert status["evaluationError"] == "Kubently serves reads alone, without Secrets"


def test_named_rules_lose_what_is_refused() -> None:
    rule = {"verbs": ["get", "create", "delete"], "apiGroups": [""], "resources": ["pods", "pods/exec", "secrets"]}

    assert granted(restricted(rule)) == {("get", "", "pods")}


def test_a_rule_for_named_objects_keeps_their_names() -> None:
    rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["a", "b"]}
    inside, outside = limits({"names": ["b"]}), limits({"names": ["c"]})

    assert restricted(rule, given=inside)["resourceRules"][0]["resourceNames"] == ["a", "b"]
    assert restricted(rule, given=outside)["resourceRules"] == []


def test_limits_cut_a_rule_for_everything_down_to_what_they_name() -> None:
    status = restricted(EVERYTHING, given=limits({"resources": ["pods", "pods/log", "deployments.apps"]}))

    reads = ("get", "list", "watch")
    assert granted(status) == {
        *((verb, "*", "pods") for verb in reads),
        ("get", "", "pods/log"),
        *((verb, "apps", "deployments") for verb in reads),
    }
    assert "within the limits of your key" in status["evaluationError"]


def test_limits_of_another_namespace_leave_nothing() -> None:
    assert restricted(EVERYTHING, given=limits({"namespaces": ["other"]}))["resourceRules"] == []


def test_the_clusters_own_words_stay() -> None:
    assert restricted(error="webhook authorizer").get("evaluationError", "").startswith("webhook authorizer; Kubently")


@pytest.mark.parametrize("answer", [{}, {"status": []}, {"status": {"resourceRules": [3, {"verbs": 3}]}}])
def test_an_answer_of_another_shape_gives_no_rules(answer: dict[str, Any]) -> None:
    status = reviews.restrict_rules(answer, "shop", READ_ONLY, policy.UNLIMITED)["status"]

    assert (status["resourceRules"], status["nonResourceRules"]) == ([], [])
