"""What happens in a healthy cluster all day: none of it is a fault."""

from __future__ import annotations

from collections.abc import Sequence

from tests.eval.app import App, ago


def apps() -> Sequence[App]:
    """Applications that are well and look busy."""
    makers = (_jobs, _development, _autoscaled, _warned, _restarted_once, _stateful, _evicted_yesterday)
    made = []
    for make in makers:
        app = App(make.__name__.strip("_").replace("_", "-"), broken=True)  # so that reports are made
        make(app)
        made.append(app)
    return made


def _jobs(app: App) -> None:
    """Completed Jobs, and a CronJob that ran."""
    for number in range(5):
        template = app.template(f"import-{number}", restartPolicy="Never")
        app.add("batch/v1", "Job", f"import-{number}", spec={"template": template})
    job = {"spec": {"template": app.template("nightly", restartPolicy="Never")}}
    app.add("batch/v1", "CronJob", "nightly", spec={"schedule": "*/1 * * * *", "jobTemplate": job})


def _development(app: App) -> None:
    """Scaled down for the weekend, with Services that nobody calls."""
    for name in ("web", "api"):
        app.deployment(name, replicas=0)
        app.service(name)


def _autoscaled(app: App) -> None:
    """A budget that leaves room, and anti-affinity that is only preferred."""
    term = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}
    preferred = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term}]}
    app.deployment("web", replicas=6, pod={"affinity": {"podAntiAffinity": preferred}})
    app.service("web")
    app.add(
        "policy/v1",
        "PodDisruptionBudget",
        "web",
        spec={"maxUnavailable": "25%", "selector": {"matchLabels": {"app": "web"}}},
    )


def _warned(app: App) -> None:
    """A warning from the start that is over."""
    app.deployment("web")
    app.report(
        "web", events=[("Unhealthy", "Readiness probe failed: connection refused"), ("FailedMount", "timed out once")]
    )


def _restarted_once(app: App) -> None:
    """A container that ended once and runs since."""
    app.deployment("web", replicas=1)
    ended = {"exitCode": 1, "reason": "Error", "startedAt": ago(5000), "finishedAt": ago(4000)}
    app.report("web", state={"running": {"startedAt": ago(3990)}}, last={"terminated": ended}, restarts=1, ready=True)


def _stateful(app: App) -> None:
    """A database with its volume, headless Service and policy."""
    app.service("db", clusterIP="None")
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    app.volume("disk", claimRef=app.bind("data"))
    app.claim("data")
    selector, template = {"matchLabels": {"app": "db"}}, app.template("db", volumes=[volume])
    app.add(
        "apps/v1",
        "StatefulSet",
        "db",
        spec={"replicas": 1, "serviceName": "db", "selector": selector, "template": template},
    )
    everywhere = [{"ports": [{"port": 8080}]}]
    policy = {"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress"], "ingress": everywhere}
    app.add("networking.k8s.io/v1", "NetworkPolicy", "db", spec=policy)


def _evicted_yesterday(app: App) -> None:
    """A bare pod that ended well, beside a Deployment that is well."""
    app.deployment("web")
    app.add(
        "v1",
        "Pod",
        "once",
        labels={"app": "once"},
        spec={"restartPolicy": "Never", "containers": [app.container("once")]},
    )
    ended = {"exitCode": 0, "reason": "Completed", "startedAt": ago(90), "finishedAt": ago(80)}
    app.report("once", state={"terminated": ended}, status={"phase": "Succeeded"})
