from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from kubently import analyzers
from kubently.analyzers import ANALYZERS, Analyzer, LogKey, Resource, Snapshot, analyzer, resources
from kubently.errors import ExecutorOfflineError
from kubently.kube import partial
from kubently.kubeclient import collect
from kubently.schema.findings import Finding

from .fake_apiserver import Apiserver, pod

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PODS, EVENTS, NODES = "/api/v1/pods", "/api/v1/events", "/api/v1/nodes"


def reading(*needs: Resource, needs_logs: bool = False) -> tuple[Analyzer, ...]:
    @analyzer("test", needs=needs, conditions=(), needs_logs=needs_logs)
    def silent(snapshot: Snapshot) -> Iterator[Finding]:
        yield from ()

    return (silent,)


def crashing(name: str, owner: str = "") -> dict[str, Any]:
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    last = {"terminated": {"exitCode": 1, "reason": "Error"}}
    member = pod(
        name, phase="Running", containerStatuses=[{"name": "app", "state": state, "lastState": last, "restartCount": 4}]
    )
    if owner:
        reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}
        member["metadata"]["ownerReferences"] = [reference]
    return member


async def test_only_what_analyzers_need_is_listed() -> None:
    apiserver = Apiserver({PODS: [pod("web-1")], EVENTS: [], NODES: []})

    snapshot = await collect(apiserver.client(), analyzers=reading(resources.PODS, resources.EVENTS), now=NOW)

    assert sorted(request.url.path for request in apiserver.requests) == ["/k8s" + EVENTS, "/k8s" + PODS]
    assert [member["metadata"]["name"] for member in snapshot.members(resources.PODS)] == ["web-1"]
    assert snapshot.is_complete(resources.PODS)


async def test_read_at_is_the_apiservers_date() -> None:
    apiserver = Apiserver({PODS: []})

    snapshot = await collect(apiserver.client(), analyzers=reading(resources.PODS), now=NOW)

    assert snapshot.read_at == datetime(2026, 3, 2, 10, tzinfo=UTC)


async def test_read_at_is_now_if_the_apiserver_tells_no_date() -> None:
    apiserver = Apiserver({PODS: []})
    apiserver.headers = {}

    snapshot = await collect(apiserver.client(), analyzers=reading(resources.PODS), now=NOW)

    assert snapshot.read_at == NOW


async def test_a_refused_list_is_a_blind_entry() -> None:
    apiserver = Apiserver({PODS: []})
    apiserver.refused["/api/v1/secrets"] = 403

    snapshot = await collect(
        apiserver.client(), analyzers=reading(resources.PODS, resources.SECRETS, resources.INGRESSES), now=NOW
    )

    assert {gap.resource: gap.reason.partition(":")[0] for gap in snapshot.blind} == {
        "secrets": "forbidden",
        "ingresses.networking.k8s.io": "not served by this cluster",
    }
    assert not snapshot.is_complete(resources.SECRETS)


async def test_a_refusal_of_everything_is_an_answer() -> None:
    apiserver = Apiserver({})
    apiserver.refused[PODS] = 403

    snapshot = await collect(apiserver.client(), analyzers=reading(resources.PODS), now=NOW)

    assert [gap.resource for gap in snapshot.blind] == ["pods"]


async def test_an_unreachable_cluster_is_an_error() -> None:
    apiserver = Apiserver({})
    apiserver.failing = {PODS: ExecutorOfflineError("no executor is connected"), NODES: ExecutorOfflineError("none")}

    with pytest.raises(ExecutorOfflineError):
        await collect(apiserver.client(), analyzers=reading(resources.PODS, resources.NODES), now=NOW)


async def test_a_connection_that_breaks_later_is_a_blind_entry() -> None:
    apiserver = Apiserver({PODS: []})
    apiserver.failing = {NODES: httpx.ReadError("connection reset")}

    snapshot = await collect(apiserver.client(), analyzers=reading(resources.PODS, resources.NODES), now=NOW)

    assert [(gap.resource, gap.reason) for gap in snapshot.blind] == [("nodes", "connection reset")]


