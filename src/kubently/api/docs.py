"""``/openapi.json`` and ``/docs``: a page made here, because behind a firewall none can load scripts from elsewhere."""

from __future__ import annotations

import html
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI

from kubently.api import requests
from kubently.schema import AuthMethods, ClusterDiagnosis, Command, FleetCommand, LoginRequest, NewSession, Outcome
from kubently.tunnel import Send

_REF = "#/components/schemas/{model}"
_FASTAPI_DEFAULT = "Successful Response"


def document(rest: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, the raw routes included."""
    description = dict(rest.openapi())
    schemas = description.setdefault("components", {}).setdefault("schemas", {})
    for model in (Command, FleetCommand, Outcome, ClusterDiagnosis, LoginRequest, NewSession, AuthMethods):
        schema = model.model_json_schema(ref_template=_REF)
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    description["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    description["security"] = [{"bearer": []}, {"key": []}]
    description["paths"] = {**_COMMAND_PATHS, **_LOGIN_PATHS, **description["paths"]}
    return description


def _ref(model: type) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}


_CLUSTER = {"name": "cluster_id", "in": "path", "required": True, "schema": {"type": "string"}}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string"},
    "description": "sent again with the same key within nine minutes, the command is answered, not run again",
}
_COMMAND_PATHS: Mapping[str, Any] = {
    "/api/v1/clusters/{cluster_id}/commands": {
        "post": {
            "tags": ["commands"],
            "summary": "Run a read-only kubectl command on one cluster",
            "description": "With Accept: application/x-ndjson the output comes line by line, the outcome last.",
            "parameters": [_CLUSTER, _KEY],
            "requestBody": {"required": True, "content": {"application/json": _ref(Command)}},
            "responses": {
                "200": {
                    "description": "How the command ended; an exit code other than 0 is a result, not an error",
                    "content": {"application/json": _ref(Outcome), "application/x-ndjson": {}},
                }
            },
        }
    },
    "/api/v1/commands": {
        "post": {
            "tags": ["commands"],
            "summary": "Run a read-only kubectl command on many clusters",
            "description": "NDJSON: first the clusters asked, then output and outcomes as they come.",
            "requestBody": {"required": True, "content": {"application/json": _ref(FleetCommand)}},
            "responses": {"200": {"description": "One object a line", "content": {"application/x-ndjson": {}}}},
        }
    },
    "/clusters/{cluster_id}/k8s/{path}": {
        "get": {
            "tags": ["kubernetes"],
            "summary": "The cluster's Kubernetes API, read-only",
            "parameters": [
                _CLUSTER,
                {"name": "path", "in": "path", "required": True, "schema": {"type": "string"}},
            ],
            "responses": {"200": {"description": "What the API server answers; refusals are Status objects"}},
        }
    },
}


_LOGIN_PATHS: Mapping[str, Any] = {
    "/.well-known/kubently-auth": {
        "get": {
            "tags": ["login"],
            "summary": "How to log in; needs no key",
            "security": [],
            "responses": {"200": {"description": "", "content": {"application/json": _ref(AuthMethods)}}},
        }
    },
    "/api/v1/login": {
        "post": {
            "tags": ["login"],
            "summary": "Exchange an ID token for a session; needs no key",
            "description": "Once for each ID token, within ten minutes of its making.",
            "security": [],
            "requestBody": {"required": True, "content": {"application/json": _ref(LoginRequest)}},
            "responses": {"201": {"description": "", "content": {"application/json": _ref(NewSession)}}},
        }
    },
}


async def _openapi(rest: FastAPI, send: Send) -> None:
    await requests.send_json(send, 200, document(rest))


async def _page(rest: FastAPI, send: Send) -> None:
    headers = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
    page = render(document(rest)).encode()
    await requests.send_json(send, 200, page, media_type="text/html; charset=utf-8", headers=headers)


PAGES: dict[str, Callable[[FastAPI, Send], Awaitable[None]]] = {"/openapi.json": _openapi, "/docs": _page}


def render(description: Mapping[str, Any]) -> str:
    """The document as one HTML page without scripts."""
    tags: dict[str, list[str]] = {}
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            tag = (operation.get("tags") or ["other"])[0]
            tags.setdefault(tag, []).append(_operation(path, method, operation))
    sections = "".join(f"<h2>{html.escape(tag)}</h2>{''.join(items)}" for tag, items in tags.items())
    schemas = "".join(_schema(name, s) for name, s in sorted(description["components"]["schemas"].items()))
    return _PAGE.format(version=html.escape(description["info"]["version"]), sections=sections, schemas=schemas)


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> str:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    answers = operation.get("responses", {}).get("200", operation.get("responses", {}).get("201", {}))
    answer = answers.get("content", {}).get("application/json", {}).get("schema", {})
    rows = "".join(_parameter(p) for p in operation.get("parameters", ()))
    if body:
        rows += f"<tr><td>body</td><td>{_type(body)}</td><td></td></tr>"
    if answer:
        note = answers.get("description", "").replace(_FASTAPI_DEFAULT, "")
        rows += f"<tr><td>answer</td><td>{_type(answer)}</td><td>{html.escape(note)}</td></tr>"
    table = f"<table>{rows}</table>" if rows else ""
    note = html.escape(operation.get("description", ""))
    return (
        f"<details><summary><b class={method}>{method.upper()}</b> <code>{html.escape(path)}</code> "
        f"<span>{html.escape(operation.get('summary', ''))}</span></summary><p>{note}</p>{table}</details>"
    )


def _parameter(parameter: Mapping[str, Any]) -> str:
    name, where = html.escape(parameter["name"]), html.escape(parameter["in"])
    note = html.escape(parameter.get("description", ""))
    return f"<tr><td>{name} <i>({where})</i></td><td>{_type(parameter.get('schema', {}))}</td><td>{note}</td></tr>"


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = html.escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"])
    if "enum" in schema:
        return html.escape(" | ".join(map(json.dumps, schema["enum"])))
    return html.escape(str(schema.get("type", "any")))


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    fields = schema.get("properties", {}).items()
    rows = "".join(_field(key, value, is_required=key in required) for key, value in fields)
    if "enum" in schema:
        rows = f"<tr><td>{_type(schema)}</td></tr>"
    note = html.escape(schema.get("description", "").partition("\n")[0])
    anchor = html.escape(name)
    summary = f"<summary><code>{anchor}</code> <span>{note}</span></summary>"
    # Open, because links lead here and a page without scripts cannot open it.
    return f'<details id="{anchor}" open>{summary}<table>{rows}</table></details>'


def _field(key: str, schema: Mapping[str, Any], *, is_required: bool) -> str:
    optional = "" if is_required else " <i>(optional)</i>"
    note = html.escape(schema.get("description", ""))
    return f"<tr><td>{html.escape(key)}{optional}</td><td>{_type(schema)}</td><td>{note}</td></tr>"


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Kubently API</title>
<style>
:root {{ color-scheme: light dark; --line: #8884; --soft: #888; }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.5rem; }} h2 {{ font-size: 1.1rem; margin-top: 2rem; text-transform: capitalize; }}
details {{ border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0; padding: .4rem .8rem; }}
summary {{ cursor: pointer; }} summary span {{ color: var(--soft); }} summary code {{ margin-right: .4rem; }}
details:target {{ border-color: #2a7de1; }}
b {{ display: inline-block; min-width: 4.5rem; font-size: .8rem; }}
.get {{ color: #2a7de1; }} .post {{ color: #1d9a5b; }} .delete {{ color: #d0433f; }}
table {{ border-collapse: collapse; table-layout: fixed; width: 100%; }}
td {{ border-top: 1px solid var(--line); padding: .3rem .5rem; vertical-align: top; overflow-wrap: anywhere; }}
td:first-child {{ width: 30%; }} td:nth-child(2) {{ width: 30%; }}
i {{ color: var(--soft); }} pre {{ background: #8881; padding: .8rem; border-radius: 6px; overflow-x: auto; }}
</style>
<h1>Kubently API {version}</h1>
<p>Send an API key as <code>Authorization: Bearer KEY</code>. Errors are problem documents (RFC 9457) with a stable
<code>code</code> and a <code>hint</code>. For programs this page is at <a href="/openapi.json">/openapi.json</a>.</p>
<pre>curl --cacert ca.crt -H "Authorization: Bearer $KUBENTLY_API_KEY" \\
  -H "Content-Type: application/json" -d '{{"argv": ["get", "pods", "-A"]}}' \\
  "$KUBENTLY_URL/api/v1/clusters/CLUSTER/commands"</pre>
{sections}
<h2>Types</h2>
{schemas}
</html>"""
