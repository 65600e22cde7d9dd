"""Who may do what: API keys with roles and clusters, executor tokens, and revocation that cuts live sessions."""

import json
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from kubently.errors import UnauthenticatedError
from kubently.schema import ClusterState
from kubently.testing import RunningFleet, ScriptedExecutor, run_fleet
from kubently.tunnel.transports.websocket import UpgradeRefusedError

pytestmark = pytest.mark.anyio

PODS = {"argv": ["get", "pods"]}


async def hello(request: Any, emit: Any) -> dict[str, Any]:
    return {"ending": "exited", "exit_code": 0}


async def key(fleet: RunningFleet, name: str, role: str, clusters: tuple[str, ...] = ("*",)) -> dict[str, str]:
    made = await fleet.http.post("/api/v1/keys", json={"name": name, "role": role, "clusters": clusters})
    return {"Authorization": f"Bearer {made.json()['key']}"}


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({}, "no API key was given"),
        ({"Authorization": "Bearer wrong"}, "the API key is not known"),
        ({"Authorization": "Basic YWRtaW46YWRtaW4="}, "no API key was given"),
        ({"X-API-Key": "kbk_000000000000_aaaaaaaaaaaaaaaaaaaaaaaa"}, "the API key is not known"),
    ],
)
async def test_without_a_good_key_nothing_is_served(tmp_path: Path, headers: dict[str, str], detail: str) -> None:
    async with run_fleet(tmp_path) as fleet, httpx.AsyncClient(base_url=fleet.url, trust_env=False) as nobody:
        for path in ("/api/v1/clusters", "/api/v1/keys", "/metrics", "/anything"):
            response = await nobody.get(path, headers=headers)
            assert (response.status_code, response.json()["detail"]) == (401, detail)
            assert response.headers["www-authenticate"] == "Bearer"
        kubernetes = await nobody.get("/clusters/prod/k8s/api/v1/pods", headers=headers)
        assert (kubernetes.status_code, kubernetes.json()["kind"]) == (401, "Status")
        assert kubernetes.json()["reason"] == "Unauthorized"


