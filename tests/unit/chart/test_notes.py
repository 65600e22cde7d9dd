"""What Helm tells the person after an installation: the next command of exactly this topology, and what is risky."""

from __future__ import annotations

from typing import Any

import pytest
from tests.testbed import helm

REMOTE: dict[str, Any] = {"apiUrl": "https://api.example.com", "clusterId": "b"}


def test_one_cluster_with_a_ca_of_its_own() -> None:
    said = helm.notes()

    assert "the API and an executor of the cluster kubently" in said
    assert "get secret kubently-api-tls -o jsonpath='{.data.ca\\.crt}'" in said
    assert "kubently profile add kubently --url https://kubently.local --ca kubently-ca.crt" in said
    assert "kubently run kubently -- get pods -A" in said
    assert "wait --for=condition=Ready certificate" not in said
    assert "Mind:" not in said


def test_public_name_waits_for_its_certificate_and_needs_no_ca() -> None:
    said = helm.notes({"tls": {"external": {"domain": "api.example.com"}}})

    assert "wait --for=condition=Ready certificate/kubently-api-tls" in said
    assert "--url https://api.example.com\n" in said
    assert "--ca " not in said


def test_api_alone_speaks_of_no_cluster_of_its_own() -> None:
    said = helm.notes({"executor": {"enabled": False}})

    assert "kubently cluster add CLUSTER" in said
    assert "kubently run" not in said


def test_executor_that_enrols_has_no_token_to_bring_to_the_api() -> None:
    said = helm.notes({"executor": {**REMOTE, "enrolment": {"existingSecret": "once"}}})

    assert "an executor of the cluster b" in said
    assert "rollout status deployment/kubently-executor" in said
    assert "must know the token" not in said


def test_executor_with_a_token_says_how_the_api_gets_to_know_it() -> None:
    said = helm.notes({"api": {"enabled": False}, "executor": {**REMOTE, "existingSecret": "token"}})

    assert "The API must know the token of b" in said
    assert "redis-cli SET executor:token:b" in said
    assert "Mind:" not in said


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, ["api.existingSecret", "redis.auth.existingSecret", "executor.existingSecret", "tls.existingSecret"]),
        ({"redis": {"enabled": False}, "executor": {"enabled": False}}, ["api.existingSecret", "tls.existingSecret"]),
        ({"tls": {"external": {"domain": "a.b"}}, "executor": {"enabled": False}, "redis": {"enabled": False}}, []),
    ],
)
def test_secrets_that_templates_would_make_anew_are_named(values: dict[str, Any], named: list[str]) -> None:
    said = helm.notes(values).partition("Name Secrets of yours in ")[2].partition(":")[0]

    assert said.split(", ") == (named or ["api.existingSecret"])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tls": {"enabled": False}}, "No TLS: keys, tokens and answers travel in clear"),
        ({"redis": {"auth": {"enabled": False}}}, "Redis wants no password"),
        ({"networkPolicy": {"enabled": True}}, "Every pod of the cluster may reach the API's port"),
        ({"tls": {"certificate": {"crt": "c", "key": "k"}}}, "tls.certificate.key stays readable"),
        ({"executor": {**REMOTE, "existingSecret": "t", "allowInsecureHttp": True}}, "may travel in clear"),
        ({"executor": {"tls": {"insecureAcknowledged": True}}}, "may accept any certificate"),
        ({"api": {"enabled": True}, "executor": REMOTE}, "An API was installed here, and the executor uses another"),
        ({"executor": {"extraVolumes": [{"name": "v", "emptyDir": {}}]}}, "is mounted nowhere: add it to"),
    ],
)
def test_what_is_risky_is_said(values: dict[str, Any], words: str) -> None:
    said = helm.notes(values)

    assert "Mind:" in said
    assert words in said
