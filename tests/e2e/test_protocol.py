"""``/clusters/ID/k8s`` speaks the Kubernetes API's protocol: bytes, headers, streams and errors are the API server's.

Each request is sent on both roads, as users with the same rights, and the answers are compared as they are on the wire.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.compare import lines, normal
from tests.e2e.content import DIRECT
from tests.e2e.harness import Fleet
from tests.e2e.roads import Reply, Road
from tests.testbed.cluster import Cluster
from tests.testbed.processes import until

JSON = "application/json"
PROTOBUF = "application/vnd.kubernetes.protobuf"
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
OPENAPI_V2 = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
OPENAPI_V3 = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"

COMPARED_HEADERS = ("content-type", "content-encoding", "etag", "vary", "cache-control", "expires", "warning")

ANSWERS = f"""
/version {JSON}
/api {JSON}
/apis {JSON}
/api {DISCOVERY},{JSON}
/apis {DISCOVERY},{JSON}
/api/v1 {JSON}
/apis/apps/v1 {PROTOBUF},{JSON}
/apis/shop.example/v1 {JSON}
/openapi/v2 {JSON}
/openapi/v2 {OPENAPI_V2}
/openapi/v3 {JSON}
/openapi/v3/apis/apps/v1 {JSON}
/openapi/v3/apis/shop.example/v1 {OPENAPI_V3}
/api/v1/namespaces/kinds/pods {JSON}
/api/v1/namespaces/kinds/pods application/yaml
/api/v1/namespaces/kinds/pods {PROTOBUF}
/api/v1/namespaces/kinds/pods {TABLE}
/api/v1/namespaces/kinds/pods?includeObject=Object {TABLE}
/api/v1/namespaces/kinds/pods {PROTOBUF};{PARTIAL}
/api/v1/namespaces/kinds/pods/solo {PROTOBUF}
/api/v1/namespaces/kinds/pods/solo/status {JSON}
/api/v1/namespaces/kinds/endpoints {JSON}
/api/v1/pods?labelSelector=app%3Dsolo&fieldSelector=status.phase%3DRunning {JSON}
/api/v1/pods?resourceVersion=0 {PROTOBUF}
/apis/apps/v1/namespaces/kinds/deployments/web/scale {PROTOBUF}
/apis/rbac.authorization.k8s.io/v1/clusterroles {PROTOBUF}
/apis/shop.example/v1/namespaces/kinds/widgets {JSON}
/apis/shop.example/v1/widgets {TABLE}
/apis/shop.example/v1/namespaces/kinds/widgets/left/scale {JSON}
/readyz?verbose */*
/livez/ping */*
"""

FAILURES = f"""
404 /api/v1/namespaces/kinds/pods/nowhere {JSON}
404 /api/v1/namespaces/kinds/pods/nowhere {PROTOBUF}
404 /api/v1/unheardof {JSON}
404 /apis/unheardof.example/v1/things {JSON}
400 /api/v1/pods?labelSelector=a%20in%20%28b {JSON}
400 /api/v1/pods?fieldSelector=spec.nowhere%3D1 {JSON}
400 /api/v1/pods?resourceVersion=abc {JSON}
400 /api/v1/pods?limit=1&continue=abc {JSON}
400 /api/v1/namespaces/kinds/pods/solo/log?container=nowhere */*
406 /api/v1/pods application/unheardof
422 /api/v1/namespaces/kinds/pods/solo/log?tailLines=-1 */*
422 /api/v1/pods?resourceVersionMatch=Exact {JSON}
"""

INITIAL = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
LARGE = 200_000


@pytest.fixture(scope="module")
def through(fleet: Fleet, kinds: str) -> Road:
    """The road through Kubently to alpha."""
    return Road.through(fleet.api, "alpha")


@pytest.fixture(scope="module")
def direct(alpha: Cluster, kinds: str, tmp_path_factory: pytest.TempPathFactory) -> Road:
    """The road to alpha's API server itself."""
    return Road.direct(alpha, DIRECT, tmp_path_factory.mktemp("direct"))


def on_the_wire(reply: Reply) -> tuple[int, dict[str, str], bytes]:
    """What must be equal on both roads."""
    return reply.status, {name: reply.headers[name] for name in COMPARED_HEADERS if name in reply.headers}, reply.body


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("line", lines(ANSWERS))
def test_an_answer_is_the_api_servers_byte_for_byte(line: str, encoding: str, through: Road, direct: Road) -> None:
    path, accept = line.split(" ", 1)
    # Objects may change between two questions, so it is asked again; what is wrong stays wrong.
    for _ in range(3):
        theirs = direct.get(path, Accept=accept, Accept_Encoding=encoding)
        ours = through.get(path, Accept=accept, Accept_Encoding=encoding)
        if ours.body == theirs.body:
            break

    assert on_the_wire(ours) == on_the_wire(theirs)
    assert theirs.status == 200


