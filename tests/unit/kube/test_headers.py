"""Header fields that may travel."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubently.errors import InvalidRequestError
from kubently.kube import headers


def test_keeps_only_what_is_listed() -> None:
    fields = [
        (b"Accept", b"application/json"),
        (b"Accept-Language", b"en"),
        (b"Authorization", b"Bearer canary"),
        (b"Connection", b"keep-alive"),
        (b"Content-Type", b"application/json"),
        (b"Cookie", b"canary"),
        (b"Host", b"api"),
        (b"Impersonate-User", b"admin"),
        (b"Kubectl-Command", b"kubectl get"),
        (b"User-Agent", b"kubectl"),
        (b"X-Forwarded-For", b"10.0.0.1"),
        (b"X-Kubently-Limits", b"[{}]"),
        (b"X-Kubently-Principal", b"key:admin"),
        (b"X-Remote-User", b"admin"),
        (b"X-HTTP-Method-Override", b"DELETE"),
        (b"traceparent", b"00-x"),
    ]

    kept = headers.request_headers(fields)

    assert [name for name, _ in kept] == [b"accept", b"kubectl-command", b"user-agent", b"traceparent"]
    assert (b"content-type", b"application/json") in headers.request_headers(fields, with_body=True)


@pytest.mark.parametrize(
    "fields",
    [
        [(b"Upgrade", b"websocket")],
        [(b"UPGRADE", b"SPDY/3.1"), (b"Connection", b"Upgrade")],
        [(b"Connection", b"keep-alive, UpGrade")],
        [(b"HTTP2-Settings", b"x")],
        [(b"Content-Length", b"3"), (b"Transfer-Encoding", b"chunked")],
        [(b"Content-Length", b"3"), (b"content-length", b"4")],
        [(b"Host", b"a"), (b"Host", b"b")],
        [(b"Accept", b"a\r\nX: y")],
        [(b"Accept", b"a\x00")],
        [(b"Accept\n", b"a")],
        [(b"Acc ept", b"a")],
        [(b"", b"a")],
        [("Accept-é".encode(), b"a")],
        [(b"Accept", b"a" * 20_000)],
    ],
)
def test_refuses_tricks(fields: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(InvalidRequestError):
        headers.request_headers(fields)


def test_answers_lose_cookies_and_hop_by_hop_fields() -> None:
    fields = [
        (b"Content-Type", b"application/json"),
        (b"Content-Length", b"12"),
        (b"ETag", b'"x"'),
        (b"Set-Cookie", b"a=b"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Location", b"http://elsewhere"),
        (b"Warning", b'299 - "old"'),
        (b"X-Kubernetes-PF-FlowSchema-UID", b"u"),
        (b"Bad\x00", b"x"),
        (b"Date", b"x\r\ny"),
    ]

    unchanged = headers.response_headers(fields)
    changed = headers.response_headers(fields, body_changed=True)

    assert [name for name, _ in changed] == [b"content-type", b"warning", b"x-kubernetes-pf-flowschema-uid"]
    assert {name for name, _ in unchanged} - {name for name, _ in changed} == {b"content-length", b"etag"}


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (
            b"application/json;as=Table;v=v1;g=meta.k8s.io,application/vnd.kubernetes.protobuf, application/json",
            b"application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
        ),
        (b"application/vnd.kubernetes.protobuf", b"application/json"),
        (b"application/yaml", b"application/json"),
        (b"*/*", b"application/json"),
        (b"", b"application/json"),
    ],
)
def test_narrows_to_what_can_be_inspected(accept: bytes, expected: bytes) -> None:
    fields = [(b"accept", accept), (b"accept-encoding", b"gzip"), (b"user-agent", b"k")]

    assert headers.inspectable_accept(fields) == [(b"user-agent", b"k"), (b"accept", expected)]


@given(st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=12)), max_size=4))
def test_any_fields_pass_or_are_refused(fields: list[tuple[bytes, bytes]]) -> None:
    headers.response_headers(fields)
    try:
        kept = headers.request_headers(fields)
    except InvalidRequestError:
        return
    assert all(name == name.lower() for name, _ in kept)
