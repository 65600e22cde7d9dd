"""What changed before a fault: by whom, when, and which fields of the pods."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kubently import analyzers
from kubently.analyzers import Snapshot

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)


def _replica_set(revision: int, created: str, container: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"web-{revision}",
            "namespace": "shop",
            "uid": f"rs-{revision}",
            "creationTimestamp": created,
            "annotations": {"deployment.kubernetes.io/revision": str(revision)},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d", "controller": True}
            ],
        },
        "spec": {"template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}},
    }


def _fleet(*managed: dict[str, str], config_changed: str = "") -> list[dict[str, Any]]:
    old = {"name": "web", "image": "shop/web:1.4", "env": [{"name": "DB_PASSWORD", "value": "planted-old"}]}
    new = {"name": "web", "image": "shop/web:1.5", "env": [{"name": "DB_PASSWORD", "value": "planted-new"}]}
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    ended = {"terminated": {"exitCode": 1, "reason": "Error"}}
    status = {"name": "web", "ready": False, "restartCount": 9, "state": waiting, "lastState": ended}
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-2", "uid": "rs-2", "controller": True}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "web",
            "namespace": "shop",
            "uid": "d",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": list(managed),
        },
        "spec": {"replicas": 1},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web-2-x", "namespace": "shop", "uid": "p", "ownerReferences": [owner]},
        "spec": {"containers": [new], "volumes": [{"name": "c", "configMap": {"name": "settings"}}]},
        "status": {"phase": "Running", "containerStatuses": [status]},
    }
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "settings",
            "namespace": "shop",
            "uid": "c",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{"manager": "kubectl-edit", "operation": "Update", "time": config_changed}],
        },
    }
    return [
        deployment,
        _replica_set(1, "2026-01-01T00:00:00Z", old),
        _replica_set(2, "2026-03-02T09:54:00Z", new),
        pod,
        config,
    ]


def _changes(members: list[dict[str, Any]]) -> list[tuple[str, str]]:
    report = analyzers.diagnose(Snapshot.of(members, read_at=NOW))
    (crash,) = [finding for finding in report.findings if finding.code == "pod/crash-loop"]
    return [(change.source, change.quote) for change in crash.changes]


def test_fields_of_the_newest_revision_are_named_with_who_and_when() -> None:
    entry = {"manager": "argocd-controller", "operation": "Apply", "time": "2026-03-02T09:53:59Z"}

    assert _changes(_fleet(entry)) == [
        (
            "Deployment shop/web revision 1 to 2",
            "6 min before: container web image shop/web:1.4 → shop/web:1.5; container web variable DB_PASSWORD changed",
        ),
        ("Deployment shop/web", "changed 6 min before by argocd-controller"),
    ]


def test_a_config_map_that_the_pods_read_counts() -> None:
    assert ("ConfigMap shop/settings", "changed 2 min before by kubectl-edit") in _changes(
        _fleet(config_changed="2026-03-02T09:58:00Z")
    )


def test_status_old_changes_and_the_clusters_own_controllers_say_nothing() -> None:
    entries = (
        {"manager": "kube-controller-manager", "operation": "Update", "time": "2026-03-02T09:59:00Z"},
        {"manager": "kubectl", "operation": "Update", "time": "2026-03-02T09:59:00Z", "subresource": "status"},
        {"manager": "helm", "operation": "Apply", "time": "2026-02-27T09:59:00Z"},
    )
    found = _changes(_fleet(*entries, config_changed="2026-02-28T00:00:00Z"))

    assert [source for source, _ in found] == ["Deployment shop/web revision 1 to 2"]


def test_values_of_variables_are_never_quoted() -> None:
    assert "planted" not in str(_changes(_fleet()))
