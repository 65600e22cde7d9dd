"""What the accounts of the chart may do, asked of a real API server; and that its pods are the restricted kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.chart import cases
from tests.testbed import releases
from tests.testbed.cluster import Cluster

ENROLLED = {
    "api": {"enabled": False},
    "executor": {
        "clusterId": "b",
        "apiUrl": "https://api.example.com",
        "enrolment": {"existingSecret": "once"},
    },
}


@contextmanager
def installed(cluster: Cluster, name: str, *more: str, **values: object) -> Iterator[releases.Release]:
    with releases.namespace(cluster, name) as space:
        release = releases.Release(cluster, "kubently", space)
        release.install(values, *more)
        yield release
        release.uninstall()


def may(release: releases.Release, question: str, *, account: str = "kubently-executor") -> bool:
    """Whether it may, in kubectl's words: ``list pods -A``."""
    words = question.split()
    space = () if {"-A", "-n"} & set(words) else ("-n", release.namespace)
    who = f"--as=system:serviceaccount:{release.namespace}:{account}"
    said = release.cluster.kubectl("auth", "can-i", *words, *space, who, check=False).stdout.strip()
    assert said in ("yes", "no"), said
    return said == "yes"


def answers(release: releases.Release, expected: dict[str, bool], account: str = "kubently-executor") -> None:
    assert {question: may(release, question, account=account) for question in expected} == expected


def test_executor_reads_no_secret_and_writes_nothing(cluster: Cluster) -> None:
    with installed(cluster, "rights-default") as release:
        answers(
            release,
            {
                "list pods -A": True,
                "get pods --subresource=log -A": True,
                "watch deployments.apps -A": True,
                "list nodes": True,
                "list certificates.cert-manager.io -A": True,
                "get secrets -A": False,
                "list secrets": False,
                "get secrets/kubently-executor-token": False,
                "create pods": False,
                "create pods --subresource=exec": False,
                "get pods --subresource=exec": False,
                "create pods --subresource=portforward": False,
                "get nodes --subresource=proxy": False,
                "get services --subresource=proxy": False,
                "delete pods": False,
                "patch deployments.apps": False,
                "create serviceaccounts --subresource=token": False,
                "impersonate users": False,
                "impersonate groups/system:masters": False,
                "* *": False,
            },
        )
        for account in ("kubently-api", "kubently-redis-master"):
            answers(release, {"list pods": False, "get secrets": False, "list nodes": False}, account)


def test_each_grant_shows(cluster: Cluster) -> None:
    case = cases.named("values-grants")
    with installed(cluster, "rights-granted", f"--values={case.path}") as release:
        answers(
            release,
            {
                "list secrets -A": True,
                "update secrets": False,
                "watch virtualservices.networking.istio.io -A": True,
                "delete virtualservices.networking.istio.io": False,
                "impersonate groups/kubently:sre": True,
                "impersonate groups/kubently:viewers": True,
                "impersonate groups/kubently:others": False,
                "impersonate groups/system:masters": False,
                "impersonate users/kubently:key:ann": True,
                "impersonate serviceaccounts": False,
            },
        )


def test_named_namespaces_are_all_that_it_sees(cluster: Cluster) -> None:
    with releases.namespace(cluster, "rights-shop") as shop:
        seen = [shop, "rights-narrow"]
        with installed(cluster, "rights-narrow", executor={"rbac": {"namespaces": seen}}) as release:
            answers(
                release,
                {
                    f"list pods -n {shop}": True,
                    "list pods -n rights-narrow": True,
                    "list pods -n default": False,
                    "list pods -A": False,
                    "list nodes": False,
                    f"list secrets -n {shop}": False,
                },
            )


def test_enrolled_executor_writes_its_one_secret(cluster: Cluster) -> None:
    with installed(cluster, "rights-enrolled", **ENROLLED) as release:
        answers(
            release,
            {
                "get secrets/kubently-executor-identity": True,
                "update secrets/kubently-executor-identity": True,
                "delete secrets/kubently-executor-identity": False,
                "patch secrets/kubently-executor-identity": False,
                "get secrets/once": False,
                "list secrets": False,
                "create secrets": False,
            },
        )


def test_roles_can_be_somebody_elses(cluster: Cluster) -> None:
    with installed(cluster, "rights-none", executor={"rbac": {"create": False}}) as release:
        answers(release, {"list pods": False, "list nodes": False})


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"securityContext": {"allowPrivilegeEscalation": True}}, "allowPrivilegeEscalation"),
        ({"podSecurityContext": {"seccompProfile": None}}, "seccompProfile"),
        ({"securityContext": {"capabilities": {"drop": []}}}, "capabilities"),
    ],
    ids=["escalation", "seccomp", "capabilities"],
)
def test_namespace_of_the_tests_refuses_other_pods(cluster: Cluster, values: dict[str, object], word: str) -> None:
    """Else that the scenarios' pods are let in would prove nothing."""
    with installed(cluster, f"rights-{word.lower()}", **values) as release:
        said = cluster.kubectl(
            "wait", "--for=condition=ReplicaFailure", "deploy/kubently-api", "-n", release.namespace, "--timeout=20s"
        )
        why = release.get("deployment", "kubently-api")["status"]["conditions"]

        assert "condition met" in said.stdout
        assert any(word in condition["message"] for condition in why)
