"""Workloads as rows: controllers of pods, jobs, autoscalers, disruption budgets."""

from __future__ import annotations

from datetime import datetime

from kubently.archive import cells
from kubently.archive.cells import AGE, CONTAINERS, NAME, NONE, SELECTOR, UNKNOWN, UNSET, Cell, Column, Layout
from kubently.kube import objects


def _deployment(item: objects.KubeObject, now: datetime) -> list[Cell]:
    return [
        objects.name(item),
        f"{objects.integer(item, 'status', 'readyReplicas')}/{objects.integer(item, 'spec', 'replicas')}",
        objects.integer(item, "status", "updatedReplicas"),
        objects.integer(item, "status", "availableReplicas"),
        cells.age(item, now),
        *cells.containers(item),
        cells.selector_text(objects.mapping(item, "spec", "selector")),
    ]


def _replicas(item: objects.KubeObject, now: datetime) -> list[Cell]:
    return [
        objects.name(item),
        objects.integer(item, "spec", "replicas"),
        objects.integer(item, "status", "replicas"),
        objects.integer(item, "status", "readyReplicas"),
        cells.age(item, now),
        *cells.containers(item),
    ]


def _replica_set(item: objects.KubeObject, now: datetime) -> list[Cell]:
    return [*_replicas(item, now), cells.selector(item, "spec", "selector")]


def _replication_controller(item: objects.KubeObject, now: datetime) -> list[Cell]:
    return [*_replicas(item, now), cells.label_map(objects.mapping(item, "spec", "selector"))]


def _stateful_set(item: objects.KubeObject, now: datetime) -> list[Cell]:
    ready, wanted = objects.integer(item, "status", "readyReplicas"), objects.integer(item, "spec", "replicas")
    return [objects.name(item), f"{ready}/{wanted}", cells.age(item, now), *cells.containers(item)]


_DAEMON_SET_COUNTS = (
    "desiredNumberScheduled",
    "currentNumberScheduled",
    "numberReady",
    "updatedNumberScheduled",
    "numberAvailable",
)


def _daemon_set(item: objects.KubeObject, now: datetime) -> list[Cell]:
    return [
        objects.name(item),
        *(objects.integer(item, "status", field) for field in _DAEMON_SET_COUNTS),
        cells.label_map(objects.mapping(item, "spec", "template", "spec", "nodeSelector")),
        cells.age(item, now),
        *cells.containers(item),
        cells.selector(item, "spec", "selector"),
    ]


def _controller_revision(item: objects.KubeObject, now: datetime) -> list[Cell]:
    owner = objects.controller(item)
    name = NONE
    if owner is not None:
        kind = f"{owner.kind}.{owner.group}" if owner.group else owner.kind
        name = f"{kind.lower()}/{owner.name}"
    return [objects.name(item), name, objects.integer(item, "revision"), cells.age(item, now)]


# ---- jobs

_JOB_STATES = (
    ("Complete", "Complete"),
    ("Failed", "Failed"),
    ("", "Terminating"),
    ("Suspended", "Suspended"),
    ("FailureTarget", "FailureTarget"),
    ("SuccessCriteriaMet", "SuccessCriteriaMet"),
)


def _job(item: objects.KubeObject, now: datetime) -> list[Cell]:
    return [
        objects.name(item),
        _job_state(item),
        _completions(item),
        _job_duration(item, now),
        cells.age(item, now),
        *cells.containers(item),
        cells.selector(item, "spec", "selector"),
    ]


def _job_state(item: objects.KubeObject) -> str:
    true = {found.type for found in objects.conditions(item) if found.is_true}
    if objects.at(item, "metadata", "deletionTimestamp") is not None:
        true.add("")
    return next((state for condition, state in _JOB_STATES if condition in true), "Running")


def _completions(item: objects.KubeObject) -> str:
    succeeded = objects.integer(item, "status", "succeeded")
    if objects.at(item, "spec", "completions") is not None:
        return f"{succeeded}/{objects.integer(item, 'spec', 'completions')}"
    parallelism = objects.integer(item, "spec", "parallelism")
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _job_duration(item: objects.KubeObject, now: datetime) -> str:
    started_at = objects.instant(item, "status", "startTime")
    if started_at is None:
        return ""
    return cells.human_duration((objects.instant(item, "status", "completionTime") or now) - started_at)


def _cron_job(item: objects.KubeObject, now: datetime) -> list[Cell]:
    last_at = objects.instant(item, "status", "lastScheduleTime")
    return [
        objects.name(item),
        objects.text(item, "spec", "schedule"),
        objects.text(item, "spec", "timeZone") or NONE,
        cells.truth(objects.at(item, "spec", "suspend")),
        len(objects.mappings(item, "status", "active")),
        NONE if last_at is None else cells.since(last_at, now),
        cells.age(item, now),
        *cells.containers(item),
        cells.selector(item, "spec", "jobTemplate", "spec", "selector"),
    ]


# ---- autoscaling and disruption


