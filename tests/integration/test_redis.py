"""The store on real servers: Redis and Valkey, with TLS and a password, behind Sentinel, as a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from tests.testbed.processes import free_ports, until
from tests.testbed.redis_servers import PASSWORD, RedisCluster, RedisServer, SentinelGroup

from kubently.errors import ConfigError, StoreUnavailableError
from kubently.settings import StoreSettings, TrustSettings
from kubently.store import ABSENT, Store, open_store, redis, redis_client, redis_hints
from kubently.store.cached import FRESH
from kubently.store.redis_client import CONNECTIONS
from kubently.testing import check_store

pytestmark = pytest.mark.anyio

DEADLINE = 1.5


@pytest.fixture(scope="module", name="server")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A plain server of this module; tests that stop it start it again."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """A cluster of this module; tests that stop a node start it again."""
    with RedisCluster(tmp_path_factory.mktemp("cluster"), password=PASSWORD) as found:
        yield found


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for an answer that does not come is not what these tests are about."""
    monkeypatch.setattr(redis_client, "COMMAND_TIMEOUT", 0.7)
    monkeypatch.setattr(redis, "DEADLINE", DEADLINE)


IN_CLUSTER = StoreSettings(password=PASSWORD)


@asynccontextmanager
async def opened(url: str, settings: StoreSettings | None = None) -> AsyncIterator[Store]:
    """A store that is closed at the end."""
    store = open_store(url, settings)
    try:
        yield store
    finally:
        await store.aclose()


@pytest.mark.parametrize("program", ["redis-server", "valkey-server"])
async def test_it_conforms(program: str, tmp_path: Path) -> None:
    with RedisServer(tmp_path, program=program) as server:
        async with opened(server.url) as store:
            await check_store(store)


async def test_it_conforms_over_tls_with_a_password(tmp_path: Path) -> None:
    with RedisServer(tmp_path, tls=True, password=PASSWORD) as server:
        settings = StoreSettings(password=PASSWORD, trust=TrustSettings(ca_cert=str(server.ca)))
        async with opened(server.url, settings) as store:
            await check_store(store)


@pytest.mark.parametrize("program", ["redis-server", "valkey-server"])
async def test_it_conforms_behind_sentinel(program: str, tmp_path: Path) -> None:
    with SentinelGroup(tmp_path, password=PASSWORD, program=program) as group:
        async with opened(group.url, StoreSettings(password=PASSWORD)) as store:
            await check_store(store)


async def test_it_conforms_as_a_cluster(cluster: RedisCluster) -> None:
    async with opened(cluster.url, IN_CLUSTER) as store:
        await check_store(store)


async def test_it_conforms_as_a_cluster_of_valkey(tmp_path: Path) -> None:
    with RedisCluster(tmp_path, program="valkey-server") as cluster:
        async with opened(cluster.url) as store:
            await check_store(store)


# ---------------------------------------------------------------------- what operators do


async def test_an_operator_writes_and_removes_with_redis_cli(server: RedisServer) -> None:
    async with opened(server.url) as store:
        server.cli("SET", "executor:token:by-hand", "0123456789abcdef0123456789abcdef")

        assert await store.get("executor:token:by-hand") == b"0123456789abcdef0123456789abcdef"
        assert [key for key, _ in await store.scan("executor:token:by-")] == ["executor:token:by-hand"]

        server.cli("DEL", "executor:token:by-hand")
        assert await store.get("executor:token:by-hand") is None


async def test_what_is_stored_stands_there_as_it_is(server: RedisServer) -> None:
    async with opened(server.url) as store:
        await store.put("executor:token:plain", b"sha256:00", ttl=100)

        assert server.cli("GET", "executor:token:plain") == "sha256:00"
        assert 95 <= int(server.cli("TTL", "executor:token:plain")) <= 100


