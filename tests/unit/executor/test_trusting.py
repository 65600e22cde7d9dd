"""What the executor shows of whom it trusts: capabilities, metrics, log, once a change and at each dial."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from kubently import trust
from kubently.executor.program import _capabilities
from kubently.executor.sandbox import Sandbox
from kubently.executor.supervisor import Supervisor
from kubently.kube.policy import DEFAULT_POLICY
from kubently.settings import ExecutorSettings, TrustSettings

UNVERIFIED = TrustSettings(verify=False)


def supervisor(settings: TrustSettings) -> Supervisor:
    executor = ExecutorSettings("https://api.example.com", "prod", "token", trust=settings)
    return Supervisor(executor, None, None, capabilities={})  # type: ignore[arg-type]


def context(one: Supervisor) -> ssl.SSLContext | None:
    """The TLS context of a dial."""
    return one._dialler._context(one._endpoints.in_order()[0])


def metric(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0


@pytest.mark.parametrize(
    ("url", "settings", "told"),
    [
        ("https://h", TrustSettings(), "verified"),
        ("https://h", UNVERIFIED, "unverified"),
        ("http://h", TrustSettings(), "none"),
    ],
)
def test_capabilities_say_how_the_api_is_verified(url: str, settings: TrustSettings, told: str) -> None:
    executor = ExecutorSettings(url, "prod", "token", trust=settings)

    assert _capabilities(executor, Sandbox(), DEFAULT_POLICY)["tls"] == told


def test_unverified_is_warned_of_at_each_dial_and_stands_in_the_metric(caplog: pytest.LogCaptureFixture) -> None:
    one = supervisor(UNVERIFIED)

    for _ in range(3):
        context(one)

    assert [record.getMessage() for record in caplog.records] == ["the API's certificate is not verified"] * 3
    assert metric("kubently_executor_tls_unverified") == 1
    context(supervisor(TrustSettings()))
    assert metric("kubently_executor_tls_unverified") == 0


def test_refused_change_is_logged_and_counted_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "ca.crt"
    file.write_bytes(trust.make_authority("a").cert)
    one = supervisor(TrustSettings(ca_cert=str(file)))
    first, before = context(one), metric("kubently_trust_reload_failures_total")

    file.write_text("half a file")
    again = [context(one) for _ in range(3)]

    assert again == [first] * 3
    assert metric("kubently_trust_reload_failures_total") == before + 1
    refused = [vars(record) for record in caplog.records if record.levelno == logging.ERROR]
    assert [(fields["code"], str(file) in fields["reason"]) for fields in refused] == [("tls-source", True)]


def test_sources_are_logged_with_their_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    file = tmp_path / "ca.crt"
    file.write_bytes(trust.make_authority("a").cert)

    context(supervisor(TrustSettings(ca_cert=str(file))))

    said = [vars(record)["source"] for record in caplog.records]
    assert said == [f"1 loaded, 0 expired, 0 not CA: KUBENTLY_CA_CERT ({file})"]