def _autoscaler(item: objects.KubeObject, now: datetime) -> list[Cell]:
    reference = objects.mapping(item, "spec", "scaleTargetRef")
    return [
        objects.name(item),
        f"{objects.kind(reference)}/{objects.text(reference, 'name')}",
        _metrics(item),
        cells.plain(objects.at(item, "spec", "minReplicas"), UNSET),
        objects.integer(item, "spec", "maxReplicas"),
        objects.integer(item, "status", "currentReplicas"),
        cells.age(item, now),
    ]


def _metrics(item: objects.KubeObject) -> str:
    specified = objects.mappings(item, "spec", "metrics")
    current = objects.mappings(item, "status", "currentMetrics")
    texts = [_metric(spec, current[index] if index < len(current) else {}) for index, spec in enumerate(specified)]
    return cells.shortened(texts, most=2, empty=NONE, separator=", ")


_METRIC_FIELDS = {
    "External": "external",
    "Pods": "pods",
    "Object": "object",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


def _metric(spec: objects.KubeObject, status: objects.KubeObject) -> str:
    source = objects.text(spec, "type")
    field = _METRIC_FIELDS.get(source)
    if field is None:
        return "<unknown type>"
    target, current = objects.mapping(spec, field, "target"), objects.mapping(status, field, "current")
    if source.endswith("Resource"):
        return f"{objects.text(spec, field, 'name')}: {_resource_metric(target, current)}"
    if "averageValue" in target:
        suffix = "" if source == "Pods" else " (avg)"
        return f"{_amount(current, 'averageValue')}/{_amount(target, 'averageValue')}{suffix}"
    return f"{_amount(current, 'value')}/{_amount(target, 'value')}"


def _amount(values: objects.KubeObject, field: str) -> str:
    return cells.plain(values.get(field), UNKNOWN)


def _resource_metric(target: objects.KubeObject, current: objects.KubeObject) -> str:
    if "averageValue" in target:
        return f"{_amount(current, 'averageValue')}/{_amount(target, 'averageValue')}"
    wanted = target.get("averageUtilization")
    used = current.get("averageUtilization")
    return f"{UNKNOWN if used is None else f'{used}%'}/{'<auto>' if wanted is None else f'{wanted}%'}"


def _disruption_budget(item: objects.KubeObject, now: datetime) -> list[Cell]:
    return [
        objects.name(item),
        cells.plain(objects.at(item, "spec", "minAvailable"), "N/A"),
        cells.plain(objects.at(item, "spec", "maxUnavailable"), "N/A"),
        objects.integer(item, "status", "disruptionsAllowed"),
        cells.age(item, now),
    ]


def _pod_template(item: objects.KubeObject, now: datetime) -> list[Cell]:
    labels = cells.label_map(objects.mapping(item, "template", "metadata", "labels"))
    return [objects.name(item), *cells.containers(item), labels]


def _integer(name: str) -> Column:
    return Column(name, "integer")


_REPLICAS = (NAME, _integer("Desired"), _integer("Current"), _integer("Ready"), AGE, *CONTAINERS, SELECTOR)

LAYOUTS = (
    Layout(
        "apps",
        "deployments",
        (NAME, Column("Ready"), Column("Up-to-date"), Column("Available"), AGE, *CONTAINERS, SELECTOR),
        _deployment,
    ),
    Layout("apps", "replicasets", _REPLICAS, _replica_set),
    Layout("", "replicationcontrollers", _REPLICAS, _replication_controller),
    Layout("apps", "statefulsets", (NAME, Column("Ready"), AGE, *CONTAINERS), _stateful_set),
    Layout(
        "apps",
        "daemonsets",
        (
            NAME,
            *map(_integer, ("Desired", "Current", "Ready", "Up-to-date", "Available")),
            Column("Node Selector"),
            AGE,
            *CONTAINERS,
            SELECTOR,
        ),
        _daemon_set,
    ),
    Layout(
        "apps",
        "controllerrevisions",
        (NAME, Column("Controller"), Column("Revision"), AGE),
        _controller_revision,
    ),
    Layout(
        "batch",
        "jobs",
        (NAME, Column("Status"), Column("Completions"), Column("Duration"), AGE, *CONTAINERS, SELECTOR),
        _job,
    ),
    Layout(
        "batch",
        "cronjobs",
        (
            NAME,
            Column("Schedule"),
            Column("Timezone"),
            Column("Suspend", "boolean"),
            _integer("Active"),
            Column("Last Schedule"),
            AGE,
            *CONTAINERS,
            SELECTOR,
        ),
        _cron_job,
    ),
    Layout(
        "autoscaling",
        "horizontalpodautoscalers",
        (NAME, *map(Column, ("Reference", "Targets", "MinPods", "MaxPods", "Replicas")), AGE),
        _autoscaler,
    ),
    Layout(
        "policy",
        "poddisruptionbudgets",
        (NAME, Column("Min Available"), Column("Max Unavailable"), _integer("Allowed Disruptions"), AGE),
        _disruption_budget,
    ),
    Layout("", "podtemplates", (NAME, Column("Containers"), Column("Images"), Column("Pod Labels")), _pod_template),
)
