from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from kubently.archive import bundled, load, openapi
from kubently.archive.answers import RefusedError

from .samples import archive, get, get_json

V3 = "#/components/schemas/"


def references(document: object) -> Iterator[str]:
    if isinstance(document, Mapping):
        if isinstance(document.get("$ref"), str):
            yield document["$ref"]
        for value in document.values():
            yield from references(value)
    elif isinstance(document, list):
        for value in document:
            yield from references(value)


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    found = load(bundled()[0])
    for name, entry in get_json(found, "/openapi/v3")["paths"].items():
        yield name, get_json(found, entry["serverRelativeURL"])


def test_every_reference_leads_somewhere_and_every_kind_is_there() -> None:
    found = load(bundled()[0])
    kinds = set()
    for _, document in documents():
        schemas = document["components"]["schemas"]
        assert {reference.removeprefix(V3) for reference in references(document)} <= schemas.keys()
        for schema in schemas.values():
            kinds |= {tuple(kind.values()) for kind in schema.get("x-kubernetes-group-version-kind", [])}

    served = {(item.group, item.version, item.kind) for item in found.resources if item.group != "metrics.k8s.io"}
    assert kinds == served


def test_custom_resources_bring_their_schema() -> None:
    document = dict(documents())["apis/shop.example.com/v1"]

    schema = document["components"]["schemas"]["com.example.shop.v1.Promotion"]

    assert schema["properties"]["spec"]["properties"]["percent"]["type"] == "integer"
    assert schema["properties"]["metadata"]["allOf"][0]["$ref"].endswith("ObjectMeta")


def test_documents_are_sent_once() -> None:
    first = get(archive(), "/openapi/v3/api/v1")
    assert first.headers is not None

    assert get(archive(), "/openapi/v3/api/v1", **{"if-none-match": first.headers["etag"]}).status == 304
    assert get(archive(), "/openapi/v3/api/v9").status == 404


def test_version_two() -> None:
    document = get_json(archive(), "/openapi/v2")

    assert "io.k8s.api.core.v1.Pod" in document["definitions"]
    with pytest.raises(RefusedError) as refused:
        get(archive(), "/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
    assert refused.value.code == 406


def test_words_are_about_fields_that_exist() -> None:
    fields = openapi._fields()
    everything = set(fields) | {
        f"{name}.{field.removesuffix('!')}" for name, members in fields.items() for field in members
    }

    unknown = [key for key in openapi._words() if not key.startswith("any.") and key not in everything]

    assert unknown == []
    assert all(text.endswith((".", ")")) for text in openapi._words().values())
