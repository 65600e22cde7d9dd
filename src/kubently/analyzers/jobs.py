"""Jobs that failed, and CronJobs that make none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from kubently.analyzers import cases, containers
from kubently.analyzers.base import Analyzer, Condition, analyzer, clean, finding, quote
from kubently.analyzers.loglines import cause_line
from kubently.analyzers.resources import CRON_JOBS, EVENTS, JOBS, PODS
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Evidence, Finding, Severity

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
)

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
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


@analyzer("cron-jobs", needs=(CRON_JOBS, JOBS, EVENTS), conditions=(SUSPENDED, NOT_SCHEDULED, BLOCKED))
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
    error = next((item.quote for item in evidence if item.source.startswith("log ")), "")
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
            if line := cause_line(snapshot.logs[key]):
                yield quote(f"log of container {container.name} of pod {key.namespace}/{key.pod}", line)


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


ANALYZERS: tuple[Analyzer, ...] = (jobs, cron_jobs)
