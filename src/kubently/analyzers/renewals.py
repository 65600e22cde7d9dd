"""CronJobs that renew credentials, and are suspended.

The credentials of some registries and servers live for hours. Whoever suspends what renews them sees nothing at first:
what runs goes on, and only what is started anew is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubently.analyzers import cases, changes, images, settings
from kubently.analyzers.base import Analyzer, Condition, analyzer, finding, quote
from kubently.analyzers.resources import CONFIG_MAPS, CRON_JOBS
from kubently.analyzers.snapshot import Snapshot, is_name
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Evidence, Finding, ResourceRef, Severity

RENEWAL_SUSPENDED = Condition(
    "cronjob/renewal-suspended",
    Severity.DEGRADED,
    "A suspended CronJob writes the Secret with which pods are refused.",
    "Resume the CronJob, and run it once now.",
    confidence=Confidence.LIKELY,
)


@analyzer(
    "renewals",
    needs=(*cases.NEEDS, CRON_JOBS, CONFIG_MAPS),
    conditions=(RENEWAL_SUSPENDED,),
)
def renewals(snapshot: Snapshot) -> Iterator[Finding]:
    """Name the suspended CronJob that speaks of the pull Secret of an image that the registry refuses."""
    suspended = [item for item in snapshot.members(CRON_JOBS) if objects.flag(item, "spec", "suspend")]
    if not suspended:
        return
    refused: dict[str, dict[ResourceRef, Evidence]] = {}
    for pod, words in images.refused(snapshot):
        for item in objects.mappings(pod, "spec", "imagePullSecrets"):
            refused.setdefault(objects.text(item, "name"), {}).setdefault(snapshot.workload_of(pod), words)
    for cron_job in suspended:
        for name, workloads in refused.items():
            if is_name(name) and (place := _speaks_of(snapshot, cron_job, name)) is not None:
                yield _finding(snapshot, cron_job, place, name, workloads)


def _speaks_of(snapshot: Snapshot, cron_job: KubeObject, secret: str) -> Evidence | None:
    """Return where a CronJob is told of a Secret by name: who only reads it is told in other ways."""
    speaks = re.compile(rf"(?<![\w.-]){re.escape(secret)}(?![\w-])")
    for setting in settings.settings_of(snapshot, cron_job):
        for line in setting.text[: settings.TEXT_CHARS].splitlines():
            if speaks.search(line):
                return quote(f"{cases.display(setting.holder)} {setting.where}", line.strip())
    return None


def _finding(
    snapshot: Snapshot, cron_job: KubeObject, place: Evidence, secret: str, workloads: dict[ResourceRef, Evidence]
) -> Finding:
    ref = objects.ref(cron_job)
    last = objects.text(cron_job, "status", "lastSuccessfulTime") or objects.text(
        cron_job, "status", "lastScheduleTime"
    )
    when = f"; it ran last at {last}" if last else ""
    names = list(workloads)
    more = f" and {len(names) - 1} more" if names[1:] else ""
    changed = changes.lately(snapshot, ref)
    return finding(
        RENEWAL_SUSPENDED,
        title=f"{cases.display(ref)}, which writes Secret {secret}, is suspended{when}; "
        f"{cases.display(names[0])}{more} is refused with that Secret",
        objects=(ref, *names),
        evidence=(
            quote(f"{cases.display(ref)} spec.suspend", "true"),
            place,
            workloads[names[0]],
            *((changed[1],) if changed else ()),
        ),
        key=secret,
    )


ANALYZERS: tuple[Analyzer, ...] = (renewals,)
