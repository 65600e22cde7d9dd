from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kubently.analyzers import LogKey, LogsWanted, Snapshot, logs_wanted

RUNNING = {"running": {"startedAt": "2026-03-02T09:00:00Z"}}
ENDED = {"terminated": {"exitCode": 1, "reason": "Error"}}
DONE = {"terminated": {"exitCode": 0, "reason": "Completed"}}
LOOPING = {"waiting": {"reason": "CrashLoopBackOff"}}


def wanted(status: dict[str, Any], *, phase: str = "Running") -> list[bool]:
    """Return for each log to read of one container whether it is the previous run's."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web-1", "namespace": "shop"},
        "status": {"phase": phase, "containerStatuses": [{"name": "app", **status}]},
    }
    groups = logs_wanted(Snapshot.of([pod], read_at=datetime(2026, 3, 2, tzinfo=UTC)), limit=50)
    keys = [key for group in groups for key in group.keys]
    assert all(key == LogKey("shop", "web-1", "app", key.previous) for key in keys)
    return [key.previous for key in keys]


@pytest.mark.parametrize(
    ("status", "previous"),
    [
        ({"state": LOOPING, "lastState": ENDED}, [True]),
        ({"state": LOOPING, "lastState": DONE}, [True]),
        ({"state": ENDED, "restartCount": 0}, [False]),
        ({"state": DONE, "restartCount": 3}, [False]),
        ({"state": DONE, "restartCount": 0}, []),
        ({"state": RUNNING, "lastState": ENDED, "ready": True}, [True, False]),
        ({"state": RUNNING, "ready": False}, [False]),
        ({"state": RUNNING, "ready": True}, []),
        ({"state": {"waiting": {"reason": "ImagePullBackOff"}}}, []),
    ],
)
def test_logs_of_the_run_that_failed_are_wanted(status: dict[str, Any], previous: list[bool]) -> None:
    assert wanted(status) == previous


def test_logs_of_finished_pods_are_not() -> None:
    assert wanted({"state": ENDED}, phase="Succeeded") == []


def test_logs_of_ready_callers_are_wanted_where_a_service_leads_nowhere() -> None:
    def meta(name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "namespace": "shop", "creationTimestamp": "2026-03-01T09:00:00Z", **more}

    def caller(name: str, address: str) -> dict[str, Any]:
        spec = {"containers": [{"name": "app", "env": [{"name": "CART_ADDR", "value": address}]}]}
        status = {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "app", "ready": True, "state": RUNNING}],
        }
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta(name), "spec": spec, "status": status}

    template = {"metadata": {"labels": {"app": "cart"}}, "spec": {"containers": []}}
    stopped = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta("cart")}
    stopped["spec"] = {"replicas": 0, "selector": {"matchLabels": {"app": "cart"}}, "template": template}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": meta("cart"), "spec": {"selector": {"app": "cart"}}}
    members = [stopped, service, caller("web-1", "cart:8080"), caller("mail-1", "smtp:25")]

    groups = logs_wanted(Snapshot.of(members, read_at=datetime(2026, 3, 2, tzinfo=UTC)), limit=50)

    assert groups == (LogsWanted((LogKey("shop", "web-1", "app", previous=False),), timedelta(minutes=15)),)
    assert groups[0].since_seconds == 900


def test_all_of_the_log_of_a_container_that_failed_counts() -> None:
    status = {"containerStatuses": [{"name": "app", "ready": True, "state": RUNNING, "lastState": ENDED}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-1", "namespace": "shop"}, "status": status}

    [group] = logs_wanted(Snapshot.of([pod], read_at=datetime(2026, 3, 2, tzinfo=UTC)), limit=50)

    assert group.since_seconds is None
