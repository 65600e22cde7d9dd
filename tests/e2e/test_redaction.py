"""An executor with a policy of its own before a real API server: what is shown of Secrets, logs and Helm's releases.

Everything is asked in each form that a client may ask for; the planted values must stand in no answer.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from kubently import trust
from tests.e2e import content
from tests.e2e.harness import ADMIN_KEY, Fleet
from tests.testbed.cluster import Cluster

PLANTED = "planted-redaction-value"
NAMESPACE = "redaction"
USER = "kubently:redaction"
"""Not the user of the other executors: the audit proof says that those never touch Secrets."""

CARD = "4111 1111 1111 1111"
OWN = {"namespace": NAMESPACE, "name": "executor-token"}
PATTERNS = {"patterns": [{"name": "card", "pattern": "(?:[0-9]{4} ){3}[0-9]{4}"}]}
HELM = f"/api/v1/namespaces/{NAMESPACE}/secrets/sh.helm.release.v1.web.v1"
HELM_LIST = f"/api/v1/namespaces/{NAMESPACE}/secrets?labelSelector=owner%3Dhelm"

POLICIES: Mapping[str, Mapping[str, Any]] = {
    "redact-none": {"redact": PATTERNS},
    "redact-metadata": {"secrets": "metadata", "ownSecret": OWN, "redact": PATTERNS},
    "redact-helm": {"grants": ["helm-releases"], "ownSecret": OWN},
    "redact-both": {"grants": ["helm-releases"], "secrets": "metadata", "ownSecret": OWN},
}

ACCEPTS = (
    "application/json",
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/vnd.kubernetes.protobuf",
    "application/yaml",
    "application/cbor",
)
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
FORMS = (
    f"{SECRETS}",
    f"{SECRETS}?includeObject=Object",
    f"{SECRETS}?includeObject=None",
    f"{SECRETS}?limit=1",
    f"{SECRETS}?watch=1&timeoutSeconds=1",
    f"{SECRETS}?watch=1&timeoutSeconds=1&includeObject=Object",
    f"{SECRETS}/db",
    f"{SECRETS}/web-tls",
    f"{SECRETS}/executor-token",
    f"{SECRETS}?fieldSelector=metadata.name%3Dexecutor-token",
    "/api/v1/secrets",
    "/api/v1/secrets?watch=1&timeoutSeconds=1",
    HELM,
    HELM_LIST,
    f"{HELM_LIST}&includeObject=Object",
    f"{HELM_LIST}&watch=1&timeoutSeconds=1",
    "/api/v1/secrets?labelSelector=owner%3D%3Dhelm",
    f"/api/v1/namespaces/{NAMESPACE}/configmaps",
    f"/api/v1/namespaces/{NAMESPACE}/pods/talker/log",
)


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    kind: str
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Asker:
    """Asks clusters' Kubernetes APIs through Kubently, as any client might."""

    def __init__(self, fleet: Fleet) -> None:
        self._port = urlsplit(fleet.api.url).port
        self._context = ssl.create_default_context(cafile=str(fleet.api.ca))

    def __call__(self, cluster: str, target: str, accept: str = "application/json") -> Answer:
        """GET *target* of a cluster."""
        connection = http.client.HTTPSConnection("localhost", self._port, context=self._context, timeout=20)
        with contextlib.closing(connection):
            headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Accept": accept, "Accept-Encoding": "gzip"}
            connection.request("GET", f"/clusters/{cluster}/k8s{target}", headers=headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheader("Content-Type", ""), answer.read())


@pytest.fixture(scope="module")
def ask(fleet: Fleet, alpha: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    """One executor for each policy, all before alpha."""
    kubeconfig = alpha.kubeconfig(USER)
    alpha.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}, _binding(), *_objects())
    alpha.kubectl("wait", "--for=condition=Ready", "pod/talker", "-n", NAMESPACE, "--timeout=30s")
    alpha.set_logs(NAMESPACE, "talker", f"hello\npaid with {CARD} today\npassword={PLANTED}\nbye\n")
    folder = tmp_path_factory.mktemp("policies")
    with contextlib.ExitStack() as stack:
        for name, rest in POLICIES.items():
            path = folder / f"{name}.yaml"
            path.write_text(yaml.safe_dump({"mode": "read-only", **rest}))
            stack.enter_context(fleet.temporary(name, kubeconfig, extra={"KUBENTLY_POLICY_FILE": str(path)}))
        yield Asker(fleet)


def _binding() -> dict[str, Any]:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "redaction"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": content.READER},
        "subjects": [{"apiGroup": group, "kind": "User", "name": USER}],
    }