@pytest.mark.parametrize("line", lines(FAILURES))
def test_an_error_is_the_api_servers_own(line: str, through: Road, direct: Road) -> None:
    status, path, accept = line.split(" ", 2)
    ours, theirs = through.get(path, Accept=accept), direct.get(path, Accept=accept)

    assert on_the_wire(ours) == on_the_wire(theirs)
    assert theirs.status == int(status)


def test_a_refusal_by_the_clusters_rbac_is_its_own(fleet: Fleet, alpha: Cluster, tmp_path: Path) -> None:
    alpha.kubeconfig("nobody")
    with fleet.temporary("unprivileged", alpha.kubeconfig("nobody")):
        road = Road.through(fleet.api, "unprivileged")
        ours = road.get("/api/v1/namespaces/shop/pods")
    theirs = Road.direct(alpha, "nobody", tmp_path).get("/api/v1/namespaces/shop/pods")

    assert on_the_wire(ours) == on_the_wire(theirs)
    assert theirs.status == 403
    assert "nobody" in theirs.json["message"]


@pytest.mark.parametrize(
    ("path", "accept"),
    [("/openapi/v2", JSON), ("/openapi/v2", OPENAPI_V2), ("/openapi/v3/apis/apps/v1", JSON), ("/apis", DISCOVERY)],
)
def test_what_a_client_has_already_is_not_sent_again(path: str, accept: str, through: Road, direct: Road) -> None:
    etag = through.get(path, Accept=accept).headers["etag"]
    ours = through.get(path, Accept=accept, If_None_Match=etag)
    theirs = direct.get(path, Accept=accept, If_None_Match=etag)

    assert (ours.status, ours.body) == (theirs.status, theirs.body) == (304, b"")


def test_the_schema_of_a_group_may_be_kept_by_its_hash(through: Road, direct: Road) -> None:
    where = through.get("/openapi/v3").json["paths"]["apis/apps/v1"]["serverRelativeURL"]
    assert "?hash=" in where
    ours, theirs = through.get(where), direct.get(where)

    assert ours.body == theirs.body
    assert ours.headers["cache-control"] == theirs.headers["cache-control"]
    # A year from now.
    assert ours.headers["expires"][:16] == theirs.headers["expires"][:16]
    assert through.get(where, If_None_Match=ours.headers["etag"]).status == 304


