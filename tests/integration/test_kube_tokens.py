"""Tokens for kubectl: one cluster, one hour, and no longer than the key that made them."""

from pathlib import Path
from typing import Any

import pytest

from kubently.testing import RunningFleet, ScriptedExecutor, run_fleet

pytestmark = pytest.mark.anyio


async def pods(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


def executor() -> ScriptedExecutor:
    return ScriptedExecutor(None, kubernetes=pods)  # type: ignore[arg-type]  # it is asked for no command


async def key(fleet: RunningFleet, role: str = "operator", clusters: tuple[str, ...] = ("*",)) -> dict[str, str]:
    made = await fleet.http.post("/api/v1/keys", json={"name": "ann", "role": role, "clusters": clusters})
    return {"Authorization": f"Bearer {made.json()['key']}"}


async def status(fleet: RunningFleet, token: str, path: str) -> int:
    return (await fleet.http.get(path, headers={"Authorization": f"Bearer {token}"})).status_code


async def test_a_token_opens_its_cluster_and_nothing_else(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        for cluster in ("prod", "other"):
            await fleet.add(cluster, executor())
        made = await fleet.http.post("/api/v1/clusters/prod/kubernetes-token", headers=await key(fleet))
        token = made.json()["token"]

        assert made.json()["expires_in"] == 3600
        assert await status(fleet, token, "/clusters/prod/k8s/api/v1/pods") == 200
        assert await status(fleet, token, "/clusters/other/k8s/api/v1/pods") == 401
        assert await status(fleet, token, "/api/v1/clusters") == 403
        assert await status(fleet, token, "/metrics") == 403
        stored = str(await fleet.serving.services.store.scan("auth:kube-token:"))
        assert token not in stored


async def test_a_token_ends_with_its_key_and_follows_its_limits(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        await fleet.add("prod", executor())
        token = (await fleet.http.post("/api/v1/clusters/prod/kubernetes-token", headers=await key(fleet))).json()[
            "token"
        ]
        path = "/clusters/prod/k8s/api/v1/pods"
        assert await status(fleet, token, path) == 200

        await fleet.http.delete("/api/v1/keys/ann")
        assert await status(fleet, token, path) == 401
        await key(fleet)
        assert await status(fleet, token, path) == 401, "a new key of the same name does not revive it"


async def test_a_token_expires(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        await fleet.add("prod", executor())
        services = fleet.serving.services
        principal = await services.keys.authenticate("admin-key-for-tests")
        assert principal is not None
        token = await services.kube_tokens.create(principal, "prod", ttl=-1)  # type: ignore[arg-type]

        response = await fleet.http.get("/clusters/prod/k8s/api", headers={"Authorization": f"Bearer {token}"})

        assert (response.status_code, response.json()["kind"]) == (401, "Status")
        assert "expired" in response.json()["message"]


async def test_who_may_not_read_gets_no_token(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        await fleet.add("prod", executor())
        viewer = await fleet.http.post("/api/v1/clusters/prod/kubernetes-token", headers=await key(fleet, "viewer"))
        await fleet.http.delete("/api/v1/keys/ann")
        hidden = await fleet.http.post(
            "/api/v1/clusters/prod/kubernetes-token", headers=await key(fleet, clusters=("dev-*",))
        )

        assert viewer.status_code == 403
        assert hidden.status_code == 404


@pytest.mark.parametrize("path", ["/api/v1/namespaces/shop/pods", "/apis/apps/v1", "/version", "/anything"])
async def test_a_token_outside_of_its_path_gets_a_sentence_that_kubectl_shows(path: str, tmp_path: Path) -> None:
    """What a client asks that drops the server's path, such as ``kubectl get --raw``."""
    async with run_fleet(tmp_path) as fleet:
        await fleet.add("prod", executor())
        made = await fleet.http.post("/api/v1/clusters/prod/kubernetes-token", headers=await key(fleet))

        answer = await fleet.http.get(path, headers={"Authorization": f"Bearer {made.json()['token']}"})

        assert answer.status_code == 403
        assert (answer.json()["kind"], answer.json()["reason"]) == ("Status", "Forbidden")
        assert "under /clusters/<id>/k8s" in answer.json()["message"]


@pytest.mark.parametrize("path", ["/api", "/apis", "/apis/apps/v1", "/version", "/openapi/v3"])
async def test_what_only_api_servers_have_is_answered_as_they_do(path: str, tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        answer = await fleet.http.get(path)

        assert (answer.status_code, answer.json()["kind"]) == (403, "Status")
        assert (await fleet.http.get("/api/v1/nothing")).json()["code"] == "not-found"
