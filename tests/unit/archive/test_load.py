from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kubently.archive import format, load
from kubently.errors import ConfigError

MANIFEST = """\
name: sample
title: A sample
version: v1.36.3
captured_at: 2026-11-18T12:00:00Z
labels: {env: test}
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, resourceVersion: "41", creationTimestamp: 2026-11-18T11:00:00Z}
"""


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in {"archive.yaml": MANIFEST, **files}.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return root


def test_reads_manifest_objects_and_logs(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {"objects/shop/pods.yaml": POD, "logs/shop/web/main.log": "a\n", "logs/shop/web/main.previous.log": "b\n"},
    )

    found = load(root)

    assert (found.name, found.title, found.version) == ("sample", "A sample", "v1.36.3")
    assert found.captured_at == datetime(2026, 11, 18, 12, tzinfo=UTC)
    assert found.labels == {"env": "test"}
    assert [item["metadata"]["name"] for item in found.by_type["", "pods"]] == ["web"]
    assert found.resource_version == 41
    assert found.logs[format.LogKey("shop", "web", "main")] == b"a\n"
    assert found.logs[format.LogKey("shop", "web", "main", previous=True)] == b"b\n"


def test_an_unquoted_instant_stays_text(tmp_path: Path) -> None:
    found = load(write(tmp_path, {"objects/shop/pods.yaml": POD}))

    assert found.by_type["", "pods"][0]["metadata"]["creationTimestamp"] == "2026-11-18T11:00:00Z"


def test_reads_lists_and_several_documents(tmp_path: Path) -> None:
    listed = """\
apiVersion: v1
kind: NamespaceList
items:
- metadata: {name: b}
---
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: a}}
"""
    found = load(write(tmp_path, {"objects/_cluster/namespaces.yaml": listed}))

    assert [(item["kind"], item["metadata"]["name"]) for item in found.by_type["", "namespaces"]] == [
        ("Namespace", "a"),
        ("Namespace", "b"),
    ]


def test_sorts_objects_as_a_store_does(tmp_path: Path) -> None:
    """The separator sorts after the hyphen, so that "a-b/x" comes before "a/x"."""
    first = POD.replace("namespace: shop", "namespace: a")
    second = POD.replace("namespace: shop", "namespace: a-b")

    found = load(write(tmp_path, {"objects/a/pods.yaml": first, "objects/a-b/pods.yaml": second}))

    assert [item["metadata"]["namespace"] for item in found.by_type["", "pods"]] == ["a-b", "a"]


def test_serves_metrics_only_if_the_archive_has_them(tmp_path: Path) -> None:
    metrics = "{apiVersion: metrics.k8s.io/v1beta1, kind: NodeMetrics, metadata: {name: n1}}"
    with_metrics = write(tmp_path / "with", {"objects/_cluster/nodes.metrics.k8s.io.yaml": metrics})
    without = write(tmp_path / "without", {})

    assert load(with_metrics).find("metrics.k8s.io", "v1beta1", "nodes") is not None
    assert load(without).find("metrics.k8s.io", "v1beta1", "nodes") is None


CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget}
  versions:
  - {name: v1beta1, served: true, storage: false}
  - {name: v1, served: true, storage: true}
  - {name: v1alpha1, served: false, storage: false}
