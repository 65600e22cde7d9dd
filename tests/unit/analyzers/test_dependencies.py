"""Which Service a failing pod's words are about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kubently.analyzers import LogKey, Snapshot
from kubently.analyzers.dependencies import Dependencies
from kubently.schema.findings import ResourceRef

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
WEB = ResourceRef(kind="Pod", namespace="shop", name="web")
RUNNING = {"running": {"startedAt": "2026-03-02T09:00:00Z"}}
ENDED = {"terminated": {"exitCode": 1, "reason": "Error"}}


def service(name: str, address: str, *, namespace: str = "shop", **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "uid": f"s-{namespace}-{name}"}
    spec = {"clusterIP": address, "selector": {"app": name}, **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def pod(name: str, *, ready: bool = False, **container: Any) -> dict[str, Any]:
    status = {"name": "main", "ready": ready, "state": {"running": {}}, "lastState": ENDED}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": f"p-{name}", "labels": {"app": name}},
        "spec": {"containers": [{"name": "main", **container}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [status],
        },
    }


SERVICES = (
    service("web", "10.96.0.1"),
    service("db", "10.96.0.2", clusterIPs=["10.96.0.2", "fd00::2"]),
    service("queue", "None", namespace="data"),
    service("cache", "10.96.0.4"),
    service("elsewhere", "", type="ExternalName"),
)


def missed(log: str, *others: dict[str, Any], **container: Any) -> list[str]:
    members = [*SERVICES, pod("web", **container), pod("cache", ready=True), *others]
    logs = {LogKey("shop", "web", "main", True): log}
    return [str(ref) for ref in Dependencies(Snapshot.of(members, read_at=NOW, logs=logs)).missed_by(WEB)]


@pytest.mark.parametrize(
    "line",
    [
        "panic: dial tcp 10.96.0.2:5432: connect: connection refused",
        "Error: connect ECONNREFUSED 10.96.0.2:5432",
        "Error: getaddrinfo EAI_AGAIN db",
        'FATAL: could not translate host name "db" to address: Temporary failure in name resolution',
        'Is the server running on host "db" (10.1.1.1) and accepting TCP/IP connections on port 5432?',
        "dial tcp: lookup db on 10.96.0.10:53: no such host",
        "Caused by: java.net.UnknownHostException: db: Name or service not known",
        "com.mysql.jdbc: Can't connect to MySQL server on 'db' (115)",
        "redis: Error 111 connecting to db:6379. Connection refused.",
        "requests: HTTPConnectionPool(host='db', port=80): Max retries exceeded (Connection refused)",
        "nc: bad address 'db'",
        "org.postgresql.PSQLException: Connection to db.shop.svc.cluster.local:5432 refused",
        "connection to postgres://app:***@db/shop timed out",
        "waiting for db ...",
    ],
)
def test_a_line_about_a_failed_connection_names_the_service(line: str) -> None:
    assert missed(f"INFO begin\n{line}\n") == ["Service shop/db"]


@pytest.mark.parametrize(
    "line",
    [
        "amqp: dial tcp: lookup queue.data on 10.96.0.10:53: no such host",
        "connect to queue.data.svc:5672 failed: timed out",
        "connect to queue-0.queue.data.svc.cluster.local:5672 failed: timed out",
    ],
)
def test_another_namespace_and_a_pod_behind_a_headless_service_are_known(line: str) -> None:
    assert missed(line) == ["Service data/queue"]


@pytest.mark.parametrize(
    "line",
    [
        "connection to cache:6379 refused",
        "connection to queue:5672 refused",
        "connection to db.example.com:5432 refused",
        "connection to elsewhere:80 refused",
        "listening on web:8080, refused nothing",
        "GET /orders from db:5432 took 3 ms",
        "refused: the db table is locked",
    ],
    ids=["served", "other-namespace", "outside", "external", "its-own", "no-trouble", "no-host"],
)
def test_other_words_name_nothing(line: str) -> None:
    assert missed(line) == []


def test_a_line_without_a_host_leaves_it_to_the_variables() -> None:
    variables = [{"name": "DB", "value": "db:5432"}, {"name": "CACHE", "value": "cache:6379"}]

    for line in ("java.net.ConnectException: Connection refused", "2026-03-02T09:57:10.1Z [09:57:10] it timed out"):
        assert missed(line, env=variables) == ["Service shop/db"]
    assert missed("disk is full", env=variables) == []
    assert missed("connection to payments.example.com:443 refused", env=variables) == []


def test_what_a_working_init_container_is_told_to_wait_for_counts() -> None:
    waits = pod("web")
    waits["metadata"] |= {"name": "web-2", "uid": "p-web-2"}
    waits["spec"]["initContainers"] = [
        {"name": "wait", "command": ["sh", "-c", "until nc -z db 5432; do sleep 1; done"]}
    ]
    waits["status"]["initContainerStatuses"] = [{"name": "wait", "ready": False, "state": RUNNING}]
    waits["status"]["containerStatuses"] = []
    found = Dependencies(Snapshot.of([*SERVICES, waits], read_at=NOW))

    assert [str(ref) for ref in found.missed_by(WEB.model_copy(update={"name": "web-2"}))] == ["Service shop/db"]
