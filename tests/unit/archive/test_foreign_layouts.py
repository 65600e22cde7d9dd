"""What the readers make of each layout's peculiarities."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.archive import layouts, samples
from tests.unit.archive.layouts import thing

from kubently import archive
from kubently.archive import answers, format
from kubently.archive.foreign import cluster_info
from kubently.errors import ConfigError
from kubently.kube import objects

BUNDLE = "bundle/cluster-resources"
NODE = thing("v1", "Node", "n1", status={"nodeInfo": {"kubeletVersion": "v1.31.4+k3s1"}})


def write(root: Path, files: dict[str, Any]) -> Path:
    """Write files; what is not text is written as JSON."""
    for name, content in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    return root


def names(found: archive.Archive, plural: str, group: str = "") -> list[str]:
    """The names of the objects of a type."""
    return [objects.name(item) for item in found.by_type.get((group, plural), ())]


def plain(name: str, namespace: str = "", **rest: Any) -> dict[str, Any]:
    """An object as a bare array holds it."""
    return {key: value for key, value in thing("", "", name, namespace, **rest).items() if value}


# ---- support bundles


def test_a_bundle_of_old_holds_bare_arrays_and_nulls(tmp_path: Path) -> None:
    files = {
        f"{BUNDLE}/nodes.json": [plain("n1")],
        f"{BUNDLE}/namespaces.json": [plain("shop")],
        f"{BUNDLE}/pods/shop.json": [plain("web", "shop")],
        f"{BUNDLE}/services/shop.json": "null",
    }

    found = archive.read(write(tmp_path, files))

    (pod,) = found.by_type["", "pods"]
    assert (pod["kind"], pod["apiVersion"], objects.name(pod)) == ("Pod", "v1", "web")
    assert found.held is not None
    assert found.held["", "services"] == format.Held(everywhere=False, namespaces=frozenset({"shop"}))
    assert found.held["", "nodes"].everywhere
    assert not found.held["", "namespaces"].everywhere, "they may be those that somebody chose"


def test_what_the_collector_could_not_read_is_said(tmp_path: Path) -> None:
    files = {
        f"{BUNDLE}/nodes.json": [],
        f"{BUNDLE}/pods-errors.json": {"shop": "pods is forbidden"},
        f"{BUNDLE}/pvs-errors.json": ["no way"],
        f"{BUNDLE}/pods/logs/shop/web/main-logs-errors.log": "container is waiting",
    }

    found = archive.read(write(tmp_path, files))

    said = "\n".join(found.left_out)
    assert f"{BUNDLE}/pods-errors.json shop: the bundle's collector says: pods is forbidden" in said
    assert "no way" in said
    assert "container is waiting" in said
    assert found.logs == {}


def test_custom_resources_need_their_definition(tmp_path: Path) -> None:
    application = thing("argoproj.io/v1alpha1", "Application", "app", "shop")
    files = {
        f"{BUNDLE}/nodes.json": [],
        f"{BUNDLE}/pods/shop.json": [],
        f"{BUNDLE}/custom-resource-definitions.json": [
            layouts.definition(layouts.BY_NAME["applications.argoproj.io"]),
            layouts.definition(layouts.BY_NAME["issuers.cert-manager.io"]),
        ],
        f"{BUNDLE}/custom-resources/applications.argoproj.io/shop.json": [application],
        f"{BUNDLE}/custom-resources/things.example.com.yaml": "- metadata: {name: one}\n- metadata: {name: two}\n",
        f"{BUNDLE}/custom-resources/custom-resources-errors.json": {"issuers.cert-manager.io": "timed out"},
    }

    found = archive.read(write(tmp_path, files))

    assert names(found, "applications", "argoproj.io") == ["app"]
    assert "things.example.com: 2 objects of a type that no definition in the archive describes" in found.left_out
    assert found.held is not None
    assert found.held["argoproj.io", "applications"].namespaces == {"shop"}
    assert ("cert-manager.io", "issuers") not in found.held, "they could not be read"


def test_the_clock_is_the_newest_instant_and_the_version_that_of_the_server(tmp_path: Path) -> None:
    lease = plain("n1", "kube-node-lease", spec={"renewTime": "2026-03-02T10:00:07.5Z"})
    files = {
        f"{BUNDLE}/nodes.json": [NODE],
        f"{BUNDLE}/leases/kube-node-lease.json": [lease],
        f"{BUNDLE}/pods/shop.json": [plain("web", "shop", status={"startTime": "2026-03-02T09:00:00Z"})],
        f"{BUNDLE}/events/shop.json": [plain("e", "shop", lastTimestamp="9999-12-31T23:59:59Z", eventTime=None)],
    }

    found = archive.read(write(tmp_path, files))

    assert found.captured_at.isoformat() == "2026-03-02T10:00:07.500000+00:00"
    assert found.version == "v1.31.4+k3s1", "of a kubelet, where nothing else tells"
    assert found.title == "support bundle, taken 2026-03-02 10:00 UTC"


# ---- must-gathers


def test_several_images_are_one_cluster_and_the_newest_object_counts(tmp_path: Path) -> None:
    def pod(version: str, phase: str) -> dict[str, Any]:
        item = thing("v1", "Pod", "web", "shop", status={"phase": phase})
        item["metadata"]["resourceVersion"] = version
        return item

    stamps = [
        "2026-03-02 10:05:00 +0000 UTC m=+0.1",
        "2026-03-02 12:01:00.25 +0200 CEST m=+0.1\n2026-03-02 13:00:00 +0200",
    ]
    files = {
        "gather/image-one/timestamp": stamps[0],
        "gather/image-two/timestamp": stamps[1],
        "gather/image-one/namespaces/shop/core/pods.yaml": {
            "kind": "PodList",
            "apiVersion": "v1",
            "items": [pod("9", "Failed")],
        },
        "gather/image-two/namespaces/shop/pods/web/web.yaml": pod("10", "Running"),
        "gather/image-two/cluster-scoped-resources/core/nodes/n1.yaml": NODE,
    }

    found = archive.read(write(tmp_path, files))

    assert found.layout == "must-gather"
    assert [objects.text(item, "status", "phase") for item in found.by_type["", "pods"]] == ["Running"]
    assert found.captured_at.isoformat() == "2026-03-02T10:01:00+00:00"
    assert found.left_out == ()


def test_single_objects_do_not_make_a_type_whole(tmp_path: Path) -> None:
    scoped = "image/cluster-scoped-resources"
    role = thing("rbac.authorization.k8s.io/v1", "ClusterRole", "reader")
    files = {
        f"{scoped}/core/nodes/n1.yaml": NODE,
        f"{scoped}/rbac.authorization.k8s.io/clusterroles/reader.yaml": role,
        "image/namespaces/shop/apps/deployments/web.yaml": thing("apps/v1", "Deployment", "web", "shop"),
        f"{scoped}/core/persistentvolumes/a.yaml": thing("v1", "PersistentVolume", "a"),
        f"{scoped}/core/persistentvolumes/b.yaml": "{",
        "image/namespaces/all/core/services.yaml": {
            "kind": "ServiceList",
            "apiVersion": "v1",
            "items": [thing("v1", "Service", "web", "shop")],
        },
    }

    found = archive.read(write(tmp_path, files))

    assert found.held is not None
    assert {key[1]: held.everywhere for key, held in found.held.items()} == {
        "nodes": True,
        "clusterroles": False,
        "persistentvolumes": False,
        "deployments": False,
        "services": True,
    }
    assert names(found, "services") == ["web"]


def test_a_pod_that_its_image_listed_is_not_read_again(tmp_path: Path) -> None:
    """YAML is slow, and every pod has a file beside the list; a list that cannot be read stands for nothing."""
    good = {"kind": "PodList", "apiVersion": "v1", "items": [thing("v1", "Pod", "web", "shop")]}
    files = {
        "image/namespaces/shop/core/pods.yaml": good,
        "image/namespaces/shop/pods/web/web.yaml": "{",
        "image/namespaces/back/core/pods.yaml": "{",
        "image/namespaces/back/pods/api/api.yaml": thing("v1", "Pod", "api", "back"),
    }

    found = archive.read(write(tmp_path, files))

    assert names(found, "pods") == ["api", "web"]
    assert [reason.partition(":")[0] for reason in found.left_out] == ["image/namespaces/back/core/pods.yaml"]


def test_discovery_tells_of_types_that_have_no_definition(tmp_path: Path) -> None:
    route = {
        "resource": "routes",
        "responseKind": {"group": "route.openshift.io", "version": "v1", "kind": "Route"},
        "scope": "Namespaced",
        "singularResource": "route",
        "verbs": ["get", "list", "watch"],
    }
    secret = {**route, "resource": "secrets", "responseKind": {"kind": "Secret"}}
    review = {**route, "resource": "reviews", "responseKind": {"kind": "Review"}, "verbs": ["create"]}

    def group(name: str, *resources: dict[str, Any]) -> dict[str, Any]:
        return {"metadata": {"name": name}, "versions": [{"version": "v1", "resources": list(resources)}]}

    groups = [group("route.openshift.io", route, review), group("example.com", {**route, "resource": "others"})]
    listed = {"kind": "RouteList", "apiVersion": "route.openshift.io/v1", "items": [plain("web", "shop")]}
    files = {
        "image/aggregated-discovery-api.yaml": {"kind": "APIGroupDiscoveryList", "items": [group("", secret)]},
        "image/aggregated-discovery-apis.yaml": {"kind": "APIGroupDiscoveryList", "items": groups},
        "image/namespaces/shop/route.openshift.io/routes.yaml": listed,
    }

    found = archive.read(write(tmp_path, files))

    assert [item.qualified for item in found.resources if item.custom] == [
        "routes.route.openshift.io",
        "others.example.com",
    ]
    assert found.knows_types
    path = "/apis/route.openshift.io/v1/namespaces/shop/routes"
    assert samples.names(samples.get_json(found, path)) == ["web"]
    assert samples.get(found, "/openapi/v2").status == 200
    with pytest.raises(answers.RefusedError, match="the must-gather did not collect others"):
        samples.get(found, "/apis/example.com/v1/others")


def test_a_hosted_cluster_is_another_cluster(tmp_path: Path) -> None:
    files = {
        "image/namespaces/shop/core/pods.yaml": [thing("v1", "Pod", "own", "shop")],
        "image/hostedcluster-x/namespaces/shop/core/pods.yaml": [thing("v1", "Pod", "foreign", "shop")],
    }

    found = archive.read(write(tmp_path, files))

    assert names(found, "pods") == ["own"]
    assert found.left_out_count == 1


def test_logs_of_a_must_gather(tmp_path: Path) -> None:
    pod = "image/namespaces/shop/pods/web"
    files = {
        f"{pod}/web.yaml": thing("v1", "Pod", "web", "shop"),
        f"{pod}/main/main/logs/current.log": "2026-03-02T10:00:00Z now\n",
        f"{pod}/main/main/logs/previous.log": "",
        f"{pod}/main/main/logs/previous.insecure.log": "no\n",
        f"{pod}/main/main/healthz/index.json": "no\n",
    }

    found = archive.read(write(tmp_path, files))

    assert found.logs == {format.LogKey("shop", "web", "main"): b"2026-03-02T10:00:00Z now\n"}


# ---- cluster-info dumps

START, END = (
    "==== START logs for container {} of pod shop/web ====\n",
    "==== END logs for container {} of pod shop/web ====\n",
)


def log_file(*parts: tuple[str, str]) -> bytes:
    return "".join(START.format(name) + text + END.format(name) for name, text in parts).encode()


@pytest.mark.parametrize(
    "parts",
    [
        [("main", "one\ntwo\n")],
        [("main", "no line end")],
        [("first", ""), ("main", "one\n"), ("side", "two\n")],
        [("main", "it said " + END.format("main") + "and went on\n"), ("side", "x\n")],
        [("main", START.format("side") + "is quoted\n"), ("side", "x\n")],
    ],
)
def test_the_logs_of_a_pod_are_told_apart(parts: list[tuple[str, str]]) -> None:
    found = cluster_info.split(log_file(*parts), "shop", "web")

    assert found == [(name, text.encode()) for name, text in parts]


def test_a_log_whose_beginning_was_cut_keeps_its_name() -> None:
    whole = log_file(("main", "one\ntwo\n"), ("side", "three\n"))

    found = cluster_info.split(whole[whole.index(b"two") :], "shop", "web")

    assert found == [("main", b"two\n"), ("side", b"three\n")]


def test_a_log_that_kubectl_could_not_read_is_none(tmp_path: Path) -> None:
    refusal = 'Request log error: container "main" in pod "web" is waiting to start\n'
    files = {
        "nodes.json": {"kind": "NodeList", "apiVersion": "v1", "items": [NODE]},
        "shop/pods.json": {"kind": "PodList", "apiVersion": "v1", "items": [plain("web", "shop")]},
        "shop/web/logs.txt": log_file(("main", refusal), ("side", "fine\n")).decode(),
        "shop/other/logs.txt": log_file(("main", "of another pod\n")).decode(),
    }

    found = archive.read(write(tmp_path, files))

    assert found.logs == {format.LogKey("shop", "web", "side"): b"fine\n"}
    assert any("is waiting to start" in reason for reason in found.left_out)
    assert any(reason.startswith("shop/other/logs.txt: it holds no log") for reason in found.left_out)


# ---- all of them


def test_a_secret_is_kept_without_its_data(tmp_path: Path) -> None:
    secret = thing("v1", "Secret", "db", "shop", data={"password": "aHVudGVyMg=="}, stringData={"p": "hunter2"})
    note = "kubectl.kubernetes.io/last-applied-configuration"
    secret["metadata"]["annotations"] = {note: '{"stringData":{"p":"hunter2"}}', "team": "shop"}
    secret |= {"type": "Opaque", "immutable": True, "extra": "hunter2"}
    listed = {"kind": "SecretList", "apiVersion": "v1", "items": [secret]}

    found = archive.read(write(tmp_path, {"image/namespaces/shop/core/secrets.yaml": listed}))

    (kept,) = found.by_type["", "secrets"]
    assert kept == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "db", "namespace": "shop", "annotations": {"team": "shop"}},
        "type": "Opaque",
    }
    assert "hunter2" not in repr(found)
    assert "aHVudGVyMg" not in repr(found)


@pytest.mark.parametrize(
    ("item", "why"),
    [
        (thing("v1", "Secret", "db", "shop"), "it is a Secret in v1, and only Pod in v1 is served here"),
        (thing("v2", "Pod", "web", "shop"), "it is a Pod in v2"),
        (thing("v1", "Pod", "../web", "shop"), "metadata.name is missing or not a name"),
        (thing("v1", "Pod", "web", "other"), "it is of the namespace other, and its file of another"),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": []}, "metadata.name is missing or not a name"),
        ("web", "a member of its list is not an object"),
    ],
)
def test_what_cannot_be_served_is_left_out_and_said(item: object, why: str, tmp_path: Path) -> None:
    good = thing("v1", "Pod", "good", "shop")
    files = {f"{BUNDLE}/nodes.json": [], f"{BUNDLE}/pods/shop.json": [item, good]}

    found = archive.read(write(tmp_path, files))

    assert names(found, "pods") == ["good"]
    assert found.left_out_count == 1
    assert why in found.left_out[0]
    assert found.left_out[0].startswith(f"{BUNDLE}/pods/shop.json")


@pytest.mark.parametrize("content", ["{", "[1, 2", '"text"', "7", "\x00", "[" * 5000, '{"items": 3}'])
def test_a_broken_file_is_left_out_and_its_type_was_not_collected(content: str, tmp_path: Path) -> None:
    found = archive.read(write(tmp_path, {f"{BUNDLE}/nodes.json": [], f"{BUNDLE}/pods/shop.json": content}))

    assert ("", "pods") not in (found.held or {})
    assert found.left_out_count == 1
    assert found.left_out[0].startswith(f"{BUNDLE}/pods/shop.json: ")


def test_a_file_of_which_a_part_is_broken_is_not_whole(tmp_path: Path) -> None:
    pods = "apiVersion: v1\nkind: PodList\nitems: [{metadata: {name: web, namespace: shop}}]\n---\n{"

    found = archive.read(write(tmp_path, {"image/namespaces/shop/core/pods.yaml": pods}))

    assert names(found, "pods") == ["web"]
    assert found.held == {("", "pods"): format.Held(everywhere=False)}


def test_a_definition_cannot_take_the_place_of_a_type_of_kubernetes(tmp_path: Path) -> None:
    def definition(group: str, plural: str) -> dict[str, Any]:
        names = {"kind": "Secret", "plural": plural}
        version = {"name": "v7", "served": True}
        spec = {"group": group, "names": names, "scope": "Namespaced", "versions": [version]}
        return plain(f"{plural}.{group}", spec=spec)

    bad = [definition("", "secrets"), definition("apps", "deployments"), definition("x.example", "a/b"), plain("empty")]
    files = {f"{BUNDLE}/nodes.json": [], f"{BUNDLE}/custom-resource-definitions.json": bad}

    found = archive.read(write(tmp_path, files))

    assert [item for item in found.resources if item.custom] == []


def test_of_other_folders_it_is_said_what_would_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no archive that is known here") as caught:
        archive.read(write(tmp_path, {"notes.txt": "hello"}))

    assert "support bundle" in caught.value.hint
    assert "archive.yaml" in caught.value.hint


def test_our_own_folder_is_still_read_strictly(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="version is not like"):
        archive.read(write(tmp_path, {"archive.yaml": "name: x\n", f"{BUNDLE}/nodes.json": []}))
