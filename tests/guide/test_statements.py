"""The statements 1 to 70 of the deployment guide that people know, each as far as it can be seen here.

README.md beside this file says what each states, and where it is proven with real servers, clusters and nodes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from kubently.errors import ConfigError
from kubently.settings import ExecutorSettings, TimingSettings, TrustSettings
from tests.guide import guide
from tests.testbed import helm

DOMAIN = "api.kubently.example.com"
REMOTE: dict[str, Any] = {"apiUrl": f"https://{DOMAIN}", "clusterId": "b", "existingSecret": "token"}


def rendered_tls(objects: list[helm.Object]) -> list[dict[str, Any]]:
    """The Ingress' tls block."""
    found: list[dict[str, Any]] = helm.the(objects, "Ingress", "kubently")["spec"]["tls"]
    return found


def issuer(objects: list[helm.Object]) -> dict[str, str]:
    """Who issues the certificate that clients see."""
    found: dict[str, str] = helm.the(objects, "Certificate", "kubently-api-tls")["spec"]["issuerRef"]
    return found


# ---- scenario 1


def test_s01_internal_values_render_without_a_token() -> None:
    assert {"Deployment", "Ingress", "StatefulSet"} <= guide.kinds(guide.block("scenario-1"))


def test_s02_self_signed_means_a_ca_of_the_releases_own() -> None:
    found = helm.render({"tls": {"mode": "internal"}}, kinds=["cert-manager.io/v1/Certificate"])

    authority = helm.the(found, "Certificate", "kubently-ca")["spec"]
    assert authority["isCA"]
    assert authority["issuerRef"]["name"] == "kubently-selfsigned"
    assert issuer(found)["name"] == "kubently-ca"


def test_s03_executor_dials_the_service_by_http() -> None:
    found = guide.block("scenario-1")

    assert guide.executor(found)["KUBENTLY_API_URL"] == "http://kubently-api:8080"
    assert helm.the(found, "Service", "kubently-api")["spec"]["ports"][0]["port"] == 8080


def test_s04_ingress_has_tls_with_the_releases_certificate() -> None:
    assert rendered_tls(guide.block("scenario-1")) == [{"secretName": "kubently-api-tls", "hosts": ["kubently.local"]}]


def test_s05_nothing_names_a_host_elsewhere() -> None:
    urls = re.findall(r"https?://([^/'\":]+)", guide.text(guide.block("scenario-1")))

    assert set(urls) == {"kubently-api"}


# ---- scenario 2


def test_s06_external_values_render_with_domain_and_issuer() -> None:
    found = guide.block("scenario-2")

    certificate = helm.the(found, "Certificate")["spec"]
    assert (certificate["dnsNames"], certificate["secretName"]) == ([DOMAIN], "kubently-api-tls")
    assert rendered_tls(found) == [{"secretName": "kubently-api-tls", "hosts": [DOMAIN]}]


def test_s07_executor_uses_the_public_name() -> None:
    assert guide.executor(guide.block("scenario-2"))["KUBENTLY_API_URL"] == f"https://{DOMAIN}"


def test_s08_name_may_lead_to_any_address() -> None:
    alias = {"ip": "10.0.0.7", "hostnames": [DOMAIN]}
    found = helm.render({"tls": {"external": {"domain": DOMAIN}}, "executor": {"hostAliases": [alias]}})

    assert helm.the(found, "Deployment", "kubently-executor")["spec"]["template"]["spec"]["hostAliases"] == [alias]
    assert guide.executor(found)["KUBENTLY_API_URL"] == f"https://{DOMAIN}"


def test_s09_executor_trusts_the_systems_roots_and_nothing_else() -> None:
    environment = guide.executor(guide.block("scenario-2"))

    assert environment.keys().isdisjoint({"KUBENTLY_CA_CERT", "KUBENTLY_CA_MODE", "KUBENTLY_SSL_VERIFY"})
    assert TrustSettings.from_env(environment).verify


