"""The archived API server beside a real one: the same objects in both, the same answers from both."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import archive_testbed
import pytest
import yaml

from kubently.archive import app, asked, bundled, catalog, format, load

pytestmark = [pytest.mark.testbed, pytest.mark.slow]

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
ODD_OBJECTS = Path(__file__).parent / "archive_objects.yaml"
# Its status is written by the real server itself, which finds no metrics server behind it.
UNCOMPARED = {("apiregistration.k8s.io", "apiservices")}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[archive_testbed.RealServer]:
    """A real API server for all tests of this module."""
    with archive_testbed.real_server(tmp_path_factory.mktemp("real")) as server:
        yield server


def plurals_of(resources: Sequence[catalog.Resource]) -> dict[tuple[str, str], str]:
    return {(item.group, item.kind): item.plural for item in resources}


def objects_of(archive: format.Archive) -> list[Mapping[str, Any]]:
    left_out = {*UNCOMPARED, *((item.group, item.plural) for item in catalog.METRICS)}
    return [item for key, items in archive.by_type.items() if key not in left_out for item in items]


def list_path(resource: catalog.Resource) -> str:
    root = f"/apis/{resource.group}" if resource.group else "/api"
    return f"{root}/{resource.version}/{resource.plural}"


def ask(archive: format.Archive, path: str, accept: str) -> dict[str, Any]:
    path, _, query = path.partition("?")
    request = asked.Asked("GET", path, asked.parse_query(query), {"accept": accept})
    return json.loads(b"".join(app.decide(archive, request).chunks))


def wait_for(real: archive_testbed.RealServer, path: str) -> None:
    """Wait until the server has taken up a definition that was put beneath it."""
    end = time.monotonic() + 20
    while real.request(path)[0] != 200:
        assert time.monotonic() < end, f"{path} is not served"
        time.sleep(0.2)


@pytest.fixture(params=[path.name for path in bundled()])
def archived(request: pytest.FixtureRequest, real: archive_testbed.RealServer) -> Iterator[format.Archive]:
    """A bundled archive, whose objects the real server holds during the test."""
    archive = load(next(path for path in bundled() if path.name == request.param))
    keys = real.put(objects_of(archive), plurals_of(archive.resources))
    for item in archive.resources:
        if item.custom:
            wait_for(real, list_path(item))
    yield archive
    real.delete(keys)


@pytest.fixture
def odd(real: archive_testbed.RealServer) -> Iterator[format.Archive]:
    """An archive of rare states, as the real server defaults them."""
    items = yaml.safe_load(ODD_OBJECTS.read_text())
    definitions = [item for item in items if item["kind"] == "CustomResourceDefinition"]
    custom = tuple(found for item in definitions for found in catalog.custom_resources(item))
    resources = (*catalog.BUILTIN, *custom)
    keys = real.put(items, plurals_of(resources))
    for item in custom:
        wait_for(real, list_path(item))
    by_type: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for resource in {(found.group, found.plural): found for found in reversed(resources)}.values():
        if resource == catalog.EVENTS_VIEW:
            continue
        body = json.loads(real.request(list_path(resource))[2])
        assert "items" in body, body
        kind = {"apiVersion": resource.api_version, "kind": resource.kind}
        by_type[resource.group, resource.plural] = [{**kind, **item} for item in body["items"] or []]
    yield format.Archive(
        name="odd",
        title="",
        version="v1.36.3",
        captured_at=datetime.now(UTC),
        labels={},
        resources=resources,
        by_type={key: tuple(sorted(found, key=format.sort_key)) for key, found in by_type.items()},
        logs={},
        resource_version=1,
    )
    real.delete(keys)


# ---- objects


def test_archived_objects_are_what_a_real_server_returns(
    real: archive_testbed.RealServer, archived: format.Archive
) -> None:
    """Every field has its default and its canonical form: reading them back from a real server changes nothing."""
    for resource in archived.resources:
        if resource.custom or (resource.group, resource.plural) in UNCOMPARED:
            continue
        mine = archived.by_type.get((resource.group, resource.plural), ())
        if not mine or resource in catalog.METRICS:
            continue
        theirs = {place(item): item for item in json.loads(real.request(list_path(resource))[2])["items"]}
        for item in mine:
            assert without_version(item) == without_version(theirs[place(item)]), (resource.plural, place(item))


def place(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


def without_version(item: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in item["metadata"].items() if key != "resourceVersion"}
    rest = {key: value for key, value in item.items() if key not in ("kind", "apiVersion")}
    return {**rest, "metadata": metadata}


# ---- tables


def compare_tables(real: archive_testbed.RealServer, archive: format.Archive, resource: catalog.Resource) -> int:
    """Compare one type's Tables; return how many rows there were."""
    path = list_path(resource)
    _, headers, body = real.request(path, TABLE)
    before = parsedate_to_datetime(headers["Date"])
    theirs = json.loads(body)
    # An age may tick between the two answers and, on a busy machine, between a row and its answer's date.
    first, *others = (
        ask(dataclasses.replace(archive, captured_at=before + timedelta(seconds=seconds)), path, TABLE)
        for seconds in (0, 0.999999, -1, -2, -3)
    )
    uids = {row_place(row): uid_of(row) for row in first["rows"]}
    rows = [row for row in theirs["rows"] or [] if row_place(row) in uids]
    # What the server has made anew since it was archived (it repairs addresses, for one) is not the same thing.
    anew = {row_place(row) for row in rows if uid_of(row) != uids[row_place(row)]}
    rows = [row for row in rows if row_place(row) not in anew]
    for each in (first, *others):
        each["rows"] = [row for row in each["rows"] if row_place(row) not in anew]
    if resource.plural == "flowschemas":
        # A real server prints these, and only these, by precedence instead of name.
        rows.sort(key=row_place)
    assert not rows or columns(first) == columns(theirs), path
    assert [row_place(row) for row in rows] == [row_place(row) for row in first["rows"]], path
    for *mine, their in zip(first["rows"], *(each["rows"] for each in others), rows, strict=True):
        assert their["cells"] in [each["cells"] for each in mine], (path, row_place(their), mine[0]["cells"])
        assert their.get("conditions") == mine[0].get("conditions")
        assert shown_metadata(their) == shown_metadata(mine[0])
    return len(rows)