async def test_the_object_limit_ends_lists_and_is_told() -> None:
    apiserver = Apiserver({PODS: [pod(f"web-{index}") for index in range(10)]}, page=3)

    snapshot = await collect(apiserver.client(), analyzers=reading(resources.PODS), now=NOW, max_objects=5)

    assert len(snapshot.members(resources.PODS)) == 6
    assert not snapshot.is_complete(resources.PODS)
    assert snapshot.blind[0].reason == "only 6 were read, about 4 more exist: the limit is 5 objects in all"


async def test_a_slow_list_costs_only_itself() -> None:
    apiserver = Apiserver({PODS: [pod("web-1")]})
    apiserver.slow.add(EVENTS)

    snapshot = await collect(
        apiserver.client(), analyzers=reading(resources.PODS, resources.EVENTS), now=NOW, timeout=0.05
    )

    assert len(snapshot.members(resources.PODS)) == 1
    assert [(gap.resource, gap.reason) for gap in snapshot.blind] == [("events", "not read within 0.05 s")]


async def test_at_most_eight_requests_are_in_flight() -> None:
    apiserver = Apiserver({})

    await collect(apiserver.client(), analyzers=ANALYZERS, now=NOW)

    assert apiserver.most_in_flight <= 8


async def test_logs_are_read_of_one_failing_pod_for_each_owner() -> None:
    members = [crashing("web-1", "web"), crashing("web-2", "web"), crashing("tool"), pod("fine", phase="Running")]
    apiserver = Apiserver({PODS: members})
    apiserver.texts["/api/v1/namespaces/shop/pods/web-1/log?previous"] = "panic: web\n"
    apiserver.texts["/api/v1/namespaces/shop/pods/tool/log?previous"] = "panic: tool\n"

    snapshot = await collect(apiserver.client(), analyzers=reading(resources.PODS, needs_logs=True), now=NOW)

    assert dict(snapshot.logs) == {
        LogKey("shop", "web-1", "app", previous=True): "panic: web\n",
        LogKey("shop", "tool", "app", previous=True): "panic: tool\n",
    }


