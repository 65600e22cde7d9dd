"""The guide's migration, phase by phase, on one installation of the chart in real clusters.

Between its third and fourth phase, with a second cluster that dials by name: what must survive there.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import IO

import pytest

from tests.nodes import workloads
from tests.nodes.installation import (
    DOMAIN,
    HOME,
    INTERNAL_DOMAIN,
    NAMESPACE,
    PUBLIC_SECRET,
    REMOTE,
    Installation,
    Values,
    images,
)
from tests.nodes.on_nodes import Nodes
from tests.nodes.people import Load, Person
from tests.testbed import binaries, document
from tests.testbed.cluster import Cluster
from tests.testbed.images import nodes
from tests.testbed.processes import until

pytestmark = [pytest.mark.testbed, pytest.mark.timeout(300)]

SINGLE: Values = {
    "tls": {"enabled": True, "mode": "internal"},
    "executor": {"enabled": True, "clusterId": HOME},
    # The edge is a pod.
    "api": {"trustedProxies": ["10.244.0.0/16"]},
}
EXTERNAL: Values = {"tls": {"mode": "external", "external": {"domain": DOMAIN}, "existingSecret": PUBLIC_SECRET}}
REMOTE_EXECUTOR: Values = {
    "api": {"enabled": False},
    "executor": {
        "clusterId": REMOTE,
        "apiUrl": f"https://{DOMAIN}",
        "enrolment": {"existingSecret": "enrolment"},
    },
    # Somebody of OpenShift's choice.
    "podSecurityContext": {"runAsUser": 1000720000, "runAsGroup": 0, "fsGroup": 1000720000},
}
FOLLOW = ("logs", "-f", f"deployment/{workloads.COUNTER}", "-n", workloads.NAMESPACE, "--tail=1")
WITHOUT_EXECUTOR: Values = {"executor": {"enabled": False}}


Say = Callable[[str], None]


@pytest.fixture
def person(installation: Installation) -> Person:
    """Somebody who uses the public name."""
    return installation.person(DOMAIN, installation.authority.cert)


@pytest.fixture(scope="module")
def trusting(installation: Installation) -> Values:
    """How an executor trusts the CA of the public certificate."""
    return {"executor": {"tls": {"caBundle": {"pem": installation.authority.cert.decode()}}}}


def test_phase_1_one_cluster_with_internal_tls(installation: Installation) -> None:
    installation.helm(installation.hub, "kubently", images(), SINGLE)

    person = installation.person(INTERNAL_DOMAIN, installation.secret("kubently-api-tls", "ca.crt"))

    installation.wait_connected(person, HOME)
    assert person.run(HOME, "get", "nodes", "-o", "name") == installation.node(installation.hub)


def test_phase_2_the_same_installation_with_a_public_name(installation: Installation, trusting: Values) -> None:
    key = installation.secret("kubently-api", "admin-key")
    installation.put_certificate()

    installation.helm(installation.hub, "kubently", images(), SINGLE, EXTERNAL, trusting)

    person = installation.person(DOMAIN, installation.authority.cert)
    installation.wait_connected(person, HOME)
    assert installation.secret("kubently-api", "admin-key") == key
    assert person.run(HOME, "get", "nodes", "-o", "name") == installation.node(installation.hub)


def test_phase_3_an_executor_in_a_remote_cluster(installation: Installation, person: Person, trusting: Values) -> None:
    added = json.loads(person.said("cluster", "add", REMOTE, "-o", "json"))
    where = {"name": "enrolment", "namespace": NAMESPACE}
    installation.remote.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": where, "stringData": {"token": added["token"]}},
    )
    installation.put_workloads()

    installation.helm(installation.remote, "kubently-executor", images(), REMOTE_EXECUTOR, trusting)

    installation.wait_connected(person, HOME, REMOTE)
    assert person.run(REMOTE, "get", "nodes", "-o", "name") == installation.node(installation.remote)
    workloads_there = installation.shown(installation.remote, "deployments,statefulsets,services")["items"]
    assert [item["metadata"]["name"] for item in workloads_there] == ["kubently-executor"]


def test_own_kubectl_follows_a_log_in_the_remote_cluster(installation: Installation, person: Person) -> None:
    assert person.kubectl(REMOTE, "get", "nodes", "-o", "name") == installation.node(installation.remote)

    with person.following("kubectl", REMOTE, "--", *FOLLOW) as process:
        assert process.stdout is not None
        numbers = list(itertools.islice(_consecutive(process.stdout), 5))

    assert len(numbers) == 5


def test_guides_commands_in_pods_run_as_they_stand(installation: Installation) -> None:
    if not isinstance(installation, Nodes):
        pytest.skip("no pods in which they could run")

    hub = [_told(installation.hub, block) for block in document.commands("pods of the hub")]
    doctor, by_hand = (_told(installation.remote, block) for block in document.commands("pods of the remote"))

    assert hub == ["OK\n", "1\n"]
    assert "0 errors" in doctor
    assert installation.edge[0] in by_hand
    assert '"status":"ok"' in by_hand.replace(" ", "")
    assert "Verify return code: 0 (ok)" in by_hand


def test_helm_test_runs_the_doctor_in_both_clusters(installation: Installation) -> None:
    releases = {"kubently": installation.hub, "kubently-executor": installation.remote}

    # The doctor looks for a while whether silence is cut: both at once.
    with ThreadPoolExecutor() as pool:
        logs = dict(zip(releases, pool.map(installation.helm_test, releases.values(), releases), strict=True))

    for log in logs.values():
        assert "0 errors" in log


def test_crashing_pod_is_diagnosed(installation: Installation, person: Person) -> None:
    listing = ("get", "pods", "-n", workloads.NAMESPACE, "-l", f"app={workloads.CRASHING}")
    until(
        lambda: "CrashLoopBackOff" in installation.remote.kubectl(*listing).stdout,
        "a crash loop",
        timeout=60,
        every=0.5,
    )

    told = person.kubently("diagnose", REMOTE)

    assert told.returncode == 1
    assert f"Deployment {workloads.NAMESPACE}/{workloads.CRASHING}" in told.stdout
    assert "exit code 3" in told.stdout
    assert workloads.LAST_WORDS in told.stdout


def test_certificate_is_rotated_under_load_without_any_loss(
    installation: Installation, person: Person, say: Say
) -> None:
    with (
        _followed(person) as lines,
        installation.load(HOME, REMOTE) as load,
    ):
        first = next(lines)
        _more(load)
        new = installation.put_certificate()
        with installation.rotation():
            until(lambda: _same(installation.served(), new), "the edge serves the new certificate", timeout=90)
        _more(load)
        last = next(number for number in lines if number > first + 30)

    say(f"certificate rotated: {load.answered} commands answered, {len(load.failures)} failed")
    assert load.failures == []
    assert last > first + 30


def test_api_is_upgraded_under_load_without_any_loss(installation: Installation, trusting: Values, say: Say) -> None:
    new = {"api": {"image": images("2")["api"]["image"]}}

    with installation.load(HOME, REMOTE) as load:
        _more(load)
        installation.helm(installation.hub, "kubently", images(), SINGLE, EXTERNAL, trusting, new)
        _more(load)

    say(f"API upgraded: {load.answered} commands answered, {len(load.failures)} failed")
    assert load.failures == []
    assert installation.running_images(installation.hub, "api") == {nodes.NEXT_API}


def test_executor_is_upgraded_under_load_without_any_loss(
    installation: Installation, trusting: Values, say: Say
) -> None:
    new = {"executor": {"image": images("2")["executor"]["image"]}}

    with installation.load(REMOTE) as load:
        _more(load)
        installation.helm(installation.remote, "kubently-executor", images(), REMOTE_EXECUTOR, trusting, new)
        _more(load)

    say(f"executor upgraded: {load.answered} commands answered, {len(load.failures)} failed")
    assert load.failures == []
    assert installation.running_images(installation.remote, "executor") == {nodes.NEXT_EXECUTOR}


def test_phase_4_without_the_local_executor(installation: Installation, person: Person) -> None:
    installation.helm(installation.hub, "kubently", images("2"), SINGLE, EXTERNAL, WITHOUT_EXECUTOR)
    person.said("cluster", "remove", HOME)

    installation.wait_connected(person, REMOTE)
    assert person.run(REMOTE, "get", "nodes", "-o", "name") == installation.node(installation.remote)
    left = installation.hub.kubectl("get", "deployments,clusterroles", "-n", NAMESPACE, "-o", "name").stdout
    assert "executor" not in left


def test_nothing_is_left_behind(installation: Installation) -> None:
    assert installation.remains()

    installation.down()

    assert installation.remains() == []


def _told(cluster: Cluster, block: document.Block) -> str:
    """What the guide's commands print in a shell whose kubectl is this cluster's administrator."""
    environ = {
        "PATH": f"{binaries.find_kubectl().parent}:/usr/bin:/bin",
        "HOME": "/nonexistent",
        "KUBECONFIG": str(cluster.kubeconfig("admin")),
    }
    done = subprocess.run(["/bin/bash", "-c", block.text], env=environ, capture_output=True, text=True, timeout=120)
    return done.stdout


def _more(load: Load) -> None:
    """Wait until 20 more commands were answered."""
    before = load.answered
    until(lambda: load.answered > before + 20, f"20 more answers; {load.failures[:3]}", timeout=60)


@contextmanager
def _followed(person: Person) -> Iterator[Iterator[int]]:
    """The counter's numbers, as `logs -f` brings them through the tunnel: one after the other, or it fails."""
    with person.following("run", REMOTE, "--", *FOLLOW) as process:
        assert process.stdout is not None
        yield _consecutive(process.stdout)


def _consecutive(lines: IO[str]) -> Iterator[int]:
    expected = None
    for line in lines:
        number = int(line.removeprefix("line "))
        assert expected in (None, number), f"{number} where {expected} was to come"
        expected = number + 1
        yield number


def _same(one: bytes, other: bytes) -> bool:
    """Whether two PEM texts are the same certificate."""
    return re.sub(rb"\s", b"", one) == re.sub(rb"\s", b"", other)
