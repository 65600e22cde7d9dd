"""Which resource a word means."""

from typing import Any

import pytest

from kubently.executor.native.resources import ResourceTable, UnknownResource, parse_discovery
from kubently.executor.native.unsure import Unsure


def resource(plural: str, kind: str, *, scope: str = "Namespaced", **more: Any) -> dict[str, Any]:
    return {
        "resource": plural,
        "singularResource": kind.lower(),
        "scope": scope,
        "responseKind": {"group": "", "version": "", "kind": kind},
        **more,
    }


def group(name: str, **versions: list[dict[str, Any]]) -> dict[str, Any]:
    entries = [{"version": version, "resources": resources} for version, resources in versions.items()]
    return {"metadata": {"name": name} if name else {}, "versions": entries}


def discovery(*groups: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": list(groups)}


CORE = discovery(
    group(
        "",
        v1=[
            resource("pods", "Pod", shortNames=["po"], categories=["all"]),
            resource("events", "Event", shortNames=["ev"]),
            resource("nodes", "Node", scope="Cluster", shortNames=["no"]),
            resource("services", "Service", shortNames=["svc"], categories=["all"]),
        ],
    )
)
GROUPS = discovery(
    group("apps", v1=[resource("deployments", "Deployment", shortNames=["deploy"], categories=["all"])]),
    group("events.k8s.io", v1=[resource("events", "Event", shortNames=["ev"])]),
    group(
        "autoscaling",
        v2=[resource("scalers", "Scaler", shortNames=["hpa"], categories=["all"])],
        v1=[resource("scalers", "Scaler", shortNames=["hpa"], categories=["all"])],
    ),
    group("metrics.k8s.io", v1beta1=[resource("pods", "PodMetrics", singularResource="pod")]),
    group("apps.example", v1=[resource("gadgets", "Gadget")]),
    group("metrics.k8s.io.example", v1=[resource("pods", "Pod")]),
)


@pytest.fixture
def table() -> ResourceTable:
    return parse_discovery(CORE, GROUPS)


@pytest.mark.parametrize(
    ("word", "api_version", "plural"),
    [
        ("pods", "v1", "pods"),
        ("pod", "v1", "pods"),
        ("po", "v1", "pods"),
        ("Pod", "v1", "pods"),
        ("PODS", "v1", "pods"),
        ("pods.v1.", "v1", "pods"),
        ("events", "v1", "events"),
        ("events.events.k8s.io", "events.k8s.io/v1", "events"),
        ("deploy", "apps/v1", "deployments"),
        ("deployments.v1.apps", "apps/v1", "deployments"),
        ("scalers", "autoscaling/v2", "scalers"),
        ("hpa", "autoscaling/v2", "scalers"),
        ("scalers.v1.autoscaling", "autoscaling/v1", "scalers"),
        ("pods.v1beta1.metrics.k8s.io", "metrics.k8s.io/v1beta1", "pods"),
    ],
)
def test_a_word_means_what_it_means_to_kubectl(word: str, api_version: str, plural: str, table: ResourceTable) -> None:
    found = table.find(word)

    assert (found.api_version, found.plural) == (api_version, plural)


@pytest.mark.parametrize("word", ["unheardof", "PO", "pods.v2.", "deployments.v7.apps"])
def test_a_word_that_means_nothing_may_be_new(word: str, table: ResourceTable) -> None:
    with pytest.raises(UnknownResource):
        table.find(word)


@pytest.mark.parametrize("word", ["ev", "podlist", "pods.metrics.k8s.io", "scalers.auto", "po.v1"])
def test_what_kubectl_warns_of_or_guesses_is_left_to_it(word: str, table: ResourceTable) -> None:
    """ "ev" is the short name of two, and two groups begin with "metrics.k8s.io"."""
    with pytest.raises(Unsure):
        table.find(word)


def test_a_category_is_all_its_types_in_the_servers_order(table: ResourceTable) -> None:
    assert table.expand_category("all") == (
        "pods,services,deployments.apps,scalers.autoscaling,scalers.autoscaling"  # one for each version
    )
    assert table.expand_category("pods") == "pods"


def test_kinds_and_paths(table: ResourceTable) -> None:
    deployments = table.find("deploy")

    assert (deployments.root, deployments.group_kind) == ("/apis/apps/v1", "Deployment.apps")
    assert (table.find("pods").root, table.find("nodes").is_namespaced) == ("/api/v1", False)
    assert table.serves("apps/v1", "Deployment")
    assert not table.serves("apps/v1", "Pod")


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        {"kind": "APIGroupList", "groups": []},
        {"kind": "APIGroupDiscoveryList", "items": [{}]},
        {"kind": "APIGroupDiscoveryList", "items": [group("a", v1=[])["versions"]]},
        discovery({"metadata": {}, "versions": [{"version": "v1", "freshness": "Stale"}]}),
    ],
)
def test_discovery_of_another_shape_is_left_to_kubectl(document: Any) -> None:
    with pytest.raises(Unsure):
        parse_discovery(document)
