"""Who may do what: tokens of executors, keys of people, and what each refusal says."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from kubently import trust
from kubently.client import Api
from kubently.client.api import ApiError
from kubently.errors import KubentlyError
from tests.e2e.content import EXECUTOR
from tests.e2e.harness import Cli, ExecutorProcess, Fleet, finish, read_until
from tests.testbed.cluster import Cluster
from tests.testbed.processes import until

USAGE, UNAVAILABLE, REFUSED = 64, 69, 77


def assert_error(err: str, code: str) -> None:
    """One sentence with a code, and what to try."""
    first, second = err.splitlines()[:2]
    assert first.startswith("error: ")
    assert first.endswith(f"[{code}]")
    assert second.startswith("  try: ")


def complaint(executor: ExecutorProcess, text: str) -> dict[str, str]:
    """The executor's own words about a dial that failed with *text* in the reason."""

    def look() -> dict[str, str] | None:
        lines = [line for line in executor.log() if line["event"] == "cannot connect to the API"]
        return next((line for line in lines if text in line["reason"]), None)

    found = until(look, f"the executor says {text!r}", timeout=20)
    assert found
    assert found["hint"]
    return found


def stranger(fleet: Fleet, alpha: Cluster, folder: Path, cluster: str, token: str) -> ExecutorProcess:
    """An executor with some token."""
    return ExecutorProcess(fleet.api, cluster, token, alpha.kubeconfig(EXECUTOR), folder / "executor")


@pytest.mark.parametrize("token", ["wrong-but-long-enough-to-be-one", "your-executor-token", "changeme"])
def test_a_wrong_token_is_refused_in_words(token: str, fleet: Fleet, alpha: Cluster, tmp_path: Path) -> None:
    executor = stranger(fleet, alpha, tmp_path, "alpha", token)
    executor.start()
    try:
        found = complaint(executor, "the API refused this executor")
    finally:
        executor.kill()

    assert found["reason"] == "the API refused this executor: the executor token is not valid for alpha"
    assert "kubently token create alpha" in found["hint"]
    assert token not in executor.log_text()


def test_a_token_is_good_for_its_own_cluster_alone(fleet: Fleet, alpha: Cluster, tmp_path: Path) -> None:
    executor = stranger(fleet, alpha, tmp_path, "alpha", fleet.executors["beta"].token)
    executor.start()
    try:
        complaint(executor, "the executor token is not valid for alpha")
    finally:
        executor.kill()


def test_another_cluster_under_a_known_id_is_refused(
    fleet: Fleet, alpha: Cluster, clusters: dict[str, Cluster], tmp_path: Path
) -> None:
    """The right token, the wrong kubeconfig: beta must not answer for alpha."""
    executor = stranger(fleet, clusters["beta"], tmp_path, "alpha", fleet.executors["alpha"].token)
    executor.start()
    try:
        until(lambda: "another cluster has this id" in executor.log_text(), "it is told why", timeout=20)
    finally:
        executor.kill()

    assert fleet.cli.run("alpha", "get", "nodes", "-o", "name").out == "node/alpha-0\nnode/alpha-1\n"
    shown = fleet.api.client().get("/api/v1/clusters/alpha")
    assert "which belongs to kube-system" in shown["problem"]


def test_a_revoked_token_cuts_the_session_at_once(cli: Cli, fleet: Fleet, alpha: Cluster) -> None:
    with (
        fleet.temporary("revoked", alpha.kubeconfig(EXECUTOR)) as executor,
        cli.started("run", "revoked", "--", "logs", "-f", "queue-0", "-n", "shop") as process,
    ):
        read_until(process, b"third line\n")
        assert cli("token", "revoke", "revoked").code == 0

        result = finish(process, 5)
        complaint(executor, "the executor token is not valid for revoked")

    assert result.code == UNAVAILABLE
    assert "[command-unknown]" in result.err


def test_a_token_removed_from_the_store_by_hand_cuts_the_session(fleet: Fleet, alpha: Cluster) -> None:
    with fleet.temporary("by-hand", alpha.kubeconfig(EXECUTOR)):
        with sqlite3.connect(fleet.api.folder / "store.db", timeout=10) as store:
            tables = [name for (name,) in store.execute("select name from sqlite_master where type = 'table'")]
            removed = sum(_delete_key(store, table, "executor:token:by-hand") for table in tables)
        store.close()
        assert removed == 1

        until(lambda: fleet.api.states().get("by-hand") != "connected", "its session is cut", timeout=12)


def _delete_key(store: sqlite3.Connection, table: str, key: str) -> int:
    columns = [row[1] for row in store.execute(f"pragma table_info({table})")]
    return store.execute(f"delete from {table} where key = ?", (key,)).rowcount if "key" in columns else 0


def test_a_token_is_rotated_without_a_gap(cli: Cli, fleet: Fleet, alpha: Cluster) -> None:
    with fleet.temporary("rotated", alpha.kubeconfig(EXECUTOR)) as executor:
        second = json.loads(cli("token", "rotate", "rotated", "-o", "json").out)["token"]
        assert cli.run("rotated", "get", "nodes").code == 0
        executor.kill()
        executor.token = second
        executor.start()
        fleet.api.wait_connected("rotated")
        assert cli("token", "revoke", "rotated", "--older").code == 0

        assert cli.run("rotated", "get", "nodes").code == 0


