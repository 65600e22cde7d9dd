"""Jobs that failed, and CronJobs that make none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

from kubently.analyzers import cases, containers, loglines
from kubently.analyzers.base import Analyzer, Condition, analyzer, clean, finding, quote
from kubently.analyzers.containers import Container
from kubently.analyzers.evidence import log_source
from kubently.analyzers.resources import CRON_JOBS, EVENTS, JOBS, PODS, RESOURCE_QUOTAS
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Evidence, Finding, ResourceRef, Severity

FAILED = Condition(
    "job/failed",
    Severity.DEGRADED,
    "A Job of the last day used up its retries or its time, and no later run succeeded.",
    "Read the log of its last pod; make the Job again when the cause is mended.",
    symptom_of=("pod/*",),
)
SUSPENDED = Condition(
    "cronjob/suspended",
    Severity.HYGIENE,
    "The CronJob is suspended and has not run for more than a day.",
    "Resume it, or delete it.",
)
NOT_SCHEDULED = Condition(
    "cronjob/not-scheduled",
    Severity.DEGRADED,
    "The CronJob's controller cannot work out when to run it: schedule, time zone, or too many missed starts.",
    "Correct the schedule or the time zone; set startingDeadlineSeconds where starts were missed.",
)
BLOCKED = Condition(
    "cronjob/blocked",
    Severity.DEGRADED,
    "The CronJob may not run beside its last Job, which does not end.",
    "See what the running Job waits for; give it an activeDeadlineSeconds.",
    symptom_of=("job/kept-by-sidecar",),
)
PILES_UP = Condition(
    "cronjob/piles-up",
    Severity.RISK,
    "Many Jobs of the CronJob run at once: it starts new ones before the old ones end.",
    "Set concurrencyPolicy to Forbid or Replace, run it less often, or give its Jobs an activeDeadlineSeconds.",
)
KEPT_BY_SIDECAR = Condition(
    "job/kept-by-sidecar",
    Severity.DEGRADED,
    "A Job's own container has ended well, and another of its pod runs on, so that the Job never completes.",
    "Make the other an init container with restartPolicy Always, which ends with the pod, or have it end by itself.",
)

_OF_PODS = ("pods", "count/pods", "cpu", "memory", "requests.", "limits.", "count/jobs")
_NEARLY = Decimal("0.95")
_MANY = 5
"""Jobs of one CronJob at once that no schedule wants."""
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_PATIENCE = timedelta(minutes=5)
_CANNOT = (
    "TooManyMissedTimes",
    "UnknownTimeZone",
    "UnparseableSchedule",
    "InvalidSchedule",
    "UnParseableCronJobSchedule",
)


@analyzer("jobs", needs=(JOBS, CRON_JOBS, PODS, EVENTS), conditions=(FAILED,), needs_logs=True)
def jobs(snapshot: Snapshot) -> Iterator[Finding]:
    """Report Jobs that failed within the last day, and after which none of the same CronJob succeeded."""
    for job in snapshot.members(JOBS):
        failed = objects.condition(job, "Failed")
        if failed is None or not failed.is_true or snapshot.age(failed.changed_at) > _DAY:
            continue
        if objects.deleted_at(job) is None and not _was_made_good(snapshot, job, failed):
            yield _failed(snapshot, job, failed)


@analyzer("unfinished-jobs", needs=cases.NEEDS, conditions=(KEPT_BY_SIDECAR,))
def unfinished_jobs(snapshot: Snapshot) -> Iterator[Finding]:
    """Report Jobs that do not complete although their work is done."""
    for pod in snapshot.members(PODS):
        owner = objects.controller(pod)
        if owner is None or owner.kind != "Job" or objects.text(pod, "status", "phase") != "Running":
            continue
        own = [container for container in containers.containers_of(pod) if not container.is_init]
        ended = [item for item in own if item.termination is not None and item.termination.exit_code == 0]
        running = [item for item in own if item.is_running]
        # When the last of them ended; what they have to say to each other takes a moment.
        rest = min((snapshot.age(item.termination.finished_at) for item in ended if item.termination), default=None)
        if running and rest is not None and rest > _PATIENCE and len(ended) + len(running) == len(own):
            yield _kept(snapshot, pod, owner.name, ended[0], running[0])


@analyzer(
    "cron-jobs",
    needs=(CRON_JOBS, JOBS, EVENTS, RESOURCE_QUOTAS),
    conditions=(SUSPENDED, NOT_SCHEDULED, BLOCKED, PILES_UP),
)
def cron_jobs(snapshot: Snapshot) -> Iterator[Finding]:
    """Report CronJobs that make no Jobs."""
    for member in snapshot.members(CRON_JOBS):
        if objects.deleted_at(member) is not None:
            continue
        last = objects.instant(member, "status", "lastScheduleTime") or objects.created_at(member)
        if objects.flag(member, "spec", "suspend"):
            if snapshot.age(last) > _DAY:
                yield _suspended(snapshot, member)
        else:
            yield from _unscheduled(snapshot, member)
            yield from _blocked(snapshot, member)
            yield from _piles_up(snapshot, member)


def _kept(snapshot: Snapshot, pod: KubeObject, name: str, ended: Container, running: Container) -> Finding:
    job = ResourceRef(group=JOBS.group, kind=JOBS.kind, namespace=objects.namespace(pod), name=name)
    done = ended.termination.finished_at.isoformat() if ended.termination and ended.termination.finished_at else ""
    return finding(
        KEPT_BY_SIDECAR,
        title=f"{cases.display(job)} does not complete: its container {ended.name} has ended well, and {running.name}"
        " runs on",
        objects=(job, snapshot.workload_of(pod), objects.ref(pod)),
        evidence=(
            quote(cases.pod_source(pod, f"{ended.path}.state.terminated"), f"exit code 0, {done}"),
            quote(cases.pod_source(pod, f"{running.path}.state.running"), f"container {running.name} runs"),
        ),
        next_checks=(f"describe pod {objects.name(pod)} -n {job.namespace}",),
    )


def _was_made_good(snapshot: Snapshot, job: KubeObject, failed: objects.Condition) -> bool:
    owner = objects.controller(job)
    above = snapshot.get(CRON_JOBS, objects.namespace(job), owner.name) if owner and owner.kind == "CronJob" else None
    succeeded = objects.instant(above, "status", "lastSuccessfulTime") if above is not None else None
    return succeeded is not None and failed.changed_at is not None and succeeded > failed.changed_at


def _failed(snapshot: Snapshot, job: KubeObject, failed: objects.Condition) -> Finding:
    ref = objects.ref(job)
    pods = [pod for pod in snapshot.members(PODS, ref.namespace) if _is_of(pod, job)]
    evidence = [quote(f"{cases.display(ref)} condition Failed", f"{failed.reason}: {failed.message}")]
    evidence += [item for pod in pods[-3:] for item in _ends(snapshot, pod)]
    why = {"BackoffLimitExceeded": "used up its retries", "DeadlineExceeded": "ran out of time"}
    error = next((loglines.cause_line(item.quote) for item in evidence if item.source.startswith("log ")), "")
    return finding(
        FAILED,
        title=f"{cases.display(ref)} {why.get(failed.reason, 'failed')}"
        + (f": {clean(error, limit=160)}" if error else ""),
        objects=(ref, *(objects.ref(pod) for pod in pods[:20])),
        evidence=evidence,
        next_checks=(f"describe job {ref.name} -n {ref.namespace}", f"logs job/{ref.name} -n {ref.namespace}"),
    )


def _is_of(pod: KubeObject, job: KubeObject) -> bool:
    owner = objects.controller(pod)
    return owner is not None and owner.kind == "Job" and owner.name == objects.name(job)


def _ends(snapshot: Snapshot, pod: KubeObject) -> Iterator[Evidence]:
    for container in containers.containers_of(pod):
        ended = container.last_termination
        if ended is None or ended.exit_code == 0:
            continue
        source = cases.pod_source(pod, f"{container.path}.state.terminated")
        yield quote(source, f"exit code {ended.exit_code} {ended.reason}")
        for key in snapshot.logs_like(pod, container.name):
            if loglines.cause_line(snapshot.logs[key]):
                yield loglines.log_quote(log_source(key), loglines.excerpt(snapshot.logs[key]))


def _suspended(snapshot: Snapshot, member: KubeObject) -> Finding:
    ref = objects.ref(member)
    last = objects.text(member, "status", "lastScheduleTime") or "never"
    return finding(
        SUSPENDED,
        title=f"{cases.display(ref)} is suspended",
        objects=(ref,),
        evidence=(quote(f"{cases.display(ref)}", f"spec.suspend true; status.lastScheduleTime {last}"),),
        next_checks=(f"describe cronjob {ref.name} -n {ref.namespace}",),
    )


def _unscheduled(snapshot: Snapshot, member: KubeObject) -> Iterator[Finding]:
    event = next((e for e in snapshot.events(member, *_CANNOT) if snapshot.age(e.last_at) < _DAY), None)
    if event is None:
        return
    ref = objects.ref(member)
    yield finding(
        NOT_SCHEDULED,
        title=f"{cases.display(ref)} makes no Jobs: {clean(event.message, limit=160)}",
        objects=(ref,),
        evidence=(
            quote(cases.event_source(ref, event.reason), event.message),
            quote(f"{cases.display(ref)} spec.schedule", objects.text(member, "spec", "schedule") or "none"),
        ),
        next_checks=(f"describe cronjob {ref.name} -n {ref.namespace}",),
    )


def _blocked(snapshot: Snapshot, member: KubeObject) -> Iterator[Finding]:
    event = next((e for e in snapshot.events(member, "JobAlreadyActive") if snapshot.age(e.last_at) < _HOUR), None)
    active = objects.mappings(member, "status", "active")
    if event is None or not active:
        return
    ref = objects.ref(member)
    job = snapshot.get(JOBS, ref.namespace, objects.text(active[0], "name"))
    if job is None or snapshot.age(objects.created_at(job)) < _HOUR:
        return
    running = objects.ref(job)
    yield finding(
        BLOCKED,
        title=f"{cases.display(ref)} waits for {cases.display(running)}, which does not end",
        objects=(ref, running),
        evidence=(
            quote(cases.event_source(ref, event.reason), event.message),
            quote(f"{cases.display(running)} status.startTime", objects.text(job, "status", "startTime") or "unknown"),
        ),
        next_checks=(f"describe job {running.name} -n {running.namespace}",),
    )


def _piles_up(snapshot: Snapshot, member: KubeObject) -> Iterator[Finding]:
    ref = objects.ref(member)
    running = [
        job
        for job in snapshot.members(JOBS, ref.namespace)
        if (owner := objects.controller(job)) is not None
        and (owner.kind, owner.name) == (ref.kind, ref.name)
        and not any(item.is_true and item.type in ("Complete", "Failed") for item in objects.conditions(job))
    ]
    policy = objects.text(member, "spec", "concurrencyPolicy", default="Allow")
    if policy != "Allow" or len(running) < _MANY:
        return
    oldest = objects.ref(min(running, key=lambda job: objects.text(job, "metadata", "creationTimestamp")))
    schedule = objects.text(member, "spec", "schedule")
    quotas = [quota for quota in snapshot.members(RESOURCE_QUOTAS, ref.namespace) if _is_full(quota)]
    filled = f", and they fill {cases.display(objects.ref(quotas[0]))}" if quotas else ""
    yield finding(
        PILES_UP,
        title=f"{cases.display(ref)} has {len(running)} Jobs at once: its schedule {schedule} starts more before they "
        f"end{filled}",
        objects=(ref, *map(objects.ref, quotas)),
        evidence=(
            quote(f"{cases.display(ref)} spec", f"concurrencyPolicy {policy}, schedule {schedule}"),
            quote(f"jobs of {cases.display(ref)}", f"{len(running)} that have not ended"),
            quote(f"{cases.display(oldest)}", "the oldest of them"),
            *(quote(f"{cases.display(objects.ref(quota))} status", _use(quota)) for quota in quotas[:1]),
        ),
        next_checks=(f"get jobs -n {ref.namespace}", f"describe cronjob {ref.name} -n {ref.namespace}"),
        severity=Severity.DEGRADED if quotas else None,
    )


def _use(quota: KubeObject) -> str:
    hard, used = (objects.string_map(quota, "status", field) for field in ("hard", "used"))
    return ", ".join(f"{name} {used.get(name, '0')} of {most}" for name, most in sorted(hard.items())[:10])


def _is_full(quota: KubeObject) -> bool:
    """Say whether a quota of what Jobs' pods use is reached, or nearly."""
    for name in objects.string_map(quota, "status", "hard"):
        most, used = objects.quantity(quota, "status", "hard", name), objects.quantity(quota, "status", "used", name)
        if name.startswith(_OF_PODS) and most and used is not None and used >= most * _NEARLY:
            return True
    return False


ANALYZERS: tuple[Analyzer, ...] = (jobs, unfinished_jobs, cron_jobs)