def test_s10_works_with_an_internal_address_and_dns_01() -> None:
    values = {"tls": {"external": {"domain": DOMAIN, "issuer": "letsencrypt-dns01"}}}
    annotations = {"cloud.example.com/load-balancer": "internal"}
    found = helm.render({**values, "api": {"service": {"type": "LoadBalancer", "annotations": annotations}}})

    assert issuer(found)["name"] == "letsencrypt-dns01"
    assert helm.the(found, "Service", "kubently-api")["metadata"]["annotations"] == annotations


# ---- scenario 3


def test_s11_api_alone_with_one_rule_for_the_host_that_stands_twice() -> None:
    found = guide.block("scenario-3-api")

    ingress = helm.the(found, "Ingress")["spec"]
    assert ingress["ingressClassName"] == "nginx"
    assert [rule["host"] for rule in ingress["rules"]] == [DOMAIN]
    assert ("Deployment", "kubently-executor") not in helm.names(found)


def test_s12_executor_alone_is_five_sorts_of_objects() -> None:
    found = guide.kinds(guide.block("scenario-3-executor"))

    assert found == {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Secret", "ConfigMap", "Deployment"}


def test_s13_example_token_renders_and_is_warned_about() -> None:
    assert helm.the(guide.block("scenario-3-executor"), "Secret", "kubently-executor-token")
    assert "executor.token is an example of a document" in guide.warnings("scenario-3-executor")


def test_s14_public_certificate_needs_no_values_about_tls_remotely() -> None:
    environment = guide.executor(guide.block("scenario-3-executor"))

    assert environment["KUBENTLY_API_URL"].startswith("https://")
    assert "KUBENTLY_CA_CERT" not in environment


@pytest.mark.parametrize("release", ["kubently-api", "kubently"])
def test_s15_release_name_does_not_change_the_services_name(release: str) -> None:
    assert helm.the(helm.render(release=release), "Service", "kubently-api")


def test_s16_cluster_id_of_the_command_line_wins() -> None:
    assert guide.executor(guide.block("scenario-3-executor"))["KUBENTLY_CLUSTER_ID"] == "cluster-b"


def test_s17_executors_of_many_clusters_differ_in_their_id_alone() -> None:
    def of(cluster: str) -> dict[str, str]:
        return guide.executor(helm.render({"executor": {**REMOTE, "clusterId": cluster}}))

    b, c, d = of("b"), of("c"), of("d")
    assert [e.pop("KUBENTLY_CLUSTER_ID") for e in (b, c, d)] == ["b", "c", "d"]
    assert b == c == d


# ---- scenario 4


def test_s18_local_executor_by_the_service_of_an_api_with_a_public_name() -> None:
    found = guide.block("scenario-4-api")

    assert guide.executor(found)["KUBENTLY_API_URL"] == "http://kubently-api:8080"
    assert rendered_tls(found)[0]["hosts"] == ["api.kubently.internal.company.com"]


def test_s19_company_issuer_is_a_cluster_issuer_unless_said() -> None:
    assert issuer(guide.block("scenario-4-api")) == {
        "name": "internal-ca",
        "kind": "ClusterIssuer",
        "group": "cert-manager.io",
    }
    values = {"tls": {"external": {"domain": "a.b", "issuer": "internal-ca", "issuerKind": "Issuer"}}}
    assert issuer(helm.render(values))["kind"] == "Issuer"


def test_s20_remote_executor_brings_no_second_api_though_nobody_said_so() -> None:
    assert guide.kinds(guide.block("scenario-4-executor")).isdisjoint({"StatefulSet", "Ingress", "Service"})
    assert "No API was installed, because executor.apiUrl names one elsewhere" in guide.warnings("scenario-4-executor")


# ---- scenario 5


@pytest.mark.parametrize("region", ["us", "eu"])
def test_s21_a_regions_domain_alone_means_external(region: str) -> None:
    domain = f"api-{region}.kubently.example.com"
    found = helm.render({"tls": {"external": {"domain": domain}}})

    assert helm.the(found, "Certificate")["spec"]["dnsNames"] == [domain]
    assert guide.block("scenario-5")


def test_s22_regions_in_order_or_the_nearest_and_a_common_name() -> None:
    urls = ["https://api-us.example.com", "https://api-eu.example.com"]
    environment = guide.executor(
        helm.render({"executor": {**REMOTE, "apiUrl": "", "apiUrls": urls, "apiUrlOrder": "nearest"}})
    )
    settings = ExecutorSettings.from_env({**environment, "KUBENTLY_TOKEN": "t" * 20, "KUBENTLY_TOKEN_FILE": ""})
    common = {"tls": {"external": {"domain": "api-us.example.com", "additionalDomains": ["api.example.com"]}}}

    assert (list(settings.api_urls), settings.api_url_order) == (urls, "nearest")
    names = helm.the(helm.render(common), "Certificate")["spec"]["dnsNames"]
    assert names == ["api-us.example.com", "api.example.com"]


# ---- pattern 1


def test_s23_public_certificate_on_an_internal_load_balancer() -> None:
    values = {"tls": {"external": {"domain": "api.internal.com"}}, "ingress": {"className": "nginx-internal"}}
    found = helm.render(values)

    assert helm.the(found, "Ingress")["spec"]["ingressClassName"] == "nginx-internal"
    assert rendered_tls(found)[0]["hosts"] == ["api.internal.com"]


def test_s24_nothing_is_reached_from_the_internet_unless_said() -> None:
    services = [o for o in helm.render() if o["kind"] == "Service"]

    assert {service["spec"].get("type", "ClusterIP") for service in services} == {"ClusterIP"}


def test_s25_load_balancer_takes_only_the_networks_that_are_named() -> None:
    service = {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8"]}
    found = helm.the(helm.render({"api": {"service": service}}), "Service", "kubently-api")["spec"]

    assert found["loadBalancerSourceRanges"] == ["10.0.0.0/8"]
    assert "metrics" not in {port["name"] for port in found["ports"]}


# ---- pattern 2


def test_s26_gateway_ends_mutual_tls_and_hands_the_certificate_on() -> None:
    values = {
        "tls": {
            "clientAuth": {"mode": "required", "forwardedHeader": "x-forwarded-client-cert", "caSecret": "clients"}
        },
        "api": {"trustedProxies": ["10.0.0.0/8"]},
    }
    environment = guide.api(helm.render(values))

    assert environment["KUBENTLY_CLIENT_CERTS"] == "require"
    assert environment["KUBENTLY_CLIENT_CERT_HEADER"] == "x-forwarded-client-cert"
    assert "set api.trustedProxies" in guide.refused({"tls": values["tls"]})


def test_s27_url_in_istio_system_renders_and_is_warned_about(tmp_path: Path) -> None:
    url = guide.executor(guide.block("pattern-2"))["KUBENTLY_API_URL"]

    assert url == "https://kubently-api.istio-system.svc.cluster.local"
    assert "names istio-system, where the mesh's gateway is and the API is not" in guide.warnings("pattern-2")
    assert "values-istio-url" in guide.examined({"executor": {"apiUrl": url}}, tmp_path)


@pytest.mark.parametrize("word", ["true", "1", "yes", "on"])
def test_s28_verification_is_on_by_every_word_for_it(word: str) -> None:
    assert TrustSettings.from_env({"KUBENTLY_SSL_VERIFY": word}).verify
    assert guide.executor(guide.block("pattern-2"))["KUBENTLY_SSL_VERIFY"] == "true"


def test_s29_mesh_objects_come_with_the_release() -> None:
    strict = {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "{{ .Release.Name }}"},
        "spec": {"mtls": {"mode": "STRICT"}},
    }
    found = helm.the(helm.render({"extraObjects": [strict]}), "PeerAuthentication")

    assert found["metadata"]["name"] == "kubently"


# ---- pattern 3


def test_s30_corporate_issuer_is_named_as_it_stands() -> None:
    assert issuer(guide.block("pattern-3"))["name"] == "corporate-ca-issuer"


def test_s31_a_bundle_that_is_mounted_nowhere_is_mounted_and_trusted() -> None:
    found = helm.the(guide.block("pattern-3"), "Deployment", "kubently-executor")

    mounts = {m["name"]: m["mountPath"] for m in helm.container(found)["volumeMounts"]}
    assert mounts["ca-bundle"] == "/etc/kubently/trust/ca-bundle"
    assert helm.environment(found)["KUBENTLY_CA_CERT"] == "/etc/kubently/trust/ca-bundle"
    assert "The volume ca-bundle is mounted nowhere" in guide.warnings("pattern-3")


# ---- certificates


def test_s32_production_is_external_by_naming_a_domain() -> None:
    assert "Certificate" in guide.kinds(helm.render({"tls": {"external": {"domain": DOMAIN}}}))
    assert "set tls.external.domain" in guide.refused({"tls": {"mode": "external"}})


def test_s33_certificates_are_watched() -> None:
    rules = helm.the(helm.render({"prometheusRule": {"enabled": True}}), "PrometheusRule")["spec"]["groups"]

    alerts = {rule.get("alert") for group in rules for rule in group["rules"]}
    assert {"KubentlyCertificateEnds", "KubentlyCertificateEndsSoon", "KubentlyCertificateNotLoaded"} <= alerts


def test_s34_renewal_goes_by_share_of_life_and_makes_a_new_key() -> None:
    certificate = helm.the(guide.block("scenario-2"), "Certificate")["spec"]

    assert certificate["renewBeforePercentage"] == 33
    assert certificate["privateKey"]["rotationPolicy"] == "Always"
    assert "duration" not in certificate


def test_s35_internal_is_said_to_be_for_one_cluster() -> None:
    assert "tls.mode is internal, which is for this cluster alone" in guide.warnings("scenario-1")


def test_s36_staging_roots_are_given_to_the_executor() -> None:
    bundle = {"caBundle": {"configMap": "letsencrypt-staging-roots"}}
    environment = guide.executor(helm.render({"executor": {**REMOTE, "tls": bundle}}))

    assert environment["KUBENTLY_CA_CERT"] == "/etc/kubently/trust/ca-configmap/ca.crt"


# ---- network


def test_s37_policy_of_the_guide_adds_to_the_charts_own(tmp_path: Path) -> None:
    policy = helm.the(guide.block("practice-network"), "NetworkPolicy", "kubently-api")["spec"]

    assert {"from": [
        {"namespaceSelector": {"matchLabels": {"name": "kubently"}}},
        {"podSelector": {"matchLabels": {"app": "executor"}}},
    ]} in policy["ingress"]  # fmt: skip
    assert len(policy["ingress"]) > 1
    assert "kubernetes.io/metadata.name" in guide.warnings("practice-network")
    pod = helm.the(guide.block("practice-network"), "Deployment", "kubently-executor")["spec"]["template"]
    assert pod["metadata"]["labels"]["app"] == "executor"


# ---- tokens


def test_s38_a_token_of_openssl_is_taken_as_it_is() -> None:
    token = "0123456789abcdef" * 4
    values: dict[str, Any] = {"executor": {**REMOTE, "existingSecret": "", "token": token}}

    assert "executor.token stays readable in Helm's release Secret" in helm.notes(values)
    assert "executor.token is an example" not in helm.notes(values)


def test_s39_redis_cli_is_let_in_by_the_pods_own_environment() -> None:
    found = helm.render()
    redis = helm.the(found, "StatefulSet", "kubently-redis-master")

    names = {e["name"]: e["valueFrom"]["secretKeyRef"] for e in helm.container(redis)["env"]}
    assert names == {"REDISCLI_AUTH": {"name": "kubently-redis", "key": "password"}}
    assert helm.container(redis)["args"] == ["--requirepass", "$(REDISCLI_AUTH)"]


def test_s40_other_path_is_the_same_chart_and_a_token_alone_is_warned_about() -> None:
    other = helm.ROOT / "helm" / "kubently"
    token = "0123456789abcdef" * 4

    assert other.resolve() == helm.CHART
    said = helm.notes({"executor": {"token": token}}, release="kubently-executor")
    assert "An API was installed too. For an executor alone set api.enabled: false" in said


def test_s41_each_clusters_token_is_a_file_of_its_own() -> None:
    found = helm.render({"api": {"executorTokens": {"existingSecret": "tokens"}}, "executor": {"enabled": False}})
    pod = helm.the(found, "Deployment", "kubently-api")["spec"]["template"]["spec"]

    volume = next(v for v in pod["volumes"] if v["name"] == "executor-tokens")
    assert volume["projected"]["sources"] == [{"secret": {"name": "tokens"}}]
    assert guide.api(found)["KUBENTLY_EXECUTOR_TOKENS_DIR"] == "/etc/kubently/executor-tokens"


# ---- connectivity


def test_s42_health_check_interval_is_read() -> None:
    environment = guide.executor(guide.block("practice-health"))

    assert TimingSettings.from_env(environment).ping_after == 30


def test_s43_connection_timeout_is_read() -> None:
    environment = guide.executor(guide.block("practice-health"))

    assert TimingSettings.from_env(environment).dial_timeout == 10


def test_s44_service_monitors_point_at_a_port_named_metrics() -> None:
    found = guide.block("practice-metrics")

    monitors = [o for o in found if o["kind"] == "ServiceMonitor"]
    assert [m["spec"]["endpoints"] for m in monitors] == [[{"port": "metrics", "interval": "30s"}]] * 2
    for monitor in monitors:
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        services = [o for o in found if o["kind"] == "Service" and wanted <= o["metadata"]["labels"].items()]
        assert [p["name"] for s in services for p in s["spec"]["ports"] if p["name"] == "metrics"] == ["metrics"]


# ---- troubleshooting


def installed_for_troubleshooting() -> str:
    """What the executor's image gets beside the program; tests/nodes run it in real pods."""
    dockerfile = (helm.ROOT / "deployment" / "docker" / "Dockerfile").read_text()
    return dockerfile.partition("FROM base AS executor-base")[2].partition("FROM ")[0]


def test_s45_nslookup_is_in_the_executors_image() -> None:
    assert "/usr/bin/nslookup" in installed_for_troubleshooting()


def test_s46_curl_is_in_the_executors_image() -> None:
    assert re.search(r"--no-install-recommends .*\bcurl\b", installed_for_troubleshooting())


def test_s47_openssl_is_in_the_executors_image() -> None:
    assert re.search(r"--no-install-recommends .*\bopenssl\b", installed_for_troubleshooting())


def test_s48_mount_over_the_systems_roots_works_and_is_warned_about(tmp_path: Path) -> None:
    environment = guide.executor(guide.block("trouble-ca"))

    assert TrustSettings.from_env(environment).cert_dirs == (Path("/etc/ssl/certs"),)
    assert "hides the system's roots: use executor.tls.caBundle" in guide.warnings("trouble-ca")


def test_s49_internal_name_in_full_is_taken() -> None:
    found = guide.block("trouble-url")

    url = guide.executor(found)["KUBENTLY_API_URL"]
    assert url == "http://kubently-api.kubently.svc.cluster.local:8080"
    assert "kubently-api.kubently.svc.cluster.local" in guide.api(found)["KUBENTLY_HOSTS"].split(",")


# ---- migration


def test_s50_phase_1_is_internal_in_one_cluster() -> None:
    found = helm.render({"tls": {"mode": "internal"}})

    assert {("Deployment", "kubently-api"), ("Deployment", "kubently-executor")} <= helm.names(found)


def test_s51_phase_2_flips_the_executors_url_and_keeps_old_names() -> None:
    external = {"domain": DOMAIN, "additionalDomains": ["kubently.local"]}
    found = helm.render({"tls": {"mode": "external", "external": external}})

    assert guide.executor(found)["KUBENTLY_API_URL"] == f"https://{DOMAIN}"
    assert rendered_tls(found)[0]["hosts"] == [DOMAIN, "kubently.local"]
    assert {DOMAIN, "kubently.local"} <= set(guide.api(found)["KUBENTLY_HOSTS"].split(","))


def test_s52_phase_3_adds_executors_that_enrol() -> None:
    values = {"executor": {**REMOTE, "existingSecret": "", "enrolment": {"existingSecret": "once"}}}
    environment = guide.executor(helm.render(values))

    assert environment["KUBENTLY_IDENTITY_SECRET"] == "kubently/kubently-executor-identity"
    assert "KUBENTLY_TOKEN_FILE" not in environment


def test_s53_phase_4_takes_away_exactly_the_executors_objects() -> None:
    values: dict[str, Any] = {"tls": {"external": {"domain": DOMAIN}}}
    before, after = (helm.names(helm.render({**values, "executor": {"enabled": on}})) for on in (True, False))

    assert {name for _, name in before - after} == {
        "kubently-executor",
        "kubently-executor-token",
        "kubently-executor-kubently",
    }
    assert after < before


# ---- rolling certificate update


def test_s54_a_new_secret_is_named_in_values() -> None:
    values = {"tls": {"external": {"domain": DOMAIN}, "existingSecret": "kubently-api-tls-new"}}
    found = helm.render(values)

    assert "Certificate" not in guide.kinds(found)
    assert rendered_tls(found) == [{"secretName": "kubently-api-tls-new", "hosts": [DOMAIN]}]


def test_s55_what_a_patch_would_write_is_what_values_can_say() -> None:
    values = {"tls": {"external": {"domain": DOMAIN}}, "ingress": {"tls": [{"secretName": "kubently-api-tls-new"}]}}

    assert rendered_tls(helm.render(values)) == [{"secretName": "kubently-api-tls-new"}]


def test_s56_changing_the_certificate_restarts_no_pod() -> None:
    def pods(secret: str) -> list[Any]:
        values = {"tls": {"existingSecret": secret}, **OWN_SECRETS}
        return [o["spec"]["template"] for o in helm.render(values) if o["kind"] in ("Deployment", "StatefulSet")]

    assert pods("kubently-api-tls") == pods("kubently-api-tls-new")


OWN_SECRETS: dict[str, Any] = {
    "api": {"existingSecret": "a"},
    "redis": {"auth": {"existingSecret": "b"}},
    "executor": {"existingSecret": "c"},
}


# ---- do and do not


def test_s57_public_or_managed_private_ca_across_clusters() -> None:
    private = {"caBundle": {"secret": "company-ca"}}
    environment = guide.executor(helm.render({"executor": {**REMOTE, "tls": private}}))

    assert environment["KUBENTLY_CA_CERT"] == "/etc/kubently/trust/ca-secret/ca.crt"
    assert "KUBENTLY_CA_MODE" not in environment


def test_s58_network_policies_cover_every_component() -> None:
    found = helm.render({"networkPolicy": {"enabled": True}})

    policies = {o["metadata"]["name"] for o in found if o["kind"] == "NetworkPolicy"}
    assert policies == {"kubently-api", "kubently-executor", "kubently-redis-master"}


def test_s59_one_token_in_two_values_files_is_an_error(tmp_path: Path) -> None:
    files = []
    for name in ("b", "c"):
        file = tmp_path / f"{name}.yaml"
        file.write_text(f"executor: {{token: {'0123456789abcdef' * 2}, clusterId: {name}}}")
        files.append(file)

    assert "token-shared" in repr(guide.doctor_values.check(guide.Subject(values=tuple(files))))


def test_s60_end_of_certificates_is_watched_by_days_and_by_share() -> None:
    rule = helm.the(helm.render({"prometheusRule": {"enabled": True}}), "PrometheusRule")

    assert "21 * 86400" in guide.text([rule])
    assert "kubently_certificate_life_left_ratio" in guide.text([rule])


def test_s61_mutual_tls_without_a_mesh() -> None:
    client = {"clientCert": {"certManager": {"enabled": True, "issuer": "clients"}}}
    found = helm.render({"executor": {**REMOTE, "tls": client}})

    certificate = helm.the(found, "Certificate", "kubently-executor-client-tls")["spec"]
    assert (certificate["commonName"], certificate["dnsNames"]) == ("b", ["b"])
    assert guide.executor(found)["KUBENTLY_CLIENT_CERT"] == "/etc/kubently/client/tls.crt"


def test_s62_internal_across_clusters_is_refused(tmp_path: Path) -> None:
    values: dict[str, Any] = {"tls": {"mode": "internal"}, "api": {"enabled": False}, "executor": REMOTE}

    assert "makes a CA that other clusters do not trust" in guide.refused(values)
    assert "values-internal-across" in guide.examined(values, tmp_path)


def test_s63_switching_verification_off_is_refused(tmp_path: Path) -> None:
    values: dict[str, Any] = {"executor": {**REMOTE, "env": {"KUBENTLY_SSL_VERIFY": "false"}}}

    assert "switches verification off" in guide.refused(values)
    assert "verification-off" in guide.examined(values, tmp_path)
    with pytest.raises(ConfigError):
        TrustSettings.from_env({"KUBENTLY_SSL_VERIFY": "false"})


def test_s64_the_api_has_a_key_whatever_the_values_say() -> None:
    found = helm.render()

    assert guide.api(found)["KUBENTLY_ADMIN_KEY_FILE"] == "/etc/kubently/keys/admin-key"
    assert len(helm.the(found, "Secret", "kubently-api")["data"]["admin-key"]) >= 64


def test_s65_generated_tokens_differ_from_release_to_release() -> None:
    tokens = {
        helm.the(helm.render(release=release), "Secret", f"{release}-kubently-executor-token")["data"]["token"]
        for release in ("one", "two", "three")
    }

    assert len(tokens) == 3


# ---- summary


def test_s66_to_try_in_one_cluster_internal_and_http() -> None:
    assert guide.executor(guide.block("scenario-1"))["KUBENTLY_API_URL"].startswith("http://")


def test_s67_production_in_one_cluster_external_and_https() -> None:
    assert guide.executor(guide.block("scenario-2"))["KUBENTLY_API_URL"].startswith("https://")


def test_s68_many_clusters_external_and_https() -> None:
    api, remote = guide.block("scenario-3-api"), guide.block("scenario-3-executor")

    assert guide.executor(remote)["KUBENTLY_API_URL"] == f"https://{rendered_tls(api)[0]['hosts'][0]}"


def test_s69_hybrid_is_mixed() -> None:
    local, remote = (guide.executor(guide.block(f"scenario-4-{part}")) for part in ("api", "executor"))

    assert local["KUBENTLY_API_URL"].startswith("http://")
    assert remote["KUBENTLY_API_URL"].startswith("https://")


def test_s70_a_domain_is_all_that_external_mode_needs() -> None:
    assert helm.names(helm.render({"tls": {"external": {"domain": DOMAIN}}})) == helm.names(
        helm.render({"tls": {"enabled": True, "mode": "external", "external": {"domain": DOMAIN}}})
    )
