"""Request lines read by the apiserver's rules, strictly, and written anew."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubently.errors import InvalidRequestError
from kubently.kube import paths
from kubently.kube.paths import ApiRequest


def resource(verb: Any, **fields: Any) -> ApiRequest:
    return ApiRequest(verb=verb, is_resource_request=True, version="v1", **fields)


def other(verb: Any, path: str, **fields: Any) -> ApiRequest:
    return ApiRequest(verb=verb, is_resource_request=False, path=path, **fields)


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        # The table of the apiserver's own test (requestinfo_test.go), as far as it is served here.
        ("GET", "/api/v1/namespaces", "", resource("list", resource="namespaces")),
        ("GET", "/api/v1/namespaces/a", "", resource("get", resource="namespaces", namespace="a", name="a")),
        (
            "PUT",
            "/api/v1/namespaces/a/finalize",
            "",
            resource("update", resource="namespaces", namespace="a", name="a", subresource="finalize"),
        ),
        ("GET", "/api/v1/namespaces/a/pods", "", resource("list", resource="pods", namespace="a")),
        ("GET", "/api/v1/namespaces/a/pods/p", "", resource("get", resource="pods", namespace="a", name="p")),
        ("GET", "/api/v1/pods", "", resource("list", resource="pods")),
        ("POST", "/api/v1/pods", "", resource("create", resource="pods")),
        ("POST", "/api/v1/namespaces/a/pods", "", resource("create", resource="pods", namespace="a")),
        ("DELETE", "/api/v1/namespaces/a/pods", "", resource("deletecollection", resource="pods", namespace="a")),
        ("DELETE", "/api/v1/namespaces/a/pods/p", "", resource("delete", resource="pods", namespace="a", name="p")),
        ("PATCH", "/api/v1/namespaces/a/pods/p", "", resource("patch", resource="pods", namespace="a", name="p")),
        (
            "GET",
            "/api/v1/namespaces/a/pods/p/log",
            "follow=true&container=app",
            resource(
                "get",
                resource="pods",
                namespace="a",
                name="p",
                subresource="log",
                query=(("container", "app"), ("follow", "true")),
            ),
        ),
        (
            "GET",
            "/api/v1/nodes/n/proxy/metrics/cadvisor",
            "x=1",
            resource("get", resource="nodes", name="n", subresource="proxy", tail=("metrics", "cadvisor")),
        ),
        (
            "GET",
            "/apis/apps/v1/namespaces/a/deployments/d/scale",
            "",
            resource("get", group="apps", resource="deployments", namespace="a", name="d", subresource="scale"),
        ),
        # Watches and names from selectors.
        ("GET", "/api/v1/pods", "watch=1", resource("watch", resource="pods", query=(("watch", "true"),))),
        ("GET", "/api/v1/pods", "watch=True", resource("watch", resource="pods", query=(("watch", "true"),))),
        ("GET", "/api/v1/pods", "watch=0", resource("list", resource="pods", query=(("watch", "false"),))),
        (
            "GET",
            "/api/v1/namespaces/a/pods",
            "watch=true&fieldSelector=metadata.name%3Dp",
            resource(
                "watch",
                resource="pods",
                namespace="a",
                name="p",
                query=(("fieldSelector", "metadata.name=p"), ("watch", "true")),
            ),
        ),
        # Not resources.
        ("GET", "/", "", other("get", "/")),
        ("GET", "/api", "", other("get", "/api")),
        ("GET", "/apis/", "timeout=32s", other("get", "/apis", query=(("timeout", "32s"),))),
        ("GET", "/apis/apps/v1", "", other("get", "/apis/apps/v1")),
        (
            "GET",
            "/openapi/v3/apis/apps/v1",
            "hash=AB",
            other("get", "/openapi/v3/apis/apps/v1", query=(("hash", "AB"),)),
        ),
        ("GET", "/readyz", "verbose", other("get", "/readyz", query=(("verbose", "true"),))),
        ("GET", "/metrics", "anything=1", other("get", "/metrics")),
        ("POST", "/version", "", other("create", "/version")),
        # A trailing slash and harmless escapes.
        ("GET", "/api/v1/pods/", "", resource("list", resource="pods")),
        (
            "GET",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
            "",
            resource("get", group="rbac.authorization.k8s.io", resource="clusterroles", name="system:node"),
        ),
    ],
)
def test_describes_requests_as_the_apiserver_does(method: str, path: str, query: str, expected: ApiRequest) -> None:
    request = paths.parse(method, path.encode(), query.encode())

    assert request == expected
    assert paths.parse(method, *paths.build(request)) == expected


@pytest.mark.parametrize(
    "path",
    [
        "",
        "api/v1/pods",
        "http://elsewhere/api/v1/pods",
        "//api/v1/pods",
        "/api//v1/pods",
        "/api/v1/pods//",
        "/api/v1/namespaces//secrets",
        "/api/v1/./pods",
        "/api/v1/namespaces/a/../../secrets",
        "/api/v1/namespaces/a/pods/..",
        "/api/v1/namespaces/default%2Fsecrets",
        "/api%2Fv1%2Fsecrets",
        "/api/v1/namespaces/a%5Csecrets",
        "/api/v1/namespaces/a/pods/%2e%2e",
        "/api/v1/namespaces/a/pods/%2E",
        "/api/v1/%73ecrets",
        "/api/v1/secret%73",
        "/api/v1/pods%00",
        "/api/v1/namespaces/a/pods/p%0d%0aHost:%20x",
        "/api/v1/namespaces/a/pods/p%09",
        "/api/v1/namespaces/a/pods/p%7f",
        "/api/v1/namespaces/a/pods/p%C2%85",
        "/api/v1/namespaces/a/pods/p%252Fx",
        "/api/v1/namespaces/a/pods/p%25",
        "/api/v1/namespaces/a/pods/p%3Fwatch",
        "/api/v1/namespaces/a/pods/p%23",
        "/api/v1/namespaces/a/pods/p;x=1",
        "/api/v1/namespaces/a/pods/p%3Bx",
        "/api/v1/namespaces/a/pods/%ff",
        "/api/v1/namespaces/a/pods/%c0%af",
        "/api/v1/namespaces/a/pods/%e2%80%ae",
        "/api/v1/namespaces/a/pods/%zz",
        "/api/v1/namespaces/a/pods/%2",
        "/api/v1/namespaces/a/pods/p q",
        "/api/v1/namespaces/a/pods/p\nq",
        "/api/v1/namespaces/a/pods/é",
        "/api/v1/namespaces/a/pods?watch=true",
        "/api/v1/namespaces/a/pods#x",
        "/api/v1/Secrets",
        "/api/V1/secrets",
        "/apis/Apps/v1/deployments",
        "/api/v1/namespaces/A/secrets",
        "/api/v1/secrets%20",
        "/api/v1/watch/pods",
        "/api/v1/watch/namespaces/a/secrets",
        "/api/v1/proxy/namespaces/a/pods/p",
        "/apis/apps/v1/watch/deployments",
        "/api/v1/namespaces/a/namespaces",
        "/api/v1/namespaces/a/namespaces/b",
        "/api/v1/namespaces/a/pods/p/log/x",
        "/api/v1/namespaces/a/pods/p/LOG",
        "/api/v1/namespaces/a/pods/" + "n" * 254,
        "/" + "a" * 5000,
        "/api/v1/namespaces/" + "a" * 64 + "/pods",
    ],
)
def test_refuses_odd_paths(path: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        paths.parse("GET", path)

    assert refused.value.code == "request-invalid"
    assert refused.value.message


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/v1/pods", "watch=true&watch=false"),
        ("/api/v1/pods", "watch=yes"),
        ("/api/v1/pods", "watch="),
        ("/api/v1/pods", "Watch=true"),
        ("/api/v1/pods", "limit=5&limit=6"),
        ("/api/v1/pods", "limit=ten"),
        ("/api/v1/pods", "labelSelector=a;watch=true"),
        ("/api/v1/pods", "&"),
        ("/api/v1/pods", "limit=1&"),
        ("/api/v1/pods", "unknown=1"),
        ("/api/v1/pods", "=1"),
        ("/api/v1/pods", "labelSelector=%00"),
        ("/api/v1/pods", "labelSelector=%ff"),
        ("/api/v1/pods", "labelSelector=%0a"),
        ("/api/v1/pods", "labelSelector=é"),
        ("/api/v1/pods", "labelSelector=a b"),
        ("/api/v1/pods", "labelSelector=%z0"),
        ("/api/v1/pods", "labelSelector=" + "a" * 40_000),
        ("/api/v1/pods", "fieldSelector=metadata.name%3Da%2Cmetadata.name%3Db"),
        ("/api/v1/pods", "fieldSelector=nonsense"),
        ("/api/v1/pods", "fieldSelector=a%3Db%5C"),
        ("/api/v1/pods", "fieldSelector=a%3Db%3Dc"),
        ("/api/v1/pods", "limit=9223372036854775808"),
        ("/api/v1/pods", "fieldSelector=metadata.name%3Da&timeoutSeconds=-9223372036854775809"),
        ("/api/v1/pods", "resourceVersionMatch=Newest"),
        ("/api/v1/pods", "includeObject=All"),
        ("/api/v1/pods", "timeout=never"),
        ("/api/v1/namespaces/a/pods/p", "watch=true"),
        ("/api/v1/namespaces/a/pods/p", "fieldSelector=a%3Db"),
        ("/api/v1/namespaces/a/pods/p/log", "insecureSkipTLSVerifyBackend=true"),
        ("/api/v1/namespaces/a/pods/p/log", "stream=Both"),
        ("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "dryRun=All"),
        ("/openapi/v3", "hash=%2e%2e"),
        ("/version", "watch=true"),
    ],
)
def test_refuses_odd_queries(path: str, query: str) -> None:
    method = "POST" if path.endswith("reviews") else "GET"

    with pytest.raises(InvalidRequestError):
        paths.parse(method, path, query)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "CONNECT", "TRACE", "get", "", "GET ", "PROPFIND"])
def test_refuses_other_methods(method: str) -> None:
    with pytest.raises(InvalidRequestError, match="method"):
        paths.parse(method, "/api")


@pytest.mark.parametrize(
    ("selector", "name"),
    [
        ("metadata.name=a", "a"),
        ("metadata.name==a", "a"),
        ("metadata.name=a,metadata.name=a", "a"),
        ("x=1,metadata.name=a,", "a"),
        ("metadata.name!=a", ""),
        ("metadata.namespace=a", ""),
        ("metadata.name=", ""),
        ("metadata.name=..", ""),
        ("metadata.name=a/b", ""),
        (r"metadata.name=a\,b", "a,b"),
        ("x=metadata.name", ""),
        (" metadata.name=a", ""),
    ],
)
def test_takes_the_name_from_a_field_selector(selector: str, name: str) -> None:
    query = "&".join(f"{key}={value}" for key, value in [("fieldSelector", paths.quote(selector, safe=""))])

    assert paths.parse("GET", "/api/v1/pods", query).name == name


def test_the_parameters_of_what_is_never_sent_are_not_read() -> None:
    run = paths.parse("POST", "/api/v1/namespaces/a/pods/p/exec", "command=sh&command=-c&stdin=1")
    apply = paths.parse("PATCH", "/api/v1/namespaces/a/pods/p", "fieldManager=x&force=true")
    token = paths.parse("POST", "/api/v1/namespaces/a/serviceaccounts/s/token", "dryRun=All")

    assert (run.subresource, run.query) == ("exec", ())
    assert (apply.verb, apply.query) == ("patch", ())
    assert (token.subresource, token.query) == ("token", ())


def test_writes_what_was_described_and_nothing_else() -> None:
    request = paths.parse(
        "GET", "/api/v1/namespaces/a/pods/", "watch=1&labelSelector=env+in+%28a%2Cb%29&limit=5&limit=5&timeout=10s"
    )

    path, query = paths.build(request)

    assert path == b"/api/v1/namespaces/a/pods"
    assert query == b"labelSelector=env%20in%20%28a%2Cb%29&limit=5&timeout=10s&watch=true"


def test_speaks_of_requests() -> None:
    scale = paths.parse("GET", "/apis/apps/v1/namespaces/a/deployments/d/scale")

    assert str(scale) == "get deployments.apps/scale d in namespace a"
    assert scale.method == "GET"
    assert not scale.is_stream
    assert paths.parse("GET", "/api/v1/namespaces/a/pods/p/log", "follow=1").is_stream
    assert paths.parse("GET", "/api/v1/pods", "watch=1&labelSelector=a&fieldSelector=b%3Dc").label_selector == "a"
    assert paths.parse("GET", "/api/v1/pods", "fieldSelector=b%3Dc").field_selector == "b=c"
    assert str(paths.parse("GET", "/api")) == "get /api"


WORDS = [
    "api",
    "apis",
    "v1",
    "apps",
    "namespaces",
    "a",
    "pods",
    "p",
    "log",
    "exec",
    "proxy",
    "watch",
    "secrets",
    "status",
]
ODD = ["", ".", "..", "%2e", "%2F", "%3A", "%00", "é", "%C3%A9", "system:x", "A", "a b", "%41", "x;y", "*", "a@b"]
PATHS = st.lists(st.sampled_from(WORDS) | st.sampled_from(ODD), max_size=9).map(lambda parts: "/" + "/".join(parts))
KEYS = st.sampled_from(
    ["watch", "limit", "labelSelector", "fieldSelector", "follow", "timeout", "container", "hash", "x", "pretty"]
)
VALUES = st.sampled_from(
    ["true", "1", "0", "a", "metadata.name%3Da", "a%3Db%2Cc%21%3Dd", "10s", "", "%2F", "a+b", "%", "%C3%A9"]
)
QUERIES = st.lists(st.builds("{}={}".format, KEYS, VALUES), max_size=3).map("&".join)


@given(method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]), path=PATHS, query=QUERIES)
def test_what_is_built_is_what_was_parsed(method: str, path: str, query: str) -> None:
    try:
        request = paths.parse(method, path, query)
    except InvalidRequestError:
        return

    built = paths.build(request)

    assert paths.parse(request.method, *built) == request
    assert paths.build(paths.parse(request.method, *built)) == built


@given(path=st.binary(max_size=40) | st.text(max_size=40), query=st.binary(max_size=40) | st.text(max_size=40))
def test_any_bytes_parse_or_are_refused(path: bytes | str, query: bytes | str) -> None:
    for prefix in ("/", "/api/v1/", "/api/v1/namespaces/a/"):
        full = prefix.encode() + path if isinstance(path, bytes) else prefix + path
        try:
            request = paths.parse("GET", full, query)
        except InvalidRequestError:
            continue
        assert paths.parse("GET", *paths.build(request)) == request


@given(name=st.text(min_size=1, max_size=20))
def test_names_that_can_be_asked_for_arrive_as_they_are(name: str) -> None:
    """Whatever name a well-behaved client encodes is either refused or described exactly."""
    try:
        request = paths.parse("GET", "/api/v1/namespaces/a/pods/" + paths.quote(name, safe="", errors="surrogatepass"))
    except InvalidRequestError:
        return

    assert request.name == name