def test_no_secret_stands_in_the_store(cli: Cli, fleet: Fleet) -> None:
    key = json.loads(cli("key", "create", "stored", "-o", "json").out)["key"]
    files = [path for path in fleet.api.folder.iterdir() if path.name.startswith("store.db")]

    held = b"".join(path.read_bytes() for path in files)

    assert b"executor:token:alpha" in held
    for secret in (key, *(executor.token for executor in fleet.executors.values())):
        assert secret.encode() not in held


def test_an_unknown_cluster(cli: Cli) -> None:
    result = cli.run("nowhere", "get", "pods")

    assert result.code == USAGE
    assert_error(result.err, "cluster-not-found")


def test_a_cluster_that_never_came(cli: Cli) -> None:
    assert cli("token", "create", "never").code == 0

    result = cli.run("never", "get", "pods")

    assert result.code == UNAVAILABLE
    assert_error(result.err, "executor-offline")
    assert "last seen never" in result.err


@pytest.mark.parametrize("name", ["Bad_Name", "../x", "a b", "x" * 64, "a/b", "executor:token"])
def test_a_cluster_id_is_checked_everywhere(name: str, cli: Cli) -> None:
    for line in (("token", "create", "--", name), ("run", name, "--", "get", "pods")):
        result = cli(*line)
        assert result.code == USAGE, result
        assert result.err.startswith("error: ")


def test_a_denied_command(cli: Cli) -> None:
    result = cli.run("alpha", "delete", "pod", "x")

    assert result.code == REFUSED
    assert (
        result.err.splitlines()[0] == "error: alpha: Kubently is read-only: kubectl delete is refused [command-denied]"
    )


def test_a_wrong_key(fleet: Fleet, tmp_path: Path) -> None:
    result = Cli.of(fleet.api, tmp_path, key="wrong").run("alpha", "get", "pods")

    assert result.code == REFUSED
    assert_error(result.err, "unauthenticated")


def test_an_api_that_is_not_there(tmp_path: Path, fleet: Fleet) -> None:
    environ = {**fleet.cli.environ, "KUBENTLY_URL": "https://localhost:1"}
    result = Cli(environ).run("alpha", "get", "pods")

    assert result.code == UNAVAILABLE
    assert_error(result.err, "dial-refused")


def test_an_api_whose_ca_nobody_knows(fleet: Fleet) -> None:
    environ = {name: value for name, value in fleet.cli.environ.items() if name != "KUBENTLY_CA_CERT"}
    result = Cli(environ).run("alpha", "get", "pods")

    assert result.code == UNAVAILABLE
    assert_error(result.err, "tls-unknown-ca")
    assert "signed by a CA that is not trusted here" in result.err


def test_an_executor_that_does_not_trust_the_api(fleet: Fleet, alpha: Cluster, tmp_path: Path) -> None:
    other = tmp_path / "other.crt"
    other.write_bytes(trust.make_authority("another").cert)
    executor = stranger(fleet, alpha, tmp_path, "alpha", "x" * 32)
    executor.extra = {"KUBENTLY_CA_CERT": str(other)}
    executor.start()
    try:
        complaint(executor, "signed by a CA that is not trusted here")
    finally:
        executor.kill()


def test_a_viewer_may_not_run_and_an_operator_may_not_manage(cli: Cli, fleet: Fleet, tmp_path: Path) -> None:
    keys = {}
    for role in ("viewer", "operator"):
        made = cli("key", "create", f"a-{role}", "--role", role, "--cluster", "alpha", "-o", "json")
        keys[role] = Cli.of(fleet.api, tmp_path / role, key=json.loads(made.out)["key"])

    assert_error_code(keys["viewer"].run("alpha", "get", "pods"), REFUSED, "permission-denied")
    assert_error_code(keys["operator"]("token", "create", "x"), REFUSED, "permission-denied")
    assert_error_code(keys["operator"]("key", "create", "x"), REFUSED, "permission-denied")
    assert keys["operator"].run("alpha", "get", "nodes").code == 0
    assert_error_code(keys["operator"].run("beta", "get", "nodes"), USAGE, "cluster-not-found")
    everything = keys["operator"]("run", "--all", "--", "get", "nodes", "-o", "name")
    assert everything.out == "=== alpha\nnode/alpha-0\nnode/alpha-1\n"
    assert cli("key", "revoke", "a-operator").code == 0
    assert_error_code(keys["operator"].run("alpha", "get", "nodes"), REFUSED, "unauthenticated")


def assert_error_code(result: object, code: int, slug: str) -> None:
    """Check how a refusal looks to a script and to a person."""
    assert (result.code, f"[{slug}]" in result.err) == (code, True), result  # type: ignore[attr-defined]


def test_no_header_changes_who_asks(fleet: Fleet, cli: Cli) -> None:
    key = json.loads(cli("key", "create", "plain-name", "-o", "json").out)["key"]
    headers = dict.fromkeys(("X-Kubently-Principal", "X-Service-Identity", "X-Remote-User"), "admin")

    fleet.api.client(key).post("/api/v1/clusters/alpha/commands", {"argv": ["get", "nodes"]}, headers=headers)

    assert fleet.api.audit()[-1]["principal"] == "key:plain-name"


def test_what_is_open_to_everybody_is_little(fleet: Fleet) -> None:
    nobody = Api(fleet.api.url, "", ca=str(fleet.api.ca))

    assert nobody.get("/health") == {"status": "ok"}
    for path in ("/metrics", "/api/v1/clusters", "/api/v1/audit", "/clusters/alpha/k8s/api/v1/pods"):
        with pytest.raises((ApiError, KubentlyError)) as caught:
            nobody.get(path)
        assert getattr(caught.value, "status", 401) == 401
