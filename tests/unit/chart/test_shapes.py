"""What the chart makes of a topology: which parts, which names, which way, and what it refuses."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tests.testbed import helm

REMOTE: dict[str, Any] = {
    "executor": {"apiUrl": "https://api.example.com", "clusterId": "b", "existingSecret": "token"}
}


def test_release_names_of_the_guide_give_the_names_of_the_guide() -> None:
    for release in ("kubently", "kubently-api", "kubently-executor"):
        found = helm.names(helm.render(release=release))

        assert {("Service", "kubently-api"), ("Ingress", "kubently"), ("StatefulSet", "kubently-redis-master")} <= found
        assert ("Secret", "kubently-api-tls") in found


def test_any_other_release_name_stands_in_every_name() -> None:
    found = helm.names(helm.render(release="platform"))

    assert {name for _, name in found if not name.startswith("platform-kubently")} == set()


def test_long_release_name_leaves_room_for_what_is_added() -> None:
    found = helm.names(helm.render(release="r" * 53, namespace="n" * 60))

    assert max(len(name) for _, name in found) <= 63


def test_executor_alone_is_the_executor_and_nothing_else() -> None:
    found = helm.names(helm.render({"api": {"enabled": False}, **REMOTE}, release="kubently-executor"))

    assert found == {
        ("ServiceAccount", "kubently-executor"),
        ("ClusterRole", "kubently-executor-kubently"),
        ("ClusterRoleBinding", "kubently-executor-kubently"),
        ("ConfigMap", "kubently-executor"),
        ("Deployment", "kubently-executor"),
    }


def test_executor_of_an_api_elsewhere_brings_no_api_though_nobody_said_so() -> None:
    assert helm.names(helm.render(REMOTE)) == helm.names(helm.render({"api": {"enabled": False}, **REMOTE}))


@pytest.mark.parametrize(
    "values",
    [
        {"tls": {"external": {"domain": "api.example.com"}}},
        {"tls": {"external": {"domain": "x.example.com", "additionalDomains": ["api.example.com"]}}},
        {"ingress": {"hosts": [{"host": "api.example.com"}]}},
        {"gateway": {"httpRoute": {"enabled": True, "parentRefs": [{"name": "g"}], "hostnames": ["api.example.com"]}}},
    ],
    ids=["domain", "additional", "ingress", "gateway"],
)
def test_executor_of_this_releases_own_public_name_brings_the_api(values: dict[str, Any]) -> None:
    assert ("Deployment", "kubently-api") in helm.names(helm.render({**REMOTE, **values}))


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({}, "http://kubently-api:8080"),
        ({"tls": {"internal": {"endToEnd": True}}}, "https://kubently-api:8443"),
        ({"tls": {"external": {"domain": "api.example.com"}}}, "https://api.example.com"),
        ({"tls": {"external": {"domain": "api.example.com", "port": 8443}}}, "https://api.example.com:8443"),
        ({"tls": {"enabled": False}}, "http://kubently-api:8080"),
        (
            {"tls": {"external": {"domain": "a.b"}}, "executor": {"apiUrl": "http://kubently-api:8080"}},
            "http://kubently-api:8080",
        ),
    ],
)
def test_executors_url_follows_the_topology(values: dict[str, Any], url: str) -> None:
    found = helm.render(values)

    assert helm.environment(helm.the(found, "Deployment", "kubently-executor"))["KUBENTLY_API_URL"] == url


def test_several_urls_are_a_list_in_their_order() -> None:
    urls = ["https://eu.example.com", "https://us.example.com"]
    found = helm.render({"executor": {"apiUrls": urls, "clusterId": "b", "existingSecret": "t"}})

    environment = helm.environment(helm.the(found, "Deployment"))
    assert environment["KUBENTLY_API_URLS"] == ",".join(urls)
    assert "KUBENTLY_API_URL" not in environment


def test_api_knows_the_token_of_the_executor_beside_it() -> None:
    found = helm.render({"executor": {"clusterId": "here"}})

    pod = helm.the(found, "Deployment", "kubently-api")["spec"]["template"]["spec"]
    sources = next(v for v in pod["volumes"] if v["name"] == "executor-tokens")["projected"]["sources"]
    assert sources == [{"secret": {"name": "kubently-executor-token", "items": [{"key": "token", "path": "here"}]}}]
    token = base64.b64decode(helm.the(found, "Secret", "kubently-executor-token")["data"]["token"])
    assert len(token) == 48


def test_generated_secrets_are_all_that_differs_from_one_rendering_to_the_next() -> None:
    helm.rendered.cache_clear()
    first = helm.render()
    helm.rendered.cache_clear()
    second = helm.render()

    differing = {(a["kind"], a["metadata"]["name"]) for a, b in zip(first, second, strict=True) if a != b}
    assert differing == {
        ("Secret", name)
        for name in ("kubently-api", "kubently-redis", "kubently-executor-token", "kubently-ca", "kubently-api-tls")
    }


def test_with_secrets_of_ones_own_nothing_differs_and_none_is_made() -> None:
    own: dict[str, Any] = {
        "api": {"existingSecret": "a"},
        "redis": {"auth": {"existingSecret": "b"}},
        "executor": {"existingSecret": "c"},
        "tls": {"existingSecret": "d"},
    }
    helm.rendered.cache_clear()
    first = helm.render(own)
    helm.rendered.cache_clear()

    assert first == helm.render(own)
    assert [o for o in first if o["kind"] == "Secret"] == []


def test_optional_kinds_wait_for_their_crd() -> None:
    values = {"serviceMonitor": {"enabled": True}, "global": {"optionalKinds": "skipIfMissing"}}

    assert {o["kind"] for o in helm.render(values)}.isdisjoint({"ServiceMonitor"})
    there = helm.render(values, kinds=["monitoring.coreos.com/v1/ServiceMonitor"])
    assert len([o for o in there if o["kind"] == "ServiceMonitor"]) == 2


def test_on_openshift_users_are_left_to_its_security_contexts() -> None:
    found = helm.render(kinds=["security.openshift.io/v1"])

    for workload in (o for o in found if o["kind"] in ("Deployment", "StatefulSet")):
        context = workload["spec"]["template"]["spec"]["securityContext"]
        assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        assert "runAsUser" not in helm.container(workload)["securityContext"]


def test_cert_manager_makes_the_internal_ca_where_it_is_installed() -> None:
    kinds = ["cert-manager.io/v1/Certificate"]

    assert {"Issuer", "Certificate"} <= {o["kind"] for o in helm.render(kinds=kinds)}
    assert {o["kind"] for o in helm.render()}.isdisjoint({"Issuer", "Certificate"})


def test_plain_http_to_elsewhere_is_refused_until_it_is_allowed() -> None:
    values: dict[str, Any] = {"executor": {**REMOTE["executor"], "apiUrl": "http://api.example.com"}}
    with pytest.raises(helm.HelmError, match="sends the token in clear to a host outside of the cluster"):
        helm.render(values)

    values["executor"]["allowInsecureHttp"] = True
    assert helm.the(helm.render(values), "Deployment")


def test_image_is_named_by_digest_and_mirror() -> None:
    digest = "sha256:" + "0" * 64
    found = helm.render({"global": {"imageRegistry": "mirror.example.com/hub"}, "api": {"image": {"digest": digest}}})

    image = helm.container(helm.the(found, "Deployment", "kubently-api"))["image"]
    assert image == f"mirror.example.com/hub/kubently/kubently@{digest}"
    redis = helm.container(helm.the(found, "StatefulSet"))["image"]
    assert redis == "mirror.example.com/hub/library/redis:7.2"


@pytest.mark.parametrize(
    ("class_name", "key"),
    [
        ("nginx-internal", "nginx.ingress.kubernetes.io/proxy-read-timeout"),
        ("haproxy", "haproxy.org/timeout-tunnel"),
        ("traefik", "traefik.ingress.kubernetes.io/router.tls"),
    ],
)
def test_ingress_class_decides_the_annotations_for_long_streams(class_name: str, key: str) -> None:
    found = helm.the(helm.render({"ingress": {"className": class_name}}), "Ingress")

    assert key in found["metadata"]["annotations"]


def test_a_secret_that_is_mounted_nowhere_is_trusted_beside_the_bundle() -> None:
    values: dict[str, Any] = {
        "executor": {
            **REMOTE["executor"],
            "volumes": [{"name": "corporate", "configMap": {"name": "roots"}}],
            "tls": {"caBundle": {"pem": "-----BEGIN CERTIFICATE-----"}},
        }
    }
    deployment = helm.the(helm.render(values), "Deployment")

    trusted = helm.environment(deployment)["KUBENTLY_CA_CERT"]
    assert trusted == "/etc/kubently/trust/ca-pem/ca.crt:/etc/kubently/trust/corporate"
    paths = {m["name"]: m["mountPath"] for m in helm.container(deployment)["volumeMounts"]}
    assert paths["corporate"] == "/etc/kubently/trust/corporate"


def test_every_volume_is_mounted_and_every_mount_has_a_volume() -> None:
    values: dict[str, Any] = {
        "tls": {"internal": {"endToEnd": True}, "clientAuth": {"mode": "optional", "caSecret": "clients"}},
        "externalRedis": {
            "url": "rediss://r:6379",
            "existingSecret": "r",
            "tls": {"caSecret": "c", "clientSecret": "d"},
        },
        "executor": {"enrolment": {"existingSecret": "once"}, "tls": {"clientCert": {"secret": "mine"}}},
    }
    for workload in helm.render(values):
        if workload["kind"] not in ("Deployment", "StatefulSet"):
            continue
        pod = workload["spec"]["template"]["spec"]
        claims = {c["metadata"]["name"] for c in workload["spec"].get("volumeClaimTemplates", ())}
        volumes = {v["name"] for v in pod["volumes"]} | claims
        assert volumes == {m["name"] for c in pod["containers"] for m in c["volumeMounts"]}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tls": {"mode": "external"}}, "set tls.external.domain"),
        ({"tls": {"mode": "none", "internal": {"endToEnd": True}}}, "tls.mode is none"),
        ({"tls": {"certificate": {"crt": "x"}}}, "set tls.certificate.key"),
        ({"tls": {"clientAuth": {"forwardedHeader": "client-cert"}}}, "set api.trustedProxies"),
        ({"api": {"continuous": {"webhooks": ["https://a.example"]}}}, "set api.continuous.webhookSecret"),
        ({"tls": {"clientAuth": {"mode": "required"}}}, "no client certificate can reach the API"),
        ({"redis": {"enabled": False}, "api": {"replicaCount": 2}}, "or api.replicaCount: 1"),
        ({"redis": {"enabled": False}, "autoscaling": {"enabled": True}}, "several replicas share a Redis"),
        ({"redis": {"enabled": True}, "externalRedis": {"url": "redis://r:6379"}}, "are both set"),
        ({"gateway": {"httpRoute": {"enabled": True}}}, "set gateway.httpRoute.parentRefs"),
        ({"gateway": {"backendTLSPolicy": {"enabled": True}}}, "set tls.internal.endToEnd: true"),
        ({"api": {"oidc": {"issuer": "https://idp"}}}, "set api.oidc.clientId and api.oidc.roles"),
        ({"executor": {"clusterId": "Prod"}}, "is no cluster id"),
        ({"api": {"enabled": False}}, "set executor.clusterId"),
        ({"api": {"enabled": False}, "executor": {"clusterId": "b"}}, "executor.apiUrl is missing"),
        ({"executor": {"clusterId": "b", "apiUrl": "https://a.example.com"}}, "nothing to prove who it is"),
        ({**REMOTE, "tls": {"mode": "internal"}}, "makes a CA that other clusters do not trust"),
        ({"executor": {"apiUrl": "api.example.com"}}, "is no URL"),
        ({"executor": {"env": {"KUBENTLY_SSL_VERIFY": "false"}}}, "switches verification off"),
        ({"executor": {"tls": {"caBundle": {"includeSystem": False}}}}, "nothing else to trust"),
        ({"executor": {"tls": {"clientCert": {"certManager": {"enabled": True}}}}}, "certManager.issuer"),
        ({"executor": {"volumes": [{"name": "tmp", "emptyDir": {}}]}}, "two volumes of the executor are named"),
        ({"api": {"enabled": False}, "executor": {"enabled": False}}, "neither the API nor an executor"),
    ],
)
def test_what_cannot_work_is_refused_with_the_key_to_change(values: dict[str, Any], words: str) -> None:
    with pytest.raises(helm.HelmError) as caught:
        helm.render(values)

    assert "These values cannot work:" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"api": {"replicas": 3}}, "at '/api': additional properties 'replicas' not allowed"),
        ({"tls": {"mode": "public"}}, "at '/tls/mode'"),
        ({"api": {"service": {"nodePort": 30080}}}, "at '/api/service/nodePort'"),
        ({"executor": {"policy": {"mode": "write"}}}, "at '/executor/policy'"),
        ({"executor": {"grants": ["exec"]}}, "at '/executor/grants/0'"),
        ({"api": {"image": {"digest": "latest"}}}, "at '/api/image/digest'"),
    ],
)
def test_schema_refuses_what_it_does_not_know(values: dict[str, Any], place: str) -> None:
    with pytest.raises(helm.HelmError) as caught:
        helm.render(values)

    assert place in str(caught.value)


def test_several_faults_are_said_at_once() -> None:
    with pytest.raises(helm.HelmError) as caught:
        helm.render({"api": {"enabled": False}, "executor": {"env": {"KUBENTLY_SSL_VERIFY": "no"}}})

    assert str(caught.value).count("\n  - ") == 4
