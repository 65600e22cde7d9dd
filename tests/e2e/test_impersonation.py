"""With impersonation the cluster's own RBAC applies to each person, whatever the executor itself may do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.content import NAMESPACE
from tests.e2e.harness import Cli, Fleet
from tests.testbed.cluster import Cluster

CLUSTER = "as-persons"
USER = "kubently:impersonator"
_RBAC = "rbac.authorization.k8s.io"


def _access() -> Iterator[dict[str, object]]:
    rules = [
        {"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"]},
        {"apiGroups": [""], "resources": ["groups"], "verbs": ["impersonate"], "resourceNames": ["kubently:sre"]},
    ]
    api = f"{_RBAC}/v1"
    yield {"apiVersion": api, "kind": "ClusterRole", "metadata": {"name": "impersonator"}, "rules": rules}
    for name, kind, role, space in (
        ("impersonator", "User", "impersonator", None),
        ("sre-pods", "Group", "view", NAMESPACE),
    ):
        subject = {"apiGroup": _RBAC, "kind": kind, "name": USER if kind == "User" else "kubently:sre"}
        yield {
            "apiVersion": api,
            "kind": "RoleBinding" if space else "ClusterRoleBinding",
            "metadata": {"name": name, **({"namespace": space} if space else {})},
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role},
            "subjects": [subject],
        }


@pytest.fixture(scope="module")
def persons(fleet: Fleet, alpha: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Cli]]:
    """ann, who is in kubently:sre, and bob, who is in no group."""
    folder = tmp_path_factory.mktemp("impersonation")
    alpha.apply(*_access())
    policy = {"mode": "read-only", "impersonate": {"groups": {"kubently:sre": ["key:ann"]}}}
    (folder / "policy.yaml").write_text(yaml.safe_dump(policy))
    extra = {"KUBENTLY_POLICY_FILE": str(folder / "policy.yaml")}
    clis = {}
    for name in ("ann", "bob"):
        made = json.loads(fleet.cli("key", "create", name, "-o", "json").out)
        clis[name] = Cli.of(fleet.api, folder / name, key=made["key"])
    with fleet.temporary(CLUSTER, alpha.kubeconfig(USER), extra=extra):
        yield clis
    for name in clis:
        fleet.cli("key", "revoke", name)


def test_rbac_of_a_group_lets_its_members_in(persons: dict[str, Cli]) -> None:
    result = persons["ann"].run(CLUSTER, "get", "pods", "-n", NAMESPACE)

    assert result.code == 0, result.err
    assert "queue-0" in result.out


def test_rbac_refuses_what_the_person_may_not(persons: dict[str, Cli]) -> None:
    other_namespace = persons["ann"].run(CLUSTER, "get", "pods", "-n", "kube-system")
    other_person = persons["bob"].run(CLUSTER, "get", "pods", "-n", NAMESPACE)

    assert (other_namespace.code, other_person.code) == (1, 1)
    assert 'User "kubently:key:ann" cannot list resource "pods"' in other_namespace.err
    assert 'User "kubently:key:bob" cannot list resource "pods"' in other_person.err


def test_kubectl_and_who_am_i_say_the_person(persons: dict[str, Cli]) -> None:
    through = persons["ann"]("kubectl", CLUSTER, "--", "auth", "whoami", "-o", "json")

    user = json.loads(through.out)["status"]["userInfo"]
    assert user["username"] == "kubently:key:ann"
    assert set(user["groups"]) == {"kubently:sre", "system:authenticated"}


def test_can_i_is_answered_for_the_person(persons: dict[str, Cli]) -> None:
    words = ("auth", "can-i", "list", "pods", "-n", NAMESPACE)

    assert persons["ann"].run(CLUSTER, *words).out == "yes\n"
    assert persons["bob"].run(CLUSTER, *words).out == "no\n"


def test_the_clusters_audit_log_names_the_person(persons: dict[str, Cli], alpha: Cluster) -> None:
    assert persons["ann"].run(CLUSTER, "get", "pod", "queue-0", "-n", NAMESPACE).code == 0

    of_ann = [record for record in alpha.audit(user=USER) if record.impersonated == "kubently:key:ann"]
    assert any(record.name == "queue-0" for record in of_ann)
    assert {"kubently:sre"} <= set.union(*(set(record.impersonated_groups) for record in of_ann if record.code < 400))


def test_a_group_that_the_executor_may_not_take_is_refused_by_the_cluster(
    fleet: Fleet, alpha: Cluster, persons: dict[str, Cli], tmp_path: Path
) -> None:
    policy = {"mode": "read-only", "impersonate": {"groups": {"kubently:root": ["key:*"]}}}
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(policy))
    extra = {"KUBENTLY_POLICY_FILE": str(tmp_path / "policy.yaml")}

    with fleet.temporary("too-much", alpha.kubeconfig(USER), extra=extra):
        result = persons["ann"].run("too-much", "get", "pods", "-n", NAMESPACE)

    assert result.code == 1
    assert "Error from server (Forbidden)" in result.err
