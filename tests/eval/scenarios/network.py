"""Services, Ingresses, routes, policies, addresses."""

from __future__ import annotations

from typing import Any

from tests.eval.app import PORT, App, scenario


@scenario("selector-typo", "service/selector-matches-nothing", "Service {ns}/web", "wbe")
def selector_typo(app: App) -> None:
    """The Service selects a label that no pod has."""
    app.deployment("web")
    app.service("web", selector={"app": app.pick("wbe", "web")})


@scenario("port-wrong", "service/port-mismatch", "Service {ns}/web", "9090")
def port_wrong(app: App) -> None:
    """The Service sends to a port on which nobody listens."""
    app.deployment("web")
    app.service("web", ports=[{"port": 80, "targetPort": app.pick(9090, PORT)}])


@scenario("port-name-absent", "service/port-mismatch", "Service {ns}/web", "web-http")
def port_name_absent(app: App) -> None:
    """The Service sends to a port by a name that the containers do not use."""
    app.deployment("web")
    app.service("web", ports=[{"port": 80, "targetPort": app.pick("web-http", "http")}])


@scenario("protocol-wrong", "service/protocol-mismatch", "Service {ns}/dns", "UDP")
def protocol_wrong(app: App) -> None:
    """The Service says UDP, the container TCP."""
    app.deployment("dns")
    app.service("dns", ports=[{"port": 53, "targetPort": PORT, "protocol": app.pick("UDP", "TCP")}])


@scenario("scaled-to-zero", "workload/scaled-to-zero", "Deployment.apps {ns}/web", "0")
def scaled_to_zero(app: App) -> None:
    """Somebody scaled a Deployment behind an Ingress to zero."""
    app.deployment("web", replicas=app.pick(0, 2))
    app.service("web")
    app.ingress("web", "web")


@scenario("not-ready", "pod/readiness-fails", "Deployment.apps {ns}/web", "/helthz", "404")
def not_ready(app: App) -> None:
    """The readiness probe asks for a path that does not exist."""
    probe = {"httpGet": {"path": app.pick("/helthz", "/healthz"), "port": PORT}}
    app.deployment("web", containers=[app.container("web", readinessProbe=probe)])
    app.service("web")
    app.ingress("web", "web")
    event = ("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404")
    app.report("web", state={"running": {"startedAt": "2026-01-01T00:00:00Z"}}, events=[event])


@scenario("probe-port", "pod/readiness-fails", "Deployment.apps {ns}/web", "9999")
def probe_port(app: App) -> None:
    """The readiness probe asks a port on which nothing listens."""
    probe = {"tcpSocket": {"port": app.pick(9999, PORT)}}
    app.deployment("web", containers=[app.container("web", readinessProbe=probe)])
    app.service("web")
    event = ("Unhealthy", "Readiness probe failed: dial tcp 10.0.0.9:9999: connect: connection refused")
    app.report("web", state={"running": {"startedAt": "2026-01-01T00:00:00Z"}}, events=[event])


def _env(app: App, name: str, value: str) -> None:
    app.deployment("web", containers=[app.container("web", env=[{"name": name, "value": value}])])


@scenario("service-gone", "workload/env-service-missing", "Deployment.apps {ns}/web", "cache")
def service_gone(app: App) -> None:
    """An address in the environment names a Service that was deleted; the program fails because of it."""
    _env(app, "CACHE_URL", f"redis://cache.{app.namespace}.svc.cluster.local:6379")
    if not app.broken:
        app.deployment("cache", containers=[app.container("cache", ports=[{"name": "http", "containerPort": 6379}])])
        app.service("cache", ports=[{"port": 6379, "targetPort": 6379}])
    log = f"connecting to the cache\nError: lookup cache.{app.namespace}.svc.cluster.local: no such host\n"
    app.crash("web", 1, log)


@scenario("env-port-wrong", "workload/env-port-missing", "Deployment.apps {ns}/web", "5423")
def env_port_wrong(app: App) -> None:
    """An address in the environment names a port that the Service does not have."""
    _env(app, "DATABASE_URL", f"postgres://db.{app.namespace}:{app.pick(5423, 5432)}/shop")
    app.deployment("db", replicas=1, containers=[app.container("db", ports=[{"containerPort": 5432}])])
    app.service("db", ports=[{"port": 5432, "targetPort": 5432}])
    app.crash("web", 1, f"Error: dial tcp: lookup db.{app.namespace}:5423: i/o timeout\n")


@scenario("class-unknown", "ingress/class-missing", "Ingress.networking.k8s.io {ns}/web", "ngnix")
def class_unknown(app: App) -> None:
    """The Ingress names a class that does not exist."""
    app.deployment("web")
    app.service("web")
    app.ingress("web", "web", ingressClassName=app.pick("ngnix", "nginx"))


@scenario("backend-absent", "ingress/backend-missing", "Ingress.networking.k8s.io {ns}/web", "web-svc")
def backend_absent(app: App) -> None:
    """The Ingress sends to a Service of another name."""
    app.deployment("web")
    app.service("web")
    app.ingress("web", app.pick("web-svc", "web"))


@scenario("backend-port", "ingress/backend-port-missing", "Ingress.networking.k8s.io {ns}/web", "8081")
def backend_port(app: App) -> None:
    """The Ingress sends to a port that the Service does not have."""
    app.deployment("web")
    app.service("web")
    app.ingress("web", "web", port={"number": app.pick(8081, 80)})