async def test_x_api_key_works_too(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet, httpx.AsyncClient(base_url=fleet.url, trust_env=False) as plain:
        made = (await fleet.http.post("/api/v1/keys", json={"name": "ci", "role": "viewer"})).json()

        whoami = await plain.get("/api/v1/whoami", headers={"X-API-Key": made["key"]})

        told = {"name": "key:ci", "role": "viewer", "clusters": ["*"], "limits": [], "session": "", "expires_at": None}
        assert whoami.json() == told


async def test_roles_and_clusters_limit_a_key(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        for cluster in ("prod-eu", "staging"):
            await fleet.add(cluster, ScriptedExecutor(hello))
        viewer = await key(fleet, "viewer", "viewer")
        narrow = await key(fleet, "narrow", "operator", ("prod-*",))
        get, post = fleet.http.get, fleet.http.post

        assert [c["id"] for c in (await get("/api/v1/clusters", headers=narrow)).json()] == ["prod-eu"]
        ran = await post("/api/v1/clusters/prod-eu/commands", json=PODS, headers=narrow)
        hidden = await post("/api/v1/clusters/staging/commands", json=PODS, headers=narrow)
        unknown = await post("/api/v1/clusters/nosuch/commands", json=PODS, headers=narrow)
        denied = await post("/api/v1/clusters/prod-eu/commands", json=PODS, headers=viewer)
        managing = await get("/api/v1/tokens", headers=narrow)
        auditing = await get("/api/v1/audit", headers=narrow)
        everywhere = await post("/api/v1/commands", json={**PODS, "all": True}, headers=narrow)

        assert ran.status_code == 200
        assert hidden.status_code == unknown.status_code == 404
        assert hidden.json()["detail"].replace("staging", "X") == unknown.json()["detail"].replace("nosuch", "X")
        assert (denied.status_code, denied.json()["code"]) == (403, "permission-denied")
        assert managing.status_code == auditing.status_code == 403
        assert '"clusters":["prod-eu"]' in everywhere.text


async def test_keys_are_unique_hashed_and_revocable(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        headers = await key(fleet, "ci", "operator")
        twice = await fleet.http.post("/api/v1/keys", json={"name": "ci"})
        assert twice.status_code == 409
        stored = b"".join(value for _, value in await fleet.serving.services.store.scan("auth:"))
        assert headers["Authorization"].removeprefix("Bearer ").encode() not in stored
        assert (await fleet.http.get("/api/v1/whoami", headers=headers)).status_code == 200

        assert (await fleet.http.delete("/api/v1/keys/ci")).status_code == 204

        assert (await fleet.http.get("/api/v1/whoami", headers=headers)).status_code == 401
        assert (await fleet.http.delete("/api/v1/keys/ci")).status_code == 404
        assert (await fleet.http.post("/api/v1/keys", json={"name": "bad name"})).status_code == 400
        assert (await fleet.http.post("/api/v1/keys", json={"role": "king", "name": "x"})).status_code == 400


@pytest.mark.parametrize("token", ["wrong", "", "your-executor-token"])
async def test_a_wrong_token_is_refused_before_the_upgrade(tmp_path: Path, token: str) -> None:
    """An example value of a document never authenticates, even where it was configured."""
    async with run_fleet(tmp_path) as fleet:
        await fleet.serving.services.store.put("executor:token:prod", b"your-executor-token")

        with pytest.raises(UpgradeRefusedError) as refused:
            await fleet.dial("prod", token, ScriptedExecutor(hello))

        assert refused.value.status == 401
        assert b"the executor token is not valid for prod" in refused.value.body


async def test_a_raw_token_in_the_store_is_a_public_interface(tmp_path: Path) -> None:
    """As `redis-cli SET executor:token:<cluster>` writes it: it works, is never rewritten, and is flagged."""
    raw = b"3f9c1c0e5b7d4a2f8e6d1c0b9a8f7e6d"
    async with run_fleet(tmp_path) as fleet:
        store = fleet.serving.services.store
        await store.put("executor:token:prod", raw)
        await store.put("executor:token:copy", raw)

        await fleet.dial("prod", raw.decode(), ScriptedExecutor(hello))
        await fleet.wait_for(lambda: fleet.state("prod") is ClusterState.CONNECTED)

        assert await store.get("executor:token:prod") == raw
        tokens = {t["cluster"]: t for t in (await fleet.http.get("/api/v1/tokens")).json()}
        assert not tokens["prod"]["hashed"]
        assert tokens["prod"]["warnings"] == [
            "stored in clear; rotate it to have it hashed",
            "the same token serves copy",
        ]
        assert raw.decode() not in str(tokens)


async def test_a_token_of_another_cluster_does_not_open_this_one(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        token = (await fleet.http.post("/api/v1/clusters/one/tokens")).json()["token"]
        await fleet.http.post("/api/v1/clusters/two/tokens")

        with pytest.raises(UpgradeRefusedError):
            await fleet.dial("two", token, ScriptedExecutor(hello))


async def test_removing_a_token_cuts_the_session_at_once(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        session = await fleet.add("prod", ScriptedExecutor(hello))

        assert (await fleet.http.delete("/api/v1/clusters/prod/tokens")).status_code == 204

        await fleet.wait_for(lambda: session.is_closed, timeout=2)
        assert session._closed_reason == "the executor token was revoked"
        assert fleet.state("prod") is ClusterState.DISCONNECTED


async def test_removing_a_token_behind_our_back_cuts_the_session_too(tmp_path: Path) -> None:
    """An operator deletes the key in the store without a hint: noticed by the poll, within ten seconds."""
    async with run_fleet(tmp_path) as fleet:
        session = await fleet.add("prod", ScriptedExecutor(hello))
        store = fleet.serving.services.store
        await store._do(lambda db: db.execute("DELETE FROM pairs WHERE key = 'executor:token:prod'"))  # type: ignore[attr-defined]

        await fleet.wait_for(lambda: session.is_closed, timeout=10)


async def test_two_tokens_are_valid_during_a_rotation(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        old = (await fleet.http.post("/api/v1/clusters/prod/tokens")).json()["token"]
        session = await fleet.dial("prod", old, ScriptedExecutor(hello))
        await fleet.wait_for(lambda: fleet.state("prod") is ClusterState.CONNECTED)
        assert (await fleet.http.post("/api/v1/clusters/prod/tokens")).status_code == 409

        new = (await fleet.http.post("/api/v1/clusters/prod/tokens?rotate=true")).json()["token"]
        second = await fleet.dial("prod", new, ScriptedExecutor(hello), instance="second")
        await fleet.wait_for(lambda: fleet.serving.services.fleet.sessions() == 2)
        await anyio.sleep(0.05)
        assert not session.is_closed
        assert (await fleet.http.get("/api/v1/tokens")).json()[0]["count"] == 2

        await fleet.http.delete("/api/v1/clusters/prod/tokens?older_only=true")

        await fleet.wait_for(lambda: session.is_closed)
        assert not second.is_closed


async def test_tokens_in_a_mounted_folder_work(tmp_path: Path) -> None:
    folder = tmp_path / "tokens"
    folder.mkdir()
    (folder / "prod").write_text("a-token-from-a-mounted-secret\n")
    async with run_fleet(tmp_path, tokens_dir=folder) as fleet:
        session = await fleet.dial("prod", "a-token-from-a-mounted-secret", ScriptedExecutor(hello))
        await fleet.wait_for(lambda: fleet.state("prod") is ClusterState.CONNECTED)
        assert (await fleet.http.get("/api/v1/tokens")).json()[0]["source"] == "file"

        (folder / "prod").unlink()

        await fleet.wait_for(lambda: session.is_closed, timeout=10)


async def test_another_cluster_with_the_same_id_is_refused_and_both_are_named(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        first = await fleet.add("prod", ScriptedExecutor(hello), kube_system_uid="uid-1")
        token = (await fleet.http.post("/api/v1/clusters/prod/tokens?rotate=true")).json()["token"]

        other = await fleet.dial("prod", token, ScriptedExecutor(hello), kube_system_uid="uid-2", instance="other")

        await fleet.wait_for(lambda: other.is_closed)
        assert not first.is_closed
        problem = (await fleet.http.get("/api/v1/clusters/prod")).json()["problem"]
        assert "uid-1" in problem
        assert "uid-2" in problem


async def test_a_removed_cluster_is_forgotten_and_cut(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        session = await fleet.add("prod", ScriptedExecutor(hello))

        assert (await fleet.http.delete("/api/v1/clusters/prod")).status_code == 204

        await fleet.wait_for(lambda: session.is_closed)
        assert (await fleet.http.get("/api/v1/clusters")).json() == []
        assert (await fleet.http.get("/api/v1/clusters/prod")).status_code == 404
        assert (await fleet.http.delete("/api/v1/clusters/prod")).status_code == 404


async def test_keys_tokens_and_clusters_survive_a_restart(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet:
        headers = await key(fleet, "ci", "operator")
        token = await fleet.serving.services.tokens.create("prod")  # type: ignore[arg-type]
        await fleet.dial("prod", token, ScriptedExecutor(hello), labels={"env": "prod"})
        await fleet.wait_for(lambda: fleet.state("prod") is ClusterState.CONNECTED)
        await anyio.sleep(0.1)

    async with run_fleet(tmp_path) as fleet:
        known = (await fleet.http.get("/api/v1/clusters", headers=headers)).json()
        assert [(c["id"], c["state"], c["labels"]) for c in known] == [("prod", "disconnected", {"env": "prod"})]
        await fleet.dial("prod", token, ScriptedExecutor(hello))
        await fleet.wait_for(lambda: fleet.state("prod") is ClusterState.CONNECTED)


async def test_unauthenticated_is_the_same_error_on_both_ends() -> None:
    """The problem that the executor reads is the class that the API raised."""
    from kubently.schema import problems

    problem = problems.to_problem(UnauthenticatedError("no", hint="try"))

    assert isinstance(problems.from_problem(401, problem), UnauthenticatedError)


async def test_a_key_from_before_there_were_limits_has_none(tmp_path: Path) -> None:
    async with run_fleet(tmp_path) as fleet, httpx.AsyncClient(base_url=fleet.url, trust_env=False) as plain:
        made = (await fleet.http.post("/api/v1/keys", json={"name": "old"})).json()
        store, name = fleet.serving.services.store, f"auth:key:{made['info']['id']}"
        record = json.loads(await store.get(name) or b"")
        del record["limits"]
        await store.put(name, json.dumps(record).encode())

        whoami = await plain.get("/api/v1/whoami", headers={"X-API-Key": made["key"]})

        assert whoami.json()["limits"] == []