async def test_a_scan_takes_its_prefix_to_the_letter_and_leaves_other_kinds_out(server: RedisServer) -> None:
    async with opened(server.url) as store:
        for key in ("odd:[a]*?\\:1", "odd:[a]*?\\:2", "odd:axx:3"):
            await store.put(key, key.encode())
        server.cli("HSET", "odd:[a]*?\\:hash", "field", "1")

        assert [key for key, _ in await store.scan("odd:[a]*?\\:")] == ["odd:[a]*?\\:1", "odd:[a]*?\\:2"]


async def test_a_scan_of_many_keys_is_complete(server: RedisServer) -> None:
    async with opened(server.url) as store:
        server.cli("EVAL", "for i = 1, 5000 do redis.call('SET', 'many:' .. i, i) end", "0")

        found = await store.scan("many:")

        assert dict(found) == {f"many:{i}": str(i).encode() for i in range(1, 5001)}
        assert [key for key, _ in found] == sorted(key for key, _ in found)


# ---------------------------------------------------------------------- several at once


async def test_one_of_many_writers_wins(server: RedisServer) -> None:
    async with opened(server.url) as one, opened(server.url) as other:
        won: list[int] = []

        async def compete(number: int) -> None:
            store = one if number % 2 else other
            if await store.put("contended", str(number).encode(), expected=ABSENT):
                won.append(number)

        async with anyio.create_task_group() as tasks:
            for number in range(30):
                tasks.start_soon(compete, number)

        assert [str(number).encode() for number in won] == [await one.get("contended")]


async def test_a_value_that_changed_is_neither_replaced_nor_deleted(server: RedisServer) -> None:
    async with opened(server.url) as one, opened(server.url) as other:
        await one.put("lease", b"mine")
        await other.put("lease", b"theirs")

        assert not await one.put("lease", b"mine again", expected=b"mine")
        assert not await one.delete("lease", expected=b"mine")
        assert await one.get("lease") == b"theirs"


async def test_counters_lose_nothing(server: RedisServer) -> None:
    async with opened(server.url) as one, opened(server.url) as other:
        async with anyio.create_task_group() as tasks:
            for store in (one, other) * 100:
                tasks.start_soon(store.add, "counted", 1)

        assert await one.get("counted") == b"200"


async def test_positions_are_given_once_and_rise(server: RedisServer) -> None:
    async with opened(server.url) as one, opened(server.url) as other:
        given: list[int] = []

        async def append(store: Store) -> None:
            given.append(await store.append("shared-log", b"x", keep=50))

        async with anyio.create_task_group() as tasks:
            for store in (one, other) * 100:
                tasks.start_soon(append, store)

        assert len(set(given)) == 200
        kept = await one.tail("shared-log")
        assert [entry.position for entry in kept] == sorted(given)[-50:]


async def test_positions_rise_after_everything_was_lost(server: RedisServer) -> None:
    """Whoever follows a log goes on from the last position it saw."""
    async with opened(server.url) as store:
        before = await store.append("lost-log", b"1")
        server.empty()

        after = await store.append("lost-log", b"2")

        assert after > before
        assert [entry.value for entry in await store.tail("lost-log", after=before)] == [b"2"]


async def test_a_position_beyond_all_is_the_end(server: RedisServer) -> None:
    async with opened(server.url) as store:
        await store.append("short-log", b"1")

        assert list(await store.tail("short-log", after=10**30)) == []


async def test_callers_that_give_up_cost_no_connection(server: RedisServer) -> None:
    async with opened(server.url) as store:
        for _ in range(20):
            async with anyio.create_task_group() as tasks:
                for number in range(100):
                    tasks.start_soon(store.get, f"given-up:{number}")
                await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(store.put, f"later:{number}", b"x")
        assert len(await store.scan("later:")) == 100
        assert server.cli("CLIENT", "LIST").count("name=kubently-api") <= CONNECTIONS + 1


# ---------------------------------------------------------------------- hints


