"""What programs that run well say since something was changed.

Much goes wrong while every pod is ready: a flag was switched, a wrong address delivered, a volume replaced by an empty
one. Then only logs tell, and what was changed shortly before is the first suspect. So of namespaces in which people
changed something lately the logs of ready pods are read, too, and where they speak of errors, the nearest change is
named: of the workload itself and what it reads, of what it calls, of what that calls in turn, or else the only one in
the namespace. It is a sign and no proof, and says so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from operator import itemgetter

from kubently.analyzers import addresses, cases, containers, evidence, loglines, recent, relations, settings
from kubently.analyzers.base import Analyzer, Condition, analyzer, clean, finding, quote
from kubently.analyzers.recent import Recent
from kubently.analyzers.resources import INGRESSES, PODS, SERVICES
from kubently.analyzers.snapshot import LogKey, Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Finding, ResourceRef, Severity

ERRORS_FOLLOW = Condition(
    "change/errors-follow",
    Severity.RISK,
    "Something was changed, and since then programs that use it log errors, while all their pods are ready.",
    "Look at what was changed; undo it if the errors began with it.",
    symptom_of=(
        "certificate/*",
        "change/contends",
        "dns/*",
        "ingress/*",
        "job/*",
        "networkpolicy/*",
        "node/*",
        "pod/*",
        "pvc/*",
        "service/*",
        "workload/*",
    ),
    confidence=Confidence.POSSIBLE,
)

MOST_READ = 20
"""Ready pods whose logs are read because something was changed near them."""
_OF_ONE, _LOOKED_AT = 100, 500
"""Workloads of one namespace, and of all, among which they are chosen."""
_FAR = 2
_ENOUGH = 3
"""Errors that a program logs now and then are no news."""
_SHOWN = 3
_NAME_CHARS = 4
_ERROR = re.compile(
    r"\b(?:ERROR|FATAL|CRITICAL|SEVERE|PANIC)\b|"
    r"[\"']?(?:level|severity|lvl|log\.level)[\"']?\s{0,2}[:=]\s{0,2}[\"']?(?:error|fatal|critical|panic|err)\b|"
    r"\[(?:error|crit|alert|emerg)\]|^E\d{4} \d\d:|\" 5\d\d \d|"
    r"\b(?:status|code|status_code|http_status)[\"']?[ =:]{1,3}[\"']?5\d\d\b|\bTraceback \(most recent|"
    r"\b\w{3,80}(?:Exception|Error)\b: |\brpc error: code ="
)
_HOST = re.compile(r"://(?:[^/@\s]{0,200}@)?([a-z0-9][a-z0-9.-]{1,252})", re.IGNORECASE)
_WORD = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Errors:
    """What a ready pod's log says of errors."""

    pod: KubeObject
    key: LogKey
    lines: tuple[str, ...]
    first_at: datetime | None
    """When the first of them was said, None if the log does not tell times."""
    quiet_since: datetime | None
    """Since when the log is known to have said nothing of the kind until then."""

    def may_follow(self, change: Recent) -> bool:
        """Say whether they began after a change, as far as is known."""
        return self.first_at is None or change.at <= self.first_at + recent.SKEW


@dataclass(frozen=True, slots=True)
class _Suspect:
    """A change, and whose errors came after it."""

    change: Recent
    errors: _Errors
    how: str
    """What the workload has to do with what was changed, as it follows its name; empty if that is not known."""

    @property
    def began_with_it(self) -> bool:
        """Whether the log is known to have been quiet before the change."""
        since = self.errors.quiet_since
        return bool(self.how) and since is not None and since <= self.change.at


def pods_near_changes(snapshot: Snapshot) -> Iterator[KubeObject]:
    """Yield ready pods, each of another workload, near which something was changed lately: at most `MOST_READ`.

    The nearest come first, and of equally near ones those where the newest change is.
    """
    changed = recent.changed(snapshot)
    newest = {namespace: max(change.at for change in found.values()) for namespace, found in changed.items()}
    refs = {ref for found in changed.values() for ref in found}
    order = sorted(changed, key=lambda name: (newest[name], name), reverse=True)
    rest = sorted({objects.namespace(pod) for pod in snapshot.members(PODS)} - changed.keys()) if refs else []
    pods = chain.from_iterable(islice(_ready_pods(snapshot, name), _OF_ONE) for name in (*order, *rest))
    near = [(_distance(snapshot, refs, pod), pod) for pod in islice(pods, _LOOKED_AT)]
    wanted = (item for item in near if item[0] < _FAR or objects.namespace(item[1]) in changed)
    yield from (pod for _, pod in sorted(wanted, key=itemgetter(0))[:MOST_READ])