async def test_of_a_container_that_runs_well_only_what_it_says_now_is_read() -> None:
    def stored(kind: str, name: str, **spec: Any) -> dict[str, Any]:
        metadata = {"name": name, "namespace": "shop", "creationTimestamp": "2026-03-01T09:00:00Z"}
        return {"kind": kind, "metadata": metadata, "spec": spec}

    labels, variable = {"app": "cart"}, {"name": "CART_ADDR", "value": "cart:8080"}
    caller = stored("Pod", "web-1", containers=[{"name": "app", "env": [variable]}])
    running = {"name": "app", "ready": True, "state": {"running": {"startedAt": "2026-03-01T09:00:00Z"}}}
    caller["status"] = {"conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [running]}
    stopped = stored("Deployment", "cart", replicas=0, selector={"matchLabels": labels})
    stopped["spec"]["template"] = {"metadata": {"labels": labels}}
    apiserver = Apiserver(
        {
            PODS: [caller],
            "/api/v1/services": [stored("Service", "cart", selector=labels)],
            "/apis/apps/v1/deployments": [stopped],
        }
    )
    apiserver.texts["/api/v1/namespaces/shop/pods/web-1/log"] = "dial tcp: cart:8080: connection refused\n"

    report = analyzers.diagnose(await collect(apiserver.client(), analyzers=ANALYZERS, now=NOW))

    assert [(item.code, item.severity.value) for item in report.findings] == [("workload/scaled-to-zero", "outage")]
    (asked,) = (request for request in apiserver.requests if request.url.path.endswith("/log"))
    assert asked.url.params["sinceSeconds"] == "900"


async def test_a_log_that_cannot_be_read_is_a_blind_entry() -> None:
    apiserver = Apiserver({PODS: [crashing("web-1")]})

    snapshot = await collect(apiserver.client(), analyzers=reading(resources.PODS, needs_logs=True), now=NOW)

    assert [gap.resource for gap in snapshot.blind] == ["logs shop/web-1 app"]


async def test_logs_are_bounded_by_containers() -> None:
    apiserver = Apiserver({PODS: [crashing(f"tool-{index}") for index in range(60)]})

    await collect(apiserver.client(), analyzers=reading(resources.PODS, needs_logs=True), now=NOW)

    assert len([request for request in apiserver.requests if request.url.path.endswith("/log")]) == 50


async def test_no_logs_are_read_if_no_analyzer_wants_them() -> None:
    apiserver = Apiserver({PODS: [crashing("web-1")]})

    await collect(apiserver.client(), analyzers=reading(resources.PODS), now=NOW)

    assert len(apiserver.requests) == 1


async def test_a_collected_snapshot_is_diagnosed() -> None:
    apiserver = Apiserver({PODS: [crashing("web-1")]})
    apiserver.texts["/api/v1/namespaces/shop/pods/web-1/log?previous"] = "ERROR no database\n"

    report = analyzers.diagnose(await collect(apiserver.client(), analyzers=ANALYZERS, now=NOW))

    assert [item.code for item in report.findings] == ["pod/crash-loop"]
    assert "no database" in report.findings[0].title
    assert "secrets" in {gap.resource for gap in report.coverage.blind}


async def test_a_namespace_that_is_refused_leaves_the_others() -> None:
    shop, bank = (f"/api/v1/namespaces/{name}/pods" for name in ("shop", "bank"))
    apiserver = Apiserver({shop: [pod("web-1")]})
    apiserver.refused[bank] = 403

    snapshot = await collect(
        apiserver.client(), analyzers=reading(resources.PODS), now=NOW, namespaces=["shop", "bank"]
    )

    assert [member["metadata"]["name"] for member in snapshot.members(resources.PODS)] == ["web-1"]
    assert not snapshot.is_complete(resources.PODS, "shop")
    assert [gap.reason.partition(": ")[0] for gap in snapshot.blind] == ["namespace bank"]


async def test_addons_are_listed_where_the_cluster_serves_them_and_not_missed_elsewhere() -> None:
    apiserver = Apiserver({"/apis/cert-manager.io/v1/certificates": []})
    versions = [{"groupVersion": "cert-manager.io/v1", "version": "v1"}]
    groups = {"kind": "APIGroupList", "groups": [{"name": "cert-manager.io", "versions": versions}]}
    apiserver.texts["/apis"] = json.dumps(groups)
    needed = reading(resources.CERTIFICATES, resources.ARGO_APPLICATIONS)

    snapshot = await collect(apiserver.client(), analyzers=needed, now=NOW)

    paths = [request.url.path for request in apiserver.requests]
    assert paths == ["/k8s/apis", "/k8s/apis/cert-manager.io/v1/certificates"]
    assert snapshot.blind == ()
    assert analyzers.diagnose(snapshot, needed).coverage.blind == ()


async def test_addons_are_blind_where_nobody_says_what_there_is() -> None:
    apiserver = Apiserver({})
    apiserver.refused["/apis"] = 403

    snapshot = await collect(apiserver.client(), analyzers=reading(resources.CERTIFICATES), now=NOW)

    assert [gap.resource for gap in snapshot.blind] == ["apis"]


async def test_what_an_archive_says_that_it_lacks_is_a_gap_and_no_proof() -> None:
    names = frozenset(f"ns-{number}" for number in range(7))
    apiserver = Apiserver({PODS: [pod("web-1")]})
    apiserver.headers |= {"warning": partial.warning(partial.Partial("the bundle may lack pods", names))}

    snapshot = await collect(apiserver.client(), analyzers=reading(resources.PODS), now=NOW)

    (gap,) = snapshot.blind
    assert gap.resource == "pods"
    assert gap.reason == "the bundle may lack pods beyond the namespaces ns-0, ns-1, ns-2, ns-3, ns-4 and 2 more"
    assert len(snapshot.members(resources.PODS)) == 1
    assert snapshot.is_complete(resources.PODS, "ns-6")
    assert not snapshot.is_complete(resources.PODS, "shop")
    assert not snapshot.is_complete(resources.PODS)


async def test_a_list_that_was_cut_short_is_whole_nowhere() -> None:
    apiserver = Apiserver({PODS: [pod(f"web-{number}") for number in range(5)]}, page=2)
    apiserver.headers |= {"warning": partial.warning(partial.Partial("x", frozenset({"shop"})))}

    snapshot = await collect(apiserver.client(), analyzers=reading(resources.PODS), now=NOW, max_objects=2)

    assert not snapshot.is_complete(resources.PODS, "shop")
