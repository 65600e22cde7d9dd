"""Services that lead nowhere: no pod is selected, none is ready, or the port is not there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from kubently.analyzers import cases, containers, probes, relations
from kubently.analyzers.base import GRACE, Analyzer, Condition, analyzer, finding, quote
from kubently.analyzers.resources import (
    DAEMON_SETS,
    DEPLOYMENTS,
    INGRESSES,
    MUTATING_WEBHOOKS,
    PODS,
    SERVICES,
    STATEFUL_SETS,
    VALIDATING_WEBHOOKS,
)
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Evidence, Finding, Severity

SELECTOR_MATCHES_NOTHING = Condition(
    "service/selector-matches-nothing",
    Severity.OUTAGE,
    "The Service's selector matches no pod and no workload.",
    "Correct the selector, or delete the Service if nothing uses it.",
    confidence=Confidence.LIKELY,
)
NO_READY_ENDPOINTS = Condition(
    "service/no-ready-endpoints",
    Severity.OUTAGE,
    "The Service selects pods or workloads, but no pod of them is ready.",
    "See why the pods are not ready.",
    symptom_of=("pod/*", "workload/*", "node/not-ready"),
)
SCALED_TO_ZERO = Condition(
    "workload/scaled-to-zero",
    Severity.RISK,
    "A workload has zero replicas although a Service or Ingress depends on it.",
    "Scale it up, or remove what depends on it.",
    symptom_of=("dns/server-down",),
)
CONDITIONS = (SELECTOR_MATCHES_NOTHING, NO_READY_ENDPOINTS, SCALED_TO_ZERO)

_SERVING = (DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS)
_HOOKS = (VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS)


@analyzer(
    "service-endpoints",
    needs=(SERVICES, PODS, *_SERVING, INGRESSES, *_HOOKS),
    conditions=CONDITIONS,
)
def service_endpoints(snapshot: Snapshot) -> Iterator[Finding]:
    """Report Services that no ready pod stands behind."""
    stopped: dict[str, Finding] = {}
    unserved = _Unserved(snapshot)
    for service in snapshot.members(SERVICES):
        if not has_selector(service) or not snapshot.is_complete(PODS, objects.namespace(service)):
            continue
        for found in _examine(snapshot, service, unserved):
            if found.code != SCALED_TO_ZERO.code:
                yield found
            elif found.id not in stopped or found.severity.rank < stopped[found.id].severity.rank:
                stopped[found.id] = found
    yield from stopped.values()


def has_selector(service: KubeObject) -> bool:
    """Say whether a Service finds its endpoints by labels; others get them from elsewhere."""
    return (
        bool(objects.mapping(service, "spec", "selector")) and objects.text(service, "spec", "type") != "ExternalName"
    )


def live_pods(snapshot: Snapshot, service: KubeObject) -> list[KubeObject]:
    """Return the selected pods that could be endpoints."""
    selected = snapshot.select_pods(objects.namespace(service), objects.mapping(service, "spec", "selector"))
    return [
        pod for pod in selected if not containers.is_finished(pod) and objects.text(pod, "status", "phase") != "Failed"
    ]


def _examine(snapshot: Snapshot, service: KubeObject, unserved: _Unserved) -> Iterator[Finding]:
    if _is_new(snapshot, service):
        return
    pods = live_pods(snapshot, service)
    if pods:
        if _none_is_ready(snapshot, service, pods):
            yield _no_ready_endpoints(service, f"none of {len(pods)} selected pods is ready", pods)
        return
    workloads = list(_selected_workloads(snapshot, service))
    wanting = [member for member in workloads if _wants_pods(member)]
    if wanting:
        if not all(_is_new(snapshot, member) for member in wanting):
            yield _no_ready_endpoints(service, "its workload has no pods", wanting)
    elif workloads:
        yield from (_scaled_to_zero(snapshot, service, member) for member in workloads)
    elif all(snapshot.is_complete(resource, objects.namespace(service)) for resource in _SERVING):
        yield from _matches_nothing(snapshot, service, unserved)


# ---- pods, but none ready


def _none_is_ready(snapshot: Snapshot, service: KubeObject, pods: Sequence[KubeObject]) -> bool:
    if objects.flag(service, "spec", "publishNotReadyAddresses") or any(map(containers.is_ready, pods)):
        return False
    return not any(_is_warming_up(snapshot, pod) for pod in pods)


def _is_warming_up(snapshot: Snapshot, pod: KubeObject) -> bool:
    age = snapshot.age(objects.created_at(pod))
    return any(age < probes.patience(spec) for spec in objects.containers(pod)) or age < GRACE


def _no_ready_endpoints(service: KubeObject, why: str, behind: Sequence[KubeObject]) -> Finding:
    ref = objects.ref(service)
    return finding(
        NO_READY_ENDPOINTS,
        title=f"{cases.display(ref)} has no ready endpoints: {why}",
        objects=(ref, *(objects.ref(member) for member in behind[:20])),
        evidence=(_selector(service), quote(f"what {cases.display(ref)} selects", _names(behind))),
        next_checks=(f"get endpointslices -n {ref.namespace} -l kubernetes.io/service-name={ref.name}",),
        severity=Severity.DEGRADED if _is_headless(service) else Severity.OUTAGE,
    )


# ---- no pods at all


def _selected_workloads(snapshot: Snapshot, service: KubeObject) -> Iterator[KubeObject]:
    kinds = {resource.kind for resource in _SERVING}
    selector = objects.mapping(service, "spec", "selector")
    for member in snapshot.select_workloads(objects.namespace(service), selector):
        if objects.kind(member) in kinds:
            yield member


def _wants_pods(member: KubeObject) -> bool:
    if objects.kind(member) == "DaemonSet":
        return objects.integer(member, "status", "desiredNumberScheduled") > 0
    return objects.integer(member, "spec", "replicas", default=1) > 0


def _scaled_to_zero(snapshot: Snapshot, service: KubeObject, member: KubeObject) -> Finding:
    ref, serving = objects.ref(member), objects.ref(service)
    needing = [objects.ref(ingress) for ingress in _ingresses(snapshot, service)]
    needing += [objects.ref(hook.configuration) for hook in _required_hooks(snapshot) if hook.service == serving]
    users = [serving, *needing]
    return finding(
        SCALED_TO_ZERO,
        title=f"{cases.display(ref)} has zero replicas, but is needed by {', '.join(map(cases.display, users[:3]))}",
        objects=(ref, *users),
        evidence=(quote(f"{cases.display(ref)} spec.replicas", "0"), _selector(service)),
        next_checks=(f"describe {ref.kind.lower()} {ref.name} -n {ref.namespace}",),
        severity=Severity.DEGRADED if needing else Severity.RISK,
    )


def _required_hooks(snapshot: Snapshot) -> Iterator[relations.Webhook]:
    return (hook for hook in relations.webhooks(snapshot) if hook.must_answer)


def _matches_nothing(snapshot: Snapshot, service: KubeObject, unserved: _Unserved) -> Iterator[Finding]:
    """Report a selector that selects nothing: an outage only if something shows that it is wanted.

    Leftover Services are common, and so are Services for a role that no pod has at the moment.
    """
    ref = objects.ref(service)
    near = unserved.nearest(service)
    ingresses = _ingresses(snapshot, service)
    if _is_headless(service) and near is None:
        return
    evidence = [_selector(service)]
    hint = ""
    if near is not None:
        labels = ", ".join(f"{key}={value}" for key, value in sorted(objects.pod_labels(near).items()))
        evidence.append(quote(f"pod labels of {cases.display(objects.ref(near))}", labels))
        hint = f"; {cases.display(objects.ref(near))} may be meant"
    evidence.extend(quote(f"{cases.display(objects.ref(ingress))} backend", ref.name) for ingress in ingresses[:3])
    yield finding(
        SELECTOR_MATCHES_NOTHING,
        title=f"{cases.display(ref)} selects no pods{hint}",
        objects=(ref, *([objects.ref(near)] if near is not None else [])),
        evidence=evidence,
        next_checks=(f"get pods -n {ref.namespace} --show-labels", f"describe service {ref.name} -n {ref.namespace}"),
        severity=Severity.OUTAGE if near is not None or ingresses else Severity.RISK,
    )


_ALIKE = 0.7


_COMPARED = 200
"""Workloads of one namespace that are compared with a Service that selects nothing."""


class _Unserved:
    """The workloads that no Service selects: one of them may be what a mistyped selector means."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._by_namespace: dict[str, list[KubeObject]] = {}

    def nearest(self, service: KubeObject) -> KubeObject | None:
        """Return the workload that *service* seems to mean, or None."""
        scored = [
            (_likeness(service, member), objects.name(member), index, member)
            for index, member in enumerate(self._members(objects.namespace(service)))
        ]
        best = max(scored, key=lambda entry: entry[:3], default=None)
        return best[3] if best is not None and best[0] >= _ALIKE else None

    def _members(self, namespace: str) -> list[KubeObject]:
        if namespace not in self._by_namespace:
            self._by_namespace[namespace] = self._find(namespace)
        return self._by_namespace[namespace]

    def _find(self, namespace: str) -> list[KubeObject]:
        services = [item for item in self._snapshot.members(SERVICES, namespace) if has_selector(item)]
        served = {
            objects.ref(member) for service in services for member in _selected_workloads(self._snapshot, service)
        }
        candidates = (member for resource in _SERVING for member in self._snapshot.members(resource, namespace))
        return [member for member in candidates if objects.ref(member) not in served][:_COMPARED]


