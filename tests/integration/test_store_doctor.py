"""`kubently api doctor` on real servers, well and not."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.testbed.processes import free_ports
from tests.testbed.redis_servers import PASSWORD, RedisCluster, RedisServer, SentinelGroup

from kubently.main import servers


def examine(url: str, *words: str, **environ: str) -> tuple[int, Mapping[str, Mapping[str, Any]]]:
    """The exit code, and each check by its id."""
    env = {"HOME": "/nonexistent", "KUBENTLY_STORE": url, **environ}
    run = CliRunner().invoke(servers.api, ["doctor", "-o", "json", *words], env=env)
    assert PASSWORD not in run.output
    assert run.stdout, run.output
    return run.exit_code, {check["id"]: check for check in json.loads(run.stdout)["checks"]}


def codes(checks: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What is wrong."""
    return {name: check["code"] for name, check in checks.items() if check["status"] in ("error", "warning")}


@pytest.mark.parametrize("program", ["redis-server", "valkey-server"])
def test_a_server_that_is_well(program: str, tmp_path: Path) -> None:
    with RedisServer(tmp_path, program=program) as server:
        code, checks = examine(server.url)

        assert codes(checks) == {}
        assert code == 0
        assert ("Valkey" if program.startswith("valkey") else "Redis 7") in checks["store-version"]["detail"]
        assert server.cli("KEYS", "*") == ""


def test_a_server_with_tls_and_a_password(tmp_path: Path) -> None:
    with RedisServer(tmp_path, tls=True, password=PASSWORD) as server:
        trusted = {"KUBENTLY_STORE_CA_CERT": str(server.ca)}

        assert examine(server.url, KUBENTLY_STORE_PASSWORD=PASSWORD, **trusted)[0] == 0
        assert codes(examine(server.url, **trusted)[1]) == {"store-reachable": "store-credentials"}
        untrusted = codes(examine(server.url, KUBENTLY_STORE_PASSWORD=PASSWORD)[1])
        assert untrusted["store-reachable"].startswith("tls-")


def test_sentinel_and_cluster(tmp_path: Path) -> None:
    with SentinelGroup(tmp_path / "group") as group:
        code, checks = examine(group.url)
        assert (code, codes(checks)) == (0, {})
        assert checks["store-role"]["evidence"] == {"replicas": 1}
    with RedisCluster(tmp_path / "cluster") as cluster:
        code, checks = examine(cluster.url)
        # A cluster's servers are not asked for their settings, and each keeps a log here.
        assert (code, codes(checks)) == (0, {})
        assert checks["store-role"]["detail"] == "3 masters, 0 replicas"


def test_nothing_listens(tmp_path: Path) -> None:
    code, checks = examine(f"redis://localhost:{free_ports(1)[0]}")

    assert code == 3
    assert codes(checks) == {"store-reachable": "store-unreachable"}
    assert "nothing listens there" in checks["store-reachable"]["detail"]
    assert checks["store-writes"]["status"] == "skipped"


def test_what_would_lose_keys(tmp_path: Path) -> None:
    options = ("--appendonly", "no", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    with RedisServer(tmp_path, options=options) as server:
        code, checks = examine(server.url)

        assert code == 3
        assert codes(checks) == {"store-memory": "store-evicts", "store-persistence": "store-not-persistent"}

        server.cli("CONFIG", "SET", "maxmemory-policy", "noeviction")
        assert codes(examine(server.url)[1]) == {"store-persistence": "store-not-persistent"}
        assert examine(server.url, "--fail-on", "warning")[0] == 4


def test_a_replica(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "master") as master, RedisServer(tmp_path / "replica") as replica:
        replica.cli("REPLICAOF", "127.0.0.1", str(master.port))

        found = codes(examine(replica.url)[1])

        assert found["store-role"] == found["store-writes"] == "store-takes-no-writes"


def test_a_user_without_its_channels(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        server.cli("ACL", "SETUSER", "limited", "on", f">{PASSWORD}", "~*", "resetchannels", "+@all")

        found = codes(examine(server.url, KUBENTLY_STORE_USERNAME="limited", KUBENTLY_STORE_PASSWORD=PASSWORD)[1])

        assert found == {"store-writes": "store-credentials"}


def test_another_store_than_the_environments(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        assert examine("memory:", "--store", server.url)[0] == 0
        assert codes(examine(server.url, "--store", "memory:")[1]) == {"store-settings": "store-memory"}


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    assert examine(f"sqlite://{path}")[0] == 0
    assert not path.exists()

    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE pairs (key TEXT)")
        db.executemany("INSERT INTO pairs VALUES (?)", [(f"{number:0200}",) for number in range(1000)])
    db.close()
    code, checks = examine(f"sqlite://{path}")
    assert (code, checks["store-file"]["detail"]) == (0, f"{path} is whole")

    content = bytearray(path.read_bytes())
    content[8192:12288] = b"\xff" * 4096
    path.write_bytes(content)
    assert codes(examine(f"sqlite://{path}")[1])["store-file"] in ("store-damaged", "store-unreachable")


def test_what_names_no_store(tmp_path: Path) -> None:
    code, checks = examine(f"redis://user:{PASSWORD}@/0")

    assert code == 3
    assert codes(checks) == {"store-settings": "config-invalid"}
