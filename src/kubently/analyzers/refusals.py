"""Controllers that may not make their pods or claims: reads the apiserver's refusal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from kubently.analyzers import cases, relations
from kubently.analyzers.base import Analyzer, Condition, analyzer, clean, finding, quote
from kubently.analyzers.resources import (
    DAEMON_SETS,
    DEPLOYMENTS,
    EVENTS,
    JOBS,
    MUTATING_WEBHOOKS,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    VALIDATING_WEBHOOKS,
)
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Evidence, Finding, ResourceRef, Severity

QUOTA_EXCEEDED = Condition(
    "workload/quota-exceeded",
    Severity.DEGRADED,
    "A ResourceQuota of the namespace does not allow another pod or claim.",
    "Raise the quota, lower the requests, or remove what is not needed.",
    symptom_of=("cronjob/piles-up",),
)
QUOTA_NEEDS_RESOURCES = Condition(
    "workload/quota-needs-resources",
    Severity.OUTAGE,
    "A ResourceQuota counts requests or limits that the containers do not set, so every pod is refused.",
    "Set the named requests and limits in the workload, or give the namespace a LimitRange with defaults.",
)
WEBHOOK_FAILS = Condition(
    "workload/webhook-fails",
    Severity.OUTAGE,
    "An admission webhook cannot be called and its failurePolicy is Fail.",
    "Bring the webhook's Service back, correct its CA bundle, or exempt the namespace.",
    symptom_of=("webhook/service-missing", "webhook/not-ready"),
)
WEBHOOK_NOT_TRUSTED = Condition(
    "webhook/not-trusted",
    Severity.OUTAGE,
    "The API server does not trust the certificate of an admission webhook that must answer.",
    "Put the CA of the webhook's certificate into caBundle of the configuration, or renew the certificate.",
)
WEBHOOK_DENIES = Condition(
    "workload/webhook-denies",
    Severity.OUTAGE,
    "An admission webhook or policy refuses the pods.",
    "Change the workload as the quoted message asks.",
)
POD_SECURITY = Condition(
    "workload/pod-security",
    Severity.OUTAGE,
    "The namespace enforces a Pod Security Standard that the pods violate.",
    "Set the quoted security context fields, or change the namespace's pod-security.kubernetes.io/enforce label.",
)
SERVICE_ACCOUNT_MISSING = Condition(
    "workload/service-account-missing",
    Severity.OUTAGE,
    "The pods run as a ServiceAccount that does not exist.",
    "Create the ServiceAccount or correct serviceAccountName.",
)
LIMIT_RANGE = Condition(
    "workload/limit-range",
    Severity.OUTAGE,
    "A LimitRange of the namespace refuses the resources that the containers ask for.",
    "Bring requests and limits into the range, or change the LimitRange.",
)
REPLICA_FAILURE = Condition(
    "workload/replica-failure",
    Severity.OUTAGE,
    "The apiserver refuses the pods of a workload, for a reason that is not one of the known ones.",
    "Read the quoted message.",
    confidence=Confidence.POSSIBLE,
)
CONDITIONS = (
    QUOTA_EXCEEDED,
    QUOTA_NEEDS_RESOURCES,
    WEBHOOK_FAILS,
    WEBHOOK_NOT_TRUSTED,
    WEBHOOK_DENIES,
    POD_SECURITY,
    SERVICE_ACCOUNT_MISSING,
    LIMIT_RANGE,
    REPLICA_FAILURE,
)

_RECENT = timedelta(hours=1)
"""How long an event of a refusal counts: controllers try again at least every 17 minutes."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the apiserver refused."""

    condition: Condition
    what: str
    kind: str = ""
    """Kind of the object that refuses or is missing, in the workload's namespace; empty if none is named."""
    name: str = ""
    webhook: str = ""
    """Name of the webhook that was asked."""


_PATTERNS: tuple[tuple[Condition, re.Pattern[str], str, str], ...] = (
    (
        QUOTA_EXCEEDED,
        re.compile(
            r"exceeded quota: (?P<name>[^,\s]{1,253}), requested: (?P<a>.{1,300}?), used: (?P<b>.{1,300}?), "
            r"limited: (?P<c>.{1,300})"
        ),
        "quota {name} is used up: requested {a}, used {b}, allowed {c}",
        "ResourceQuota",
    ),
    (
        QUOTA_NEEDS_RESOURCES,
        re.compile(r"failed quota: (?P<name>[^:\s]{1,253}): must specify (?P<a>.{1,300})"),
        "quota {name} refuses pods that do not set {a}",
        "ResourceQuota",
    ),
    (
        POD_SECURITY,
        re.compile(r"violates PodSecurity \"(?P<a>[^\"]{1,80})\": (?P<b>.{1,600})"),
        "pods violate the Pod Security Standard {a}: {b}",
        "",
    ),
    (
        SERVICE_ACCOUNT_MISSING,
        re.compile(
            r"error looking up service account [^\s:]{0,520}: serviceaccounts? \"(?P<name>[^\"\s]{1,253})\" not found"
        ),
        "ServiceAccount {name} does not exist",
        "ServiceAccount",
    ),
    (
        WEBHOOK_FAILS,
        re.compile(r"failed calling webhook \"(?P<a>[^\"]{1,253})\": (?P<b>.{1,600})"),
        "webhook {a} cannot be called: {b}",
        "",
    ),
    (
        WEBHOOK_DENIES,
        re.compile(r"admission webhook \"(?P<a>[^\"]{1,253})\" denied the request(?:: (?P<b>.{1,600}))?"),
        "webhook {a} refuses the pods: {b}",
        "",
    ),
    (
        WEBHOOK_DENIES,
        re.compile(r"ValidatingAdmissionPolicy '(?P<a>[^']{1,253})'.{0,200}? denied request: (?P<b>.{1,600})"),
        "admission policy {a} refuses the pods: {b}",
        "",
    ),
    (
        LIMIT_RANGE,
        re.compile(
            r"(?P<a>(?:maximum|minimum) \S{1,253} usage per (?:Container|Pod|PersistentVolumeClaim) is .{1,300}|"
            r"\S{1,253} max limit to request ratio per (?:Container|Pod) is .{1,300})"
        ),
        "the limit range says: {a}",
        "",
    ),
)