async def test_hints_reach_other_processes_of_the_same_database(server: RedisServer) -> None:
    async with opened(server.url) as one, opened(server.url) as other, opened(server.url[:-1] + "1") as elsewhere:
        hints, foreign = other.subscribe("h:"), elsewhere.subscribe("h:")
        await heard_until(hints, "h:")
        await heard_until(foreign, "h:")

        await one.put("unrelated", b"1")
        await one.put("h:a", b"1")
        await one.delete("h:a")
        await elsewhere.put("h:z", b"1")

        assert await next_of(hints) == "h:a"
        assert await next_of(hints) == "h:a"
        assert await next_of(foreign) == "h:z"


async def test_hints_go_over_tls(tmp_path: Path) -> None:
    with RedisServer(tmp_path, tls=True, password=PASSWORD) as server:
        settings = StoreSettings(password=PASSWORD, trust=TrustSettings(ca_cert=str(server.ca)))
        async with opened(server.url, settings) as one, opened(server.url, settings) as other:
            await listening(other, one)


async def test_hints_go_from_any_node_of_a_cluster_to_any(cluster: RedisCluster) -> None:
    async with opened(cluster.url, IN_CLUSTER) as one, opened(cluster.url, IN_CLUSTER) as other:
        await listening(other, one)
        hints = other.subscribe("h:")
        keys = [f"h:{number}" for number in range(12)]
        for key in keys:
            await one.put(key, b"1")

        assert {await next_of(hints) for _ in keys} == set(keys)


async def test_hints_come_again_after_a_loss_which_is_told(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        async with opened(server.url) as one, opened(server.url) as other:
            hints = other.subscribe("h:")
            await heard_until(hints, "h:")
            server.restart()

            assert await next_of(hints) == "h:"
            await put_at_last(one, "h:a")
            assert await next_of(hints) == "h:a"


async def test_a_connection_that_answers_nothing_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_hints, "PING_AFTER", 0.3)
    monkeypatch.setattr(redis_hints, "LOOK_EVERY", 0.1)
    with RedisServer(tmp_path) as server:
        async with opened(server.url) as store:
            hints = store.subscribe("h:")
            await heard_until(hints, "h:")
            server.pause()
            await anyio.sleep(1.0)  # what is looked at is silence itself
            server.resume()

            assert await next_of(hints) == "h:"


# ---------------------------------------------------------------------- what fails


async def failure_of(url: str, settings: StoreSettings | None = None, *, writes: bool = False) -> StoreUnavailableError:
    """What using the store raises; it never tells the password."""
    async with opened(url, settings) as store:
        with pytest.raises(StoreUnavailableError) as caught:
            await (store.put("key", b"x") if writes else store.get("key"))
    error = caught.value
    assert error.retryable
    assert error.retry_after
    assert error.hint
    assert PASSWORD not in f"{error} {error.hint} {error.details}"
    assert "wrong-secret" not in f"{error} {error.hint} {error.details}"
    return error


async def test_nothing_listens() -> None:
    port = free_ports(1)[0]

    error = await failure_of(f"redis://:wrong-secret@localhost:{port}/0")

    assert (error.details["reason"], str(error)) == (
        "refused",
        f"the store redis://localhost:{port}/0 cannot be reached: nothing listens there",
    )


async def test_a_name_that_is_not_found() -> None:
    assert (await failure_of("redis://redis.invalid:6379")).details["reason"] == "not-found"


async def test_no_password_and_a_wrong_one(tmp_path: Path) -> None:
    with RedisServer(tmp_path, password=PASSWORD) as server:
        missing = await failure_of(server.url)
        wrong = await failure_of(server.url, StoreSettings(password="wrong-secret"))
        unknown = await failure_of(server.url, StoreSettings(username="nobody", password=PASSWORD))

        assert missing.details["reason"] == "no-password"
        assert "KUBENTLY_STORE_PASSWORD" in missing.hint
        assert (wrong.details["reason"], unknown.details["reason"]) == ("wrong-password", "wrong-password")


