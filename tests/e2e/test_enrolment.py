"""A cluster let in by one token: its executor makes its key, keeps it in a Secret there, and needs no other."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.e2e.harness import ApiProcess, ExecutorProcess, Fleet
from tests.testbed.cluster import Cluster
from tests.testbed.processes import until

NAMESPACE = "kubently-enrolled"
IDENTITY = "kubently-executor-identity"
USER = "kubently-enrolled"
"""Whose requests the audit proof does not count: it writes its own Secret."""


@pytest.fixture(scope="module")
def home(alpha: Cluster) -> Cluster:
    """alpha with an empty Secret that one user may read and update by name, as a chart would make it."""
    subjects = [{"kind": "User", "name": USER, "apiGroup": "rbac.authorization.k8s.io"}]
    rule = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [IDENTITY], "verbs": ["get", "update"]}
    alpha.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": IDENTITY, "namespace": NAMESPACE}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "identity", "namespace": NAMESPACE},
            "rules": [rule],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "identity", "namespace": NAMESPACE},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "identity"},
            "subjects": subjects,
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": USER},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": subjects,
        },
    )
    return alpha


def add(fleet: Fleet, cluster: str, *options: str) -> dict[str, Any]:
    """What ``kubently cluster add`` prints."""
    made = fleet.cli("cluster", "add", cluster, "-o", "json", *options)
    assert made.code == 0, made.err
    found: dict[str, Any] = json.loads(made.out)
    return found


@contextmanager
def enrolling(api: ApiProcess, cluster: str, home: Cluster, folder: Path, token: str) -> Iterator[ExecutorProcess]:
    """An executor with a file of an enrolment token and nothing else."""
    folder.mkdir(exist_ok=True)
    file = folder / "token"
    file.write_text(token)
    extra = {
        "KUBENTLY_TOKEN": "",
        "KUBENTLY_IDENTITY_SECRET": f"{NAMESPACE}/{IDENTITY}",
        "KUBENTLY_ENROLMENT_TOKEN_FILE": str(file),
    }
    executor = ExecutorProcess(api, cluster, "", home.kubeconfig(USER), folder / "executor", extra=extra)
    executor.start()
    try:
        yield executor
    finally:
        executor.kill()
        api.client().delete(f"/api/v1/clusters/{cluster}")


def identity(home: Cluster) -> dict[str, str]:
    """What the Secret holds."""
    found = json.loads(home.kubectl("get", "secret", IDENTITY, "-n", NAMESPACE, "-o", "json").stdout)
    return {name: base64.b64decode(value).decode() for name, value in (found.get("data") or {}).items()}


def test_one_token_lets_a_cluster_in_for_good(fleet: Fleet, home: Cluster, tmp_path: Path) -> None:
    made = add(fleet, "enrolled")
    token = made["secret"]["stringData"]["token"]
    assert token == made["token"]
    assert "executor.clusterId=enrolled" in made["helm"]

    with enrolling(fleet.api, "enrolled", home, tmp_path, token) as executor:
        fleet.api.wait_connected("enrolled")
        kept = identity(home)
        assert "BEGIN CERTIFICATE" in kept["tls.crt"]
        assert fleet.cli.run("enrolled", "get", "pods", "-n", "kube-system").code == 0

        # Its Secret is its own: not even an administrator of Kubently sees it through the tunnel.
        seen = fleet.cli.run("enrolled", "get", "secret", IDENTITY, "-n", NAMESPACE, "-o", "yaml")
        assert seen.code != 0

        # A restart of either side needs no token: the certificate is kept.
        executor.stop()
        (tmp_path / "token").write_text("")
        executor.start()
        fleet.api.wait_connected("enrolled")
        assert identity(home) == kept
        assert token not in executor.log_text()
        assert kept["tls.key"].splitlines()[1] not in executor.log_text()


def test_after_a_reset_a_new_token_lets_it_in_again_without_a_restart(
    fleet: Fleet, home: Cluster, tmp_path: Path
) -> None:
    home.kubectl("patch", "secret", IDENTITY, "-n", NAMESPACE, "--type=json", '-p=[{"op":"remove","path":"/data"}]')
    with enrolling(fleet.api, "enrolled-again", home, tmp_path, add(fleet, "enrolled-again")["token"]) as executor:
        fleet.api.wait_connected("enrolled-again")
        before = identity(home)

        assert fleet.cli("cluster", "reset", "enrolled-again").code == 0
        until(lambda: "executor-certificate-expired" in executor.log_text(), "the executor is told", timeout=20)
        (tmp_path / "token").write_text(add(fleet, "enrolled-again")["token"])

        fleet.api.wait_connected("enrolled-again", timeout=90)
        assert identity(home) != before


def test_a_blocked_certificate_is_named_and_shut_out(fleet: Fleet, home: Cluster, tmp_path: Path) -> None:
    home.kubectl("patch", "secret", IDENTITY, "-n", NAMESPACE, "--type=json", '-p=[{"op":"remove","path":"/data"}]')
    with enrolling(fleet.api, "enrolled-blocked", home, tmp_path, add(fleet, "enrolled-blocked")["token"]) as executor:
        fleet.api.wait_connected("enrolled-blocked")
        certificate = x509.load_pem_x509_certificate(identity(home)["tls.crt"].encode())
        fingerprint = certificate.fingerprint(hashes.SHA256()).hex()

        assert fleet.cli("cluster", "block", fingerprint, "--reason", "a stolen laptop").code == 0

        until(lambda: fleet.api.states()["enrolled-blocked"] == "disconnected", "it is cut", timeout=20)
        until(lambda: "certificate-blocked" in executor.log_text(), "the executor is told why", timeout=20)
        assert "a stolen laptop" in executor.log_text()
        assert fingerprint in fleet.cli("cluster", "blocked").out
        assert fleet.cli("cluster", "unblock", fingerprint).code == 0
        fleet.api.wait_connected("enrolled-blocked", timeout=90)