def _likeness(service: KubeObject, member: KubeObject) -> float:
    """Return from 0 to 1 how much a workload looks like what a Service means, by name and by labels."""
    selector, labels = objects.string_map(service, "spec", "selector"), objects.pod_labels(member)
    named = 1.0 if objects.name(member) == objects.name(service) else 0.0
    values = [_similarity(value, labels[key]) if key in labels else 0.0 for key, value in list(selector.items())[:10]]
    return max(named, sum(values) / len(values) if values else 0.0)


def _similarity(one: str, other: str) -> float:
    matcher = SequenceMatcher(None, one[:63], other[:63])
    return matcher.ratio() if matcher.real_quick_ratio() >= _ALIKE else 0.0


# ---- shared


def _ingresses(snapshot: Snapshot, service: KubeObject) -> list[KubeObject]:
    return [
        ingress
        for ingress in snapshot.members(INGRESSES, objects.namespace(service))
        if objects.name(service) in relations.backend_services(ingress)
    ]


def _is_headless(service: KubeObject) -> bool:
    return objects.text(service, "spec", "clusterIP") == "None"


def _is_new(snapshot: Snapshot, member: KubeObject) -> bool:
    return snapshot.age(objects.created_at(member)) < GRACE


def _selector(service: KubeObject) -> Evidence:
    pairs = objects.string_map(service, "spec", "selector").items()
    source = f"{cases.display(objects.ref(service))} spec.selector"
    return quote(source, ", ".join(f"{key}={value}" for key, value in sorted(pairs)) or "unreadable")


def _names(members: Sequence[KubeObject]) -> str:
    return ", ".join(cases.display(objects.ref(member)) for member in members[:20])


ANALYZERS: tuple[Analyzer, ...] = (service_endpoints,)
