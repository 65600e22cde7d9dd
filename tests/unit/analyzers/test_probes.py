from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from kubently.analyzers import probes
from kubently.analyzers.containers import Container


def container(probe: dict[str, Any], ports: list[dict[str, Any]] | None = None) -> Container:
    spec = {
        "name": "app",
        "readinessProbe": probe,
        "ports": ports if ports is not None else [{"containerPort": 8080, "name": "http"}],
    }
    return Container({}, "app", spec, {}, "status.containerStatuses[0]", is_init=False)


HTTP = {"httpGet": {"path": "/ready", "port": 8080}}


@pytest.mark.parametrize(
    ("probe", "message", "trouble"),
    [
        (HTTP, "Readiness probe failed: HTTP probe failed with statuscode: 503", "GET :8080/ready answers 503"),
        (
            HTTP,
            "Readiness probe failed: dial tcp 10.0.0.1:8080: connect: connection refused",
            "nothing listens on port 8080",
        ),
        (
            {"tcpSocket": {"port": 9}},
            "Readiness probe failed: dial tcp 10.0.0.1:9: connect: connection refused",
            "nothing listens on port 9, and the container declares 8080",
        ),
        (
            HTTP,
            "Readiness probe failed: context deadline exceeded (Client.Timeout ...)",
            "GET :8080/ready does not answer within 1 s",
        ),
        (
            HTTP,
            "Readiness probe failed: http: server gave HTTP response to HTTPS client",
            "HTTP and HTTPS are mixed up between probe and program",
        ),
        ({"httpGet": {"port": "web"}}, "", "its readiness probe names port web, which the container does not have"),
        (
            {"exec": {"command": ["cat", "/ok"]}},
            "Readiness probe failed: cat: can't open '/ok'",
            "Readiness probe failed: cat: can't open '/ok'",
        ),
        ({"exec": {"command": ["cat", "/ok"]}}, "", "its readiness probe (its command cat /ok) does not pass"),
        ({"grpc": {"port": 9}}, "", "its readiness probe (gRPC health on :9) does not pass"),
    ],
)
def test_trouble_in_a_few_words(probe: dict[str, Any], message: str, trouble: str) -> None:
    assert probes.trouble(container(probe), "readiness", message) == trouble


@pytest.mark.parametrize(
    ("port", "number"), [(8080, 8080), ("http", 8080), ("81", 81), ("web", 0), (None, 0), (True, 0)]
)
def test_the_port_of_a_probe(port: object, number: int) -> None:
    probe = {"httpGet": {"port": port}}

    assert probes.probe_port(container(probe), probe) == number


def test_a_probe_is_described() -> None:
    probe = {**HTTP, "initialDelaySeconds": 5, "periodSeconds": 3, "timeoutSeconds": 2, "failureThreshold": 4}

    described = probes.describe(container(probe), "readiness")

    assert described == "GET :8080/ready every 3 s after 5 s, 2 s to answer, 4 failures allowed"


def test_patience_counts_the_delays_that_the_pod_asks_for() -> None:
    slow = {
        "readinessProbe": {"initialDelaySeconds": 20, "periodSeconds": 5},
        "startupProbe": {"periodSeconds": 10, "failureThreshold": 30},
    }

    assert probes.patience(slow) == timedelta(seconds=60 + 25 + 300)
    assert probes.patience({"readinessProbe": {"initialDelaySeconds": 10**30}}) == timedelta(seconds=3660)
