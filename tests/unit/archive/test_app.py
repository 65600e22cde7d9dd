from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from kubently.archive import app, asked, create_app
from kubently.archive.answers import RefusedError

from .samples import archive, body, get, get_json, names, pod, thing

Messages = list[dict[str, Any]]


async def call(
    server: app.App,
    path: str = "/api/v1/pods",
    *,
    method: str = "GET",
    query: str = "",
    headers: Sequence[tuple[bytes, bytes]] = (),
    content: Sequence[bytes] = (b"",),
    receive: Callable[[], Awaitable[Any]] | None = None,
) -> Messages:
    """Make one request of an ASGI application and return what it sent."""
    parts = list(content)
    sent: Messages = []

    async def take() -> Any:
        if parts:
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}
        return {"type": "http.disconnect"}

    async def give(message: Any) -> None:
        sent.append(dict(message))

    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": list(headers)}
    await server(scope, receive or take, give)
    return sent


def content_of(sent: Messages) -> Any:
    return json.loads(b"".join(message.get("body", b"") for message in sent))


def header(sent: Messages, name: str) -> str | None:
    return dict(sent[0]["headers"]).get(name.encode(), b"").decode() or None


@pytest.mark.anyio
async def test_the_date_is_that_of_the_archive() -> None:
    sent = await call(create_app(archive(), token=None))

    assert sent[0]["status"] == 200
    assert header(sent, "date") == "Wed, 18 Nov 2026 12:00:00 GMT"
    assert header(sent, "content-length") == str(sum(len(message.get("body", b"")) for message in sent))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (b"Bearer s3cret", 200),
        (b"", 401),
        (b"Bearer wrong", 401),
        (b"Bearer s3cretx", 401),
        (b"bearer s3cret", 401),
        (b"Basic s3cret", 401),
        (b"Bearer \xff\xfe", 401),
    ],
)
async def test_every_request_needs_the_token(authorization: bytes, status: int) -> None:
    server = create_app(archive(), token="s3cret")

    sent = await call(server, headers=[(b"Authorization", authorization)] if authorization else [])

    assert sent[0]["status"] == status
    if status == 401:
        expected = {"kind": "Status", "reason": "Unauthorized", "message": "Unauthorized", "code": 401}
        assert expected.items() <= content_of(sent).items()


@pytest.mark.anyio
async def test_a_repeated_authorization_is_refused() -> None:
    server = create_app(archive(), token="s3cret")
    twice = [(b"authorization", b"Bearer s3cret"), (b"authorization", b"Bearer s3cret")]

    assert (await call(server, headers=twice))[0]["status"] == 401


@pytest.mark.anyio
async def test_health_needs_the_token_too() -> None:
    assert (await call(create_app(archive(), token="t"), "/healthz"))[0]["status"] == 401


@pytest.mark.anyio
async def test_a_watch_ends_when_its_time_is_over_or_the_client_goes() -> None:
    server = create_app(archive(pod("web")), token=None)

    async def silent() -> Any:
        await asyncio.sleep(3600)

    timed = await call(server, query="watch=1&timeoutSeconds=1", receive=silent)
    gone = await call(server, query="watch=1")

    for sent in (timed, gone):
        assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
        assert header(sent, "content-length") is None
        assert content_of(sent)["type"] == "ADDED"


@pytest.mark.anyio
async def test_a_quiet_watch_sends_its_head_at_once() -> None:
    sent = await call(create_app(archive(), token=None), query="watch=1")

    assert [message["type"] for message in sent] == ["http.response.start", *["http.response.body"] * 2]
    assert sent[1]["more_body"] is True


@pytest.mark.anyio
async def test_posted_bodies_are_joined_and_bounded() -> None:
    server = create_app(archive(), token=None)
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"

    parts = await call(server, path, method="POST", content=[b'{"kind":"SelfSub', b'jectReview"}'])
    huge = await call(server, path, method="POST", content=[b" " * app.MAX_BODY_BYTES] * 3)

    assert parts[0]["status"] == 201
    assert huge[0]["status"] == 400


@pytest.mark.anyio
async def test_lifespan_and_websocket() -> None:
    server = create_app(archive(), token=None)
    incoming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}, {"type": "websocket.connect"}]
    sent: list[str] = []

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await server({"type": "lifespan"}, receive, send)
    await server({"type": "websocket"}, receive, send)

    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]


# ---- decisions


