from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

from kubently.analyzers import resources
from kubently.errors import KubeError
from kubently.kubeclient import KubeClient, status_code

from .fake_apiserver import Apiserver, pod

pytestmark = pytest.mark.anyio
PODS = "/api/v1/pods"


async def test_list_follows_pages_and_gives_members_their_kind() -> None:
    apiserver = Apiserver({PODS: [pod(f"web-{index}") for index in range(5)]}, page=2)

    listing = await apiserver.client().list(resources.PODS)

    assert [member["metadata"]["name"] for member in listing.members] == [f"web-{index}" for index in range(5)]
    assert {member["kind"] for member in listing.members} == {"Pod"}
    assert listing.is_complete
    assert len(apiserver.requests) == 3
    assert apiserver.requests[0].url.params["limit"] == "500"


async def test_list_drops_managed_fields() -> None:
    apiserver = Apiserver({PODS: [pod("web-1")]})

    listing = await apiserver.client().list(resources.PODS)

    assert listing.members[0]["metadata"]["managedFields"] == [{"manager": "kubelet"}]


async def test_list_begins_again_when_the_apiserver_forgot_it() -> None:
    apiserver = Apiserver({PODS: [pod(f"web-{index}") for index in range(4)]}, page=2)
    apiserver.gone_once.add(PODS)

    listing = await apiserver.client().list(resources.PODS)

    assert len(listing.members) == 4


async def test_list_gives_up_when_it_is_forgotten_twice() -> None:
    apiserver = Apiserver({})
    apiserver.refused[PODS] = 410

    with pytest.raises(KubeError) as caught:
        await apiserver.client().list(resources.PODS)

    assert status_code(caught.value) == 410
    assert len(apiserver.requests) == 2


async def test_list_ends_when_no_more_is_taken_and_says_what_remains() -> None:
    apiserver = Apiserver({PODS: [pod(f"web-{index}") for index in range(7)]}, page=2)

    listing = await apiserver.client().list(resources.PODS, take=lambda count: False)

    assert not listing.is_complete
    assert (len(listing.members), listing.remaining) == (2, 5)


async def test_list_of_one_namespace_with_a_selector() -> None:
    apiserver = Apiserver({"/apis/apps/v1/namespaces/shop/deployments": []})

    await apiserver.client().list(resources.DEPLOYMENTS, namespace="shop", selector="app=web")

    assert apiserver.requests[0].url.path == "/k8s/apis/apps/v1/namespaces/shop/deployments"
    assert apiserver.requests[0].url.params["labelSelector"] == "app=web"


async def test_list_tells_the_clusters_clock() -> None:
    listing = await Apiserver({PODS: []}).client().list(resources.PODS)

    assert listing.served_at == datetime(2026, 3, 2, 10, tzinfo=UTC)


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Mar 2026 10:00:00 GMT"])
async def test_a_date_that_cannot_be_read_is_none(date: str) -> None:
    apiserver = Apiserver({PODS: []})
    apiserver.headers = {"date": date}

    assert (await apiserver.client().list(resources.PODS)).served_at is None


async def test_a_refusal_carries_the_status() -> None:
    apiserver = Apiserver({})
    apiserver.refused["/version"] = 403

    with pytest.raises(KubeError, match="/version is refused") as caught:
        await apiserver.client().version()

    assert caught.value.details["status"]["code"] == 403


@pytest.mark.parametrize("body", ["", "<html>", "[]", '{"detail": "no"}', "[" * 100_000])
async def test_a_refusal_without_a_status_is_a_kube_error_too(body: str) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(502, text=body))
    client = KubeClient(httpx.AsyncClient(transport=transport, base_url="http://prod/k8s"))

    with pytest.raises(KubeError) as caught:
        await client.get("/version")

    assert status_code(caught.value) == 502


async def test_an_answer_that_is_no_object_is_a_kube_error() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text="[]"))
    client = KubeClient(httpx.AsyncClient(transport=transport, base_url="http://prod/k8s"))

    with pytest.raises(KubeError, match="not a JSON object"):
        await client.get("/version")


async def test_logs_keep_the_end_and_bear_any_bytes() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=b"begin " + b"\xff" * 10 + b" end"))
    client = KubeClient(httpx.AsyncClient(transport=transport, base_url="http://prod/k8s"))

    log = await client.logs("shop", "web-1", "app", limit_bytes=6)

    assert log == "\N{REPLACEMENT CHARACTER}" * 2 + " end"


async def test_logs_of_the_previous_run() -> None:
    apiserver = Apiserver({})
    apiserver.texts["/api/v1/namespaces/shop/pods/web-1/log?previous"] = "panic: boom\n"

    log = await apiserver.client().logs("shop", "web-1", "app", previous=True, tail_lines=7)

    assert log == "panic: boom\n"
    assert dict(apiserver.requests[0].url.params) == {"container": "app", "tailLines": "7", "previous": "true"}


def answering(response: httpx.Response) -> KubeClient:
    return KubeClient(
        httpx.AsyncClient(transport=httpx.MockTransport(lambda request: response), base_url="http://prod/k8s")
    )


async def test_an_endless_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubently.kubeclient.client.MAX_PAGE", 1000)

    with pytest.raises(KubeError, match="over 1000 bytes"):
        await answering(httpx.Response(200, content=b"{" + b" " * 1000)).list(resources.PODS)


async def test_a_packed_answer_is_not_unpacked() -> None:
    packed = httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"\x1f\x8b"))

    with pytest.raises(KubeError, match="not asked for"):
        await answering(packed).list(resources.PODS)