async def test_a_password_where_none_is_wanted(server: RedisServer) -> None:
    assert (await failure_of(server.url, StoreSettings(password=PASSWORD))).details["reason"] == "wrong-password"


async def test_a_rotated_password_is_read_anew(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(PASSWORD)
    with RedisServer(tmp_path / "redis", password=PASSWORD) as server:
        async with opened(server.url, StoreSettings(password_file=secret)) as store:
            await store.put("key", b"1")
            server.cli("CONFIG", "SET", "requirepass", "another")
            server.password = "another"
            secret.write_text("another\n")
            server.cli("CLIENT", "KILL", "TYPE", "normal")

            assert await store.get("key") == b"1"


async def test_a_certificate_of_an_unknown_ca_is_refused(tmp_path: Path) -> None:
    with RedisServer(tmp_path, tls=True) as server:
        error = await failure_of(server.url)

        assert error.details["reason"] in ("tls-unknown-ca", "tls-self-signed")
        assert "KUBENTLY_STORE_CA_CERT" in error.hint


async def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    with RedisServer(tmp_path, tls=True) as server:
        trusted = TrustSettings(ca_cert=str(server.ca), server_name="redis.example")

        assert (await failure_of(server.url, StoreSettings(trust=trusted))).details["reason"] == "tls-wrong-host"


async def test_tls_where_there_is_none_and_the_reverse(server: RedisServer, tmp_path: Path) -> None:
    # Redis takes the beginning of a handshake for that of a command, and waits for its end.
    assert (await failure_of(server.url.replace("redis:", "rediss:"))).details["reason"] == "timeout"
    with RedisServer(tmp_path, tls=True) as server:
        assert (await failure_of(server.url.replace("rediss:", "redis:"))).details["reason"] == "connection-lost"


async def test_a_server_that_wants_a_client_certificate_gets_it(tmp_path: Path) -> None:
    with RedisServer(tmp_path, tls=True, options=("--tls-auth-clients", "no")) as server:
        trusted = TrustSettings(ca_cert=str(server.ca))
        server.cli("CONFIG", "SET", "tls-auth-clients", "yes")
        refused = await failure_of(server.url, StoreSettings(trust=trusted))
        # What it says when it closes is lost where our next bytes are on their way already.
        assert refused.details["reason"] in ("tls-client-cert-required", "connection-lost")
        assert "KUBENTLY_STORE_CLIENT_CERT" in refused.hint

        shown = TrustSettings(ca_cert=str(server.ca), client_cert=tmp_path / "tls.crt", client_key=tmp_path / "tls.key")
        async with opened(server.url, StoreSettings(trust=shown)) as store:
            assert await store.put("key", b"1")


async def test_a_ca_file_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    settings = StoreSettings(trust=TrustSettings(ca_cert=str(tmp_path / "missing.crt")))

    with pytest.raises(ConfigError, match=r"missing\.crt"):
        open_store("rediss://localhost:1/0", settings)


async def test_a_replica_takes_no_writes(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "master") as master, RedisServer(tmp_path / "replica") as replica:
        replica.cli("REPLICAOF", "127.0.0.1", str(master.port))

        assert (await failure_of(replica.url, writes=True)).details["reason"] == "read-only"


async def test_full_memory(tmp_path: Path) -> None:
    with RedisServer(tmp_path, options=("--maxmemory", "1")) as server:
        assert (await failure_of(server.url, writes=True)).details["reason"] == "out-of-memory"
        server.cli("CONFIG", "SET", "maxmemory", "0")


async def test_a_disk_that_takes_no_data(tmp_path: Path) -> None:
    with RedisServer(tmp_path, options=("--appendonly", "no", "--save", "3600 1")) as server:
        (tmp_path / "dump.rdb").mkdir()  # what is saved cannot be put in its place
        server.cli("SET", "a", "b")
        server.cli("BGSAVE")
        until(lambda: "rdb_last_bgsave_status:err" in server.cli("INFO", "persistence"), "saving failed")

        assert (await failure_of(server.url, writes=True)).details["reason"] == "not-saved"


async def test_a_user_who_may_not(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        server.cli("ACL", "SETUSER", "limited", "on", f">{PASSWORD}", "~other:*", "+@all")

        error = await failure_of(server.url, StoreSettings(username="limited", password=PASSWORD))

        assert error.details["reason"] == "not-permitted"


async def test_the_user_of_the_documentation_may_do_all_that_is_needed(tmp_path: Path, cluster: RedisCluster) -> None:
    page = (Path(__file__).parents[2] / "docs" / "howto" / "redis.md").read_text()
    rules = next(line for line in page.splitlines() if line.startswith("ACL SETUSER kubently")).split()
    settings = StoreSettings(username="kubently", password="of-kubently")
    with RedisServer(tmp_path) as server:
        for one in (server, *cluster.nodes):
            one.cli(*(word.replace(">PASSWORD", ">of-kubently") for word in rules))
        cluster.empty()
        for url in (server.url, cluster.url):
            async with opened(url, settings) as store:
                await check_store(store)


async def test_a_database_that_is_not_there(server: RedisServer) -> None:
    assert (await failure_of(server.url[:-1] + "99")).details["reason"] == "wrong-database"


async def test_a_server_that_hangs_fails_in_time_and_serves_again(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        async with opened(server.url) as store:
            await store.put("key", b"1")
            server.pause()
            with anyio.fail_after(2 * DEADLINE), pytest.raises(StoreUnavailableError) as caught:
                await store.get("key")
            server.resume()

            assert caught.value.details["reason"] == "timeout"
            assert await store.get("key") == b"1"


async def test_more_callers_than_connections_fail_in_time_too(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        async with opened(server.url) as store:
            await store.put("key", b"1")
            server.pause()
            failed: list[StoreUnavailableError] = []

            async def attempt() -> None:
                try:
                    await store.get("key")
                except StoreUnavailableError as error:
                    failed.append(error)

            with anyio.fail_after(2 * DEADLINE):
                async with anyio.create_task_group() as tasks:
                    for _ in range(4 * CONNECTIONS):
                        tasks.start_soon(attempt)
            server.resume()

            assert len(failed) == 4 * CONNECTIONS
            assert await store.get("key") == b"1"


async def test_a_server_that_was_restarted_is_used_again(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        async with opened(server.url) as store:
            await store.put("key", b"1")
            server.restart()

            assert await store.get("key") == b"1"
            server.refuse()
            with pytest.raises(StoreUnavailableError, match="nothing listens there"):
                await store.put("key", b"2")
            server.start()
            await put_at_last(store, "key")


# ---------------------------------------------------------------------- sentinel and cluster


async def test_a_failover_is_followed(tmp_path: Path) -> None:
    with SentinelGroup(tmp_path, password=PASSWORD) as group:
        settings = StoreSettings(password=PASSWORD)
        async with opened(group.url, settings) as store, opened(group.url, settings) as other:
            await listening(other, store)
            await store.put("key", b"1")
            until(lambda: "1" in group.servers[1].cli("GET", "key"), "the replica has it")

            group.fail_over()
            with anyio.fail_after(15):
                while group.master.cli("GET", "h:a") != "x":
                    await put_at_last(store, "h:a")

            await listening(other, store)
            assert await store.get("key") == b"1"


async def test_a_master_that_dies_is_replaced(tmp_path: Path) -> None:
    with SentinelGroup(tmp_path) as group:
        async with opened(group.url) as store:
            await store.put("key", b"1")
            until(lambda: "1" in group.servers[1].cli("GET", "key"), "the replica has it")
            before = group.master
            before.kill()

            with pytest.raises(StoreUnavailableError):
                await store.put("key", b"2")
            await anyio.to_thread.run_sync(group.wait_moved, before.port)
            await put_at_last(store, "key2")
            assert await store.get("key") == b"1"


async def test_sentinels_with_a_password_of_their_own(tmp_path: Path) -> None:
    with SentinelGroup(tmp_path, password=PASSWORD) as group:
        group.cli("SENTINEL", "CONFIG", "SET", "sentinel-user", "default")
        group.cli("ACL", "SETUSER", "default", "on", ">of-the-sentinels")
        settings = StoreSettings(password=PASSWORD, sentinel_password="of-the-sentinels")
        async with opened(group.url, settings) as store:
            assert await store.put("key", b"1")

        assert (await failure_of(group.url, StoreSettings(password=PASSWORD))).details["reason"] == "no-password"


async def test_sentinels_that_are_away_or_know_no_such_service(tmp_path: Path) -> None:
    with SentinelGroup(tmp_path) as group:
        gone = free_ports(1)[0]
        url = group.url.replace("localhost", f"localhost:{gone},localhost", 1)
        async with opened(url) as store:
            assert await store.put("key", b"1")

        assert (await failure_of(group.url.replace("/kubently", "/other"))).details["reason"] == "no-master"
        assert (await failure_of(f"redis+sentinel://localhost:{gone}/kubently")).details["reason"] == "no-master"


async def test_a_node_of_a_cluster_that_is_away_takes_its_keys_alone(cluster: RedisCluster) -> None:
    for node in cluster.nodes:
        node.cli("CONFIG", "SET", "cluster-require-full-coverage", "no")
    async with opened(cluster.url, IN_CLUSTER) as store:
        keys = [f"key:{number}" for number in range(30)]
        for key in keys:
            await store.put(key, b"1")
        assert [key for key, _ in await store.scan("key:")] == sorted(keys)

        cluster.nodes[1].kill()
        outcomes = {key: await attempt(store.get(key)) for key in keys}
        lost = {key for key, outcome in outcomes.items() if outcome != b"1"}
        assert lost
        assert lost != set(keys)

        cluster.nodes[1].start()
        await put_at_last(store, next(iter(lost)))
        assert [key for key, _ in await store.scan("key:")] == sorted(keys)


async def test_a_cluster_that_failed_last_leaves_no_connection_open(cluster: RedisCluster) -> None:
    store = open_store(cluster.url, IN_CLUSTER)
    await store.put("key", b"1")
    for node in cluster.nodes:
        node.pause()
    assert isinstance(await attempt(store.get("key")), StoreUnavailableError)
    for node in cluster.nodes:
        node.resume()

    await store.aclose()

    for node in cluster.nodes:
        until(lambda node=node: "name=kubently-api" not in node.cli("CLIENT", "LIST"), "all are closed")


async def test_a_cluster_at_the_url_of_a_single_server_says_so(cluster: RedisCluster) -> None:
    async with opened(cluster.nodes[0].url, IN_CLUSTER) as store:
        outcomes = [await attempt(store.get(f"key:{number}")) for number in range(6)]

    reasons = {outcome.details["reason"] for outcome in outcomes if isinstance(outcome, StoreUnavailableError)}
    assert reasons == {"wrong-kind"}


async def test_a_cluster_without_a_part_of_its_slots_says_so(cluster: RedisCluster) -> None:
    for node in cluster.nodes:
        node.cli("CONFIG", "SET", "cluster-require-full-coverage", "yes")
    cluster.nodes[2].kill()
    until(lambda: "cluster_state:fail" in cluster.nodes[0].cli("CLUSTER", "INFO"), "the cluster is down")

    async with opened(cluster.url, IN_CLUSTER) as store:
        outcomes = [await attempt(store.get(f"key:{number}")) for number in range(6)]

    cluster.nodes[2].start()
    reasons = {outcome.details["reason"] for outcome in outcomes if isinstance(outcome, StoreUnavailableError)}
    assert reasons <= {"cluster-down", "refused"}
    assert all(isinstance(outcome, StoreUnavailableError) for outcome in outcomes)


# ---------------------------------------------------------------------- what is kept for a moment


async def test_a_revocation_at_another_replica_counts_at_once(server: RedisServer) -> None:
    async with cached(server.url) as here, opened(server.url) as there:
        await there.put("auth:key:1", b"valid")
        await listening(here, there)
        assert await here.get("auth:key:1") == b"valid"

        await there.delete("auth:key:1")

        assert await becomes(here, "auth:key:1", None, within=0.9)


async def test_a_change_by_redis_cli_counts_soon(server: RedisServer) -> None:
    async with cached(server.url) as here:
        server.cli("SET", "auth:key:2", "valid")
        assert await here.get("auth:key:2") == b"valid"

        server.cli("DEL", "auth:key:2")

        assert await becomes(here, "auth:key:2", None, within=5)


async def test_what_was_read_holds_while_redis_is_away_and_writes_fail(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        async with cached(server.url) as store, cached(server.url, grace=0) as strict:
            await listening(store, strict)
            await listening(strict, store)
            await store.put("auth:key:1", b"valid")
            assert await store.get("auth:key:1") == b"valid"
            assert await strict.get("auth:key:1") == b"valid"
            server.pause()
            await anyio.sleep(FRESH)

            assert await store.get("auth:key:1") == b"valid"
            with anyio.fail_after(0.5):  # nobody else waits for the answer that does not come
                assert await store.get("auth:key:1") == b"valid"
            refused: list[object] = []

            async def refuse(work: Coroutine[object, object, object]) -> None:
                with pytest.raises(StoreUnavailableError):
                    await work
                refused.append(work)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(refuse, store.put("auth:key:1", b"x"))
                tasks.start_soon(refuse, store.get("auth:key:2"))
                tasks.start_soon(refuse, store.scan("auth:"))
                tasks.start_soon(refuse, store.append("log", b"x"))
                tasks.start_soon(refuse, strict.get("auth:key:1"))
            assert len(refused) == 5
            server.resume()
            assert await becomes(strict, "auth:key:1", b"valid", within=5)


# ---------------------------------------------------------------------- helpers


@asynccontextmanager
async def cached(url: str, *, grace: float = 60) -> AsyncIterator[Store]:
    """A store as the API opens it."""
    store = open_store(url, StoreSettings(grace=grace), cached=("auth:",))
    try:
        yield store
    finally:
        await store.aclose()


async def listening(here: Store, there: Store) -> None:
    """Wait until *here* hears what *there* writes."""
    with anyio.fail_after(30):
        while True:
            hints = here.subscribe("ready:")
            with anyio.move_on_after(0.3):
                await put_at_last(there, "ready:a")
                await heard_until(hints, "ready:a")
                return


async def becomes(store: Store, key: str, value: bytes | None, *, within: float) -> bool:
    """Whether *key* has that value before *within* seconds are over."""
    with anyio.move_on_after(within):
        while await attempt(store.get(key)) != value:
            await anyio.sleep(0.01)
        return True
    return False


async def attempt(work: Coroutine[object, object, bytes | None]) -> bytes | StoreUnavailableError | None:
    """What came of it."""
    try:
        return await work
    except StoreUnavailableError as error:
        return error


async def put_at_last(store: Store, key: str) -> None:
    """Write as soon as the store takes it again."""
    with anyio.fail_after(30):
        while isinstance(await attempt(_put(store, key)), StoreUnavailableError):
            await anyio.sleep(0.1)


async def _put(store: Store, key: str) -> bytes | None:
    await store.put(key, b"x")
    return None


async def next_of(hints: AsyncIterator[str]) -> str:
    """The next hint."""
    with anyio.fail_after(15):
        return await anext(hints)


async def heard_until(hints: AsyncIterator[str], key: str) -> bool:
    """Wait until *key* was heard."""
    while await next_of(hints) != key:
        pass
    return True
