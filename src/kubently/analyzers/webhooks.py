"""Admission webhooks that cannot answer, found before or after somebody is refused."""

from __future__ import annotations

from collections.abc import Iterator

from kubently.analyzers import cases, containers, relations, services
from kubently.analyzers.base import GRACE, Analyzer, Condition, analyzer, finding, quote
from kubently.analyzers.relations import Webhook
from kubently.analyzers.resources import MUTATING_WEBHOOKS, PODS, SERVICES, VALIDATING_WEBHOOKS
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Finding, Severity

SERVICE_MISSING = Condition(
    "webhook/service-missing",
    Severity.DEGRADED,
    "An admission webhook names a Service that does not exist; where it must answer, what it is about cannot be made.",
    "Restore the Service, or delete the configuration that its installation left behind.",
)
NOT_READY = Condition(
    "webhook/not-ready",
    Severity.DEGRADED,
    "No pod behind an admission webhook is ready, and it must answer: what it is about cannot be made or changed.",
    "See why its pods are not ready; exclude their own namespace from the webhook.",
    symptom_of=(
        "pod/*",
        "node/not-ready",
        "workload/scaled-to-zero",
        "workload/quota-exceeded",
        "workload/quota-needs-resources",
        "workload/service-account-missing",
        "service/selector-matches-nothing",
    ),
)
CONDITIONS = (SERVICE_MISSING, NOT_READY)


@analyzer("webhooks", needs=(VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS, SERVICES, PODS), conditions=CONDITIONS)
def webhooks(snapshot: Snapshot) -> Iterator[Finding]:
    """Report webhooks behind whose Service nobody is."""
    for webhook in relations.webhooks(snapshot):
        if not snapshot.is_complete(SERVICES, webhook.service.namespace):
            continue
        service = snapshot.find(webhook.service)
        if service is None:
            yield _finding(SERVICE_MISSING, webhook, "which does not exist")
        elif webhook.must_answer and _nobody_is_ready(snapshot, service):
            yield _finding(NOT_READY, webhook, "behind which no pod is ready")


def _nobody_is_ready(snapshot: Snapshot, service: KubeObject) -> bool:
    if not services.has_selector(service) or not snapshot.is_complete(PODS, objects.namespace(service)):
        return False
    pods = services.live_pods(snapshot, service)
    settled = [pod for pod in pods if not containers.is_young(snapshot, pod, seconds=GRACE.total_seconds())]
    return len(settled) == len(pods) and not any(map(containers.is_ready, pods))


def _finding(condition: Condition, webhook: Webhook, why: str) -> Finding:
    ref = objects.ref(webhook.configuration)
    service = f"{webhook.service.namespace}/{webhook.service.name}"
    policy = "Fail" if webhook.must_answer else "Ignore"
    return finding(
        condition,
        title=f"{cases.display(ref)}: {webhook.name} asks Service {service}, {why}; failurePolicy {policy}",
        objects=(ref, webhook.service),
        evidence=(
            quote(f"{cases.display(ref)} {webhook.name}", f"clientConfig.service {service}, failurePolicy {policy}"),
        ),
        next_checks=(f"get services,pods -n {webhook.service.namespace}",),
        severity=None if webhook.must_answer else Severity.HYGIENE,
        key=webhook.name,
    )


ANALYZERS: tuple[Analyzer, ...] = (webhooks,)
