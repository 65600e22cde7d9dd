from __future__ import annotations

from kubently.archive import catalog, discovery

from .samples import archive, get, get_json

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def test_plain_discovery_leads_to_every_type() -> None:
    found = archive()
    groups = get_json(found, "/apis")["groups"]
    paths = [f"/apis/{version['groupVersion']}" for group in groups for version in group["versions"]]

    lists = [get_json(found, path) for path in ("/api/v1", *paths)]

    types = {(each["groupVersion"], item["name"]) for each in lists for item in each["resources"]}
    assert {(item.api_version, item.plural) for item in found.resources} <= types
    assert get_json(found, "/api")["versions"] == ["v1"]
    assert get_json(found, "/apis/apps")["preferredVersion"]["groupVersion"] == "apps/v1"


def test_aggregated_discovery_holds_the_same() -> None:
    found = archive()

    documents = [get_json(found, root, AGGREGATED) for root in ("/api", "/apis")]

    types = {
        (group["metadata"].get("name", ""), version["version"], item["resource"])
        for document in documents
        for group in document["items"]
        for version in group["versions"]
        for item in version["resources"]
    }
    assert types == {(item.group, item.version, item.plural) for item in found.resources}


def test_aggregated_discovery_is_sent_once() -> None:
    first = get(archive(), "/apis", AGGREGATED)
    assert first.headers is not None

    again = get(archive(), "/apis", AGGREGATED, **{"if-none-match": first.headers["etag"]})

    assert first.content_type == AGGREGATED
    assert (first.status, again.status, list(again.chunks)) == (200, 304, [])


def test_of_several_versions_the_preferred_one_comes_first() -> None:
    versions = ["v1alpha1", "v10", "v2", "v1", "v2beta3", "v2beta10", "foo", "v1alpha2"]

    ordered = sorted(versions, key=catalog.version_priority, reverse=True)

    assert ordered == ["v10", "v2", "v1", "v2beta10", "v2beta3", "v1alpha2", "v1alpha1", "foo"]


def test_at_least_the_common_types_are_served() -> None:
    assert len([item for item in catalog.BUILTIN if "list" in item.verbs]) >= 40
    assert discovery.group(archive(), "") is None
