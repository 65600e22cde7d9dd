"""What changed before a fault: by whom, when, and which fields of the pods."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

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


def _with_removal(changed: str, *, since: str, last: str) -> list[tuple[str, str]]:
    """The ConfigMap's entry is of *changed*; its last write came after that of a pod at *since*."""
    members = _fleet(config_changed=changed)
    members[3]["metadata"] |= {"resourceVersion": "7000", "managedFields": [{"manager": "kubelet", "time": since}]}
    members[4]["metadata"]["resourceVersion"] = last
    return [change for change in _changes(members) if change[0].startswith("ConfigMap")]


def test_a_removal_of_which_no_entry_tells_is_seen_by_the_resource_version() -> None:
    long_ago, recently = "2026-01-01T00:00:00Z", "2026-03-02T09:56:30Z"

    assert _with_removal(long_ago, since=recently, last="7001") == [
        (
            "ConfigMap shop/settings resourceVersion",
            "changed once more, at most 4 min before, by whom managedFields do not tell, as after a removal",
        )
    ]
    assert _with_removal(long_ago, since=recently, last="6999") == []
    assert _with_removal(long_ago, since="2026-03-02T07:00:00Z", last="7001") == []
    assert _with_removal("2026-03-02T09:56:27Z", since=recently, last="7001") == [
        ("ConfigMap shop/settings", "changed 3 min before by kubectl-edit")
    ]


@pytest.mark.parametrize(
    "source",
    [
        {"volumes": [{"name": "c", "secret": {"secretName": "settings"}}]},
        {"volumes": [{"name": "c", "projected": {"sources": [{"secret": {"name": "settings"}}]}}]},
        {"initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "settings"}}]}]},
        {"initContainers": [{"name": "i", "env": [{"valueFrom": {"secretKeyRef": {"name": "settings", "key": "k"}}}]}]},
    ],
    ids=["volume", "projected", "envFrom", "env"],
)
def test_a_secret_counts_wherever_the_pods_name_it(source: dict[str, Any]) -> None:
    members = _fleet(config_changed="2026-03-02T09:58:00Z")
    members[3]["spec"] |= source
    members[4]["kind"] = "Secret"

    assert ("Secret shop/settings", "changed 2 min before by kubectl-edit") in _changes(members)


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


def _delivered(by: dict[str, Any], *also: dict[str, Any]) -> list[tuple[str, str]]:
    members = _fleet()
    members[0]["metadata"] |= by
    return _changes([*members, *also])


def _secret(version: int, created: str, status: str) -> dict[str, Any]:
    labels = {"owner": "helm", "name": "shop", "version": str(version), "status": status}
    metadata = {"name": f"sh.helm.release.v1.shop.v{version}", "namespace": "shop", "labels": labels}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata | {"creationTimestamp": created},
        "type": "helm.sh/release.v1",
    }


def test_a_helm_release_that_was_upgraded_is_named() -> None:
    annotations = {"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "shop"}
    releases = [_secret(4, "2026-01-01T00:00:00Z", "superseded"), _secret(5, "2026-03-02T09:50:00Z", "deployed")]

    changes = _delivered({"annotations": annotations}, *releases)

    assert ("Helm release shop/shop", "10 min before: revision 5, deployed") in changes


def test_a_sync_of_argo_cd_is_named() -> None:
    application = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "shop", "namespace": "argocd"},
        "status": {
            "history": [
                {"deployedAt": "2026-03-02T09:40:00Z", "revision": "4f2d99a"},
                {"deployedAt": "2026-02-02T09:40:00Z", "revision": "0000000"},
            ]
        },
    }

    changes = _delivered(
        {"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web"}}, application
    )

    assert ("Argo CD application argocd/shop", "20 min before: synced to 4f2d99a") in changes


def test_what_flux_applied_is_named() -> None:
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-03-02T09:55:00Z"}
    kustomization = {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": "shop", "namespace": "flux-system"},
        "status": {"lastAppliedRevision": "main@sha1:4f2d", "conditions": [ready]},
    }
    labels = {"kustomize.toolkit.fluxcd.io/name": "shop", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}

    changes = _delivered({"labels": labels}, kustomization)

    assert ("Flux Kustomization flux-system/shop", "5 min before: applied main@sha1:4f2d") in changes


def test_a_delivery_of_long_ago_says_nothing() -> None:
    annotations = {"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "shop"}

    changes = _delivered({"annotations": annotations}, _secret(4, "2026-01-01T00:00:00Z", "deployed"))

    assert not [source for source, _ in changes if source.startswith("Helm")]


def test_what_helm_delivered_is_rolled_back_by_helm() -> None:
    annotations = {"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "shop"}
    members = _fleet()
    members[0]["metadata"] |= {"annotations": annotations}

    report = analyzers.diagnose(Snapshot.of([*members, _secret(5, "2026-03-02T09:50:00Z", "deployed")], read_at=NOW))

    (crash,) = [finding for finding in report.findings if finding.code == "pod/crash-loop"]
    assert crash.remedy is not None
    assert crash.remedy.commands[0] == "helm rollback shop -n shop"