"""


def test_serves_custom_resources_whose_definition_is_archived(tmp_path: Path) -> None:
    widget = "{apiVersion: example.com/v1beta1, kind: Widget, metadata: {name: w, namespace: shop}}"
    root = write(
        tmp_path,
        {
            "objects/_cluster/customresourcedefinitions.apiextensions.k8s.io.yaml": CRD,
            "objects/shop/widgets.example.com.yaml": widget,
        },
    )

    found = load(root)

    assert [item.version for item in found.resources if item.custom] == ["v1", "v1beta1"]
    assert found.find("example.com", "v1", "widgets") is not None
    assert found.find("example.com", "v1alpha1", "widgets") is None


REFUSED = {
    "no manifest field": ({"archive.yaml": "name: sample\ncaptured_at: 2026-11-18T12:00:00Z\n"}, "version"),
    "unknown manifest field": ({"archive.yaml": MANIFEST + "color: red\n"}, "color"),
    "manifest is a list": ({"archive.yaml": "[1]"}, "one mapping"),
    "bad name": ({"archive.yaml": MANIFEST.replace("sample", "A_b")}, "cluster id"),
    "bad instant": ({"archive.yaml": MANIFEST.replace("T12:00:00Z", "")}, "instant"),
    "labels are not text": ({"archive.yaml": MANIFEST.replace("test", "1")}, "labels"),
    "not YAML": ({"objects/shop/pods.yaml": "a: [1"}, "document 1 is not usable YAML"),
    "second document is broken": ({"objects/shop/pods.yaml": POD + "---\na: [1"}, "document 2"),
    "a key that is no text": ({"objects/shop/pods.yaml": POD + "spec: {1: a}\n"}, "key 1"),
    "binary": ({"objects/shop/pods.yaml": POD + "spec: {a: !!binary aGk=}\n"}, "bytes is not JSON"),
    "a foreign tag": ({"objects/shop/pods.yaml": "!!python/object/apply:os.system [true]"}, "not usable YAML"),
    "not an object": ({"objects/shop/pods.yaml": "just text"}, "not an object"),
    "items is no list": ({"objects/shop/pods.yaml": "{kind: PodList, apiVersion: v1, items: {a: 1}}"}, "items"),
    "no name": ({"objects/shop/pods.yaml": "{apiVersion: v1, kind: Pod, metadata: {namespace: shop}}"}, "name"),
    "other namespace": ({"objects/other/pods.yaml": POD}, "namespace"),
    "other kind": ({"objects/shop/services.yaml": POD}, "not a Service in v1"),
    "unknown type": ({"objects/shop/gizmos.yaml": POD}, "no such resource type"),
    "unknown custom type": ({"objects/shop/gizmos.example.com.yaml": POD}, "no such resource type"),
    "same name twice": ({"objects/shop/pods.yaml": f"{POD}---\n{POD}"}, "was there before"),
    "namespaced among cluster's": (
        {"objects/_cluster/pods.yaml": POD.replace("namespace: shop, ", "")},
        "need a namespace",
    ),
    "cluster's in a namespace": (
        {"objects/shop/nodes.yaml": POD.replace("Pod", "Node")},
        "have no namespace",
    ),
    "secret data": (
        {"objects/shop/secrets.yaml": POD.replace("Pod", "Secret") + "data: {a: aGk=}\n"},
        "carries data",
    ),
    "events of the other API": (
        {"objects/shop/events.events.k8s.io.yaml": POD.replace("kind: Pod", "kind: Event")},
        "no such resource type",
    ),
    "not an objects file": ({"objects/shop/pods.txt": POD}, "objects file"),
    "file among folders": ({"objects/pods.yaml": POD}, "not where"),
    "folder among files": ({"objects/shop/deeper/pods.yaml": POD}, "not where"),
    "not a log": ({"logs/shop/web/main.txt": ""}, "not a log"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_what_it_does_not_understand(tmp_path: Path, case: str) -> None:
    files, part = REFUSED[case]

    with pytest.raises(ConfigError) as refused:
        load(write(tmp_path, files))

    assert part in str(refused.value)
    assert next(reversed(files)) in str(refused.value) or "deeper" in str(refused.value) or case.startswith("file")


def test_hidden_files_are_left_alone(tmp_path: Path) -> None:
    assert load(write(tmp_path, {"objects/shop/.pods.yaml.swp": "x", "logs/.keep": ""})).by_type == {}


def test_a_folder_without_a_manifest_is_not_an_archive(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(ConfigError):
            load(path)


def test_links_may_not_lead_out(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "pods.yaml").write_text(POD)
    for number, (link, target) in enumerate(
        (("objects/shop/pods.yaml", outside / "pods.yaml"), ("objects/shop", outside), ("objects", outside))
    ):
        root = write(tmp_path / str(number), {})
        (root / link).parent.mkdir(parents=True, exist_ok=True)
        (root / link).symlink_to(target)

        with pytest.raises(ConfigError, match="leads out of the archive"):
            load(root)


def test_links_inside_are_followed(tmp_path: Path) -> None:
    root = write(tmp_path, {"objects/shop/pods.yaml": POD})
    (root / "logs" / "shop" / "web").mkdir(parents=True)
    (root / "logs" / "shop" / "web" / "main.log").symlink_to(root / "archive.yaml")

    assert load(root).logs[format.LogKey("shop", "web", "main")].startswith(b"name: sample")


def test_loops_of_links_are_refused(tmp_path: Path) -> None:
    root = write(tmp_path, {})
    (root / "objects").symlink_to(root / "objects")

    with pytest.raises(ConfigError):
        load(root)


@pytest.mark.parametrize(
    ("limit", "value"),
    [("MAX_FILES", 1), ("MAX_FILE_BYTES", 50), ("MAX_TOTAL_BYTES", 200), ("MAX_VALUES", 5), ("MAX_DEPTH", 1)],
)
def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    root = write(tmp_path, {"objects/shop/pods.yaml": POD, "logs/shop/web/main.log": "x" * 200})
    # The face of the package gives this name to the function.
    home = "documents" if limit in ("MAX_VALUES", "MAX_DEPTH") else "load"
    monkeypatch.setattr(sys.modules[f"kubently.archive.{home}"], limit, value)

    with pytest.raises(ConfigError):
        load(root)


def test_aliases_cannot_blow_up(tmp_path: Path) -> None:
    """A few lines of aliases stand for 10^9 values; walking them is given up early."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]

    with pytest.raises(ConfigError, match="too many"):
        load(write(tmp_path, {"objects/shop/pods.yaml": "\n".join(lines)}))


def test_deep_nesting_is_an_error_not_a_crash(tmp_path: Path) -> None:
    for content in ("[" * 5000, "{a: " * 3000):
        with pytest.raises(ConfigError):
            load(write(tmp_path, {"objects/shop/pods.yaml": content}))