@pytest.fixture(scope="module")
def large(alpha: Cluster) -> Iterator[str]:
    """A namespace whose lists are large enough for the API server to compress."""
    alpha.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "packed"}})
    text = "".join(f"line {i} of much\n" for i in range(LARGE // 16))
    metadata = {"name": "packed", "namespace": "packed"}
    spec = {"containers": [{"name": "c", "image": "registry.example/c:1", "env": [{"name": "MUCH", "value": text}]}]}
    alpha.create(
        {"apiVersion": "v1", "kind": "PodTemplate", "metadata": metadata, "template": {"spec": spec}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"much": text}},
    )
    yield "/api/v1/namespaces/packed"
    alpha.kubectl("delete", "namespace", "packed", "--wait=false")


def test_a_large_list_comes_compressed(large: str, through: Road, direct: Road) -> None:
    ours, theirs = (road.get(f"{large}/podtemplates", Accept_Encoding="gzip") for road in (through, direct))

    assert on_the_wire(ours) == on_the_wire(theirs)
    assert ours.headers["content-encoding"] == "gzip"
    assert len(ours.body) < LARGE < len(gzip.decompress(ours.body))


def test_a_list_that_is_redacted_comes_plain(large: str, through: Road, direct: Road) -> None:
    ours, theirs = (road.get(f"{large}/configmaps", Accept_Encoding="gzip") for road in (through, direct))

    assert theirs.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in ours.headers
    assert json.loads(ours.body) == json.loads(gzip.decompress(theirs.body))


@pytest.mark.parametrize("accept", [JSON, TABLE])
def test_a_list_comes_in_pages(accept: str, through: Road) -> None:
    path, names, pages, token = "/api/v1/namespaces/kinds/pods", [], 0, ""
    while pages == 0 or token:
        page = through.get(f"{path}?limit=3&continue={token}", Accept=accept).json
        found = page["items"] if accept == JSON else [row["object"] for row in page["rows"]]
        names += [item["metadata"]["name"] for item in found]
        token, pages = page["metadata"].get("continue", ""), pages + 1
        assert len(found) <= 3

    assert names == [item["metadata"]["name"] for item in through.get(path).json["items"]]
    assert pages == (len(names) + 2) // 3 > 1


@pytest.fixture(scope="module")
def history(alpha: Cluster, direct: Road) -> str:
    """The query of a watch that replays what became of one object: made, changed, deleted."""
    version = direct.get("/api/v1/namespaces/shop/serviceaccounts").json["metadata"]["resourceVersion"]
    alpha.kubectl("create", "serviceaccount", "passing", "-n", "shop")
    alpha.kubectl("annotate", "serviceaccount", "passing", "a=b", "-n", "shop")
    alpha.kubectl("delete", "serviceaccount", "passing", "-n", "shop")
    return f"watch=true&resourceVersion={version}&fieldSelector=metadata.name%3Dpassing&timeoutSeconds=1"


@pytest.mark.parametrize("accept", [JSON, f"{PROTOBUF};stream=watch", TABLE])
def test_a_watch_replays_what_happened_since_a_version(accept: str, history: str, through: Road, direct: Road) -> None:
    """It ends by itself when its time is up, and whole."""
    path = f"/api/v1/namespaces/shop/serviceaccounts?{history}"
    ours, theirs = through.get(path, Accept=accept), direct.get(path, Accept=accept)

    assert ours.status == theirs.status == 200
    assert ours.headers["content-type"] == theirs.headers["content-type"]
    if accept == TABLE:  # whose cells hold ages
        assert normal(ours.body.decode()) == normal(theirs.body.decode())
        return
    assert ours.body == theirs.body
    if accept == JSON:
        assert [event["type"] for event in events(ours)] == ["ADDED", "MODIFIED", "DELETED"]


def events(reply: Reply) -> list[dict[str, Any]]:
    """The events of a watch that has ended."""
    return [json.loads(line) for line in reply.body.splitlines()]


def test_a_version_that_is_gone_is_said_to_be_gone(through: Road, direct: Road) -> None:
    path = "/apis/shop.example/v1/widgets?watch=true&resourceVersion=1&timeoutSeconds=1"
    ours, theirs = through.get(path), direct.get(path)

    assert on_the_wire(ours) == on_the_wire(theirs)
    (event,) = events(ours)
    assert event["type"] == "ERROR"
    assert (event["object"]["kind"], event["object"]["code"], event["object"]["reason"]) == ("Status", 410, "Expired")


def is_end_of_list(event: dict[str, Any]) -> bool:
    """Whether this bookmark says that all that was there has been sent."""
    annotations = event["object"]["metadata"].get("annotations", {})
    return event["type"] == "BOOKMARK" and annotations.get("k8s.io/initial-events-end") == "true"


@pytest.mark.parametrize("kind", ["ServiceAccount", "ConfigMap"])
def test_a_list_comes_as_a_watch(kind: str, alpha: Cluster, through: Road) -> None:
    """And then it is one: what is made later comes too. ConfigMaps pass the redaction on their way."""
    path = f"/api/v1/namespaces/shop/{kind.lower()}s"
    listed = {item["metadata"]["name"] for item in through.get(path).json["items"]}
    sent: list[dict[str, Any]] = []
    with through.opened(f"{path}?{INITIAL}") as response:
        while not sent or not is_end_of_list(sent[-1]):
            sent.append(json.loads(response.readline()))
        *initial, bookmark = sent
        alpha.create({"apiVersion": "v1", "kind": kind, "metadata": {"name": "late", "namespace": "shop"}})
        late = json.loads(response.readline())
    alpha.kubectl("delete", kind, "late", "-n", "shop")

    assert {event["type"] for event in initial} == {"ADDED"}
    assert {event["object"]["metadata"]["name"] for event in initial} == listed
    assert int(bookmark["object"]["metadata"]["resourceVersion"]) > 0
    assert (late["type"], late["object"]["metadata"]["name"]) == ("ADDED", "late")


def test_a_log_is_followed_until_the_client_goes(alpha: Cluster, through: Road) -> None:
    log = alpha.set_logs("kinds", "solo", "began\n")
    since = alpha.audit_position()
    with through.opened("/api/v1/namespaces/kinds/pods/solo/log?container=main&follow=true") as response:
        assert response.readline() == b"began\n"
        with log.open("a") as file:
            file.write("2026-01-01T00:00:00.000000000Z stdout F went on\n")
        assert response.readline() == b"went on\n"
        assert not ended_logs(alpha, since)

    until(lambda: ended_logs(alpha, since), "the API server's own end of it is closed", timeout=10)


def ended_logs(cluster: Cluster, since: int) -> list[str]:
    """Requests for logs that are over, since a position in the audit log."""
    return [r.uri for r in cluster.audit(since=since) if r.subresource == "log" and r.stage == "ResponseComplete"]