def _objects() -> Iterator[dict[str, Any]]:
    pair = trust.issue(trust.make_authority("redaction"), ["web.example"])
    forged = {"kubently.io/certificate-tls.crt": PLANTED, "note": "fine"}
    yield _secret("db", stringData={"password": PLANTED})
    yield _secret("web-tls", forged, type="kubernetes.io/tls", stringData=_tls(pair))
    yield _secret("executor-token", {"note": PLANTED}, {"owner": "helm"}, stringData={PLANTED: PLANTED})
    yield _secret("stray", {"note": "fine"}, {"owner": "helm"}, stringData={"release": PLANTED})
    release = base64.b64encode(gzip.compress(json.dumps(_release()).encode())).decode()
    labels = {"owner": "helm", "name": "web", "status": "deployed", "version": "1"}
    yield _secret(
        "sh.helm.release.v1.web.v1", labels=labels, type="helm.sh/release.v1", stringData={"release": release}
    )
    yield {"apiVersion": "v1", "kind": "ConfigMap", **_metadata("settings"), "data": {"DB_PASSWORD": PLANTED}}
    container = {"name": "talker", "image": "registry.example/talker:1"}
    yield {"apiVersion": "v1", "kind": "Pod", **_metadata("talker"), "spec": {"containers": [container]}}


def _metadata(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": NAMESPACE}}


def _secret(
    name: str, annotations: Mapping[str, str] | None = None, labels: Mapping[str, str] | None = None, **rest: Any
) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE, "annotations": annotations or {}, "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, **rest}


def _tls(pair: trust.Pair) -> dict[str, str]:
    return {"tls.crt": pair.cert.decode(), "tls.key": pair.key.decode()}


def _release() -> dict[str, Any]:
    return {
        "name": "web",
        "namespace": NAMESPACE,
        "version": 1,
        "info": {"status": "deployed", "description": "Install complete", "notes": f"password: {PLANTED}"},
        "chart": {"metadata": {"name": "web", "version": "1.0.0"}, "values": {"password": PLANTED}},
        "config": {"password": PLANTED},
        "manifest": f"---\nkind: Secret\nstringData: {{password: {PLANTED}}}\n---\nkind: Service\n",
    }


def shown_forms(body: bytes) -> Iterator[bytes]:
    """A body, and all that stands in it in base64, packed or not."""
    yield body
    for piece in body.replace(b'"', b" ").split():
        with contextlib.suppress(ValueError):
            text = base64.b64decode(piece, validate=True)
            yield text
            with contextlib.suppress(ValueError, OSError):
                yield gzip.decompress(base64.b64decode(text, validate=True))


def assert_nothing_shown(answer: Answer) -> None:
    """No planted value stands in it, whatever its coding."""
    for form in shown_forms(answer.body):
        assert PLANTED.encode() not in form
        assert b"PRIVATE KEY" not in form
        assert content.MARKER.encode() not in form


@pytest.mark.parametrize("cluster", POLICIES)
def test_no_form_of_an_answer_shows_a_planted_value(cluster: str, ask: Asker) -> None:
    for target in FORMS:
        for accept in ACCEPTS[:2] if "watch" in target else ACCEPTS:
            answer = ask(cluster, target, accept)
            # The API server itself answers 500 to a wish for a log as metadata.
            assert answer.status in (200, 403, 406) or target.endswith("/log"), (target, accept, answer)
            assert_nothing_shown(answer)


def test_what_the_planted_values_would_look_like(alpha: Cluster) -> None:
    """The API server itself shows them in each form, so that the test above would notice."""
    for what in (f"{SECRETS}/db", HELM):
        body = alpha.kubectl("get", "--raw", what).stdout.encode()
        assert any(PLANTED.encode() in form for form in shown_forms(body))


def test_without_metadata_secrets_are_refused(ask: Asker) -> None:
    refused = ask("redact-none", f"{SECRETS}/db")

    assert (refused.status, refused.json["reason"]) == (403, "Forbidden")
    assert refused.json["message"].startswith("Secrets are not shown through Kubently")


def test_with_metadata_names_types_and_keys_are_shown(ask: Asker) -> None:
    listed = {item["metadata"]["name"]: item for item in ask("redact-metadata", SECRETS).json["items"]}

    assert listed["db"]["type"] == "Opaque"
    assert list(listed["db"]["data"]) == ["password"]
    assert set(listed) == {"db", "web-tls", "executor-token", "stray", "sh.helm.release.v1.web.v1"}


@pytest.mark.parametrize("accept", ACCEPTS[:2])
def test_with_metadata_certificates_tell_what_is_public(accept: str, ask: Asker) -> None:
    answer = ask("redact-metadata", f"{SECRETS}?includeObject=Object", accept).json
    members = answer["items"] if "items" in answer else [row["object"] for row in answer["rows"]]
    annotations = next(m for m in members if m["metadata"]["name"] == "web-tls")["metadata"]["annotations"]

    facts = json.loads(annotations["kubently.io/certificate-tls.crt"])

    assert facts["dnsNames"] == ["web.example"]
    assert len(facts["fingerprintSha256"]) == 64
    assert annotations["note"] == "fine"


def test_the_executors_own_secret_is_a_name(ask: Asker) -> None:
    for cluster, target in (("redact-metadata", SECRETS), ("redact-helm", HELM_LIST), ("redact-both", SECRETS)):
        listed = {item["metadata"]["name"]: item for item in ask(cluster, target).json["items"]}
        assert set(listed["executor-token"]) == {"metadata"}
        assert not {"annotations", "labels"} & set(listed["executor-token"]["metadata"])
    refused = ask("redact-metadata", f"{SECRETS}/executor-token")
    assert "own Secret" in refused.json["message"]


def test_a_table_has_a_row_for_the_executors_own_secret(ask: Asker) -> None:
    table = ask("redact-metadata", SECRETS, ACCEPTS[1]).json

    rows = {row["cells"][0]: row["cells"][1:] for row in table["rows"]}
    assert rows["executor-token"] == [None, None, None]
    assert rows["db"][:2] == ["Opaque", 1]


def test_a_watch_is_redacted_event_by_event(ask: Asker) -> None:
    events = ask("redact-metadata", f"{SECRETS}?watch=1&timeoutSeconds=1").body.splitlines()

    shown = {event["object"]["metadata"]["name"]: event["object"] for event in map(json.loads, events)}
    assert list(shown["db"]["data"]) == ["password"]
    assert set(shown["executor-token"]) == {"kind", "apiVersion", "metadata"}


# ---- Helm


@pytest.mark.parametrize("cluster", ["redact-none", "redact-metadata"])
@pytest.mark.parametrize("target", [HELM, HELM_LIST, f"{HELM_LIST}&watch=1&timeoutSeconds=1"])
def test_without_the_grant_helm_is_told_which_it_needs(cluster: str, target: str, ask: Asker) -> None:
    refused = ask(cluster, target)

    assert (refused.status, refused.json["reason"]) == (403, "Forbidden")
    assert "Helm keeps its releases in Secrets" in refused.json["message"]
    assert "grants: [helm-releases]" in refused.json["message"]


def _as_helm_reads(secret: Mapping[str, Any]) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(base64.b64decode(secret["data"]["release"]))))


