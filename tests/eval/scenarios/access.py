"""Rights, certificates, priorities, and settings that are not what runs."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.eval.app import App, scenario
from tests.eval.scenarios.scheduling import pool

_RBAC = "rbac.authorization.k8s.io"


def _operator(app: App, *, role: str, verbs: list[str]) -> None:
    app.add("v1", "ServiceAccount", "robot")
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}]
    app.add(f"{_RBAC}/v1", "Role", "reader", rules=rules)
    subjects = [{"kind": "ServiceAccount", "name": "robot", "namespace": app.namespace}]
    app.add(
        f"{_RBAC}/v1",
        "RoleBinding",
        "robot",
        roleRef={"apiGroup": _RBAC, "kind": "Role", "name": role},
        subjects=subjects,
    )
    app.deployment("operator", replicas=1, pod={"serviceAccountName": "robot"})
    user = f"system:serviceaccount:{app.namespace}:robot"
    words = f'configmaps is forbidden: User "{user}" cannot list resource "configmaps" in API group ""'
    app.crash("operator", 1, f'Error: {words} in the namespace "{app.namespace}"\n')


@scenario("verb-missing", "rbac/forbidden", "Deployment.apps {ns}/operator", "list configmaps")
def verb_missing(app: App) -> None:
    """An operator's role lets it get ConfigMaps, but not list them."""
    _operator(app, role="reader", verbs=app.pick(["get"], ["get", "list", "watch"]))


@scenario("role-missing", "rbac/role-missing", f"RoleBinding.{_RBAC} {{ns}}/robot", "config-reader")
def role_missing(app: App) -> None:
    """An operator's binding names a role that does not exist."""
    _operator(app, role=app.pick("config-reader", "reader"), verbs=["get", "list", "watch"])


def _certificate(host: str, ends_in: timedelta) -> dict[str, str]:
    """Data of a TLS Secret, with a certificate signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=90))
        .not_valid_after(now + ends_in)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    values = {"tls.crt": made.public_bytes(serialization.Encoding.PEM), "tls.key": pem}
    return {name: base64.b64encode(value).decode() for name, value in values.items()}


def _served(app: App, certified: str, ends_in: timedelta) -> None:
    app.deployment("web")
    app.service("web")
    host = f"{app.namespace}.example.com"
    app.add("v1", "Secret", "web-tls", type="kubernetes.io/tls", data=_certificate(certified or host, ends_in))
    app.ingress("web", "web", host=host, tls=[{"hosts": [host], "secretName": "web-tls"}])


@scenario(
    "certificate-expired", "ingress/certificate-expired", "Ingress.networking.k8s.io {ns}/web", "expired 3 days ago"
)
def certificate_expired(app: App) -> None:
    """The certificate that an Ingress serves expired days ago."""
    _served(app, "", app.pick(timedelta(days=-3, minutes=-5), timedelta(days=60)))


@scenario(
    "certificate-ends-soon", "ingress/certificate-ends-soon", "Ingress.networking.k8s.io {ns}/web", "ends in 4 days"
)
def certificate_ends_soon(app: App) -> None:
    """The certificate that an Ingress serves ends in four days."""
    _served(app, "", app.pick(timedelta(days=4, minutes=30), timedelta(days=60)))


@scenario(
    "certificate-other-host", "ingress/certificate-wrong-host", "Ingress.networking.k8s.io {ns}/web", "old.example.com"
)
def certificate_other_host(app: App) -> None:
    """The certificate of an Ingress is for the host of before a move."""
    _served(app, app.pick("old.example.com", ""), timedelta(days=60))


@scenario("quota-at-its-end", "quota/used-up", "ResourceQuota {ns}/team", "pods 2 of 2")
def quota_at_its_end(app: App) -> None:
    """A quota is used up: the next rollout will fail."""
    app.add("v1", "ResourceQuota", "team", spec={"hard": {"pods": app.pick("2", "9")}})
    app.deployment("web")


@scenario("settings-stale", "workload/config-stale", "Deployment.apps {ns}/web", "settings")
def settings_stale(app: App) -> None:
    """Pods run with values that a ConfigMap had when they started."""
    app.add("v1", "ConfigMap", "settings", data={"mode": "fast"})
    app.deployment("web", containers=[app.container("web", envFrom=[{"configMapRef": {"name": "settings"}}])])
    change = json.dumps({"data": {"mode": "slow"}})
    app.after("patch", "configmap", "settings", "-n", app.namespace, "--type=merge", "-p", change)


@scenario("pull-secret-absent", "pod/image-pull-secret-missing", "Deployment.apps {ns}/web", "registry-login")
def pull_secret_absent(app: App) -> None:
    """The Secret with the registry's credentials does not exist."""
    if not app.broken:
        login = base64.b64encode(b'{"auths":{}}').decode()
        data = {".dockerconfigjson": login}
        app.add("v1", "Secret", "registry-login", type="kubernetes.io/dockerconfigjson", data=data)
    app.deployment("web", pod={"imagePullSecrets": [{"name": "registry-login"}]})
    words = "failed to authorize: failed to fetch oauth token: unexpected status: 401 Unauthorized"
    app.waits("web", "ImagePullBackOff", f"Back-off pulling image: ErrImagePull: {words}", events=[("Failed", words)])


@scenario("preempted", "pod/preempted", "Deployment.apps {ns}/batch", "more important")
def preempted(app: App) -> None:
    """A pod with a high priority took the room of another, which finds none."""
    high = app.add_to_cluster("scheduling.k8s.io/v1", "PriorityClass", "high", value=100_000)
    asked = pool(app, 1)
    large = {"requests": {"cpu": "6"}}
    app.deployment("batch", replicas=1, pod=asked, containers=[app.container("batch", resources=large)])
    app.report("batch")
    container = {"name": "urgent", "image": "registry.example/urgent:1", "resources": large}
    spec = {"priorityClassName": high, "containers": [container], **asked}
    overrides = json.dumps({"apiVersion": "v1", "spec": spec})
    app.after("run", "urgent", "--image=registry.example/urgent:1", "-n", app.namespace, f"--overrides={overrides}")
