"""Continuous diagnosis of a real cluster: findings come and go, through restarts and cuts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import content
from tests.e2e.harness import ApiProcess, Cli, Fleet
from tests.testbed.cluster import Cluster
from tests.testbed.processes import until
from tests.testbed.redis_servers import RedisServer

NAMESPACE = "ward"
LOOPING = "pod/crash-loop"
QUICK = {"KUBENTLY_CONTINUOUS_INTERVAL": "1", "KUBENTLY_FINDINGS_RESOLVE_AFTER": "1"}

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def watched(alpha: Cluster, folder: Path) -> Iterator[Fleet]:
    """An API of its own that watches alpha, quick to conclude."""
    extra = {**QUICK, "KUBENTLY_CONTINUOUS": "env=prod"}
    alpha.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    api = ApiProcess(folder / "continuous" / "api", extra=extra)
    fleet = Fleet(api, Cli.of(api, folder / "continuous" / "home"), folder / "continuous" / "executors")
    try:
        api.start()
        fleet.add("alpha", alpha.kubeconfig(content.EXECUTOR), labels="env=prod")
        fleet.add("other", alpha.kubeconfig(content.EXECUTOR), labels="env=test")
        api.wait_connected("alpha", "other")
        yield fleet
    finally:
        fleet.stop()


@pytest.fixture
def replicas(alpha: Cluster, folder: Path) -> Iterator[tuple[Fleet, Fleet]]:
    """Two APIs on one Redis, and an executor of alpha's at each."""
    alpha.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    with RedisServer(folder / "replicas" / "redis", password="of-the-store") as redis, ExitStack() as stack:
        store = {"KUBENTLY_STORE": redis.url, "KUBENTLY_STORE_PASSWORD": redis.password}
        one, other = (_replica(folder / "replicas" / name, store) for name in ("one", "other"))
        for fleet in (one, other):
            stack.callback(fleet.stop)
            fleet.api.start()
        first = one.add("alpha", alpha.kubeconfig(content.EXECUTOR))
        other.executors["alpha"] = replace(first, api=other.api, folder=other.folder)
        other.executors["alpha"].start()
        until(lambda: _has_session(one) and _has_session(other), "a session at each", timeout=30)
        yield one, other


def _replica(folder: Path, store: Mapping[str, str]) -> Fleet:
    api = ApiProcess(folder / "api", extra={**QUICK, **store, "KUBENTLY_CONTINUOUS": "all"})
    return Fleet(api, Cli.of(api, folder / "home"), folder / "executors")


def _has_session(fleet: Fleet) -> bool:
    return sum(value for name, value in _metrics(fleet).items() if name.startswith("kubently_tunnel_connections")) >= 1


def records(fleet: Fleet, pod: str, *, state: str = "all") -> list[dict[str, Any]]:
    """What the history says of a pod's crash loop."""
    page = fleet.api.client().get(f"/api/v1/findings?cluster=alpha&state={state}&namespace={NAMESPACE}")
    return [record for record in page["findings"] if record["code"] == LOOPING and record["objects"][0]["name"] == pod]


def make(cluster: Cluster, name: str) -> None:
    """A pod that runs."""
    container = {"name": "app", "image": "registry.example/app:1.0"}
    metadata = {"name": name, "namespace": NAMESPACE}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}})
    cluster.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "-n", NAMESPACE, "--timeout=30s")


def shatter(cluster: Cluster, name: str) -> None:
    """Let its container crash again and again."""
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}
    last = {"terminated": {"exitCode": 1, "reason": "Error"}}
    _set(cluster, name, ready=False, restartCount=7, state={"waiting": waiting}, lastState=last)


def mend(cluster: Cluster, name: str) -> None:
    """Let it run again, for a long time already."""
    started = {"startedAt": "2026-01-01T00:00:00Z"}
    _set(cluster, name, ready=True, restartCount=7, state={"running": started}, lastState={})


def _set(cluster: Cluster, name: str, *, ready: bool, **status: Any) -> None:
    fixed = {"name": "app", "image": "registry.example/app:1.0", "imageID": "", "started": ready, "ready": ready}
    conditions = [{"type": kind, "status": str(ready)} for kind in ("Ready", "ContainersReady")]
    cluster.set_pod_status(NAMESPACE, name, {"containerStatuses": [fixed | status], "conditions": conditions})