@pytest.mark.parametrize("cluster", ["redact-helm", "redact-both"])
def test_with_the_grant_helm_reads_its_releases(cluster: str, ask: Asker) -> None:
    got = ask(cluster, HELM).json
    one = ask(cluster, f"{HELM_LIST}%2Cname%3Dweb", ACCEPTS[1]).json["items"]
    event = json.loads(ask(cluster, f"{HELM_LIST}%2Cname%3Dweb&watch=1&timeoutSeconds=1").body.splitlines()[0])

    for secret in (got, *one, event["object"]):
        release = _as_helm_reads(secret)
        assert (release["name"], release["version"], release["info"]["status"]) == ("web", 1, "deployed")
        assert release["chart"]["metadata"] == {"name": "web", "version": "1.0.0"}
        assert release["config"] == {"password": "[redacted by Kubently: value]"}
        assert [document["kind"] for document in yaml.safe_load_all(release["manifest"])] == ["Secret", "Service"]


def test_a_list_of_all_releases_has_no_manifests(ask: Asker) -> None:
    listed = {item["metadata"]["name"]: item for item in ask("redact-helm", HELM_LIST, ACCEPTS[1]).json["items"]}

    release = _as_helm_reads(listed["sh.helm.release.v1.web.v1"])
    assert (release["name"], release["info"]["status"]) == ("web", "deployed")
    assert release["manifest"] == "# [redacted by Kubently: manifests are shown for one release at a time]\n"


def test_with_the_grant_alone_what_is_no_release_is_a_name(ask: Asker) -> None:
    listed = {item["metadata"]["name"]: item for item in ask("redact-helm", HELM_LIST).json["items"]}

    assert set(listed["stray"]) == {"metadata"}
    assert ask("redact-helm", SECRETS).status == 403
    assert ask("redact-helm", f"{SECRETS}/db").status == 403


# ---- text


def test_logs_and_config_maps_are_redacted(ask: Asker) -> None:
    log = ask("redact-none", f"/api/v1/namespaces/{NAMESPACE}/pods/talker/log").body.decode()
    settings = ask("redact-none", f"/api/v1/namespaces/{NAMESPACE}/configmaps/settings").json

    assert (
        log == "hello\npaid with [redacted by Kubently: card] today\npassword=[redacted by Kubently: password]\nbye\n"
    )
    assert settings["data"] == {"DB_PASSWORD": "[redacted by Kubently: named like a secret]"}


def test_commands_see_no_more(fleet: Fleet, ask: Asker) -> None:
    log = fleet.cli.run("redact-none", "logs", "talker", "-n", NAMESPACE)
    secret = fleet.cli.run("redact-metadata", "get", "secret", "db", "-n", NAMESPACE, "-o", "jsonpath={.data.password}")

    assert "[redacted by Kubently: card]" in log.out and PLANTED not in log.out + log.err
    assert base64.b64decode(secret.out) == b"[redacted by Kubently: data of a Secret]"


def test_an_executor_with_an_unreadable_pattern_does_not_start(fleet: Fleet, alpha: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(yaml.safe_dump({"mode": "read-only", "redact": {"patterns": [{"name": "x", "pattern": "("}]}}))
    executor = fleet.add("redact-broken", alpha.kubeconfig(USER), extra={"KUBENTLY_POLICY_FILE": str(path)})
    try:
        assert executor.process is not None
        assert executor.process.wait(20) != 0
        assert "the pattern 'x' cannot be read" in executor.log_text()
    finally:
        fleet.executors.pop("redact-broken").kill()