@analyzer("errors-after-changes", needs=(*cases.NEEDS, *recent.NEEDS), conditions=(ERRORS_FOLLOW,), needs_logs=True)
def errors_after_changes(snapshot: Snapshot) -> Iterator[Finding]:
    """Name what was changed before ready programs began to log errors."""
    if not snapshot.logs:
        return
    changed = recent.changed(snapshot)
    everywhere = {ref: change for found in changed.values() for ref, change in found.items()}
    suspects: dict[ResourceRef, list[_Suspect]] = {}
    for namespace in sorted({key.namespace for key in snapshot.logs}) if everywhere else ():
        for pod in _ready_pods(snapshot, namespace):
            errors = _errors_of(snapshot, pod)
            if errors is None:
                continue
            suspect = _nearest(snapshot, errors, everywhere) or _only(errors, changed.get(namespace, {}))
            if suspect is not None:
                suspects.setdefault(suspect.change.ref, []).append(suspect)
    for ref, members in suspects.items():
        yield _finding(snapshot, ref, members)


def explained(snapshot: Snapshot, findings: Iterable[Finding]) -> set[str]:
    """Return the ids of findings of `ERRORS_FOLLOW` that say nothing new beside the others of *findings*.

    That is where something harmful concerns what the workload calls, or where the change is only a suspect for want of
    others and something harmful is in its namespace.
    """
    found = tuple(findings)
    harm = [item for item in found if item.code != ERRORS_FOLLOW.code and item.severity.rank <= Severity.DEGRADED.rank]
    harmed = {ref for item in harm for ref in item.objects}
    namespaces = {item.objects[0].namespace for item in harm}
    return {
        item.id
        for item in found
        if item.code == ERRORS_FOLLOW.code
        if not harmed.isdisjoint(_reached(snapshot, item))
        or (item.severity is ERRORS_FOLLOW.severity and item.objects[0].namespace in namespaces)
    }


def _reached(snapshot: Snapshot, finding: Finding) -> Iterator[ResourceRef]:
    """What the workloads of a finding use and call."""
    for pod in (pod for ref in finding.objects[1:] for pod in snapshot.pods_of(ref)[:1]):
        for _, refs in _circles(snapshot, pod, ()):
            yield from refs


def _finding(snapshot: Snapshot, ref: ResourceRef, suspects: Sequence[_Suspect]) -> Finding:
    ordered = sorted(suspects, key=lambda item: (not item.began_with_it, not item.how))
    first = ordered[0]
    workloads = [snapshot.workload_of(item.errors.pod) for item in ordered]
    more = f" (and {len(workloads) - 1} more)" if workloads[1:] else ""
    how = f", which {first.how}," if first.how else ""
    who = "it" if workloads[0] == ref else f"{cases.display(workloads[0])}{how}"
    line = clean(loglines.message_of(first.errors.lines[-1]), limit=160)
    title = f"{cases.display(ref)} was {first.change.told.quote}, and since then {who} logs errors{more}: {line}"
    said = [
        quote(evidence.log_source(item.errors.key), f"{item.errors.lines[-1]} ({len(item.errors.lines)} such lines)")
        for item in ordered[:_SHOWN]
    ]
    return finding(
        ERRORS_FOLLOW,
        title=title,
        objects=(ref, *workloads),
        evidence=(first.change.told, *said),
        severity=Severity.DEGRADED if first.began_with_it else None,
        confidence=Confidence.LIKELY if first.began_with_it else None,
    )


# ---- what logs say


def _ready_pods(snapshot: Snapshot, namespace: str) -> Iterator[KubeObject]:
    """One pod of each workload that has no other that is not ready: of those other rules speak."""
    pods: dict[ResourceRef, KubeObject] = {}
    failing: set[ResourceRef] = set()
    for pod in snapshot.members(PODS, namespace):
        workload = snapshot.workload_of(pod)
        if containers.is_ready(pod):
            known = pods.setdefault(workload, pod)
            if _rank(snapshot, pod) < _rank(snapshot, known):
                pods[workload] = pod
        elif not containers.is_finished(pod):
            failing.add(workload)
    return (pod for workload, pod in pods.items() if workload not in failing)


def _rank(snapshot: Snapshot, pod: KubeObject) -> tuple[bool, str]:
    """Whose log is read first, then the oldest: what it learned when it began may be no more."""
    return not _keys(snapshot, pod), objects.text(pod, "metadata", "creationTimestamp")


def _keys(snapshot: Snapshot, pod: KubeObject) -> list[LogKey]:
    own = objects.namespace(pod), objects.name(pod)
    keys = (key for item in containers.containers_of(pod) for key in snapshot.logs_like(pod, item.name))
    return [key for key in keys if (key.namespace, key.pod) == own and not key.previous]


