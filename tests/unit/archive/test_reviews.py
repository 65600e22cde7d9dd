from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubently.archive import app, asked
from kubently.archive.answers import RefusedError
from kubently.kube import protobuf

from .samples import archive

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubject"


def post(path: str, content: bytes, content_type: str = "application/json") -> dict[str, Any]:
    answer = app.decide(archive(), asked.Asked("POST", path, {}, {"content-type": content_type}, content))
    assert answer.status == 201
    decoded: dict[str, Any] = json.loads(b"".join(answer.chunks))
    return decoded


def may(**attributes: str) -> bool:
    review = {"kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes}}
    return bool(post(f"{REVIEWS}accessreviews", json.dumps(review).encode())["status"]["allowed"])


@pytest.mark.parametrize(
    ("attributes", "allowed"),
    [
        ({"verb": "get", "resource": "pods"}, True),
        ({"verb": "list", "resource": "deployments", "group": "apps", "namespace": "a"}, True),
        ({"verb": "watch", "resource": "widgets", "group": "example.com"}, True),
        ({"verb": "get", "resource": "pods", "subresource": "log"}, True),
        ({"verb": "get", "resource": "pods", "subresource": "exec"}, False),
        ({"verb": "list", "resource": "pods", "subresource": "log"}, False),
        ({"verb": "get", "resource": "secrets"}, False),
        ({"verb": "get", "resource": "secrets", "subresource": "status"}, False),
        ({"verb": "get", "resource": "secrets", "group": "example.com"}, True),
        ({"verb": "get", "resource": "*"}, False),
        ({"verb": "get", "resource": "pods", "group": "*"}, False),
        ({"verb": "*", "resource": "pods"}, False),
        ({"verb": "delete", "resource": "pods"}, False),
        ({"verb": "create", "resource": "pods"}, False),
        ({"verb": "create", "resource": "selfsubjectaccessreviews", "group": "authorization.k8s.io"}, True),
    ],
)
def test_access(attributes: dict[str, str], allowed: bool) -> None:
    assert may(**attributes) is allowed


@pytest.mark.parametrize(
    ("path", "verb", "allowed"),
    [("/healthz", "get", True), ("/apis/apps", "get", True), ("/metrics", "get", False), ("/healthz", "post", False)],
)
def test_access_to_paths(path: str, verb: str, allowed: bool) -> None:
    review = {"spec": {"nonResourceAttributes": {"path": path, "verb": verb}}}

    status = post(f"{REVIEWS}accessreviews", json.dumps(review).encode())["status"]

    assert status["allowed"] is allowed


def test_rules_and_identity() -> None:
    rules = post(f"{REVIEWS}rulesreviews", b'{"spec":{"namespace":"a"}}')["status"]
    identity = post("/apis/authentication.k8s.io/v1/selfsubjectreviews", b"{}")

    verbs = {verb for rule in rules["resourceRules"] for verb in rule["verbs"]}
    assert verbs == {"get", "list", "watch", "create"}
    assert not any("secrets" in rule["resources"] for rule in rules["resourceRules"])
    assert identity["status"]["userInfo"]["username"] == "archive:viewer"
    assert identity["metadata"]["creationTimestamp"] == "2026-11-18T12:00:00Z"


@pytest.mark.parametrize(
    ("path", "content", "code"),
    [
        ("accessreviews", b"garbage", 400),
        ("accessreviews", b"[]", 400),
        ("accessreviews", b'{"kind":"Pod"}', 400),
        ("accessreviews", b"{}", 422),
        ("accessreviews", b'{"spec":{"resourceAttributes":{"a":1},"nonResourceAttributes":{"a":1}}}', 422),
        ("accessreviews", b"[" * 60_000, 400),
        ("rulesreviews", b'{"spec":{}}', 400),
    ],
)
def test_bodies_that_are_refused(path: str, content: bytes, code: int) -> None:
    with pytest.raises(RefusedError) as refused:
        post(REVIEWS + path, content)

    assert refused.value.code == code


# ---- Protobuf


def field(number: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def review(kind: bytes, raw: bytes) -> bytes:
    return b"k8s\0" + field(1, field(1, b"authorization.k8s.io/v1") + field(2, kind)) + field(2, raw) + field(3, b"")


def test_reviews_in_protobuf() -> None:
    attributes = field(1, b"shop") + field(2, b"list") + field(5, b"pods")
    access = review(b"SelfSubjectAccessReview", field(1, b"") + field(2, field(1, attributes)))
    rules = review(b"SelfSubjectRulesReview", field(2, field(1, b"shop")))

    answered = post(f"{REVIEWS}accessreviews", access, protobuf.CONTENT_TYPE)
    ruled = post(f"{REVIEWS}rulesreviews", rules, protobuf.CONTENT_TYPE)

    assert answered["status"] == {"allowed": True}
    assert answered["spec"]["resourceAttributes"] == {"namespace": "shop", "verb": "list", "resource": "pods"}
    assert ruled["status"]["resourceRules"]


def test_other_wire_types_are_skipped() -> None:
    skipped = bytes([8, 0x96, 1]) + bytes([0x11]) + b"8" * 8 + bytes([0x1D]) + b"4" * 4
    access = review(b"SelfSubjectAccessReview", skipped + field(2, field(2, field(1, b"/healthz") + field(2, b"get"))))

    assert post(f"{REVIEWS}accessreviews", access, protobuf.CONTENT_TYPE)["status"]["allowed"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"k8s\0\x0a", b"k8s\0\x0a\x7f", b"k8s\0\x0b", b"k8s\0" + b"\xff" * 11, b"k8s\0\x0a\x03\x0a\x01\xff"],
)
def test_broken_protobuf_is_refused(content: bytes) -> None:
    with pytest.raises(RefusedError) as refused:
        post(f"{REVIEWS}accessreviews", content, protobuf.CONTENT_TYPE)

    assert refused.value.code in (400, 422)


@given(st.binary(max_size=200))
def test_protobuf_is_read_or_refused(content: bytes) -> None:
    for start in (b"", b"k8s\0"):
        try:
            protobuf.decode_review(start + content)
        except ValueError:
            pass
