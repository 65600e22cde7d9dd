"""API processes on a real Redis: away, emptied, written to by hand, and shared by two."""

from __future__ import annotations

import secrets
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from tests.e2e.harness import ADMIN_KEY, ApiProcess
from tests.testbed.processes import Process, until
from tests.testbed.redis_servers import RedisServer, SentinelGroup

from kubently import trust
from kubently.executor.lanes import Pace
from kubently.executor.supervisor import Supervisor
from kubently.settings import ExecutorSettings, TimingSettings, TrustSettings
from kubently.testing import ScriptedExecutor
from kubently.wire import records

pytestmark = pytest.mark.anyio

DONE = {"ending": "exited", "exit_code": 0, "seconds": 0.0}
ANSWER = 8.0
"""Seconds within which everything is answered, Redis or not."""
FOLDER_TOKEN = "token-of-a-mounted-folder-0123456789"


class NoApiServer:
    """An API server that says nothing."""

    status = 503

    async def request(self, *_: object) -> NoApiServer:
        return self

    async def read(self) -> bytes:
        return b""

    def close(self) -> None:
        pass


@dataclass
class Plane:
    """One API process, asked over its TLS end."""

    api: ApiProcess
    http: httpx.AsyncClient

    async def ask(self, method: str, path: str, *, key: str = ADMIN_KEY, **options: Any) -> httpx.Response:
        """One request; it is answered in time."""
        with anyio.fail_after(ANSWER):
            return await self.http.request(
                method, self.api.url + path, headers={"Authorization": f"Bearer {key}"}, **options
            )

    async def refuse(self, method: str, path: str, key: str, body: Mapping[str, str] | None = None) -> None:
        """The same, which is answered by the 503 that names the store, with something to do and no secret."""
        answer = await self.ask(method, path, key=key, json=body)
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (503, "store-unavailable"), answer.text
        assert problem["hint"]
        assert "of-the-store" not in answer.text

    async def is_degraded(self, reason: str, url: str) -> None:
        """It says that it is not well and why, and is ready all the same."""
        health = await self.ask("GET", "/health")
        assert (health.status_code, health.json()["status"]) == (503, "degraded")
        detail = health.json()["store_detail"]
        assert (detail["at"], detail["reason"]) == (url, reason)
        assert detail["hint"]
        assert (await self.ask("GET", "/readyz")).status_code == 200

    async def lists(self, *clusters: str) -> None:
        """It tells of the clusters that were connected."""
        assert [c["id"] for c in (await self.ask("GET", "/api/v1/clusters")).json()] == list(clusters)

    async def run(self, cluster: str, *words: str, key: str = ADMIN_KEY) -> httpx.Response:
        """``kubently run CLUSTER -- get WORDS``."""
        return await self.ask("POST", f"/api/v1/clusters/{cluster}/commands", key=key, json={"argv": ["get", *words]})

    async def make_key(self, name: str) -> str:
        """A key that may run commands."""
        made = await self.ask("POST", "/api/v1/keys", json={"name": name, "role": "operator"})
        assert made.is_success, made.text
        return str(made.json()["key"])

    async def make_token(self, cluster: str) -> str:
        """An executor token in the store."""
        made = await self.ask("POST", f"/api/v1/clusters/{cluster}/tokens")
        assert made.is_success, made.text
        return str(made.json()["token"])

    async def takes_writes(self) -> bool:
        """Whether a key can be made."""
        made = await self.ask("POST", "/api/v1/keys", json={"name": secrets.token_hex(4), "role": "viewer"})
        return made.is_success

    async def shows(self, metric: str) -> bool:
        """Whether its metrics have that line."""
        return metric in (await self.ask("GET", "/metrics")).text.splitlines()

    async def sessions(self, cluster: str) -> list[str]:
        """When each session of the cluster's executors began."""
        found = (await self.ask("GET", f"/api/v1/clusters/{cluster}")).json()
        return [s["connected_at"] for executor in found.get("executors", ()) for s in executor["sessions"]]