def refusal(path: str, method: str = "GET", **headers: str) -> dict[str, Any]:
    path, _, query = path.partition("?")
    with pytest.raises(RefusedError) as refused:
        app.decide(archive(pod("web")), asked.Asked(method, path, asked.parse_query(query), headers))
    return refused.value.status()


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/readyz?verbose"])
def test_health(path: str) -> None:
    assert body(get(archive(), path)) == b"ok"


def test_version() -> None:
    assert {"major": "1", "minor": "36", "gitVersion": "v1.36.3"}.items() <= get_json(archive(), "/version").items()


@pytest.mark.parametrize("path", ["/", "/nope", "/apis/nope", "/apis/nope/v1", "/api/v2", "/metrics", "/ui/index.html"])
def test_pages_that_are_not_there(path: str) -> None:
    answer = get(archive(), path)

    assert (answer.status, body(answer)) == (404, b"404 page not found\n")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/nope",
        "/api/v1/pods/web",
        "/api/v1//pods",
        "/api//v1/pods",
        "/api/v1/namespaces/shop/nodes",
        "/api/v1/namespaces/shop/pods/web/nope",
        "/api/v1/namespaces/shop/pods/web/log/x",
        "/apis/apps/v1/namespaces/shop",
        "/apis/apps/v2beta2/deployments",
        "/api/v1/watch/pods",
    ],
)
def test_paths_that_are_not_there(path: str) -> None:
    status = refusal(path)

    assert (status["code"], status["message"]) == (404, "the server could not find the requested resource")


@pytest.mark.parametrize(
    ("method", "path", "sentence"),
    [
        ("POST", "/api/v1/namespaces/shop/pods", 'cannot create resource "pods" in API group ""'),
        ("PUT", "/api/v1/namespaces/shop/pods/web", 'cannot update resource "pods"'),
        ("PATCH", "/apis/apps/v1/namespaces/shop/deployments/web", 'cannot patch resource "deployments"'),
        ("DELETE", "/api/v1/namespaces/shop/pods/web", 'cannot delete resource "pods"'),
        ("DELETE", "/api/v1/namespaces/shop/pods", 'cannot deletecollection resource "pods"'),
        ("GET", "/api/v1/secrets", 'cannot list resource "secrets" in API group "" at the cluster scope'),
        ("GET", "/api/v1/namespaces/shop/secrets", 'cannot list resource "secrets"'),
        ("GET", "/api/v1/namespaces/shop/secrets/x", 'cannot get resource "secrets"'),
        ("GET", "/api/v1/secrets?watch=1", 'cannot watch resource "secrets"'),
        ("GET", "/api/v1/namespaces/shop/pods/web/exec", 'cannot get resource "pods/exec"'),
        ("POST", "/api/v1/namespaces/shop/pods/web/portforward", 'cannot create resource "pods/portforward"'),
        ("GET", "/api/v1/namespaces/shop/pods/web/proxy", 'cannot get resource "pods/proxy"'),
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews/x", "cannot create"),
    ],
)
def test_what_a_reader_may_not_do(method: str, path: str, sentence: str) -> None:
    status = refusal(path, method)

    assert (status["code"], status["reason"]) == (403, "Forbidden")
    assert f'User "archive:viewer" {sentence}' in status["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("HEAD", "/api/v1/pods"),
        ("OPTIONS", "/api/v1/pods"),
        ("POST", "/version"),
        ("POST", "/api/v1"),
        ("GET", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"),
        ("TRACE", "/api/v1/namespaces/shop/pods/web"),
    ],
)
def test_methods_that_are_not_there(method: str, path: str) -> None:
    assert refusal(path, method)["code"] == 405


def test_secrets_stay_hidden_even_if_archived() -> None:
    found = archive(thing("Secret", "s", "shop", type="Opaque"))

    with pytest.raises(RefusedError):
        get(found, "/api/v1/namespaces/shop/secrets/s")


def test_a_namespace_is_an_object_and_a_place() -> None:
    found = archive(thing("Namespace", "shop", status={"phase": "Active"}), pod("web"))

    assert get_json(found, "/api/v1/namespaces/shop")["kind"] == "Namespace"
    assert get_json(found, "/api/v1/namespaces/shop/status")["kind"] == "Namespace"
    assert names(get_json(found, "/api/v1/namespaces/shop/pods/")) == ["web"]
    assert names(get_json(found, "/api/v1/namespaces")) == ["shop"]


def test_curl_gets_lines() -> None:
    answer = get(archive(), "/api/v1/pods", **{"user-agent": "curl/8.1"})

    assert body(answer).startswith(b'{\n  "kind": "PodList"')