_X509 = re.compile(r"x509: |tls: failed to verify certificate")


def parse_refusal(message: str) -> Refusal:
    """Read a controller's message about a creation that the apiserver refused."""
    words = clean(" ".join(message[:4000].split()))
    for condition, pattern, template, kind in _PATTERNS:
        if match := pattern.search(words):
            parts = {key: value or "" for key, value in match.groupdict().items()}
            what = clean(template.format(**parts).rstrip(": "), limit=240)
            webhook = parts["a"] if condition is WEBHOOK_FAILS else ""
            if webhook and _X509.search(words):
                condition = WEBHOOK_NOT_TRUSTED
            return Refusal(condition, what, kind if parts.get("name") else "", parts.get("name", ""), webhook)
    return Refusal(REPLICA_FAILURE, f"pods are refused: {clean(words, limit=200)}")


@analyzer(
    "workload-refusals",
    needs=(
        DEPLOYMENTS,
        REPLICA_SETS,
        STATEFUL_SETS,
        DAEMON_SETS,
        JOBS,
        PODS,
        EVENTS,
        VALIDATING_WEBHOOKS,
        MUTATING_WEBHOOKS,
    ),
    conditions=CONDITIONS,
)
def workload_refusals(snapshot: Snapshot) -> Iterator[Finding]:
    """Name what keeps controllers from making pods."""
    for resource in (REPLICA_SETS, STATEFUL_SETS, DAEMON_SETS, JOBS):
        for member in snapshot.members(resource):
            said = _refused(snapshot, member) if _is_short(member) else None
            if said is not None:
                yield _finding(snapshot, member, said)


def _is_short(member: KubeObject) -> bool:
    """Say whether a controller has made fewer pods than it should."""
    if objects.deleted_at(member) is not None:
        return False
    match objects.kind(member):
        case "DaemonSet":
            wanted = objects.integer(member, "status", "desiredNumberScheduled")
            return objects.integer(member, "status", "currentNumberScheduled") < wanted
        case "Job":
            ended = any(
                item.is_true and item.type in ("Complete", "Failed", "Suspended") for item in objects.conditions(member)
            )
            return not ended and objects.integer(member, "status", "active") == 0
        case _:
            return objects.integer(member, "status", "replicas") < objects.integer(
                member, "spec", "replicas", default=1
            )


def _refused(snapshot: Snapshot, member: KubeObject) -> Evidence | None:
    failure = objects.condition(member, "ReplicaFailure")
    if failure is not None and failure.is_true and failure.reason == "FailedCreate":
        return quote(f"{cases.display(objects.ref(member))} condition ReplicaFailure", failure.message)
    events = [event for event in snapshot.events(member, "FailedCreate") if snapshot.age(event.last_at) < _RECENT]
    return quote(cases.event_source(objects.ref(member), "FailedCreate"), events[0].message) if events else None


def _finding(snapshot: Snapshot, member: KubeObject, said: Evidence) -> Finding:
    refusal = parse_refusal(said.quote)
    workload = snapshot.root_of(member)
    named = [ResourceRef(kind=refusal.kind, namespace=workload.namespace, name=refusal.name)] if refusal.kind else []
    if refusal.webhook:
        named = [
            objects.ref(hook.configuration) for hook in relations.webhooks(snapshot) if hook.name == refusal.webhook
        ]
    own = [] if objects.ref(member) == workload else [objects.ref(member)]
    at_fault = (*named, workload) if refusal.condition is WEBHOOK_NOT_TRUSTED else (workload, *named)
    return finding(
        refusal.condition,
        title=f"{cases.display(workload)}: {refusal.what}",
        objects=(*at_fault, *own),
        evidence=(said,),
        next_checks=(
            f"describe {objects.kind(member).lower()} {objects.name(member)} -n {objects.namespace(member)}",
            f"get resourcequotas,limitranges,serviceaccounts -n {objects.namespace(member)}",
        ),
        severity=cases.severity_of_loss(snapshot, workload),
        key=refusal.name,
    )


ANALYZERS: tuple[Analyzer, ...] = (workload_refusals,)
