"""What counts as staying inside."""

from __future__ import annotations

import pytest

from kubently.doctor import Status, Subject, network, road


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("kubently-api", True),
        ("kubently-api.kubently.svc", True),
        ("kubently-api.kubently.svc.cluster.local.", True),
        ("10.0.0.1", False),
        ("api.example.com", False),
        ("svc.example.com", False),
    ],
)
def test_what_stays_within_machine_or_cluster(host: str, inside: bool) -> None:
    assert road.is_inside(host) is inside


@pytest.mark.parametrize(
    ("url", "status"),
    [("http://127.0.0.1:8080", Status.PASS), ("http://api.kubently.svc", Status.PASS),
     ("http://api.example.com", Status.WARNING)],
)  # fmt: skip
def test_plain_http_is_told_where_it_leaves_the_cluster(url: str, status: Status) -> None:
    assert network.handshake(Subject(url)).status is status
