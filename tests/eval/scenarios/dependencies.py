"""Faults that show where others call: what they say is true, and not the cause."""

from __future__ import annotations

from tests.eval.app import App, ago, scenario

_DB = "Deployment.apps {ns}/db"


def _api(app: App, said: str) -> None:
    """An API that ends because it cannot reach its database, and a page that waits for the API."""
    app.deployment("api")
    app.service("api")
    app.crash("api", 1, f"INFO starting\nFATAL {said}\n")
    probe = {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5}
    app.deployment("web", containers=[app.container("web", readinessProbe=probe)])
    app.service("web")
    app.ingress("web", "web")
    events = [("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503")]
    running, log = {"running": {"startedAt": ago(300)}}, "ERROR GET http://api/orders: connection refused\n"
    app.report("web", state=running, events=events, log=log)


@scenario("database-killed", "pod/oom-killed", _DB, "64Mi")
def database_killed(app: App) -> None:
    """The database is killed at its memory limit; an API and a page in front of it fail, each in its own way."""
    limits = {"limits": {"memory": app.pick("64Mi", "512Mi")}}
    app.deployment("db", replicas=1, containers=[app.container("db", resources=limits)])
    app.service("db")
    app.crash("db", 137, "loading tables\n", reason="OOMKilled")
    _api(app, "dial tcp: lookup db on 10.96.0.10:53: server misbehaving; connect to db:80: connection refused")


@scenario("database-unplaced", "pvc/class-missing", "PersistentVolumeClaim {ns}/data", "fast-ssd")
def database_unplaced(app: App) -> None:
    """The database's claim names a storage class that does not exist, and everybody who calls it fails."""
    if app.broken:
        app.claim("data", storageClassName="fast-ssd")
    volume = app.pick({"persistentVolumeClaim": {"claimName": "data"}}, {"emptyDir": {}})
    app.deployment("db", replicas=1, pod={"volumes": [{"name": "data", **volume}]})
    app.service("db")
    _api(app, "could not connect to postgres://shop@db/orders: Connection refused")


@scenario("database-misnamed", "service/selector-matches-nothing", "Service {ns}/db", "postgres")
def database_misnamed(app: App) -> None:
    """The Service of a database that runs well selects a label that its pods do not have."""
    app.deployment("db", replicas=1)
    app.service("db", selector={"app": app.pick("postgres", "db")})
    _api(app, "java.net.ConnectException: Connection to db:80 refused")


@scenario("database-stopped", "workload/scaled-to-zero", _DB, "0")
def database_stopped(app: App) -> None:
    """A database was scaled to zero, and an init container waits for it without end."""
    app.deployment("db", replicas=app.pick(0, 1))
    app.service("db")
    command = ["sh", "-c", "until nc -z db 80; do sleep 2; done"]
    app.deployment("api", pod={"initContainers": app.pick([app.container("wait", command=command)], [])})
    app.service("api")
    app.hold("api")
    app.report("api", container="wait", init=True, state={"running": {"startedAt": ago(700)}})
