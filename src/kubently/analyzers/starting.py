"""Pods that never begin: no scheduler takes them, the network or a volume is not ready for them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

from kubently.analyzers import cases, complaints, config, containers, loglines
from kubently.analyzers.base import GRACE, Analyzer, Condition, analyzer, clean, quote
from kubently.analyzers.cases import Case
from kubently.analyzers.containers import Container
from kubently.analyzers.events import Event
from kubently.analyzers.resources import NODES, PODS
from kubently.analyzers.snapshot import Snapshot, is_name
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Evidence, Finding, ResourceRef, Severity

SANDBOX_FAILED = Condition(
    "pod/sandbox-failed",
    Severity.OUTAGE,
    "The node cannot make the pod's sandbox: its network, a sysctl or the runtime refuses.",
    "Read the quoted words: no addresses left, a network plug-in that is not ready, a sysctl that is not allowed.",
    symptom_of=("node/not-ready", "node/network-unavailable"),
)
MOUNT_FAILED = Condition(
    "pod/mount-failed",
    Severity.OUTAGE,
    "The kubelet cannot attach or mount a volume of the pod.",
    "Read the quoted words of the storage driver or of mount: access, network and options are usual causes.",
    symptom_of=("pod/config-missing", "node/not-ready", "pvc/*"),
)
ATTACHED_ELSEWHERE = Condition(
    "pod/volume-attached-elsewhere",
    Severity.OUTAGE,
    "The pod's volume is still attached to another node, and can be attached to one alone.",
    "See which pod or node still holds it; a claim that pods on several nodes share must be ReadWriteMany.",
    symptom_of=("node/not-ready", "pod/stuck-terminating"),
)
GATED = Condition(
    "pod/scheduling-gated",
    Severity.OUTAGE,
    "The pod has a scheduling gate that nobody opens.",
    "See whether the controller that should remove the gate runs.",
)
NO_SCHEDULER = Condition(
    "pod/no-scheduler",
    Severity.OUTAGE,
    "No scheduler takes the pod up: it names one that does not run, or the cluster's own does not.",
    "See whether the scheduler that the pod names runs.",
)
INIT_WAITS = Condition(
    "pod/init-waits",
    Severity.OUTAGE,
    "An init container runs for more than five minutes, and the pod's own containers wait for its end.",
    "See in its command and log what it waits for or works at; a wait for another Service should give up and say so.",
    symptom_of=(
        "workload/env-service-missing",
        "workload/env-port-missing",
        "networkpolicy/no-dns",
        "networkpolicy/blocks-path",
        "pod/no-dns",
        "dns/server-down",
        "dns/corefile-refuses",
        "dns/upstream-fails",
        *complaints.CODES,
    ),
    confidence=Confidence.LIKELY,
)
CONDITIONS = (SANDBOX_FAILED, MOUNT_FAILED, ATTACHED_ELSEWHERE, GATED, NO_SCHEDULER, INIT_WAITS)

_INIT_PATIENCE = timedelta(minutes=5)
_WAITING = ("ContainerCreating", "PodInitializing", "")
_NO_ADDRESS = re.compile(
    r"no (?:more |available |free )?(?:IP )?addresses|no IP addresses available|IPs? (?:are )?exhausted", re.IGNORECASE
)
_SYSCTL = re.compile(r"sysctl[: ]+\"?([a-z0-9_./-]{1,100})\"?", re.IGNORECASE)


@analyzer("pod-starting", needs=cases.NEEDS, conditions=CONDITIONS, needs_logs=True)
def pod_starting(snapshot: Snapshot) -> Iterator[Finding]:
    """Report pods that wait for what comes before their containers."""
    yield from cases.findings(snapshot, _cases(snapshot))


def _cases(snapshot: Snapshot) -> Iterator[Case]:
    for pod in snapshot.members(PODS):
        if containers.is_finished(pod) or objects.text(pod, "status", "phase") != "Pending":
            continue
        if containers.is_young(snapshot, pod, seconds=GRACE.total_seconds()):
            continue
        if objects.text(pod, "spec", "nodeName"):
            if _waits_on_node(pod):
                yield from _on_node(snapshot, pod)
            yield from _init_waits(snapshot, pod)
        else:
            yield from _without_node(snapshot, pod)


def _waits_on_node(pod: KubeObject) -> bool:
    found = list(containers.containers_of(pod))
    return all(c.waiting_reason in _WAITING and not c.is_running and c.last_termination is None for c in found)


# ---- on a node


def _on_node(snapshot: Snapshot, pod: KubeObject) -> Iterator[Case]:
    """Tell of the newest event alone: the kubelet says again what still holds."""
    newest = next(
        iter(snapshot.events(pod, "FailedCreatePodSandBox", "FailedMount", "FailedAttachVolume", "FailedMapVolume")),
        None,
    )
    if newest is None:
        return
    if newest.reason == "FailedCreatePodSandBox":
        yield _case(SANDBOX_FAILED, pod, newest, _sandbox_words(newest.message), *_node_of(pod, newest))
    elif "Multi-Attach" in newest.message:
        yield _case(ATTACHED_ELSEWHERE, pod, newest, f"waits for a volume: {_essence(newest.message)}")
    elif config.parse_missing(newest.message, pod) is None:
        yield _case(MOUNT_FAILED, pod, newest, f"a volume cannot be mounted: {_essence(newest.message)}")


def _init_waits(snapshot: Snapshot, pod: KubeObject) -> Iterator[Case]:
    ref = objects.ref(pod)
    for container in containers.containers_of(pod):
        runs_for = snapshot.age(container.running_since)
        if container.is_working_init and runs_for > _INIT_PATIENCE:
            minutes = int(runs_for.total_seconds() // 60)
            yield Case(
                INIT_WAITS,
                pod,
                what=f"init container {container.name} has been running for {minutes} min, and the others wait for it",
                evidence=tuple(_init_evidence(snapshot, container)),
                key=container.name,
                next_checks=(f"logs {ref.name} -n {ref.namespace} -c {container.name} --tail=100",),
            )


def _init_evidence(snapshot: Snapshot, container: Container) -> Iterator[Evidence]:
    since = objects.text(container.status, "state", "running", "startedAt")
    yield quote(cases.pod_source(container.pod, f"{container.path}.state.running"), f"startedAt {since}")
    command = [*objects.strings(container.spec, "command"), *objects.strings(container.spec, "args")]
    if command:
        yield quote(cases.pod_source(container.pod, f"container {container.name} command"), " ".join(command))
    for key in snapshot.logs_like(container.pod, container.name):
        if not key.previous and (excerpt := loglines.excerpt(snapshot.logs[key])):
            yield loglines.log_quote(f"log {key.namespace}/{key.pod} container {key.container}", excerpt)


def _node_of(pod: KubeObject, event: Event) -> Iterator[ResourceRef]:
    """The node, unless it refuses what this pod alone wants of it."""
    name = objects.text(pod, "spec", "nodeName")
    if is_name(name) and not _SYSCTL.search(event.message):
        yield ResourceRef(kind=NODES.kind, name=name)


def _sandbox_words(message: str) -> str:
    if _NO_ADDRESS.search(message):
        return "gets no network: no IP address is left for pods on its node"
    if sysctl := _SYSCTL.search(message):
        return f"sets the sysctl {sysctl.group(1)}, which its node does not allow"
    return f"its sandbox cannot be made: {_essence(message)}"


def _essence(message: str) -> str:
    return clean(message.rpartition(" desc = ")[2] or message, limit=200)


def _case(condition: Condition, pod: KubeObject, event: Event, what: str, *others: ResourceRef) -> Case:
    return Case(
        condition,
        pod,
        what=what,
        evidence=(quote(cases.event_source(objects.ref(pod), event.reason), event.message),),
        others=others,
        next_checks=(f"describe pod {objects.name(pod)} -n {objects.namespace(pod)}",),
    )


# ---- without one


def _without_node(snapshot: Snapshot, pod: KubeObject) -> Iterator[Case]:
    gates = [objects.text(gate, "name") for gate in objects.mappings(pod, "spec", "schedulingGates")]
    if gates:
        names = clean(", ".join(gates), limit=200)
        source = cases.pod_source(pod, "spec.schedulingGates")
        yield Case(GATED, pod, what=f"waits for scheduling gates: {names}", evidence=(quote(source, names),))
        return
    scheduled = objects.condition(pod, "PodScheduled")
    if scheduled is not None or snapshot.events(pod):
        return
    scheduler = objects.text(pod, "spec", "schedulerName", default="default-scheduler")
    yield Case(
        NO_SCHEDULER,
        pod,
        what=f"the scheduler {clean(scheduler, limit=100)} does not take it up",
        evidence=(
            quote(cases.pod_source(pod, "spec.schedulerName"), scheduler),
            quote(cases.pod_source(pod, "status.conditions"), "no PodScheduled, and no events"),
        ),
        next_checks=("get pods -n kube-system", "get leases -n kube-system"),
    )


ANALYZERS: tuple[Analyzer, ...] = (pod_starting,)