@scenario("tls-secret-absent", "ingress/tls-secret-missing", "Ingress.networking.k8s.io {ns}/web", "web-tls")
def tls_secret_absent(app: App) -> None:
    """The Secret with the Ingress's certificate does not exist."""
    app.deployment("web")
    app.service("web")
    host = f"{app.namespace}.example.com"
    tls = [{"hosts": [host], "secretName": "web-tls"}] if app.broken else []
    app.ingress("web", "web", host=host, tls=tls)


@scenario("hosts-clash", "ingress/host-clash", "Ingress.networking.k8s.io {ns}/old", "new")
def hosts_clash(app: App) -> None:
    """Two Ingresses send one host and path to two Services."""
    for name in ("old", "new"):
        app.deployment(name)
        app.service(name)
        app.ingress(name, name, host=f"{app.namespace}.example.com", path=app.pick("/", f"/{name}"))


@scenario("governing-service", "workload/governing-service-missing", "StatefulSet.apps {ns}/queue", "queue-peers")
def governing_service(app: App) -> None:
    """A StatefulSet's Service does not exist, so its pods have no names."""
    template, selector = app.template("queue"), {"matchLabels": {"app": "queue"}}
    app.add(
        "apps/v1",
        "StatefulSet",
        "queue",
        spec={"replicas": 2, "serviceName": "queue-peers", "selector": selector, "template": template},
    )
    if not app.broken:
        app.service("queue-peers", selector={"app": "queue"}, clusterIP="None")


def _policy(app: App, name: str, **spec: Any) -> None:
    app.add("networking.k8s.io/v1", "NetworkPolicy", name, spec=spec)


@scenario("policy-shuts", "networkpolicy/shuts-service", "NetworkPolicy.networking.k8s.io {ns}/deny", "api")
def policy_shuts(app: App) -> None:
    """A policy lets nobody in to the pods of a Service."""
    app.deployment("api")
    app.service("api")
    rules = [] if app.broken else [{"ports": [{"port": PORT}]}]
    _policy(app, "deny", podSelector={"matchLabels": {"app": "api"}}, policyTypes=["Ingress"], ingress=rules)


@scenario("policy-port", "networkpolicy/shuts-service", "NetworkPolicy.networking.k8s.io {ns}/allow", "9443")
def policy_port(app: App) -> None:
    """A policy lets clients in, but on another port than the Service's."""
    app.deployment("api")
    app.service("api")
    ports = [{"ports": [{"port": app.pick(9443, PORT)}]}]
    _policy(app, "allow", podSelector={"matchLabels": {"app": "api"}}, policyTypes=["Ingress"], ingress=ports)


@scenario("policy-no-dns", "networkpolicy/no-dns", "NetworkPolicy.networking.k8s.io {ns}/out", "53")
def policy_no_dns(app: App) -> None:
    """A policy lets pods out to the database only, and so to no DNS."""
    app.deployment("web")
    rules: list[dict[str, Any]] = [{"ports": [{"port": 5432}], "to": [{"podSelector": {"matchLabels": {"app": "db"}}}]}]
    if not app.broken:
        rules.append({"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]})
    _policy(app, "out", podSelector={"matchLabels": {"app": "web"}}, policyTypes=["Egress"], egress=rules)


@scenario(
    "policy-namespace", "networkpolicy/peer-matches-nothing", "NetworkPolicy.networking.k8s.io {ns}/allow", "moniter"
)
def policy_namespace(app: App) -> None:
    """A policy lets in a namespace by a label that none has."""
    app.deployment("api")
    app.service("api")
    labels = {"team": "moniter"} if app.broken else {"kubernetes.io/metadata.name": "kube-system"}
    peers = [{"namespaceSelector": {"matchLabels": labels}}, {"podSelector": {}}]
    _policy(
        app, "allow", podSelector={"matchLabels": {"app": "api"}}, policyTypes=["Ingress"], ingress=[{"from": peers}]
    )


@scenario("policy-path", "networkpolicy/blocks-path", "Deployment.apps {ns}/web", "db-clients", "5432", "backend")
def policy_path(app: App) -> None:
    """A policy of a database admits its clients by a label that they do not have."""
    _env(app, "DATABASE_URL", f"postgres://db.{app.namespace}.svc:5432/shop")
    app.deployment("db", replicas=1, containers=[app.container("db", ports=[{"containerPort": 5432}])])
    app.service("db", ports=[{"port": 5432, "targetPort": 5432}])
    peers = [{"podSelector": {"matchLabels": {"app": app.pick("backend", "web")}}}]
    rule = {"from": peers, "ports": [{"port": 5432}]}
    _policy(app, "db-clients", podSelector={"matchLabels": {"app": "db"}}, policyTypes=["Ingress"], ingress=[rule])
    app.crash("web", 1, f"Error: connect ETIMEDOUT db.{app.namespace}.svc:5432\n")


@scenario("no-dns", "pod/no-dns", "Deployment.apps {ns}/web", "None")
def no_dns(app: App) -> None:
    """The pods' DNS policy is None, and their only server is a documentation address."""
    pod = {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.53"]}} if app.broken else {}
    app.deployment("web", pod=pod)
    app.crash("web", 1, "Error: getaddrinfo EAI_AGAIN db\n")