def _errors_of(snapshot: Snapshot, pod: KubeObject) -> _Errors | None:
    """Return what a pod logs of errors now, if it is more than a few."""
    for key in _keys(snapshot, pod):
        told = [(loglines.time_of(line), line) for line in loglines.lines(snapshot.logs[key])]
        wrong = [(at, line) for at, line in told if _ERROR.search(line)]
        counts = Counter(loglines.template_of(line) for _, line in wrong)
        now = [line for _, line in wrong if loglines.is_of_now(snapshot, line)]
        often = [line for line in now if counts[loglines.template_of(line)] >= _ENOUGH]
        if not often:
            continue
        templates = {loglines.template_of(line) for line in often}
        first_at = next((at for at, line in wrong if loglines.template_of(line) in templates), None)
        start = next((at for at, _ in told if at is not None), None)
        quiet = start if first_at is not None and start is not None and start < first_at else None
        return _Errors(pod, key, tuple(often), first_at, quiet)
    return None


# ---- what one has to do with the other


def _nearest(snapshot: Snapshot, errors: _Errors, changed: Mapping[ResourceRef, Recent]) -> _Suspect | None:
    """Return the nearest change before the errors, of equally near ones what the log speaks of, or the newest."""
    said = "\n".join(errors.lines)
    spoken = {ref for ref, _ in settings.spoken_of(snapshot, errors.pod, said)}
    for how, refs in _circles(snapshot, errors.pod, errors.lines):
        before = [changed[ref] for ref in refs if ref in changed and errors.may_follow(changed[ref])]
        if before:
            best = max(before, key=lambda change: (change.ref in spoken, change.is_setting, change.at))
            return _Suspect(best, errors, how)
    return None


def _only(errors: _Errors, changed: Mapping[ResourceRef, Recent]) -> _Suspect | None:
    """Return the only change in the namespace."""
    before = [change for change in changed.values() if errors.may_follow(change)]
    return _Suspect(before[0], errors, "") if len(changed) == len(before) == 1 else None


def _circles(snapshot: Snapshot, pod: KubeObject, lines: Sequence[str]) -> Iterator[tuple[str, Sequence[ResourceRef]]]:
    """Yield what a pod that says *lines* has to do with, the nearest first, each with how."""
    own = recent.parts_of(snapshot, pod)
    yield "uses it", own
    services = [*_named(snapshot, pod, lines), *_called(snapshot, pod)]
    seen: set[ResourceRef] = set()
    for how in ("calls what uses it", "calls what calls what uses it"):
        services = [ref for ref in dict.fromkeys(services) if ref not in seen]
        seen.update(services)
        behind = [other for ref in services for other in _behind(snapshot, ref)]
        yield how, [*services, *(ref for other in behind for ref in recent.parts_of(snapshot, other) if ref not in own)]
        services = [ref for other in behind for ref in _called(snapshot, other)]


def _called(snapshot: Snapshot, pod: KubeObject) -> list[ResourceRef]:
    """The Services that a pod is told of, also by the name of an Ingress before them."""
    told = [address.service for address in addresses.addresses_of(snapshot, pod)]
    hosts = {
        host.lower()
        for setting in settings.settings_of(snapshot, pod)
        for host in _HOST.findall(setting.text[: settings.TEXT_CHARS])
    }
    return [*told, *(ref for host in sorted(hosts) for ref in _behind_host(snapshot, host))]


def _behind_host(snapshot: Snapshot, host: str) -> Iterator[ResourceRef]:
    for ingress in snapshot.members(INGRESSES):
        if any(objects.text(rule, "host") == host for rule in objects.mappings(ingress, "spec", "rules")):
            for name in relations.backend_services(ingress):
                yield ResourceRef(kind=SERVICES.kind, namespace=objects.namespace(ingress), name=name)


def _named(snapshot: Snapshot, pod: KubeObject, lines: Sequence[str]) -> Iterator[ResourceRef]:
    """The Services of the namespace whose names stand in the lines."""
    words = {word.lower() for line in lines for word in _WORD.findall(line) if len(word) >= _NAME_CHARS}
    own = snapshot.workload_of(pod).name
    for service in snapshot.members(SERVICES, objects.namespace(pod)):
        if (name := objects.name(service)) in words and name != own:
            yield objects.ref(service)


def _behind(snapshot: Snapshot, service: ResourceRef) -> Sequence[KubeObject]:
    selector = objects.mapping(snapshot.find(service), "spec", "selector")
    return snapshot.select_pods(service.namespace, selector)[:1]


def _distance(snapshot: Snapshot, changed: Set[ResourceRef], pod: KubeObject) -> int:
    """How near a pod is to what was changed: 0 uses it, 1 calls what does, `_FAR` neither, as far as is told."""
    if not changed.isdisjoint(recent.parts_of(snapshot, pod)):
        return 0
    called = _called(snapshot, pod)
    behind = (
        ref for service in called for other in _behind(snapshot, service) for ref in recent.parts_of(snapshot, other)
    )
    return 1 if not changed.isdisjoint((*called, *behind)) else _FAR


ANALYZERS: tuple[Analyzer, ...] = (errors_after_changes,)
