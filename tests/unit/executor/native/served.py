"""An API server behind the policy that is a table of paths and answers; what is asked of it is remembered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from kubently.executor.caller import Caller
from kubently.executor.native.asking import Asker, Budget, Held

CORE = {
    "kind": "APIGroupDiscoveryList",
    "items": [
        {
            "metadata": {},
            "versions": [
                {
                    "version": "v1",
                    "resources": [
                        {
                            "resource": plural,
                            "singularResource": kind.lower(),
                            "scope": scope,
                            "responseKind": {"kind": kind},
                            "shortNames": [short],
                        }
                        for plural, kind, scope, short in (
                            ("pods", "Pod", "Namespaced", "po"),
                            ("services", "Service", "Namespaced", "svc"),
                            ("nodes", "Node", "Cluster", "no"),
                        )
                    ],
                }
            ],
        }
    ],
}
GROUPS: dict[str, Any] = {"kind": "APIGroupDiscoveryList", "items": []}


class Served:
    """Stands in for `KubeApi`."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = {"/api": CORE, "/apis": GROUPS, **answers}
        self.asked: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self.warnings: list[bytes] = []

    async def serve(self, scope: Any, receive: Any, send: Any, *, path: bytes, caller: Caller) -> None:
        """Answer as `KubeApi.serve` does; an exception in the table is raised after the first half of a body."""
        query = dict(parse_qsl(scope["query_string"].decode()))
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append((path.decode(), query, headers))
        key = path.decode() + (f"?continue={query['continue']}" if "continue" in query else "")
        answer = self.answers.get(key, status(404, "NotFound", f"{key} not found"))
        code = answer["code"] if isinstance(answer, dict) and answer.get("kind") == "Status" else 200
        fields = [(b"warning", value) for value in self.warnings]
        await send({"type": "http.response.start", "status": code, "headers": fields})
        if isinstance(answer, Exception):
            await send({"type": "http.response.body", "body": b'{"half": ', "more_body": True})
            raise answer
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        await send({"type": "http.response.body", "body": body})

    @property
    def paths(self) -> list[str]:
        """What was asked, without discovery."""
        return [path for path, _, _ in self.asked if path not in ("/api", "/apis")]

    def asker(self, *, limit: int = 1_000_000) -> Asker:
        """One that asks here."""
        return Asker(self, Caller(), Held(Budget(limit), limit))  # type: ignore[arg-type]


def status(code: int, reason: str, message: str) -> dict[str, Any]:
    """A refusal."""
    return {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code}


def table(*names: str, namespace: str = "shop", more: str = "", columns: int = 1) -> dict[str, Any]:
    """A Table of objects with these names."""
    definitions = [{"name": "Name", "type": "string", "format": "name", "priority": 0}]
    definitions += [{"name": f"Wide {n}", "type": "integer", "format": "", "priority": n} for n in range(1, columns)]
    metadata = {"resourceVersion": "1", **({"continue": more} if more else {})}
    rows = [
        {
            "cells": [name, *range(1, columns)],
            "object": {"metadata": {"name": name, "namespace": namespace, "labels": {"app": name[:1], "a/b": "c"}}},
        }
        for name in names
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": rows,
    }
