"""The real kubectl against archived clusters, over TLS as `kubently up` serves them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import archive_testbed
import pytest
import uvicorn
from tests.testbed import binaries, processes

from kubently import trust
from kubently.archive import bundled, create_app, load

TOKEN = "archive-test-token"
Kubectl = Callable[..., subprocess.CompletedProcess[str]]


class Served:
    """One archive behind uvicorn with TLS."""

    def __init__(self, name: str, folder: Path) -> None:
        self.authority, cert, key = archive_testbed.make_server_certificate(folder)
        (self.port,) = processes.free_ports(1)
        archive = load(next(path for path in bundled() if path.name == name))
        config = uvicorn.Config(
            create_app(archive, token=TOKEN),
            host="127.0.0.1",
            port=self.port,
            ssl_certfile=str(cert),
            ssl_keyfile=str(key),
            date_header=False,
            server_header=False,
            log_level="warning",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self.kubeconfig = archive_testbed.write_kubeconfig(
            folder / "kubeconfig",
            server=f"https://127.0.0.1:{self.port}",
            authority=self.authority,
            token=TOKEN,
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[Served]:
        self._thread.start()
        end = time.monotonic() + 20
        while not self._server.started:
            assert time.monotonic() < end and self._thread.is_alive()
            time.sleep(0.02)
        try:
            yield self
        finally:
            self._server.should_exit = True
            self._thread.join(20)

    def connection(self) -> http.client.HTTPSConnection:
        context = trust.client_context(ca=str(self.authority))
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=20)


def kubectl_for(served: Served, home: Path) -> Kubectl:
    binary = str(binaries.find_kubectl())
    environment = {"PATH": os.defpath, "HOME": str(home), "KUBECONFIG": str(served.kubeconfig)}

    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [binary, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert result.returncode == code, f"{arguments}: {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result

    return run


@pytest.fixture(scope="module")
def eu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served("prod-eu", tmp_path_factory.mktemp("prod-eu")).running() as served:
        yield served


@pytest.fixture(scope="module")
def kubectl(eu: Served, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    return kubectl_for(eu, tmp_path_factory.mktemp("home"))


def rows(output: str) -> list[list[str]]:
    return [line.split() for line in output.splitlines()]


# ---- get


def test_get_wide_shows_the_columns_of_a_real_server(kubectl: Kubectl) -> None:
    header, *found = rows(kubectl("get", "pods", "-n", "shop", "-o", "wide").stdout)

    assert " ".join(header) == "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES"
    statuses = {row[2] for row in found}
    assert {"Running", "CrashLoopBackOff", "CreateContainerConfigError", "Completed"} <= statuses


def test_get_knows_short_names_categories_and_all_namespaces(kubectl: Kubectl) -> None:
    assert len(rows(kubectl("get", "po", "-A").stdout)) > 35
    everything = kubectl("get", "all", "-n", "shop", "-o", "name").stdout.splitlines()
    kinds = {line.split("/")[0] for line in everything}
    assert {"pod", "service", "deployment.apps", "replicaset.apps", "job.batch", "cronjob.batch"} <= kinds


def test_get_selects_by_label_and_field(kubectl: Kubectl) -> None:
    cart = kubectl("get", "pods", "-A", "-l", "app.kubernetes.io/name in (cart)", "-o", "name").stdout
    pending = kubectl("get", "pods", "-A", "--field-selector", "status.phase=Pending", "-o", "name").stdout

    assert len(cart.splitlines()) == 5
    assert len(pending.splitlines()) == 2
    assert set(pending.splitlines()) < set(cart.splitlines())


def test_get_prints_objects_in_every_form(kubectl: Kubectl) -> None:
    text = kubectl("get", "deploy", "cart", "-n", "shop", "-o", "json").stdout
    image = kubectl("get", "deploy", "cart", "-n", "shop", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
    listed = json.loads(kubectl("get", "deploy", "-n", "shop", "-o", "json").stdout)

    assert json.loads(text)["metadata"]["generation"] == 9
    assert image.stdout == "registry.example.com/shop/cart:3.7.0"
    assert {item["kind"] for item in listed["items"]} == {"Deployment"}
    assert kubectl("get", "deploy", "cart", "-n", "shop", "-o", "yaml").stdout.startswith("apiVersion: apps/v1")


def test_get_pages_through_a_list(kubectl: Kubectl) -> None:
    whole = kubectl("get", "pods", "-A", "-o", "name").stdout

    assert kubectl("get", "pods", "-A", "-o", "name", "--chunk-size=7").stdout == whole


def test_get_of_what_is_not_there_says_so(kubectl: Kubectl) -> None:
    missing = kubectl("get", "pod", "nope", "-n", "shop", code=1)
    unknown = kubectl("get", "gizmos", code=1)

    assert missing.stderr.strip() == 'Error from server (NotFound): pods "nope" not found'
    assert 'the server doesn\'t have a resource type "gizmos"' in unknown.stderr


def test_secrets_are_refused_as_by_rbac(kubectl: Kubectl) -> None:
    refused = kubectl("get", "secrets", "-n", "shop", code=1)

    assert "secrets is forbidden" in refused.stderr
    assert 'cannot list resource "secrets" in API group "" in the namespace "shop"' in refused.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("delete", "pod", "search-0", "-n", "shop"),
        ("scale", "deploy", "cart", "-n", "shop", "--replicas=1"),
        ("label", "node", "prod-eu-worker-1", "a=b"),
        ("create", "namespace", "new"),
        ("exec", "search-0", "-n", "shop", "--", "ls"),
    ],
)
def test_every_write_is_refused(kubectl: Kubectl, command: tuple[str, ...]) -> None:
    assert "forbidden" in kubectl(*command, code=1).stderr.lower()


def test_custom_resources_have_their_own_columns(kubectl: Kubectl) -> None:
    header, *found = rows(kubectl("get", "promo", "-n", "shop", "-o", "wide").stdout)

    assert header == ["NAME", "PERCENT", "ACTIVE", "READY", "CATEGORY", "AGE"]
    assert found[0][:5] == ["autumn", "15", "true", "True", "garden"]


# ---- describe

DESCRIBED = (
    ("pods", "shop"),
    ("deployments", "shop"),
    ("replicasets", "shop"),
    ("statefulsets", "shop"),
    ("daemonsets", "kube-system"),
    ("jobs", "shop"),
    ("cronjobs", "shop"),
    ("services", "shop"),
    ("endpoints", "shop"),
    ("endpointslices", "shop"),
    ("ingresses", "shop"),
    ("networkpolicies", "shop"),
    ("configmaps", "shop"),
    ("persistentvolumeclaims", "shop"),
    ("horizontalpodautoscalers", "shop"),
    ("poddisruptionbudgets", "shop"),
    ("resourcequotas", "shop"),
    ("limitranges", "shop"),
    ("serviceaccounts", "shop"),
    ("rolebindings", "shop"),
    ("leases", "kube-system"),
    ("promotions", "shop"),
    ("nodes", ""),
    ("namespaces", ""),
    ("persistentvolumes", ""),
    ("storageclasses", ""),
    ("ingressclasses", ""),
    ("clusterroles", ""),
    ("clusterrolebindings", ""),
    ("priorityclasses", ""),
    ("csidrivers", ""),
    ("volumeattachments", ""),
    ("customresourcedefinitions", ""),
)


@pytest.mark.parametrize(("resource", "namespace"), DESCRIBED)
def test_describe(kubectl: Kubectl, resource: str, namespace: str) -> None:
    scope = ("-n", namespace) if namespace else ()

    described = kubectl("describe", resource, *scope)

    assert "Name:" in described.stdout
    assert "rror" not in described.stderr


def test_describe_shows_why_a_container_cannot_start(kubectl: Kubectl) -> None:
    selected = ("-n", "shop", "-l", "app.kubernetes.io/name=cart")

    described = kubectl("describe", "pods", *selected, "--show-events").stdout

    assert "Reason:       CreateContainerConfigError" in described
    assert "couldn't find key PAYMENT_TIMEOUT in ConfigMap shop/cart-config" in described


# ---- logs


def checkout_pod(kubectl: Kubectl) -> str:
    names = kubectl("get", "pods", "-n", "shop", "-l", "app.kubernetes.io/name=checkout", "-o", "name").stdout
    return names.splitlines()[0].removeprefix("pod/")


def test_logs_of_a_crashed_container_and_of_the_one_before(kubectl: Kubectl) -> None:
    pod = checkout_pod(kubectl)

    last = kubectl("logs", pod, "-n", "shop", "-c", "checkout").stdout
    previous = kubectl("logs", pod, "-n", "shop", "--previous").stdout

    assert last == previous
    assert last.splitlines()[-1] == "loading price table: 80% (117 MiB)"


def test_logs_tail_timestamps_and_since(kubectl: Kubectl) -> None:
    pod = checkout_pod(kubectl)

    tail = kubectl("logs", pod, "-n", "shop", "--tail=2").stdout.splitlines()
    stamped = kubectl("logs", pod, "-n", "shop", "--tail=1", "--timestamps").stdout
    recent = kubectl("logs", "deploy/storefront", "-n", "shop", "--since=10m").stdout
    everything = kubectl("logs", "deploy/storefront", "-n", "shop").stdout

    assert [line.split(":")[1].strip() for line in tail] == ["60% (87 MiB)", "80% (117 MiB)"]
    assert stamped.startswith("2026-11-18T14:")
    assert recent and len(recent) < len(everything) and everything.endswith(recent)


def test_logs_refuse_as_kubelet_does(kubectl: Kubectl) -> None:
    pods = kubectl("get", "pods", "-n", "shop", "--field-selector=status.phase=Pending", "-o", "name").stdout
    waiting = kubectl("logs", pods.splitlines()[0], "-n", "shop", code=1).stderr
    unknown = kubectl("logs", "search-0", "-n", "shop", "-c", "zzz", code=1).stderr
    no_previous = kubectl("logs", "search-0", "-n", "shop", "--previous", code=1).stderr

    assert "is waiting to start: CreateContainerConfigError" in waiting
    assert "container zzz is not valid for pod search-0" in unknown
    assert 'previous terminated container "search" in pod "search-0" not found' in no_previous


def test_logs_follow_holds_the_stream_open(eu: Served) -> None:
    connection = eu.connection()
    with contextlib.closing(connection):
        path = "/api/v1/namespaces/shop/pods/search-0/log?follow=true"
        connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
        response = connection.getresponse()
        first = response.readline()
        connection.sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            while response.readline():
                pass

    assert first


# ---- events, explain, discovery


def test_events_of_one_object(kubectl: Kubectl) -> None:
    found = kubectl("events", "-n", "shop", "--for", "ingress/shop", "--types=Warning").stdout

    assert 'service "shop/account-v2" not found' in found


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("pod.spec", "initContainers\t<[]Container>"),
        ("deployment.spec.strategy", "rollingUpdate\t<RollingUpdateDeployment>"),
        ("ingress.spec.rules.http.paths.backend", "service\t<IngressServiceBackend>"),
        ("crd.spec.versions.schema", "openAPIV3Schema\t<JSONSchemaProps>"),
        ("promotion.spec.percent", "Reduction in percent."),
        ("hpa.spec.metrics.resource", "target\t<MetricTarget>"),
    ],
)
def test_explain(kubectl: Kubectl, path: str, expected: str) -> None:
    assert expected in kubectl("explain", path).stdout


def test_every_listed_type_can_be_explained(kubectl: Kubectl) -> None:
    names = kubectl("api-resources", "--verbs=list", "--no-headers", "-o", "name").stdout.split()

    explained = [name for name in names if not name.endswith("metrics.k8s.io")][::9]

    assert len(names) > 40
    for name in explained:
        assert "KIND:" in kubectl("explain", name).stdout


def test_discovery_commands(kubectl: Kubectl) -> None:
    resources = kubectl("api-resources", "-o", "wide").stdout
    versions = kubectl("api-versions").stdout.split()

    assert "deployments" in resources and "promotions" in resources
    assert {"v1", "apps/v1", "autoscaling/v2", "shop.example.com/v1", "metrics.k8s.io/v1beta1"} <= set(versions)
    assert "Server Version: v1.36.3" in kubectl("version").stdout
    assert json.loads(kubectl("version", "-o", "json").stdout)["serverVersion"]["minor"] == "36"


def test_top(kubectl: Kubectl) -> None:
    nodes = rows(kubectl("top", "nodes").stdout)
    pods = rows(kubectl("top", "pods", "-n", "shop", "--containers").stdout)

    assert len(nodes) == 5 and nodes[1][2].endswith("%")
    assert pods[0] == ["POD", "NAME", "CPU(cores)", "MEMORY(bytes)"] and len(pods) > 10


# ---- rights


def test_auth_says_what_a_reader_may(kubectl: Kubectl) -> None:
    assert kubectl("auth", "can-i", "list", "pods", "-A").stdout.strip() == "yes"
    assert kubectl("auth", "can-i", "get", "pods", "--subresource=log", "-n", "shop").stdout.strip() == "yes"
    assert kubectl("auth", "can-i", "get", "secrets", "-n", "shop", code=1).stdout.strip().startswith("no")
    assert kubectl("auth", "can-i", "delete", "pods", "-n", "shop", code=1).stdout.strip().startswith("no")
    assert "deployments.apps" in kubectl("auth", "can-i", "--list", "-n", "shop").stdout
    assert "archive:viewer" in kubectl("auth", "whoami").stdout


# ---- watches


def test_get_watch_prints_what_is_there_and_ends_with_its_time(kubectl: Kubectl) -> None:
    started = time.monotonic()
    output = kubectl("get", "nodes", "--watch", "--request-timeout=2s").stdout

    assert len(rows(output)) == 5
    assert time.monotonic() - started < 20


def test_rollout_and_wait(kubectl: Kubectl) -> None:
    history = kubectl("rollout", "history", "deploy/cart", "-n", "shop").stdout
    good = kubectl("rollout", "status", "deploy/catalog", "-n", "shop", "--timeout=5s").stdout
    bad = kubectl("rollout", "status", "deploy/cart", "-n", "shop", "--timeout=5s", code=1).stderr
    ready = kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=5s").stdout
    stuck = kubectl("wait", "--for=condition=Available", "deploy/checkout", "-n", "shop", "--timeout=1s", code=1)

    assert "release cart 3.7.0" in history
    assert "successfully rolled out" in good
    assert "exceeded its progress deadline" in bad
    assert len(ready.splitlines()) == 4
    assert "timed out waiting" in stuck.stderr


# ---- the connection


def test_wrong_token_and_date(eu: Served) -> None:
    with contextlib.closing(eu.connection()) as connection:
        connection.request("GET", "/api/v1/pods", headers={"Authorization": "Bearer wrong"})
        response = connection.getresponse()
        status = json.loads(response.read())

    assert (response.status, status["reason"]) == (401, "Unauthorized")
    assert response.getheader("Date") == "Wed, 18 Nov 2026 14:32:07 GMT"


@pytest.mark.parametrize("name", ["prod-us", "staging"])
def test_the_other_archives_are_served_too(name: str, tmp_path: Path) -> None:
    with Served(name, tmp_path).running() as served:
        run = kubectl_for(served, tmp_path)

        statuses = {row[3] for row in rows(run("get", "pods", "-A", "--no-headers").stdout)}
        described = run("describe", "pods", "-A", "--show-events").stdout

    expected = {"prod-us": {"Pending"}, "staging": {"ImagePullBackOff", "CrashLoopBackOff"}}[name]
    assert expected <= statuses
    assert "FailedScheduling" in described or "Liveness probe failed" in described
