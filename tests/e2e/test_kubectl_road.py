"""A person's own kubectl through ``/clusters/<id>/k8s``: reads, watches, logs, and what it says of the rest.

Here its token is the API key itself; `test_upstream_tools` has more reads, with the contexts that Kubently writes.
"""

from __future__ import annotations

import base64
import json
import shlex
from pathlib import Path

import pytest

from tests.e2e.compare import lines, normal
from tests.e2e.content import DIRECT, FORMS
from tests.e2e.harness import ADMIN_KEY, Fleet, Result, finish, read_until, run, started
from tests.testbed.binaries import find_kubectl
from tests.testbed.cluster import Cluster

SAME = """
get pods -A
get all -n shop
describe pod queue-0 -n shop
logs queue-0 -n shop --previous
get pod nowhere -n shop
top pods
"""

REFUSED = """
get secrets -A
get secret db -n shop -o yaml
describe secret db -n shop
delete pod queue-0 -n shop
annotate pod queue-0 a=b -n shop
create configmap x -n shop
scale deployment/web --replicas=0 -n shop
exec queue-0 -n shop -- id
attach queue-0 -n shop
create token robot -n shop
get pods,secrets -n shop
rollout restart deployment/web -n shop
run x --image=x -n shop
"""


class Person:
    """A kubectl whose kubeconfig points at Kubently."""

    def __init__(self, fleet: Fleet, folder: Path, cluster: str = "alpha", key: str = ADMIN_KEY) -> None:
        ca = base64.b64encode(fleet.api.ca.read_bytes()).decode()
        server = {"server": f"{fleet.api.url}/clusters/{cluster}/k8s", "certificate-authority-data": ca}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "clusters": [{"name": "it", "cluster": server}],
            "users": [{"name": "it", "user": {"token": key}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        }
        self.folder = folder
        self.kubeconfig = folder / f"{cluster}.kubeconfig"
        self.kubeconfig.write_text(json.dumps(config))
        self.environ = {"HOME": str(folder), "PATH": ""}

    def argv(self, *args: str) -> list[str | Path]:
        """What to run."""
        return [find_kubectl(), f"--kubeconfig={self.kubeconfig}", *args]

    def __call__(self, *args: str) -> Result:
        """Run kubectl to its end."""
        return run(self.argv(*args), self.environ)


@pytest.fixture(scope="module")
def person(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Person:
    """Somebody who asks alpha; discovery is cached as on a person's machine."""
    return Person(fleet, tmp_path_factory.mktemp("person"))


@pytest.mark.parametrize("line", lines(SAME))
def test_kubectl_gives_what_it_gives_beside_the_cluster(line: str, person: Person, alpha: Cluster) -> None:
    argv = shlex.split(line)
    through, direct = person(*argv), alpha.kubectl(*argv, user=DIRECT, check=False)

    ours, theirs = (through.code, normal(through.out)), (direct.returncode, normal(direct.stdout))
    assert ours == theirs, through.err


@pytest.mark.parametrize("line", lines(REFUSED))
def test_kubectl_is_told_what_is_refused(line: str, person: Person) -> None:
    result = person(*shlex.split(line))

    assert result.code == 1
    assert not [form for form in FORMS if form in result.stdout + result.stderr]
    assert "Kubently" in result.err, result.err


def test_a_watch_through_kubently(person: Person, alpha: Cluster) -> None:
    with started(person.argv("get", "cm", "-n", "shop", "-w", "-o", "name"), person.environ) as process:
        read_until(process, b"configmap/settings\n")
        alpha.kubectl("create", "configmap", "watched", "-n", "shop")
        read_until(process, b"configmap/watched\n")
    alpha.kubectl("delete", "configmap", "watched", "-n", "shop")


def test_a_log_is_followed_through_kubently(person: Person, alpha: Cluster) -> None:
    log = alpha.set_logs("shop", "diary", "before\n")
    with started(person.argv("logs", "-f", "diary", "-n", "shop"), person.environ) as process:
        read_until(process, b"before\n")
        with log.open("a") as file:
            file.write("2026-01-01T00:00:00.000000000Z stdout F and after\n")
        read_until(process, b"and after\n")


def test_a_lost_executor_ends_a_watch(person: Person, fleet: Fleet, alpha: Cluster, tmp_path: Path) -> None:
    with fleet.temporary("lossy", alpha.kubeconfig("kubently:executor")) as executor:
        asker = Person(fleet, tmp_path, "lossy")
        with started(asker.argv("logs", "-f", "queue-0", "-n", "shop"), asker.environ) as process:
            read_until(process, b"third line\n")
            executor.kill()

            result = finish(process, 5)

    assert result.code == 1
    assert result.err


@pytest.mark.parametrize(("cluster", "key"), [("nowhere", ADMIN_KEY), ("alpha", "wrong")])
def test_kubectl_says_why_it_may_not(cluster: str, key: str, fleet: Fleet, tmp_path: Path) -> None:
    result = Person(fleet, tmp_path, cluster, key)("get", "pods")

    assert result.code == 1
    assert result.err


def test_requests_of_kubectl_are_in_the_audit_log(person: Person, fleet: Fleet) -> None:
    person("get", "pods", "-n", "audited-road")

    told = [record["what"] for record in fleet.api.audit() if record["action"] == "kubernetes"]
    assert "list pods in namespace audited-road" in told


@pytest.mark.parametrize("path", ["/api/v1/namespaces/shop/secrets", "/api/v1/namespaces/shop/pods/queue-0/exec"])
def test_raw_requests_meet_the_same_policy(path: str, person: Person) -> None:
    result = person("get", "--raw", path)

    assert result.code == 1
    assert not result.stdout
    assert result.err.startswith("Error from server (Forbidden): ")


def test_raw_requests_for_what_may_be_read_are_answered_under_the_clusters_path(person: Person) -> None:
    result = person("get", "--raw", "/api/v1/namespaces/shop/pods?limit=1")

    assert json.loads(result.out)["kind"] == "PodList"
