"""JSON schemas of everything that the chart may render, for kubeconform without a network.

They are made from Kubernetes' OpenAPI and from the custom resources' definitions, once, and kept outside the
repository, in a folder that is named by everything that decides them. They are strict: what has named properties has
no others, for a misspelt key is what they are for.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.testbed import build, crds

Schema = dict[str, Any]

LOCATION = "{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json"
"""Of a schema in the folder, as kubeconform writes it."""

_KEPT = ("$ref", "enum", "pattern", "required", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems")
_REFERENCE = "#/definitions/"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def folder() -> Path:
    """Where the schemas lie; they are made now if they are not there."""
    into = build.folder(build.GROUPS[0]).parent / f"schemas-{_digest()}"
    if not into.exists():
        into.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into.parent, prefix=".schemas-") as work:
            made = Path(work, "made")
            for path, schema in _all():
                made.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
                made.joinpath(path).write_text(json.dumps(schema))
            try:
                made.rename(into)
            except OSError:
                # Another process was quicker.
                if not into.exists():
                    raise
    return into


def _digest() -> str:
    digest = hashlib.sha256(Path(__file__).read_bytes() + Path(crds.__file__).read_bytes())
    for module in ("crds", "kubernetes"):
        digest.update((crds.MODULES / module / "go.sum").read_bytes())
    return digest.hexdigest()[:16]


def _all() -> Iterator[tuple[str, Schema]]:
    definitions: dict[str, Schema] = json.loads(crds.swagger().read_text())["definitions"]
    strict = {name: _strict(schema) for name, schema in definitions.items()}
    strict[_QUANTITY] = strict[_INT_OR_STRING] = {"type": ["string", "number"]}
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", ()):
            yield _path(kind["group"], kind["kind"], kind["version"]), _closed(strict[name], strict)
    for found in crds.definitions():
        spec = found["spec"]
        for version in spec["versions"]:
            schema = _strict(version["schema"]["openAPIV3Schema"])
            schema["properties"] = {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                **schema["properties"],
                "metadata": {"$ref": f"{_REFERENCE}{_OBJECT_META}"},
            }
            yield _path(spec["group"], spec["names"]["kind"], version["name"]), _closed(schema, strict)


def _path(group: str, kind: str, version: str) -> str:
    # kubeconform takes what stands before the first "/" of apiVersion for the group, which in the core is the version.
    return f"{group or version}/{kind.lower()}_{version}.json"


def _strict(schema: Any) -> Any:
    """The schema with nothing beside its named properties, and in plain words where Kubernetes has its own."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string") is True:
        return {"type": ["string", "integer"]}
    # Nothing that is rendered depends on the rest; names of properties may be any of these words.
    strict = {key: schema[key] for key in _KEPT if key in schema}
    strict |= {key: _strict(schema[key]) for key in ("items", "oneOf", "anyOf", "allOf", "not") if key in schema}
    if isinstance(schema.get("additionalProperties"), dict):
        strict["additionalProperties"] = _strict(schema["additionalProperties"])
    if "type" in schema:
        strict["type"] = [schema["type"], "null"] if schema.get("nullable") else schema["type"]
    if "properties" in schema:
        strict["properties"] = {name: _strict(value) for name, value in schema["properties"].items()}
        if "type" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            strict.setdefault("additionalProperties", False)
    return strict


def _closed(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """The schema with all that it refers to."""
    needed: dict[str, Schema] = {}
    waiting = [schema]
    while waiting:
        for name in _references(waiting.pop()):
            if name not in needed:
                needed[name] = definitions[name]
                waiting.append(definitions[name])
    return {**schema, "definitions": needed}


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for item in schema:
            yield from _references(item)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(_REFERENCE)
            else:
                yield from _references(value)
