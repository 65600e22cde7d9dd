"""What the NetworkPolicies let through, judged by cyclonus: every way that Kubently needs, and no other."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import yaml

from tests.chart import cases, traffic
from tests.chart.traffic import Peer, Way
from tests.testbed import helm

SPACE = "kubently"
DNS = Peer("kube-system", {"k8s-app": "kube-dns"}, ip="10.244.0.2")
NODE_DNS = Peer(ip="169.254.20.10")
CONTROLLER = Peer("ingress-nginx", {"app.kubernetes.io/name": "ingress-nginx"})
BESIDE_CONTROLLER = Peer("ingress-nginx", {"app": "something-else"})
PROMETHEUS = Peer("monitoring", {"app.kubernetes.io/name": "prometheus"})
STRANGER = Peer("default", {"app": "stranger"})
NEIGHBOUR = Peer(SPACE, {"app": "neighbour"})
API_SERVER = Peer(ip="192.0.2.1")
PROVIDER = Peer(ip="203.0.113.9")
REMOTE_API = Peer(ip="198.51.100.7")
INTERNET = Peer(ip="8.8.8.8")


def pods(found: list[helm.Object]) -> Mapping[str, Peer]:
    """The pods of each component, with the labels that the chart gives them."""
    workloads = {
        o["metadata"]["labels"]["app.kubernetes.io/component"]: o for o in found if "template" in o.get("spec", {})
    }
    return {name: Peer(SPACE, o["spec"]["template"]["metadata"]["labels"]) for name, o in workloads.items()}


def check(found: list[helm.Object], expected: Mapping[str, tuple[Way, bool]]) -> None:
    answers = traffic.allowed(found, [way for way, _ in expected.values()])

    assert dict(zip(expected, answers, strict=True)) == {name: wanted for name, (_, wanted) in expected.items()}


def test_all_of_one_cluster() -> None:
    found = cases.named("values-network").render()
    api, executor, redis = (pods(found)[name] for name in ("api", "executor", "redis"))

    check(
        found,
        {
            "executor to API": (Way(executor, api, 8080), True),
            "executor to another port of the API": (Way(executor, api, 8444), False),
            "ingress controller to API": (Way(CONTROLLER, api, 8080), True),
            "another pod beside the ingress controller": (Way(BESIDE_CONTROLLER, api, 8080), False),
            "ingress controller to metrics": (Way(CONTROLLER, api, 9090), False),
            "Prometheus to API's metrics": (Way(PROMETHEUS, api, 9090), True),
            "Prometheus to executor's metrics": (Way(PROMETHEUS, executor, 9090), True),
            "Prometheus to API": (Way(PROMETHEUS, api, 8080), False),
            "stranger to API": (Way(STRANGER, api, 8080), False),
            "neighbour to API": (Way(NEIGHBOUR, api, 8080), False),
            "neighbour to executor": (Way(NEIGHBOUR, executor, 9090), False),
            "API to Redis": (Way(api, redis, 6379), True),
            "executor to Redis": (Way(executor, redis, 6379), False),
            "stranger to Redis": (Way(STRANGER, redis, 6379), False),
            "neighbour to Redis": (Way(NEIGHBOUR, redis, 6379), False),
            "Redis to anywhere": (Way(redis, INTERNET, 443), False),
            "Redis to DNS": (Way(redis, DNS, 53, "UDP"), False),
            "API to API": (Way(api, api, 8444), True),
            "neighbour to API's port for peers": (Way(NEIGHBOUR, api, 8444), False),
            "API to DNS": (Way(api, DNS, 53, "UDP"), True),
            "API to DNS over TCP": (Way(api, DNS, 53), True),
            "API to DNS of the node": (Way(api, NODE_DNS, 53, "UDP"), True),
            "executor to DNS": (Way(executor, DNS, 53, "UDP"), True),
            "executor to another pod's port 53": (Way(executor, STRANGER, 53, "UDP"), False),
            "executor to API server": (Way(executor, API_SERVER, 6443), True),
            "executor to API server's Service": (Way(executor, Peer(ip="10.96.0.1"), 443), True),
            "executor to the internet": (Way(executor, INTERNET, 443), False),
            "API to its OpenID provider": (Way(api, PROVIDER, 443), True),
            "API to the internet": (Way(api, INTERNET, 443), False),
            "API to API server": (Way(api, API_SERVER, 6443), False),
        },
    )


def test_remote_cluster() -> None:
    found = cases.named("values-network-of-a-remote-cluster").render()
    executor = pods(found)["executor"]

    check(
        found,
        {
            "to the API by its port": (Way(executor, REMOTE_API, 8443), True),
            "to another host": (Way(executor, INTERNET, 8443), False),
            "to API server": (Way(executor, API_SERVER, 443), True),
            "to DNS": (Way(executor, DNS, 53, "UDP"), True),
            "from Prometheus": (Way(PROMETHEUS, executor, 9090), True),
            "from a stranger": (Way(STRANGER, executor, 9090), False),
        },
    )


def test_block_of_the_guide_breaks_nothing() -> None:
    """Alone, its rules would shut out the ingress controller and the chart's own executor."""
    found = cases.named("guide-practice-network").render()
    api, executor = (pods(found)[name] for name in ("api", "executor"))

    check(
        found,
        {
            "the chart's executor": (Way(executor, api, 8080), True),
            "the ingress controller, wherever it is": (Way(CONTROLLER, api, 8080), True),
            "a pod labelled app=executor beside": (Way(Peer(SPACE, {"app": "executor"}), api, 8080), True),
            "a pod of a namespace labelled name=kubently": (
                Way(Peer("other", {}, {"name": "kubently"}), api, 8080),
                True,
            ),
            "a stranger to Redis": (Way(STRANGER, pods(found)["redis"], 6379), False),
        },
    )


