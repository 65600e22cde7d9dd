"""A small archive, built in memory, and requests to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from kubently.archive import answers, app, asked, catalog, format

NOW = datetime(2026, 11, 18, 12, 0, 0, tzinfo=UTC)


def thing(kind: str, name: str, namespace: str = "", *, api_version: str = "v1", **fields: Any) -> dict[str, Any]:
    """Return an object with what every stored object has."""
    metadata: dict[str, Any] = {
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": "7",
        "creationTimestamp": "2026-11-18T11:00:00Z",
        **fields.pop("metadata", {}),
    }
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def pod(
    name: str, namespace: str = "shop", *, labels: Mapping[str, str] | None = None, **status: Any
) -> dict[str, Any]:
    """Return a pod of one container named main that runs on node n1, unless *status* says otherwise."""
    return thing(
        "Pod",
        name,
        namespace,
        metadata={"labels": dict(labels or {})},
        spec={"nodeName": "n1", "containers": [{"name": "main", "image": "x:1"}]},
        status={"phase": "Running", **status},
    )


def container_status(name: str = "main", **fields: Any) -> dict[str, Any]:
    """Return the status of a running, ready container, unless *fields* say otherwise."""
    running = {"state": {"running": {"startedAt": "2026-11-18T11:00:01Z"}}, "lastState": {}}
    return {"name": name, "ready": True, "restartCount": 0, **running, **fields}


def archive(
    *items: dict[str, Any],
    logs: Mapping[format.LogKey, bytes] | None = None,
    resources: tuple[catalog.Resource, ...] = (*catalog.BUILTIN, *catalog.REVIEWS),
    resource_version: int = 9,
) -> format.Archive:
    """Return an archive of these objects, which may come in any order."""
    plurals = {(item.group, item.kind): item.plural for item in resources}
    by_type: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for item in items:
        group = item["apiVersion"].rpartition("/")[0]
        by_type.setdefault((group, plurals[group, item["kind"]]), []).append(item)
    return format.Archive(
        name="sample",
        title="a sample",
        version="v1.36.3",
        captured_at=NOW,
        labels={},
        resources=resources,
        by_type={key: tuple(sorted(found, key=format.sort_key)) for key, found in by_type.items()},
        logs=logs or {},
        resource_version=resource_version,
    )


def get(found: format.Archive, path: str, accept: str = "application/json", **headers: str) -> answers.Answer:
    """Return the answer to a GET; *path* may have a query."""
    path, _, query = path.partition("?")
    return app.decide(found, asked.Asked("GET", path, asked.parse_query(query), {"accept": accept, **headers}))


def body(answer: answers.Answer) -> bytes:
    """Return the whole body of an answer."""
    return b"".join(answer.chunks)


def get_json(found: format.Archive, path: str, accept: str = "application/json") -> dict[str, Any]:
    """Return what a GET answers."""
    decoded: dict[str, Any] = json.loads(body(get(found, path, accept)))
    return decoded


def names(document: Mapping[str, Any]) -> list[str]:
    """Return the names of a list's members."""
    return [item["metadata"]["name"] for item in document["items"]]
