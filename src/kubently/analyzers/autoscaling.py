"""Autoscalers that cannot scale, and disruption budgets that allow none or mean nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from kubently.analyzers import cases, containers
from kubently.analyzers.base import GRACE, Analyzer, Condition, analyzer, clean, finding, quote
from kubently.analyzers.resources import (
    DEPLOYMENTS,
    HORIZONTAL_POD_AUTOSCALERS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
)
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Evidence, Finding, ResourceRef, Severity

TARGET_MISSING = Condition(
    "hpa/target-missing",
    Severity.DEGRADED,
    "The autoscaler names a workload that does not exist.",
    "Correct scaleTargetRef, or delete the autoscaler.",
)
NO_METRICS = Condition(
    "hpa/no-metrics",
    Severity.DEGRADED,
    "The autoscaler gets no metrics, so it changes nothing whatever the load.",
    "See whether metrics-server, or the adapter of the metric, is installed and answers.",
    symptom_of=("apiservice/unavailable", "pod/*"),
)
NO_REQUESTS = Condition(
    "hpa/no-requests",
    Severity.DEGRADED,
    "The autoscaler works by share of the request, and the containers request nothing.",
    "Set requests for the resource in every container of the workload.",
)
AT_MAXIMUM = Condition(
    "hpa/at-maximum",
    Severity.RISK,
    "The autoscaler wants more replicas than it may have, for ten minutes or longer.",
    "Raise maxReplicas, or find out what the load is.",
)
ALLOWS_NOTHING = Condition(
    "pdb/allows-nothing",
    Severity.RISK,
    "The budget demands as many healthy pods as the workload has, so no pod can be evicted and no node drained.",
    "Let it spare one pod, or give the workload one more.",
)
SELECTS_NOTHING = Condition(
    "pdb/selects-nothing",
    Severity.HYGIENE,
    "The budget selects no pod, so it protects nothing.",
    "Correct its selector, or delete it.",
)
OVERLAP = Condition(
    "pdb/overlap",
    Severity.RISK,
    "Two budgets select the same pod; the API server then refuses every eviction of it.",
    "Leave one budget for each pod.",
)

_MISSING = ("FailedGetScale",)
_LONG = timedelta(minutes=10)


@analyzer(
    "autoscalers",
    needs=(HORIZONTAL_POD_AUTOSCALERS, DEPLOYMENTS, STATEFUL_SETS, REPLICA_SETS),
    conditions=(TARGET_MISSING, NO_METRICS, NO_REQUESTS, AT_MAXIMUM),
)
def autoscalers(snapshot: Snapshot) -> Iterator[Finding]:
    """Report autoscalers by what their controller says of them."""
    for member in snapshot.members(HORIZONTAL_POD_AUTOSCALERS):
        if objects.deleted_at(member) is None and snapshot.age(objects.created_at(member)) >= GRACE:
            yield from _autoscaler(snapshot, member)


@analyzer(
    "disruption-budgets",
    needs=(POD_DISRUPTION_BUDGETS, PODS),
    conditions=(ALLOWS_NOTHING, SELECTS_NOTHING, OVERLAP),
)
def disruption_budgets(snapshot: Snapshot) -> Iterator[Finding]:
    """Report budgets that block every drain, or none."""
    covered: dict[ResourceRef, KubeObject] = {}
    for budget in snapshot.members(POD_DISRUPTION_BUDGETS):
        namespace = objects.namespace(budget)
        if not snapshot.is_complete(PODS, namespace) or snapshot.age(objects.created_at(budget)) < GRACE:
            continue
        pods = _selected(snapshot, budget)
        if not pods:
            yield from _selects_nothing(snapshot, budget)
            continue
        other = next((covered[ref] for ref in map(objects.ref, pods) if ref in covered), None)
        covered |= {objects.ref(pod): budget for pod in pods}
        if other is not None:
            yield _overlap(budget, other, pods)
        elif _is_dead_end(budget, pods):
            yield _allows_nothing(snapshot, budget, pods)


# ---- autoscalers


def _autoscaler(snapshot: Snapshot, member: KubeObject) -> Iterator[Finding]:
    able, active, limited = (objects.condition(member, n) for n in ("AbleToScale", "ScalingActive", "ScalingLimited"))
    target = objects.mapping(member, "spec", "scaleTargetRef")
    named = f"{objects.text(target, 'kind')} {clean(objects.text(target, 'name'), limit=253)}"
    if able is not None and able.is_false and able.reason in _MISSING and "not found" in able.message:
        yield _hpa(TARGET_MISSING, member, able, f"scales {named}, which does not exist")
    elif active is not None and active.is_false and snapshot.age(active.changed_at) >= GRACE:
        if "missing request for" in active.message:
            yield _hpa(NO_REQUESTS, member, active, f"cannot scale {named}: {_words(active)}")
        elif active.reason != "ScalingDisabled":
            yield _hpa(NO_METRICS, member, active, f"gets no metrics for {named}: {_words(active)}")
    elif limited is not None and limited.is_true and limited.reason == "TooManyReplicas" and _is_old(snapshot, limited):
        most = objects.integer(member, "spec", "maxReplicas")
        yield _hpa(AT_MAXIMUM, member, limited, f"holds {named} at its maximum of {most} replicas and wants more")


def _is_old(snapshot: Snapshot, condition: objects.Condition) -> bool:
    return snapshot.age(condition.changed_at) >= _LONG


def _words(condition: objects.Condition) -> str:
    return clean(condition.message.rpartition("replica count: ")[2], limit=160)


def _hpa(what: Condition, member: KubeObject, condition: objects.Condition, words: str) -> Finding:
    ref = objects.ref(member)
    target = objects.mapping(member, "spec", "scaleTargetRef")
    scaled = ResourceRef(
        group=objects.group(target),
        kind=clean(objects.text(target, "kind") or "Unknown", limit=63),
        namespace=ref.namespace,
        name=clean(objects.text(target, "name"), limit=253),
    )
    return finding(
        what,
        title=f"{cases.display(ref)} {words}",
        objects=(ref, scaled),
        evidence=(
            quote(f"{cases.display(ref)} condition {condition.type}", f"{condition.reason}: {condition.message}"),
        ),
        next_checks=(f"describe horizontalpodautoscaler {ref.name} -n {ref.namespace}",),
    )


# ---- budgets


def _selected(snapshot: Snapshot, budget: KubeObject) -> list[KubeObject]:
    selector = objects.mapping(budget, "spec", "selector")
    pods = snapshot.members(PODS, objects.namespace(budget))
    return [p for p in pods if not containers.is_finished(p) and objects.selects(selector, objects.labels(p))]


def _is_dead_end(budget: KubeObject, pods: Sequence[KubeObject]) -> bool:
    """Say whether no eviction is allowed although all pods are well: it will not pass by itself."""
    allowed = objects.integer(budget, "status", "disruptionsAllowed", default=1)
    return allowed == 0 and all(map(containers.is_ready, pods))


def _selects_nothing(snapshot: Snapshot, budget: KubeObject) -> Iterator[Finding]:
    ref = objects.ref(budget)
    # A workload that is scaled to zero, or a Job's, has its pods at other times.
    workloads = (*snapshot.members(DEPLOYMENTS, ref.namespace), *snapshot.members(STATEFUL_SETS, ref.namespace))
    wanted = objects.string_map(budget, "spec", "selector", "matchLabels")
    if any(wanted.items() <= objects.pod_labels(member).items() for member in workloads):
        return
    yield finding(
        SELECTS_NOTHING,
        title=f"{cases.display(ref)} selects no pod",
        objects=(ref,),
        evidence=(_selector(budget),),
        next_checks=(f"get pods -n {ref.namespace} --show-labels",),
    )


def _overlap(budget: KubeObject, other: KubeObject, pods: Sequence[KubeObject]) -> Finding:
    ref, second = sorted((objects.ref(budget), objects.ref(other)), key=str)
    return finding(
        OVERLAP,
        title=f"{cases.display(ref)} and {second.name} select the same pods, so none of them can be evicted",
        objects=(ref, second, *(objects.ref(pod) for pod in pods[:20])),
        evidence=(_selector(budget), _selector(other)),
        next_checks=(f"get poddisruptionbudgets -n {ref.namespace}",),
    )


def _allows_nothing(snapshot: Snapshot, budget: KubeObject, pods: Sequence[KubeObject]) -> Finding:
    ref = objects.ref(budget)
    numbers = {
        name: objects.integer(budget, "status", name)
        for name in ("expectedPods", "currentHealthy", "desiredHealthy", "disruptionsAllowed")
    }
    workloads = dict.fromkeys(snapshot.workload_of(pod) for pod in pods)
    return finding(
        ALLOWS_NOTHING,
        title=f"{cases.display(ref)} demands {numbers['desiredHealthy']} of {len(pods)} pods: none can be evicted",
        objects=(ref, *workloads),
        evidence=(
            quote(f"{cases.display(ref)} spec", _demand(budget)),
            quote(f"{cases.display(ref)} status", ", ".join(f"{name} {number}" for name, number in numbers.items())),
            _selector(budget),
        ),
        next_checks=(f"describe poddisruptionbudget {ref.name} -n {ref.namespace}",),
    )


def _demand(budget: KubeObject) -> str:
    given = {name: objects.at(budget, "spec", name) for name in ("minAvailable", "maxUnavailable")}
    return ", ".join(f"{name} {value}" for name, value in given.items() if value is not None) or "no number"


def _selector(budget: KubeObject) -> Evidence:
    labels = objects.string_map(budget, "spec", "selector", "matchLabels")
    words = ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return quote(f"{cases.display(objects.ref(budget))} spec.selector", words or "matchExpressions")


ANALYZERS: tuple[Analyzer, ...] = (autoscalers, disruption_budgets)