def test_external_redis_is_reached_by_its_ports() -> None:
    found = cases.named("values-redis-sentinel").render()
    api = pods(found)["api"]

    check(
        found,
        {
            "sentinel": (Way(api, INTERNET, 26379), True),
            "server that the sentinel names": (Way(api, INTERNET, 6379), True),
            "another port": (Way(api, INTERNET, 5432), False),
        },
    )


def test_tls_to_the_pod_has_its_own_port() -> None:
    found = cases.named("values-gateway").render()
    api, executor = (pods(found)[name] for name in ("api", "executor"))
    gateway = Peer("gateways", {"app": "gateway"})

    check(
        found,
        {
            "gateway": (Way(gateway, api, 8443), True),
            "gateway in clear": (Way(gateway, api, 8080), False),
            "executor": (Way(executor, api, 8443), True),
        },
    )


@pytest.mark.parametrize("case", ["values-network", "values-production", "values-gateway", "guide-practice-network"])
def test_pods_of_the_doctor_go_where_their_component_goes(case: str) -> None:
    found = cases.named(case).render()
    components = pods(found)

    for doctor in (o for o in found if o["kind"] == "Pod"):
        labels = doctor["metadata"]["labels"]
        component = components[labels["kubently.io/network"]]
        for way in (Way(component, DNS, 53, "UDP"), Way(component, API_SERVER, 6443), Way(component, INTERNET, 443)):
            asked = [way, Way(Peer(SPACE, labels), way.destination, way.port, way.protocol)]

            assert len(set(traffic.allowed(found, asked))) == 1


def test_evaluator_sees_rules_that_shut_out() -> None:
    """The guide's block as a policy of its own: what it would do without the chart's rules beside it."""
    block = yaml.safe_load(cases.named("guide-practice-network").path.read_text())["networkPolicy"]
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "alone", "namespace": SPACE},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": block["ingress"]},
    }
    api = Peer(SPACE, {"app": "api"})

    check(
        [policy],
        {
            "ingress controller": (Way(CONTROLLER, api, 8080), False),
            "executor": (Way(Peer(SPACE, {"app": "executor"}), api, 8080), True),
        },
    )