def test_a_finding_comes_and_goes_and_a_diagnosis_says_what_is_new(watched: Fleet, alpha: Cluster) -> None:
    make(alpha, "patient")
    before = watched.cli("diagnose", "alpha", "-o", "json").out
    shatter(alpha, "patient")
    until(lambda: records(watched, "patient", state="open"), "the finding", timeout=30)

    shown = watched.cli("findings", "alpha", "-n", NAMESPACE).out
    live = json.loads(watched.cli("diagnose", "alpha", "--since", "1m", "-n", NAMESPACE, "-o", "json").out)[0]
    mend(alpha, "patient")
    until(lambda: records(watched, "patient", state="resolved"), "its end", timeout=30)
    after = json.loads(watched.cli("diagnose", "alpha", "--since", "1m", "-n", NAMESPACE, "-o", "json").out)[0]

    assert "patient" not in before
    assert LOOPING in shown
    assert "last diagnosed" in shown
    diagnosis = live["diagnosis"]
    looping = next(item for item in diagnosis["findings"] if item["code"] == LOOPING)
    assert looping["first_seen"]
    assert looping["id"] in diagnosis["since"]["new"]
    record = records(watched, "patient")[0]
    assert record["first_seen"] <= record["last_seen"] <= record["resolved_at"]
    assert record["id"] in {resolved["id"] for resolved in after["diagnosis"]["since"]["resolved"]}


def test_the_history_outlives_the_api_and_an_outage_of_the_apiserver(watched: Fleet, alpha: Cluster) -> None:
    make(alpha, "veteran")
    shatter(alpha, "veteran")
    until(lambda: records(watched, "veteran", state="open"), "the finding", timeout=30)
    first = records(watched, "veteran")[0]["first_seen"]

    watched.api.kill()
    watched.api.start()
    alpha.stop("kube-apiserver")
    alpha.start("kube-apiserver")
    alpha.wait_api()
    watched.api.wait_connected("alpha")
    kept = records(watched, "veteran", state="open")
    mend(alpha, "veteran")
    until(lambda: records(watched, "veteran", state="resolved"), "its end", timeout=60)
    shatter(alpha, "veteran")
    until(lambda: records(watched, "veteran", state="open"), "its return", timeout=30)

    back = records(watched, "veteran")[0]
    assert [record["first_seen"] for record in kept] == [first]
    assert (back["first_seen"], back["recurrences"]) == (first, 1)
    assert back["began_at"] > first


def test_an_idle_cluster_is_asked_nothing_beyond_its_watches(watched: Fleet, alpha: Cluster) -> None:
    make(alpha, "witness")
    analysed = _analysed(watched)
    until(lambda: _analysed(watched) > analysed, "an analysis", timeout=30)
    since = alpha.audit_position()
    shatter(alpha, "witness")
    until(lambda: records(watched, "witness", state="open"), "the finding", timeout=30)

    asked = [record for record in alpha.audit(user=content.EXECUTOR, since=since) if record.stage != "ResponseStarted"]

    # The one thing to ask for is the log of what broke; a watch that ends by the way is begun again.
    assert {record.subresource for record in asked if record.verb != "watch"} <= {"log"}
    assert not [record for record in asked if record.verb == "list"]


def test_a_cluster_that_was_not_chosen_is_not_watched(watched: Fleet) -> None:
    page = watched.api.client().get("/api/v1/findings?cluster=other&state=all")
    refused = watched.cli("diagnose", "other", "--since", "1h")

    assert page["findings"] == []
    assert page["clusters"][0]["is_on"] is False
    assert refused.code == 69
    assert "not diagnosed continuously" in refused.err


def test_metrics_tell_of_findings_and_watches(watched: Fleet) -> None:
    text = _metrics(watched)

    assert sum(value for name, value in text.items() if name.startswith('kubently_findings{cluster="alpha"')) >= 1
    assert text["kubently_continuous_clusters"] == 1
    assert text['kubently_continuous_objects{cluster="alpha"}'] > 50
    assert sum(value for name, value in text.items() if name.startswith("kubently_findings_found_total")) >= 1


def test_a_replica_goes_on_with_the_history_of_one_that_died(replicas: tuple[Fleet, Fleet], alpha: Cluster) -> None:
    until(lambda: sum(map(_watched, replicas)) == 1, "one of them watches", timeout=30)
    dying, heir = sorted(replicas, key=_watched, reverse=True)
    make(alpha, "orphan")
    shatter(alpha, "orphan")
    until(lambda: records(heir, "orphan", state="open"), "the finding, at the one that does not watch", timeout=30)
    first = records(heir, "orphan")[0]["first_seen"]

    dying.api.kill()
    until(lambda: _watched(heir) == 1, "the other watches", timeout=60)
    mend(alpha, "orphan")
    until(lambda: records(heir, "orphan", state="resolved"), "its end", timeout=60)

    (record,) = records(heir, "orphan")
    assert (record["first_seen"], record["recurrences"]) == (first, 0)


def _watched(fleet: Fleet) -> float:
    return _metrics(fleet)["kubently_continuous_clusters"]


def _analysed(fleet: Fleet) -> str:
    page = fleet.api.client().get("/api/v1/findings?cluster=alpha")
    return str(page["clusters"][0].get("analysed_at") or "")


def _metrics(fleet: Fleet) -> Mapping[str, float]:
    body, _ = fleet.api.client().fetch("/metrics", limit=1024 * 1024)
    pairs = (line.rpartition(" ") for line in body.decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}
