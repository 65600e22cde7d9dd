"""Analyzers meet objects of any shape: they never raise, never loop, and what they say can be sent and shown."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubently import analyzers
from kubently.analyzers import RESOURCES, LogKey, Snapshot
from kubently.analyzers.reading import logs_wanted

SCENARIOS = Path(__file__).parents[2] / "scenarios"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
READ_AT = datetime(2026, 3, 2, 10, tzinfo=UTC)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.sampled_from(
        ["", "0", "True", "2026-03-02T09:00:00Z", "9999-12-31T23:59:59-23:59", "\x1b[31m", "\ud800", "1e99"]
    )
)
junk = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


TELLING = (
    "crash-exit-1",
    "liveness-wrong-port",
    "configmap-volume-key-missing",
    "image-unauthorized",
    "rollout-stuck-on-image",
    "unschedulable-taint-and-selector",
    "statefulset-quota",
    "ingress-tls-secret-wrong-type",
    "ingress-host-clash",
    "pvc-no-matching-volume",
    "pvc-waits-for-unschedulable-pod",
    "oom-killed-job",
    "service-named-port-missing",
    "rbac-role-missing",
    "dns-corefile-answers-no",
    "ingress-certificate-wrong-host",
    "load-balancer-pending",
    "service-local-traffic",
    "preempted",
    "quota-used-up",
    "flow-schema-dangling",
    "config-stale",
    "deprecated-api",
    "image-pull-secret-missing",
    "resize-refused",
    "webhook-not-trusted",
    "policy-wrong-port",
    "policy-blocks-a-client",
    "policy-without-dns-is-why",
    "hpa-no-metrics",
    "pdb-overlap",
    "cronjob-blocked",
    "node-disk-pressure",
    "certificate-not-issued",
    "route-not-allowed",
    "argo-sync-failed",
    "env-names-a-missing-port",
    "namespace-stuck-on-an-apiservice",
    "callers-of-a-killed-database",
    "errors-follow-a-flag",
    "a-client-takes-all-connections",
    "service-made-anew",
    "pull-secret-is-not-renewed",
    "pods-fail-on-one-node",
    "dns-upstream-does-not-answer",
    "cron-jobs-fill-the-quota",
    "volume-behind-a-taint",
    "volume-made-too-early",
    "sidecars-are-not-injected",
    "config-changed-before-many-crash",
    "init-waits-for-a-stopped-service",
    "registry-unreachable-for-many",
    "sandbox-node-without-network",
    "configmap-names-a-missing-service",
    "configmap-names-a-missing-port",
    "log-names-a-missing-service",
    "sidecar-has-the-port",
    "root-file-system-read-only",
    "volume-not-permitted",
    "volume-full",
    "config-file-renamed",
    "secret-changed-before-refusal",
    "callers-of-a-wrong-port",
    "local-volume-of-a-gone-node",
    "one-pod-fills-the-node",
    "selector-too-wide",
    "dns-of-the-node",
    "policy-without-dns-for-many",
    "tainted-node-for-many",
    "heap-above-the-limit",
)
"""Scenarios whose objects are damaged."""


def _log_key(path: Path) -> LogKey:
    name = path.name.removesuffix(".log")
    namespace, pod, container = name.removesuffix(".previous").split("_")
    return LogKey(namespace, pod, container, previous=name.endswith(".previous"))


LOGS = {
    LogKey("shop", "api-6d4-a", "api", previous=True): "FATAL dial tcp 10.96.7.7:5432: connect: connection refused\n",
    LogKey("shop", "web-6d4-a", "web", previous=False): "ERROR GET http://api:8080/health: connection refused\n",
    **{_log_key(path): path.read_text() for slug in TELLING for path in (SCENARIOS / slug).glob("logs/*.log")},
}


@cache
def _specimens(slug: str) -> tuple[dict[str, Any], ...]:
    """Return the objects of a scenario."""
    return tuple(yaml.load_all((SCENARIOS / slug / "objects.yaml").read_text(), LOADER))


def _paths(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(below for key, member in items for below in _paths(member, (*path, key)))]


def _damage(member: dict[str, Any], path: tuple[str | int, ...], replacement: object) -> object:
    if not path:
        return replacement
    damaged = copy.deepcopy(member)
    place: Any = damaged
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = replacement
    return damaged


def _check(snapshot: Snapshot) -> None:
    report = analyzers.diagnose(snapshot)
    logs_wanted(snapshot, limit=50)

    ids = [item.id for item in (*report.findings, *report.symptoms)]
    assert len(ids) == len(set(ids))
    for item in (*report.findings, *report.symptoms):
        shown = item.model_dump_json()
        assert "\\u001b" not in shown
        assert set(item.symptoms) <= set(ids)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_damaged_objects_do_not_disturb_analyzers(data: st.DataObject) -> None:
    members: list[object] = []
    slugs = data.draw(st.lists(st.sampled_from(TELLING), min_size=4, max_size=10, unique=True))
    for specimen in (item for slug in slugs for item in _specimens(slug)):
        if data.draw(st.integers(0, 3)) == 0:
            members.append(_damage(specimen, data.draw(st.sampled_from(_paths(specimen))), data.draw(junk)))
        else:
            members.append(specimen)

    _check(Snapshot.of(members, read_at=READ_AT, logs=LOGS))


@settings(max_examples=100, deadline=None)
@given(st.lists(junk, max_size=4), st.data())
def test_junk_in_place_of_objects_is_left_out(members: list[object], data: st.DataObject) -> None:
    wrapped = [
        {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": "x", "namespace": "y"},
            "spec": item,
            "status": item,
        }
        for resource in RESOURCES
        for item in members
    ]
    raw: Any = {resource: members for resource in RESOURCES if data.draw(st.booleans())}

    _check(Snapshot.of([*members, *wrapped], read_at=READ_AT))
    _check(Snapshot(raw, READ_AT))


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(exclude_categories=()), max_size=300), st.integers(-300, 300))
def test_any_log_and_exit_code(log: str, code: int) -> None:
    pod = next(member for member in _specimens("crash-exit-1") if member["kind"] == "Pod")
    damaged = copy.deepcopy(pod)
    damaged["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] = code
    key = LogKey(pod["metadata"]["namespace"], pod["metadata"]["name"], "app", previous=True)

    _check(Snapshot.of([damaged], read_at=READ_AT, logs={key: log}))


def test_a_circle_of_owners_ends() -> None:
    def member(kind: str, name: str, owner: str) -> dict[str, Any]:
        version = "v1" if kind == "Pod" else "apps/v1"
        reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}
        metadata = {"name": name, "namespace": "shop", "uid": name, "ownerReferences": [reference]}
        return {"apiVersion": version, "kind": kind, "metadata": metadata}

    members = [member("Pod", "web-1", "a"), member("ReplicaSet", "a", "b"), member("ReplicaSet", "b", "a")]

    _check(Snapshot.of(members, read_at=READ_AT))