@dataclass
class Executor:
    """An executor whose commands wait for `go_on` between two lines."""

    go_on: anyio.Event = field(default_factory=anyio.Event)

    async def answer(self, request: Mapping[str, Any], emit: Callable[[bytes], Awaitable[None]]) -> Mapping[str, Any]:
        """Say the words; ``stream`` says more once it may."""
        await emit(records.encode(records.STDOUT, " ".join(request["argv"]).encode() + b"\n"))
        if "stream" in request["argv"]:
            await self.go_on.wait()
            await emit(records.encode(records.STDOUT, b"went on\n"))
        return DONE


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own, with a password."""
    with RedisServer(tmp_path / "redis", password="of-the-store") as server:
        yield server


@asynccontextmanager
async def plane(folder: Path, redis: RedisServer | SentinelGroup, **extra: str) -> AsyncIterator[Plane]:
    """An API process that keeps its data there."""
    values = {
        "KUBENTLY_STORE": redis.url,
        "KUBENTLY_STORE_PASSWORD": redis.password,
        "KUBENTLY_AUDIT_DIR": str(folder / "audit"),
        **extra,
    }
    api = ApiProcess(folder, extra=values)
    try:
        api.start()
        async with asked(api) as one:
            yield one
    finally:
        api.kill()


@asynccontextmanager
async def asked(api: ApiProcess) -> AsyncIterator[Plane]:
    """A way to ask it."""
    async with httpx.AsyncClient(verify=trust.client_context(ca=str(api.ca)), timeout=30, trust_env=False) as http:
        yield Plane(api, http)


@asynccontextmanager
async def executor(one: Plane, cluster: str, token: str) -> AsyncIterator[Executor]:
    """An executor of that cluster that dials as a real one does, again and again."""
    found = Executor()
    settings = ExecutorSettings(
        one.api.url,
        cluster,
        token,
        trust=TrustSettings(ca_cert=str(one.api.ca)),
        timing=TimingSettings(dial_timeout=5),
    )
    pace = Pace(stagger=0.05, max_age=3600, retire=5, better=1, measure=1)
    app = ScriptedExecutor(found.answer)
    supervisor = Supervisor(settings, app, NoApiServer(), capabilities={}, pace=pace)  # type: ignore[arg-type]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(supervisor.run)
        try:
            yield found
        finally:
            await supervisor.stop(0)
            tasks.cancel_scope.cancel()


async def eventually(check: Callable[[], Awaitable[bool]], within: float = 20) -> None:
    """Ask until it holds. Raises TimeoutError."""
    with anyio.fail_after(within):
        while not await check():
            await anyio.sleep(0.05)


async def connected(one: Plane, cluster: str) -> None:
    """Wait until its executor has both sessions."""

    async def check() -> bool:
        return len(await one.sessions(cluster)) == 2

    await eventually(check)


@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_redis_goes_away_and_comes_back(redis: RedisServer, tmp_path: Path, fault: str) -> None:
    reason = "timeout" if fault == "pause" else "refused"
    async with plane(tmp_path / "api", redis) as one:
        key, token = await one.make_key("ann"), await one.make_token("prod")
        async with executor(one, "prod", token) as runs:
            await connected(one, "prod")
            began = await one.sessions("prod")
            assert (await one.run("prod", "pods", key=key)).json()["stdout"] == "get pods\n"
            request = one.http.build_request(
                "POST",
                f"{one.api.url}/api/v1/clusters/prod/commands",
                headers={"Authorization": f"Bearer {key}", "Accept": "application/x-ndjson"},
                json={"argv": ["get", "stream"]},
            )
            stream = await one.http.send(request, stream=True)
            lines = stream.aiter_lines()
            assert "get stream" in await anext(lines)

            getattr(redis, fault)()
            await anyio.sleep(2)  # longer than anything counts without being asked for

            assert (await one.run("prod", "nodes", key=key)).json()["stdout"] == "get nodes\n"
            async with executor(one, "prod", token):  # a second one, with a token that was read a moment ago

                async def is_let_in() -> bool:
                    return len(await one.sessions("prod")) == 4

                await eventually(is_let_in)
            await connected(one, "prod")
            runs.go_on.set()
            assert "went on" in "".join([line async for line in lines])
            await stream.aclose()
            unknown = f"kbk_{'0' * 12}_{'x' * 40}"
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(one.refuse, "POST", "/api/v1/keys", ADMIN_KEY, {"name": "bob", "role": "viewer"})
                tasks.start_soon(one.refuse, "GET", "/api/v1/keys", ADMIN_KEY)
                tasks.start_soon(one.refuse, "DELETE", "/api/v1/keys/ann", ADMIN_KEY)
                tasks.start_soon(one.refuse, "GET", "/api/v1/clusters", unknown)
                tasks.start_soon(one.is_degraded, reason, redis.url)
                tasks.start_soon(one.lists, "prod")
            assert await one.sessions("prod") == began
            metrics = (await one.ask("GET", "/metrics")).text
            assert "kubently_store_away 1.0" in metrics
            assert f'kubently_store_failures_total{{reason="{reason}"}}' in metrics
            assert "kubently_store_kept_answers_total 0.0" not in metrics

            redis.resume() if fault == "pause" else redis.start()

            await eventually(one.takes_writes)
            assert (await one.ask("GET", "/health")).json()["status"] == "ok"
            assert (await one.run("prod", "pods", key=key)).is_success
            await eventually(lambda: one.shows("kubently_store_hearing 1.0"))
            await eventually(lambda: one.shows("kubently_store_away 0.0"))
            assert await one.sessions("prod") == began


async def test_a_master_dies_behind_sentinel(tmp_path: Path) -> None:
    with SentinelGroup(tmp_path / "redis", password="of-the-store") as group:
        async with plane(tmp_path / "api", group) as one:
            key, token = await one.make_key("ann"), await one.make_token("prod")
            async with executor(one, "prod", token):
                await connected(one, "prod")
                began = await one.sessions("prod")
                assert (await one.run("prod", "pods", key=key)).is_success
                until(lambda: group.servers[1].cli("EXISTS", "executor:token:prod") == "1", "the replica has it")

                group.master.kill()

                assert (await one.run("prod", "pods", key=key)).is_success
                await eventually(one.takes_writes)
                assert group.master is group.servers[1]
                assert (await one.run("prod", "pods", key=key)).is_success
                assert await one.sessions("prod") == began


async def test_redis_is_emptied(redis: RedisServer, tmp_path: Path) -> None:
    mounted = tmp_path / "tokens"
    mounted.mkdir()
    (mounted / "mounted").write_text(FOLDER_TOKEN)
    async with plane(tmp_path / "api", redis, KUBENTLY_EXECUTOR_TOKENS_DIR=str(mounted)) as one:
        key, token = await one.make_key("ann"), await one.make_token("stored")
        async with executor(one, "mounted", FOLDER_TOKEN), executor(one, "stored", token):
            await connected(one, "mounted")
            await connected(one, "stored")
            began = await one.sessions("mounted")
            assert (await one.run("mounted", "pods", key=key)).is_success

            redis.empty()

            async def is_cut() -> bool:
                return not await one.sessions("stored")

            async def is_written_again() -> bool:
                return redis.cli("EXISTS", "fleet:cluster:mounted") == "1"

            await eventually(is_cut)
            await eventually(is_written_again)
            assert (await one.run("mounted", "pods", key=key)).status_code == 401
            assert (await one.run("mounted", "pods")).json()["stdout"] == "get pods\n"
            assert await one.sessions("mounted") == began


async def test_a_token_by_redis_cli_lets_in_and_its_removal_cuts(redis: RedisServer, tmp_path: Path) -> None:
    """As the deployment guide has it; decision 9 of the design gives the removal ten seconds."""
    token = secrets.token_hex(32)
    async with plane(tmp_path / "api", redis) as one:
        redis.cli("SET", "executor:token:cluster-b", token)
        async with executor(one, "cluster-b", token):
            await connected(one, "cluster-b")
            assert redis.cli("GET", "executor:token:cluster-b") == token

            redis.cli("DEL", "executor:token:cluster-b")

            async def is_cut() -> bool:
                return not await one.sessions("cluster-b")

            await eventually(is_cut, within=10)


async def test_a_revocation_at_one_api_counts_at_the_other(redis: RedisServer, tmp_path: Path) -> None:
    async with plane(tmp_path / "one", redis) as one, plane(tmp_path / "other", redis) as other:
        key, token = await one.make_key("ann"), await one.make_token("prod")
        async with executor(other, "prod", token):
            await connected(other, "prod")
            assert (await other.run("prod", "pods", key=key)).is_success

            assert (await one.ask("DELETE", "/api/v1/keys/ann")).is_success

            async def is_unknown() -> bool:
                return (await other.run("prod", "pods", key=key)).status_code == 401

            await eventually(is_unknown, within=2)
            assert (await one.ask("DELETE", "/api/v1/clusters/prod/tokens")).is_success

            async def is_cut() -> bool:
                return not await other.sessions("prod")

            await eventually(is_cut, within=2)


def test_an_api_that_starts_first_waits_for_redis(redis: RedisServer, tmp_path: Path) -> None:
    api = ApiProcess(
        tmp_path / "api",
        extra={"KUBENTLY_STORE": redis.url, "KUBENTLY_STORE_PASSWORD": redis.password},
    )
    redis.pause()

    def resume() -> None:
        until(lambda: (api.folder / "api.log").exists() and api.log(), "the API says something")
        redis.resume()

    helper = threading.Thread(target=resume)
    helper.start()
    try:
        api.start()

        waited = api.log()[0]
        assert waited["event"] == "waiting for the store"
        assert "did not answer" in waited["reason"]
        assert api.client().get("/health")["status"] == "ok"
        assert "of-the-store" not in (api.folder / "api.log").read_text()
    finally:
        helper.join()
        api.kill()


def test_a_store_that_names_nothing_ends_the_api_with_a_sentence(tmp_path: Path) -> None:
    api = ApiProcess(tmp_path / "api", extra={"KUBENTLY_STORE": "redis://user:secret@/0"})

    with pytest.raises(AssertionError, match="names no store") as caught:
        api.start()

    assert isinstance(api.process, Process)
    assert not api.process.is_running
    assert "secret" not in str(caught.value)