def shown_metadata(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's object without what a real server loses on the way: a deprecated annotation of DaemonSets."""
    shown = without_version(row["object"])
    annotations = dict(shown["metadata"].get("annotations", {}))
    annotations.pop("deprecated.daemonset.template.generation", None)
    return {**shown, "metadata": {**shown["metadata"], "annotations": annotations}}


def row_place(row: Mapping[str, Any]) -> tuple[str, str]:
    return place(row["object"])


def uid_of(row: Mapping[str, Any]) -> str:
    return str(row["object"]["metadata"].get("uid", ""))


def columns(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    fields = ("name", "type", "format", "priority")
    return [{field: column[field] for field in fields} for column in table["columnDefinitions"]]


def compare_all(real: archive_testbed.RealServer, archive: format.Archive) -> int:
    rows = 0
    for resource in archive.resources:
        reads_like_objects = "list" in resource.verbs and resource.qualified != "secrets"
        if (
            reads_like_objects
            and resource not in catalog.METRICS
            and (resource.group, resource.plural) not in UNCOMPARED
        ):
            rows += compare_tables(real, archive, resource)
    return rows


def test_tables_of_bundled_archives(real: archive_testbed.RealServer, archived: format.Archive) -> None:
    assert compare_all(real, archived) > 150


def test_tables_of_rare_states(real: archive_testbed.RealServer, odd: format.Archive) -> None:
    assert compare_all(real, odd) > 90


# ---- discovery


def test_discovery_names_types_as_a_real_server_does(real: archive_testbed.RealServer, odd: format.Archive) -> None:
    """Every served type has the real names, scope and categories; its verbs are some of the real ones."""
    served = catalog.BUILTIN + catalog.REVIEWS
    archive = dataclasses.replace(odd, resources=(*served, *(item for item in odd.resources if item.custom)))
    compared = 0
    for root in ("/api", "/apis"):
        mine = entries(ask(archive, root, DISCOVERY))
        theirs = entries(json.loads(real.request(root, DISCOVERY)[2]))
        for key, entry in mine.items():
            compare_entry(key, entry, theirs[key])
            compared += 1
    assert compared >= 45


def entries(document: Mapping[str, Any]) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {
        (group["metadata"].get("name", ""), version["version"], resource["resource"]): resource
        for group in document["items"]
        for version in group["versions"]
        for resource in version["resources"]
    }


def compare_entry(key: tuple[str, str, str], mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    for field in ("scope", "singularResource", "shortNames", "categories"):
        assert mine.get(field) == theirs.get(field), (key, field)
    assert mine["responseKind"]["kind"] == theirs["responseKind"]["kind"]
    assert set(mine["verbs"]) <= set(theirs["verbs"])
    assert "create" in mine["verbs"] or {"get", "list", "watch"} <= set(mine["verbs"]), key
    real_subresources = {sub["subresource"]: sub for sub in theirs.get("subresources", [])}
    for sub in mine.get("subresources", []):
        assert sub["responseKind"]["kind"] == real_subresources[sub["subresource"]]["responseKind"]["kind"]
        assert set(sub["verbs"]) <= set(real_subresources[sub["subresource"]]["verbs"])


def test_group_order_is_that_of_a_real_server(real: archive_testbed.RealServer, odd: format.Archive) -> None:
    """kubectl resolves an ambiguous name to the first group that has it, so the order is part of the interface."""
    theirs = [group["name"] for group in json.loads(real.request("/apis")[2])["groups"]]

    mine = [group["name"] for group in ask(odd, "/apis", "application/json")["groups"]]

    assert mine == [name for name in theirs if name in mine]


# ---- refusals and options

SAME_ANSWERS = (
    "/api/v1/namespaces/odd/pods/nope",
    "/apis/apps/v1/namespaces/odd/deployments/nope",
    "/api/v1/nope",
    "/apis/apps/v1/nope",
    "/api/v1/pods/nope",
    "/apis/apps/v1/namespaces/odd",
    "/api/v1/namespaces/odd/nodes",
    "/api/v1/pods?fieldSelector=a.b%3Dc",
    "/apis/apps/v1/deployments?fieldSelector=spec.x%3D1",
    "/api/v1/pods?fieldSelector=foo",
    "/apis/apps/v1/replicasets?fieldSelector=status.replicas%3D0",
    "/apis/batch/v1/jobs?fieldSelector=status.failed%3D0",
    "/api/v1/pods?limit=x",
    "/api/v1/pods?resourceVersion=abc",
    "/api/v1/pods?sendInitialEvents=true",
    "/api/v1/pods?resourceVersionMatch=Exact",
    "/api/v1/pods?watch=1&sendInitialEvents=true",
    "/api/v1/pods?watch=1&timeoutSeconds=x",
    "/api/v1/namespaces/odd/pods/nope/log",
    "/apis/odd.example.com/v1/widgets?fieldSelector=spec.size%3D3",
    "/api/v1/namespaces/odd/pods/sidecar/log",
    "/api/v1/namespaces/odd/pods/sidecar/log?container=zzz",
    "/api/v1/namespaces/odd/pods/sidecar/log?container=a&tailLines=-1",
    "/api/v1/namespaces/odd/pods/sidecar/log?container=a&sinceSeconds=0",
    "/api/v1/namespaces/odd/pods/sidecar/log?container=a&sinceSeconds=5&sinceTime=2025-01-01T00:00:00Z",
)


@pytest.mark.parametrize("path", SAME_ANSWERS)
def test_refusals_are_those_of_a_real_server(real: archive_testbed.RealServer, odd: format.Archive, path: str) -> None:
    status, _, body = real.request(path)

    mine = refused(odd, path)

    assert (mine["code"], mine) == (status, json.loads(body))


def refused(archive: format.Archive, path: str) -> dict[str, Any]:
    try:
        return ask(archive, path, "application/json")
    except app.answers.RefusedError as refusal:
        return refusal.status()


SELECTIONS = (
    "/api/v1/pods?labelSelector=app.kubernetes.io/name",
    "/api/v1/pods?labelSelector=app.kubernetes.io/name%20in%20(cart,checkout)",
    "/api/v1/pods?labelSelector=app.kubernetes.io/name%20notin%20(cart,checkout),!k8s-app",
    "/api/v1/pods?labelSelector=app.kubernetes.io/name!%3Dcart",
    "/api/v1/pods?fieldSelector=status.phase!%3DRunning",
    "/api/v1/pods?fieldSelector=status.phase%3DRunning,spec.restartPolicy%3DAlways,metadata.namespace%3Dshop",
    "/api/v1/namespaces/shop/pods?fieldSelector=spec.nodeName%3Dprod-eu-worker-1",
    "/api/v1/pods?fieldSelector=spec.hostNetwork%3Dtrue",
    "/api/v1/events?fieldSelector=type%3DWarning",
    "/api/v1/events?fieldSelector=involvedObject.kind%3DPod,reason%3DBackOff",
    "/api/v1/events?fieldSelector=source%3Dkubelet",
    "/apis/events.k8s.io/v1/events?fieldSelector=regarding.kind%3DIngress",
    "/api/v1/services?fieldSelector=spec.type%3DLoadBalancer",
    "/api/v1/services?fieldSelector=spec.clusterIP%3DNone",
    "/api/v1/nodes?fieldSelector=spec.unschedulable%3Dfalse",
    "/apis/batch/v1/jobs?fieldSelector=status.successful%3D1",
    "/apis/apps/v1/deployments?fieldSelector=metadata.name%3Dcart",
)


@pytest.mark.parametrize("path", SELECTIONS)
@pytest.mark.parametrize("archived", ["prod-eu"], indirect=True)
def test_selections_are_those_of_a_real_server(
    real: archive_testbed.RealServer, archived: format.Archive, path: str
) -> None:
    known = {item["metadata"].get("uid") for item in objects_of(archived)}
    theirs = [
        place(item) for item in json.loads(real.request(path)[2])["items"] if item["metadata"].get("uid") in known
    ]

    mine = [place(item) for item in ask(archived, path, "application/json")["items"]]

    assert mine == theirs
    assert mine or "hostNetwork%3Dtrue" in path


@pytest.mark.parametrize("archived", ["prod-us"], indirect=True)
def test_events_view_is_that_of_a_real_server(real: archive_testbed.RealServer, archived: format.Archive) -> None:
    path = "/apis/events.k8s.io/v1/namespaces/payments/events"
    known = {item["metadata"].get("uid") for item in objects_of(archived)}
    theirs = [
        without_version(item) for item in json.loads(real.request(path)[2])["items"] if item["metadata"]["uid"] in known
    ]

    mine = [without_version(item) for item in ask(archived, path, "application/json")["items"]]

    assert mine == theirs
