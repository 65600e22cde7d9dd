"""OpenAPI documents for `kubectl explain`: the fields of the served kinds with words of our own.

``fields.yaml`` holds names and types, ``words.yaml`` what the main ones mean; custom resources bring their own schema.
A group version's document holds its paths, as far as a client needs them to find a kind, and every type it refers to.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from kubently.archive import answers, asked, catalog, format

_FOLDER = Path(__file__).resolve().parent
_PREFIXES = {
    "meta": "io.k8s.apimachinery.pkg.apis.meta.v1",
    "apiextensions": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1",
    "apiregistration": "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1",
    "autoscaling": "io.k8s.api.autoscaling.v2",
}
_SCALARS: Mapping[str, Mapping[str, Any]] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "instant": {"type": "string", "format": "date-time"},
    "bytes": {"type": "string", "format": "byte"},
    "object": {"type": "object"},
    "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    "Quantity": {"$ref": "io.k8s.apimachinery.pkg.api.resource.Quantity"},
    "IntOrString": {"$ref": "io.k8s.apimachinery.pkg.util.intstr.IntOrString"},
}
_SHARED: Mapping[str, Mapping[str, Any]] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {
        "description": "A number with a unit, such as 500m, 2 or 128Mi.",
        "type": "string",
    },
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {
        "description": "A whole number, or text such as a percentage or the name of a port.",
        "type": "string",
        "format": "int-or-string",
    },
}
_V3, _V2 = "#/components/schemas/", "#/definitions/"


def as_document(archive: format.Archive, request: asked.Asked) -> answers.Answer:
    """Answer /openapi/v2, /openapi/v3 and the documents below it."""
    path = request.path.rstrip("/")
    if path == "/openapi/v2":
        if "application/json" not in (accept := request.headers.get("accept", "*/*")) and "*/*" not in accept:
            raise answers.RefusedError(406, "NotAcceptable", "OpenAPI v2 is only there as application/json")
        return _cached(request, _swagger(archive))
    documents = {_name(item): item for item in archive.resources if item not in catalog.METRICS}
    if path == "/openapi/v3":
        listed = {name: {"serverRelativeURL": _address(archive, item)} for name, item in documents.items()}
        return answers.answer({"paths": listed})
    found = documents.get(path.removeprefix("/openapi/v3/"))
    if found is None:
        return answers.Answer(404, (b"404 page not found\n",), answers.TEXT)
    return _cached(request, _document(archive, found.group, found.version))


def _name(resource: catalog.Resource) -> str:
    return f"apis/{resource.api_version}" if resource.group else f"api/{resource.version}"


def _address(archive: format.Archive, resource: catalog.Resource) -> str:
    body = answers.encode(_document(archive, resource.group, resource.version))
    return f"/openapi/v3/{_name(resource)}?hash={hashlib.sha256(body).hexdigest().upper()}"


def _cached(request: asked.Asked, document: Mapping[str, Any]) -> answers.Answer:
    body = answers.encode(document)
    etag = f'"{hashlib.sha256(body).hexdigest().upper()}"'
    headers = {"etag": etag, "vary": "Accept"}
    if etag in request.headers.get("if-none-match", ""):
        return answers.Answer(304, (), headers=headers)
    return answers.Answer(200, (body,), headers=headers)


# ---- documents


def _document(archive: format.Archive, group: str, version: str) -> dict[str, Any]:
    served = [item for item in archive.resources if (item.group, item.version) == (group, version)]
    schemas: dict[str, Any] = {}
    for item in served:
        schemas.update(_schemas_of(item, _V3))
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": archive.version},
        "paths": {_path(item): {"get": _operation(item)} for item in served},
        "components": {"schemas": schemas},
    }


def _swagger(archive: format.Archive) -> dict[str, Any]:
    definitions: dict[str, Any] = {}
    for item in archive.resources:
        definitions.update(_schemas_of(item, _V2))
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": archive.version},
        "paths": {_path(item): {"get": _operation(item)} for item in archive.resources},
        "definitions": definitions,
    }


def _path(resource: catalog.Resource) -> str:
    root = f"/apis/{resource.api_version}" if resource.group else f"/api/{resource.version}"
    return f"{root}/namespaces/{{namespace}}/{resource.plural}" if resource.namespaced else f"{root}/{resource.plural}"


def _operation(resource: catalog.Resource) -> dict[str, Any]:
    return {
        "description": f"list objects of kind {resource.kind}",
        "operationId": f"list{resource.kind}{resource.version.capitalize()}{resource.group.title().replace('.', '')}",
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": "list",
        "x-kubernetes-group-version-kind": _kind(resource),
    }


def _kind(resource: catalog.Resource) -> dict[str, str]:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


# ---- schemas


@functools.cache
def _fields() -> Mapping[str, Mapping[str, str]]:
    """Return the fields of every type; read once, for the file does not change while the program runs."""
    return dict(yaml.safe_load((_FOLDER / "fields.yaml").read_text("utf-8")))


@functools.cache
def _words() -> Mapping[str, str]:
    """Return the descriptions, as `_fields`."""
    return dict(yaml.safe_load((_FOLDER / "words.yaml").read_text("utf-8")))


def _schemas_of(resource: catalog.Resource, root: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a kind's schema and all that it refers to, by full name."""
    kind = {"x-kubernetes-group-version-kind": [_kind(resource)]}
    if resource.custom:
        reverse = ".".join(reversed(resource.group.split(".")))
        yield f"{reverse}.{resource.version}.{resource.kind}", _custom_schema(resource, root) | kind
        todo = ["meta.ObjectMeta"]
    else:
        todo = [f"{_module(resource)}.{resource.kind}"]
    yield from ((name, dict(schema)) for name, schema in _SHARED.items())
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in seen or name not in _fields():
            continue
        seen.add(name)
        todo += [_bare(field_type) for field_type in _fields()[name].values()]
        is_kind = not resource.custom and name == f"{_module(resource)}.{resource.kind}"
        yield _full(name), _schema(name, root) | (kind if is_kind else {})


