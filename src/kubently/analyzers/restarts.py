"""Containers that end and are started again, told apart by what ends them.

Every restarting container gets one condition, the first that fits: it could not be started at all; it was built for
another processor; the kernel killed it at its memory limit; the kubelet killed it because a probe failed; it ended by
itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from kubently.analyzers import cases, complaints, containers, exits, failing, heaps, loglines, probes
from kubently.analyzers.base import Analyzer, Condition, analyzer, clean, first_line, quote
from kubently.analyzers.cases import Case
from kubently.analyzers.containers import Container, Termination
from kubently.analyzers.images import WRONG_ARCHITECTURE
from kubently.analyzers.resources import JOBS, NODES
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.schema.findings import Confidence, Evidence, Finding, Severity

CRASH_LOOP = Condition(
    "pod/crash-loop",
    Severity.OUTAGE,
    "A container ends again and again, by itself.",
    "Read the quoted end of its log; compare configuration and image with the last version that worked.",
    symptom_of=(
        "workload/env-service-missing",
        "workload/env-port-missing",
        "networkpolicy/no-dns",
        "networkpolicy/blocks-path",
        "pod/no-dns",
        "dns/server-down",
        "dns/corefile-refuses",
        "dns/upstream-fails",
        "rbac/forbidden",
        "certificate/not-ready",
        "certificate/ends-soon",
        *complaints.CODES,
    ),
    confidence=Confidence.LIKELY,
)
START_FAILED = Condition(
    "pod/start-failed",
    Severity.OUTAGE,
    "The runtime cannot start the container's command.",
    "Correct command and args, or the image: the program must exist there, be executable and fit its interpreter.",
)
OOM_KILLED = Condition(
    "pod/oom-killed",
    Severity.DEGRADED,
    "The kernel killed a container because it used more memory than its limit, or than its node had.",
    "Raise the limit if the use is right; otherwise look for what holds memory, or set the program's own heap below"
    " the limit.",
)
LIVENESS_KILLS = Condition(
    "pod/liveness-kills",
    Severity.OUTAGE,
    "The kubelet restarts a container because its liveness probe fails.",
    "Correct the probe's port, path or patience; a liveness probe must not depend on other services.",
    confidence=Confidence.LIKELY,
)
STARTUP_KILLS = Condition(
    "pod/startup-kills",
    Severity.OUTAGE,
    "The kubelet restarts a container because its startup probe does not pass in time.",
    "Allow more time (failureThreshold times periodSeconds), or correct the probe's port and path.",
    confidence=Confidence.LIKELY,
)
CONDITIONS = (CRASH_LOOP, START_FAILED, OOM_KILLED, LIVENESS_KILLS, STARTUP_KILLS, WRONG_ARCHITECTURE)

_RECENT_KILL = timedelta(hours=1)
"""How long a kill by a probe or for memory counts as going on."""

_START_REASONS = ("StartError", "ContainerCannotRun")
_EXEC_FORMAT = "exec format error"


@analyzer("pod-restarts", needs=(*cases.NEEDS, NODES), conditions=CONDITIONS, needs_logs=True)
def pod_restarts(snapshot: Snapshot) -> Iterator[Finding]:
    """Say why containers end."""
    yield from cases.findings(snapshot, _cases(snapshot))


def _cases(snapshot: Snapshot) -> Iterator[Case]:
    for container in containers.of_living_pods(snapshot):
        is_failed = objects.text(container.pod, "status", "phase") == "Failed"
        case = _failed_case(snapshot, container) if is_failed else _case(snapshot, container)
        if case is not None:
            yield case


def _case(snapshot: Snapshot, container: Container) -> Case | None:
    ended = container.last_termination
    if _could_not_start(container, ended):
        return _start_case(snapshot, container, ended)
    if ended is None:
        return None
    if ended.reason == "OOMKilled":
        return _oom_case(snapshot, container, ended)
    if not failing.is_looping(snapshot, container, ended):
        return None
    _, log = failing.last_log(snapshot, container)
    if _EXEC_FORMAT in log:
        return _architecture_case(snapshot, container, loglines.cause_line(log))
    return _probe_case(snapshot, container) or _crash_case(snapshot, container, ended)


def _failed_case(snapshot: Snapshot, container: Container) -> Case | None:
    """Judge a container of a pod that is not started again: its Job may make another, with the same limit."""
    ended = container.termination
    if ended is None or ended.reason != "OOMKilled" or snapshot.age(ended.finished_at) >= _RECENT_KILL:
        return None
    controller = objects.controller(container.pod)
    job = snapshot.get(JOBS, objects.namespace(container.pod), controller.name) if controller else None
    complete = objects.condition(job, "Complete")
    return None if job is None or (complete and complete.is_true) else _oom_case(snapshot, container, ended)


def _could_not_start(container: Container, ended: Termination | None) -> bool:
    if container.is_running:
        return False
    return container.waiting_reason in ("RunContainerError", "PostStartHookError") or (
        ended is not None and ended.reason in _START_REASONS
    )


# ---- one case for each cause


def _start_case(snapshot: Snapshot, container: Container, ended: Termination | None) -> Case:
    said = container.waiting_message
    if ended is not None and ended.reason in _START_REASONS:
        said = ended.message
    if _EXEC_FORMAT in said:
        return _architecture_case(snapshot, container, said)
    return Case(
        START_FAILED,
        container.pod,
        what=f"{_name(container)} cannot be started: {_last_clause(said) or container.waiting_reason}",
        evidence=(quote(cases.pod_source(container.pod, container.path), said), *_command(container)),
        key=container.name,
        next_checks=_checks(container, previous=False),
    )


def _architecture_case(snapshot: Snapshot, container: Container, said: str) -> Case:
    node = snapshot.get(NODES, "", objects.text(container.pod, "spec", "nodeName")) or {}
    architecture = objects.text(node, "status", "nodeInfo", "architecture")
    place = f" (node {objects.name(node)} is {clean(architecture, limit=40)})" if architecture else ""
    return Case(
        WRONG_ARCHITECTURE,
        container.pod,
        what=f'image "{container.image}" of container {container.name} is built for another processor{place}',
        evidence=(quote(cases.pod_source(container.pod, f"container {container.name}"), said),),
        key=container.name,
        next_checks=("get nodes -L kubernetes.io/arch",),
    )


def _oom_case(snapshot: Snapshot, container: Container, ended: Termination) -> Case | None:
    limit, request = (objects.text(container.spec, "resources", sort, "memory") for sort in ("limits", "requests"))
    limit = limit or objects.text(container.pod, "spec", "resources", "limits", "memory")
    node = snapshot.get(NODES, "", objects.text(container.pod, "spec", "nodeName")) or {}
    memory = objects.text(node, "status", "allocatable", "memory")
    where = (
        f"at its memory limit of {limit}" if limit else "because its node ran out of memory (it has no memory limit)"
    )
    heap = heaps.heap_of(snapshot, container)
    room = objects.quantity({"limit": limit}, "limit") if limit else None
    if heap is not None and room is not None and heap.size > room:
        where = f"{where}, which is less than its heap may take ({heap.words})"
    amounts = f"limit {limit or 'none'}, request {request or 'none'}, node allocatable {memory or 'unknown'}"
    return Case(
        OOM_KILLED,
        container.pod,
        what=f"{_name(container)} was killed {where}, {_restarts(container)}",
        evidence=(
            _termination_evidence(container, ended),
            quote(cases.pod_source(container.pod, f"container {container.name} resources.memory"), amounts),
            *((quote(cases.pod_source(container.pod, heap.where), heap.words),) if heap is not None else ()),
        ),
        key=container.name,
        next_checks=(f"top pod -n {objects.namespace(container.pod)} --containers", *_checks(container)),
        severity=_oom_severity(snapshot, container, ended),
    )


def _oom_severity(snapshot: Snapshot, container: Container, ended: Termination) -> Severity | None:
    if not container.is_running or failing.is_looping(snapshot, container, ended):
        return None
    return Severity.DEGRADED if snapshot.age(ended.finished_at) < _RECENT_KILL else Severity.RISK


_KILLERS: tuple[tuple[probes.ProbeKind, Condition], ...] = (
    ("startup", STARTUP_KILLS),
    ("liveness", LIVENESS_KILLS),
)


def _probe_case(snapshot: Snapshot, container: Container) -> Case | None:
    for event in snapshot.events(container.pod, "Killing"):
        if event.container not in ("", container.name) or snapshot.age(event.last_at) > _RECENT_KILL:
            continue
        for kind, condition in _KILLERS:
            if f"failed {kind} probe" in event.message and f"ontainer {container.name} " in event.message:
                return _killed_case(snapshot, container, kind, condition, event.message)
    return None


def _killed_case(
    snapshot: Snapshot, container: Container, kind: probes.ProbeKind, condition: Condition, said: str
) -> Case:
    failure = probes.newest_failure(snapshot, container, kind)
    reason = probes.trouble(container, kind, failure.message if failure else "")
    return Case(
        condition,
        container.pod,
        what=f"the kubelet restarts container {container.name} because its {kind} probe fails: {reason}",
        evidence=(
            quote(cases.event_source(objects.ref(container.pod), "Killing"), said),
            *probes.evidence(container, kind, failure),
        ),
        key=container.name,
        next_checks=_checks(container),
    )


def _crash_case(snapshot: Snapshot, container: Container, ended: Termination) -> Case:
    place, log = failing.last_log(snapshot, container)
    explained = exits.explain(ended.exit_code)
    cause = loglines.cause_line(log) or first_line(ended.message) or explained
    said = f": {clean(cause, limit=160)}" if cause else ""
    excerpt = loglines.excerpt(log)
    evidence = [_termination_evidence(container, ended)]
    if excerpt:
        evidence.append(loglines.log_quote(place, excerpt))
    if explained:
        evidence.append(quote(f"exit code {ended.exit_code}", explained))
    return Case(
        CRASH_LOOP,
        container.pod,
        what=f"{_name(container)} ends with code {ended.exit_code} again and again{said}",
        evidence=tuple(evidence),
        key=container.name,
        next_checks=_checks(container),
    )


# ---- wording


def _name(container: Container) -> str:
    return f"init container {container.name}" if container.is_init else f"container {container.name}"


def _termination_evidence(container: Container, ended: Termination) -> Evidence:
    field = "state" if container.termination is not None else "lastState"
    ran = ""
    if ended.started_at is not None and ended.finished_at is not None:
        ran = f", ran {max((ended.finished_at - ended.started_at).total_seconds(), 0):.0f} s"
    words = f"exit code {ended.exit_code} ({ended.reason or 'no reason'}){ran}, {_restarts(container)}"
    return quote(cases.pod_source(container.pod, f"{container.path}.{field}.terminated"), words)


def _restarts(container: Container) -> str:
    return "1 restart" if container.restarts == 1 else f"{container.restarts} restarts"


def _command(container: Container) -> Iterator[Evidence]:
    words = [*objects.strings(container.spec, "command"), *objects.strings(container.spec, "args")]
    if words:
        yield quote(cases.pod_source(container.pod, f"container {container.name} command"), " ".join(words))


def _last_clause(said: str) -> str:
    """Return the end of a chain of wrapped errors, which is where the reason stands."""
    tail = clean(" ".join(said.split())).removesuffix(": unknown").rpartition("container process: ")[2]
    return clean(tail, limit=160)


def _checks(container: Container, *, previous: bool = True) -> tuple[str, ...]:
    pod = objects.ref(container.pod)
    logs = f"logs {pod.name} -n {pod.namespace} -c {container.name} --previous --tail=100"
    return (*([logs] if previous else []), f"describe pod {pod.name} -n {pod.namespace}")


ANALYZERS: tuple[Analyzer, ...] = (pod_restarts,)
