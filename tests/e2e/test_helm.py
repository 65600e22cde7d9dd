"""Helm's reading commands, unmodified: a sentence without the grant, and with it releases without what is secret.

Helm keeps a release, its values and its manifests in a Secret. The releases are made here by Helm itself, beside the
cluster, from the small chart in this folder.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.content import READER
from tests.e2e.harness import Fleet, Result, run
from tests.e2e.roads import Context, Road
from tests.testbed import binaries
from tests.testbed.cluster import Cluster

USER = "kubently:helm"
"""The granted executor's user: the proof that no other request touched Secrets is about the others."""
CLUSTER = "granted"
NAMESPACE = "helm"
FIRST, SECOND = "planted-helm-value", "planted-helm-newer-value"
DEFAULT = "planted-helm-default"
CHART = Path(__file__).with_name("chart")

READS = (
    "list",
    "status tiny",
    "history tiny",
    "get manifest tiny",
    "get values tiny",
    "get notes tiny",
    "get all tiny",
)


def forms(value: str) -> tuple[bytes, ...]:
    """How a value would look in text and in a Secret."""
    return value.encode(), base64.b64encode(value.encode())


def shows_secret(answer: bytes) -> bool:
    """Whether one of the planted values is in it."""
    return any(form in answer for value in (FIRST, SECOND, DEFAULT) for form in forms(value))


def unpacked(release: str) -> bytes:
    """What Helm has put into a Secret, from the form in which the API server gives it."""
    return gzip.decompress(base64.b64decode(base64.b64decode(release)))


class Helm:
    """A helm with one kubeconfig."""

    def __init__(self, kubeconfig: Path, context: str, folder: Path, environ: dict[str, str]) -> None:
        place = [f"--kubeconfig={kubeconfig}", f"--kube-context={context}", f"--namespace={NAMESPACE}"]
        self._argv = [binaries.find("helm"), *place]
        self._environ = {**environ, "HELM_DATA_HOME": str(folder), "HELM_CACHE_HOME": str(folder)}

    def __call__(self, *args: str) -> Result:
        """Run it to its end."""
        return run([*self._argv, *args], self._environ)


@pytest.fixture(scope="module")
def beside(alpha: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm beside the cluster, with two revisions of a release there."""
    folder = tmp_path_factory.mktemp("helm")
    helm = Helm(alpha.kubeconfig("admin"), "alpha", folder, {"HOME": str(folder)})
    install = ("install", "tiny", str(CHART), "--create-namespace", "--set", f"password={FIRST}")
    upgrade = ("upgrade", "tiny", str(CHART), "--set", f"password={SECOND}", "--set", "mode=busy")
    for args in (install, upgrade):
        done = helm(*args)
        assert done.code == 0, done.err
    return helm


@pytest.fixture(scope="module")
def granted(fleet: Fleet, alpha: Cluster, beside: Helm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Helm]:
    """Helm through an executor with the grant."""
    folder = tmp_path_factory.mktemp("granted")
    policy = folder / "policy.yaml"
    policy.write_text(yaml.safe_dump({"mode": "read-only", "grants": ["helm-releases"]}))
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": READER}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "helm-reader"},
        "roleRef": reference,
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}],
    }
    alpha.apply(binding)
    with fleet.temporary(CLUSTER, alpha.kubeconfig(USER), extra={"KUBENTLY_POLICY_FILE": str(policy)}):
        context = Context.written(fleet, CLUSTER, folder)
        yield Helm(context.path, context.name, folder, dict(context.environ))


def test_the_secrets_are_there_to_be_found(beside: Helm) -> None:
    shown = beside("get", "all", "tiny")

    assert SECOND.encode() in shown.stdout
    assert FIRST.encode() in beside("get", "values", "tiny", "--revision", "1").stdout


@pytest.mark.parametrize("line", READS)
def test_without_the_grant_helm_is_told_why_in_a_sentence(
    line: str, fleet: Fleet, beside: Helm, tmp_path: Path
) -> None:
    context = Context.written(fleet, "alpha", tmp_path)
    result = Helm(context.path, context.name, tmp_path, dict(context.environ))(*line.split())

    assert result.code != 0
    assert "Helm keeps its releases in Secrets" in result.err
    assert "grants: [helm-releases]" in result.err
    assert not shows_secret(result.stdout + result.stderr)


@pytest.mark.parametrize("line", ["list", "list -o json", "history tiny", "get notes tiny", "get metadata tiny"])
def test_with_the_grant_releases_are_shown_as_they_are(line: str, granted: Helm, beside: Helm) -> None:
    ours, theirs = granted(*line.split()), beside(*line.split())

    assert (ours.code, ours.out, ours.err) == (theirs.code, theirs.out, theirs.err)
    assert ours.code == 0
    assert ours.out


@pytest.mark.parametrize(
    "line", [*READS, "get values tiny --all", "get values tiny --revision 1", "list --superseded -o yaml"]
)
def test_with_the_grant_no_secret_leaves(line: str, granted: Helm) -> None:
    result = granted(*line.split())

    assert result.code == 0, result.err
    assert not shows_secret(result.stdout + result.stderr)


def test_what_is_no_secret_is_still_in_the_manifest(granted: Helm, beside: Helm) -> None:
    ours = list(yaml.safe_load_all(granted("get", "manifest", "tiny").out))
    theirs = list(yaml.safe_load_all(beside("get", "manifest", "tiny").out))

    def kinds(documents: list[dict[str, object]]) -> list[object]:
        return [document["kind"] for document in documents]

    assert kinds(ours) == kinds(theirs)
    assert "Secret" in kinds(ours)
    assert [d for d in ours if d["kind"] == "ConfigMap"] == [d for d in theirs if d["kind"] == "ConfigMap"]


def test_the_release_itself_holds_no_secret_on_the_wire(fleet: Fleet, granted: Helm, alpha: Cluster) -> None:
    """What Helm does not print it still receives."""
    path = f"/api/v1/namespaces/{NAMESPACE}/secrets?labelSelector=owner%3Dhelm"
    reply = Road.through(fleet.api, CLUSTER).get(path)
    sent = [unpacked(item["data"]["release"]) for item in reply.json["items"]]
    kept = json.loads(alpha.kubectl("get", "secrets", "-n", NAMESPACE, "-l", "owner=helm", "-o", "json").stdout)

    assert len(sent) == 2
    assert not [release for release in (reply.body, *sent) if shows_secret(release)]
    assert all(shows_secret(unpacked(item["data"]["release"])) for item in kept["items"])


def test_the_grant_is_for_releases_alone(fleet: Fleet, granted: Helm) -> None:
    road = Road.through(fleet.api, CLUSTER)
    namespace = f"/api/v1/namespaces/{NAMESPACE}/secrets"
    for path in (namespace, f"{namespace}/tiny", f"{namespace}?labelSelector=owner%21%3Dhelm", "/api/v1/secrets"):
        reply = road.get(path)

        assert reply.status == 403, path
        assert not shows_secret(reply.body)


def test_helm_changes_nothing(granted: Helm, beside: Helm) -> None:
    before = beside("history", "tiny").out
    for args in (("uninstall", "tiny"), ("rollback", "tiny", "1"), ("upgrade", "tiny", str(CHART))):
        assert granted(*args).code != 0

    assert beside("history", "tiny").out == before