def _module(resource: catalog.Resource) -> str:
    return resource.group.split(".")[0] or "core"


def _bare(field_type: str) -> str:
    return field_type.strip("[]{}")


def _full(name: str) -> str:
    module, _, kind = name.rpartition(".")
    return f"{_PREFIXES.get(module, f'io.k8s.api.{module}.v1')}.{kind}"


def _schema(name: str, root: str) -> dict[str, Any]:
    fields = _fields()[name]
    required = [field.removesuffix("!") for field in fields if field.endswith("!")]
    properties = {
        field.removesuffix("!"): _property(name, field.removesuffix("!"), each, root) for field, each in fields.items()
    }
    return {
        "description": _words().get(name, ""),
        "type": "object",
        **({"required": required} if required else {}),
        "properties": properties,
    }


def _property(name: str, field: str, field_type: str, root: str) -> dict[str, Any]:
    words = _words()
    description = words.get(f"{name}.{field}") or words.get(f"any.{field}", "")
    schema = _typed(field_type, root)
    # A reference may have no neighbours in OpenAPI 3.0.
    return {"description": description, **({"allOf": [schema]} if "$ref" in schema else schema)}


def _typed(field_type: str, root: str) -> dict[str, Any]:
    if field_type.startswith("["):
        return {"type": "array", "items": _typed(field_type[1:-1], root)}
    if field_type.startswith("{"):
        return {"type": "object", "additionalProperties": _typed(field_type[1:-1], root)}
    scalar = _SCALARS.get(field_type)
    if scalar is None:
        return {"$ref": f"{root}{_full(field_type)}"}
    return {"$ref": f"{root}{scalar['$ref']}"} if "$ref" in scalar else dict(scalar)


def _custom_schema(resource: catalog.Resource, root: str) -> dict[str, Any]:
    schema = dict(resource.schema or {"type": "object"})
    properties = dict(schema.get("properties") or {})
    words = _words()
    for field in ("apiVersion", "kind"):
        properties[field] = {"description": words[f"any.{field}"], "type": "string"}
    properties["metadata"] = _property("", "metadata", "meta.ObjectMeta", root)
    return {**schema, "properties": properties}
