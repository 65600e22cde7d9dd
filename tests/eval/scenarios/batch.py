"""Jobs, rollouts that stand still."""

from __future__ import annotations

from typing import Any

from tests.eval.app import App, ago, scenario


def _job(app: App, name: str, **spec: Any) -> None:
    template = app.template(name, restartPolicy="Never", **spec.pop("pod", {}))
    app.add("batch/v1", "Job", name, spec={"backoffLimit": 0, "template": template, **spec})


@scenario("job-fails", "job/failed", "Job.batch {ns}/import", "permission denied for table orders")
def job_fails(app: App) -> None:
    """A Job has used up its tries; the log says why."""
    _job(app, "import")
    app.hold("import")
    ended = {"exitCode": 1, "reason": "Error", "startedAt": ago(90), "finishedAt": ago(80)}
    log = "importing\nERROR: permission denied for table orders\n"
    app.report("import", state={"terminated": ended}, status={"phase": "Failed"}, log=log)


@scenario("job-too-slow", "job/failed", "Job.batch {ns}/report", "DeadlineExceeded")
def job_too_slow(app: App) -> None:
    """A Job's time is over before a node takes its pod."""
    pod = {"nodeSelector": {"tier": "batch"}} if app.broken else {}
    _job(app, "report", activeDeadlineSeconds=app.pick(5, 600), pod=pod)


@scenario("variable-twice", "workload/env-twice", "Deployment.apps {ns}/web", "LOG_LEVEL")
def variable_twice(app: App) -> None:
    """A variable is set twice, and the last value wins."""
    env = [{"name": "LOG_LEVEL", "value": "info"}, {"name": app.pick("LOG_LEVEL", "LOG_FORMAT"), "value": "debug"}]
    app.deployment("web", containers=[app.container("web", env=env)])


@scenario("never-available", "workload/rollout-stuck", "Deployment.apps {ns}/web", "progress")
def never_available(app: App) -> None:
    """A rollout makes no progress: new pods come up and never become ready, without a word."""
    app.deployment("web", progressDeadlineSeconds=app.pick(20, 600))
    app.hold("web")
    app.report("web", state={"running": {"startedAt": ago(120)}}, status={"phase": "Running"})
