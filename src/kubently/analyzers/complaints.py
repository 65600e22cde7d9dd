"""What a failing program complains of in its log, together with the setting of its pod that makes it so.

A line of a log alone explains nothing here: the pod, or what it mounts, must bear it out. Then what the program did
(end, or never become ready) is a symptom.
"""

from __future__ import annotations

import difflib
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from kubently.analyzers import addresses, cases, containers, failing, loglines, mounts
from kubently.analyzers.base import Analyzer, Condition, analyzer, clean, finding, quote
from kubently.analyzers.cases import Case
from kubently.analyzers.containers import Container
from kubently.analyzers.resources import (
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SERVICES,
    STATEFUL_SETS,
)
from kubently.analyzers.snapshot import Snapshot, is_name
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Evidence, Finding, ResourceRef, Severity

PORT_TAKEN = Condition(
    "pod/port-taken",
    Severity.OUTAGE,
    "A program cannot listen on its port, because another one has it: of the same pod, or of the node's network.",
    "Give one of the two another port; containers of a pod share one network.",
    confidence=Confidence.LIKELY,
)
READ_ONLY = Condition(
    "pod/path-read-only",
    Severity.OUTAGE,
    "A program writes where its container may only read.",
    "Mount a volume that may be written there, such as an emptyDir, or tell the program another place.",
    confidence=Confidence.LIKELY,
)
NOT_PERMITTED = Condition(
    "pod/path-not-permitted",
    Severity.OUTAGE,
    "A program may not use a file or directory of a volume, as the user that it runs as.",
    "Set fsGroup, or runAsUser to whom the files belong to.",
    confidence=Confidence.LIKELY,
)
FILE_MISSING = Condition(
    "pod/file-missing",
    Severity.OUTAGE,
    "A program looks for a file of configuration that its ConfigMap or Secret does not put there.",
    "Rename the key or correct the path: each key of a ConfigMap becomes one file, where the volume is mounted.",
    confidence=Confidence.LIKELY,
)
VOLUME_FULL = Condition(
    "pvc/full",
    Severity.OUTAGE,
    "A program finds no space left on a volume.",
    "Enlarge the claim if its class allows that, or clear what is not needed.",
    confidence=Confidence.LIKELY,
)
CREDENTIALS_REFUSED = Condition(
    "pod/credentials-refused",
    Severity.OUTAGE,
    "A program is refused by what it calls, because of its user, password or rights.",
    "Compare what both sides use; a database takes its first password from the Secret only when it is made.",
    confidence=Confidence.LIKELY,
)
CONDITIONS = (PORT_TAKEN, READ_ONLY, NOT_PERMITTED, FILE_MISSING, VOLUME_FULL, CREDENTIALS_REFUSED)
CODES = tuple(condition.code for condition in CONDITIONS)

_TAKEN = re.compile(r"address (?:is )?(?:already )?in use|EADDRINUSE|port \d+ (?:is|was) already in use", re.I)
_PORT = re.compile(r":(\d{2,5})\b|\bport[ =:]{1,2}(\d{2,5})\b", re.IGNORECASE)
_ERO = re.compile(r"read-only file ?system|EROFS", re.IGNORECASE)
_EACCES = re.compile(
    r"permission denied|EACCES|operation not permitted|AccessDeniedException|not writable", re.IGNORECASE
)
_ENOENT = re.compile(
    r"no such file|ENOENT|FileNotFound|NoSuchFile|does not exist|doesn't exist|not found|"
    r"can(?:not|'t) (?:find|open|read)|"
    r"(?:could not|couldn't|unable to|failed to) (?:find|open|read|load)|is a directory|EISDIR|missing",
    re.IGNORECASE,
)
_ENOSPC = re.compile(
    r"no space left on device|ENOSPC|disk (?:is )?full|not enough (?:disk )?space|disk quota exceeded", re.I
)
_AUTH = re.compile(
    r"password authentication failed|access denied for user|\bauthentication failed|AuthenticationFailed|"
    r"authentication failure|WRONGPASS|NOAUTH|invalid username[- ]password|invalid (?:user ?name or )?password|"
    r"ACCESS_REFUSED|login failed for user|SASL authentication|not authorized on|"
    r"(?:could not|unable to|failed to) authenticate|role \"[^\"]{1,63}\" does not exist",
    re.IGNORECASE,
)
# What is told in passing: entrypoints of images look at paths that they may not write, and go on.
_CASUAL = re.compile(r"\b(?:info|debug|notice|trace)\b", re.IGNORECASE)
_CREDENTIAL = re.compile(r"PASS|PWD|USER|CRED|SECRET|TOKEN|AUTH|DSN|_URL$|_URI$|CONNECTION", re.IGNORECASE)
_PATH = re.compile(r"(?<![\w.:/])/[\w.@+-][\w./@+-]{0,300}")
_PARTS = re.compile(r"[a-z]{3,}")
_LIKE = 0.6


@dataclass(frozen=True, slots=True)
class _Complaint:
    """What the log of a failing container says."""

    snapshot: Snapshot
    container: Container
    source: str
    lines: tuple[str, ...]
    """All of it, the newest line first."""
    last: tuple[str, ...]
    """What it says of its end or of an error, and after that: what was said before need not be why."""

    def matching(self, words: re.Pattern[str], *, anywhere: bool = False) -> Iterator[str]:
        lines = self.lines if anywhere else self.last
        return (line for line in lines if words.search(line) and not _CASUAL.search(line))

    def quote(self, line: str) -> Evidence:
        return quote(self.source, line)

    def field(self, words: str, value: object) -> Evidence:
        return quote(cases.pod_source(self.container.pod, f"container {self.container.name} {words}"), str(value))


@analyzer(
    "program-complaints",
    needs=(*cases.NEEDS, CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, SERVICES, DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS),
    conditions=CONDITIONS,
    needs_logs=True,
)
def program_complaints(snapshot: Snapshot) -> Iterator[Finding]:
    """Say which setting is behind what a failing program complains of."""
    told: list[Case] = []
    full: dict[ResourceRef, list[tuple[Container, Evidence]]] = {}
    for container in containers.of_living_pods(snapshot):
        complaint = _complaint(snapshot, container)
        if complaint is None:
            continue
        if (claim := _full_claim(complaint)) is not None:
            full.setdefault(claim[0], []).append((container, claim[1]))
        elif (case := next(_explained(complaint), None)) is not None:
            told.append(case)
    yield from cases.findings(snapshot, told)
    for ref, sufferers in full.items():
        yield _full(snapshot, ref, sufferers)


def _complaint(snapshot: Snapshot, container: Container) -> _Complaint | None:
    if objects.text(container.pod, "status", "phase") == "Failed" or not failing.is_failing(snapshot, container):
        return None
    source, log = failing.last_log(snapshot, container)
    if not log:
        return None
    last = tuple(loglines.excerpt(log).splitlines())
    return _Complaint(snapshot, container, source, tuple(reversed(loglines.lines(log))), last)


def _explained(complaint: _Complaint) -> Iterator[Case]:
    for rule in _RULES:
        yield from rule(complaint)


# ---- ports


def _port_taken(complaint: _Complaint) -> Iterator[Case]:
    container = complaint.container
    for line in complaint.matching(_TAKEN):
        ports = [int(match[1] or match[2]) for match in _PORT.finditer(line)]
        for port in ports or _declared(container.spec):
            other = _holder(complaint, port)
            if other is not None:
                yield Case(
                    PORT_TAKEN,
                    container.pod,
                    what=f"container {container.name} cannot listen on port {port}: {other[0]} has it",
                    evidence=(complaint.quote(line), other[1]),
                    key=f"{container.name} {port}",
                )
                return


def _declared(spec: KubeObject) -> list[int]:
    numbers = (objects.integer(item, "containerPort") for item in objects.mappings(spec, "ports"))
    return [number for number in numbers if number]


def _holder(complaint: _Complaint, port: int) -> tuple[str, Evidence] | None:
    """Find who else has a port, with what shows it."""
    pod, own = complaint.container.pod, complaint.container.name
    for spec in objects.containers(pod):
        if objects.text(spec, "name") != own and port in _declared(spec):
            name = clean(objects.text(spec, "name"), limit=63)
            source = cases.pod_source(pod, f"container {name} ports")
            return f"container {name} of the same pod", quote(source, f"containerPort {port}")
    if not objects.flag(pod, "spec", "hostNetwork"):
        return None
    node = objects.text(pod, "spec", "nodeName")
    for other in complaint.snapshot.members(PODS):
        is_there = objects.text(other, "spec", "nodeName") == node and objects.flag(other, "spec", "hostNetwork")
        if other is not pod and is_there and any(port in _declared(spec) for spec in objects.containers(other)):
            ref = objects.ref(other)
            return f"{cases.display(ref)} on the same node", quote(
                cases.pod_source(other, "ports"), f"containerPort {port}"
            )
    words = f"something else on node {clean(node, limit=100)}, whose network the pod uses,"
    return words, quote(cases.pod_source(pod, "spec.hostNetwork"), "true")


# ---- paths


def _paths(line: str) -> list[str]:
    return [match[0].rstrip(".") for match in _PATH.finditer(line)]


def _read_only(complaint: _Complaint) -> Iterator[Case]:
    container = complaint.container
    for line in complaint.matching(_ERO):
        for path in _paths(line):
            why = _why_read_only(complaint, path)
            if why is not None:
                words = f"container {container.name} writes to {clean(path, limit=120)}, {why[0]}"
                yield Case(READ_ONLY, container.pod, words, (complaint.quote(line), why[1]), key=container.name)
                return


def _why_read_only(complaint: _Complaint, path: str) -> tuple[str, Evidence] | None:
    container = complaint.container
    mount = mounts.mount_of(container, path)
    if mount is None:
        field = "securityContext.readOnlyRootFilesystem"
        if not objects.flag(container.spec, "securityContext", "readOnlyRootFilesystem"):
            return None
        words = "where no volume is mounted, and its root file system is read-only"
        return words, complaint.field(field, "true")
    kind = next((kind for kind in ("configMap", "secret", "projected", "downwardAPI") if kind in mount.volume), "")
    if not kind and not mount.is_read_only:
        return None
    name = clean(objects.text(mount.volume, "name"), limit=63)
    how = f"a {kind} volume, which is always read-only" if kind else "mounted read-only"
    return f"where volume {name} is {how}", complaint.field("volumeMounts", f"{mount.path} from volume {name}, {how}")


def _not_permitted(complaint: _Complaint) -> Iterator[Case]:
    """Report what is refused on a volume; elsewhere it depends on the image alone."""
    container = complaint.container
    for line in complaint.matching(_EACCES):
        for path in _paths(line):
            mount = mounts.mount_of(container, path)
            if mount is None or mount.path == "/":
                continue
            user, group = _identity(container, "runAsUser"), _fs_group(container.pod)
            who = f"user {user}" if user else "the image's user"
            groups = f"fsGroup {group}" if group else "no fsGroup"
            volume = clean(objects.text(mount.volume, "name"), limit=63)
            claim = mounts.claim_of(container.pod, mount)
            yield Case(
                NOT_PERMITTED,
                container.pod,
                what=f"container {container.name} may not use {clean(path, limit=120)} on volume {volume}:"
                f" it runs as {who} with {groups}",
                evidence=(
                    complaint.quote(line),
                    complaint.field("securityContext", f"runAsUser {user or 'not set'}, {groups}"),
                ),
                key=container.name,
                others=(claim,) if claim is not None else (),
            )
            return


def _identity(container: Container, field: str) -> str:
    value = objects.at(container.spec, "securityContext", field)
    if value is None:
        value = objects.at(container.pod, "spec", "securityContext", field)
    return str(value) if isinstance(value, int) else ""


def _fs_group(pod: KubeObject) -> str:
    value = objects.at(pod, "spec", "securityContext", "fsGroup")
    return str(value) if isinstance(value, int) else ""


def _file_missing(complaint: _Complaint) -> Iterator[Case]:
    container, snapshot = complaint.container, complaint.snapshot
    for line in complaint.matching(_ENOENT):
        for path in _paths(line):
            told = _provided(snapshot, container, path)
            if told is None:
                continue
            source, words, fact = told
            yield Case(
                FILE_MISSING,
                container.pod,
                what=f"container {container.name} looks for {clean(path, limit=120)}; {words}",
                evidence=(complaint.quote(line), fact),
                key=f"{container.name} {path}",
                others=(source,),
            )
            return


def _provided(snapshot: Snapshot, container: Container, path: str) -> tuple[ResourceRef, str, Evidence] | None:
    """Return what puts no such file there: the source, how that came, and what it has."""
    own, name = objects.namespace(container.pod), posixpath.basename(path)
    mount = mounts.mount_of(container, path)
    if mount is not None:
        files = mounts.files_of(snapshot, own, mount.volume)
        if files is None:
            return None
        ref, known = files
        wanted = mount.sub_path or posixpath.relpath(path, mount.path)
        if wanted in known or wanted == ".":
            return None
        near = difflib.get_close_matches(wanted, known, n=1, cutoff=_LIKE)
        has = f"has {clean(near[0], limit=100)}" if near else "has no such key"
        fact = quote(
            f"{cases.display(ref)}, mounted at {mount.path}", f"files: {', '.join(sorted(known)[:20]) or 'none'}"
        )
        return ref, f"{cases.display(ref)}, mounted at {clean(mount.path, limit=120)}, {has}", fact
    for other in mounts.mounts_of(container):
        files = mounts.files_of(snapshot, own, other.volume)
        if files is not None and name in files[1] and not other.sub_path:
            fact = quote(
                f"{cases.display(files[0])}, mounted at {other.path}", f"files: {', '.join(sorted(files[1])[:20])}"
            )
            return (
                files[0],
                f"{cases.display(files[0])}, which has {clean(name, limit=100)}, is mounted at {other.path}",
                fact,
            )
    return None


# ---- full volumes


def _full_claim(complaint: _Complaint) -> tuple[ResourceRef, Evidence] | None:
    """Return the claim on which no space is left: by the path, or because the pod has no other."""
    container = complaint.container
    for line in complaint.matching(_ENOSPC, anywhere=True):
        for path in _paths(line):
            mount = mounts.mount_of(container, path)
            if mount is not None and (ref := mounts.claim_of(container.pod, mount)) is not None:
                return ref, complaint.quote(line)
        mounted = [
            ref for mount in mounts.mounts_of(container) if (ref := mounts.claim_of(container.pod, mount)) is not None
        ]
        if len(set(mounted)) == 1 and not _paths(line):
            return mounted[0], complaint.quote(line)
    return None


def _full(snapshot: Snapshot, ref: ResourceRef, sufferers: Sequence[tuple[Container, Evidence]]) -> Finding:
    pods = [container.pod for container, _ in sufferers]
    workloads = list(dict.fromkeys(map(snapshot.workload_of, pods)))
    size = objects.text(snapshot.find(ref), "status", "capacity", "storage")
    holds = f" ({size})" if size else ""
    losses = (cases.severity_of_loss(snapshot, workload) for workload in workloads)
    return finding(
        VOLUME_FULL,
        title=f"{cases.display(ref)}{holds} is full: {cases.display(workloads[0])} finds no space left",
        objects=(ref, *workloads, *map(objects.ref, pods)),
        evidence=(
            *(said for _, said in sufferers[: cases.SHOWN_PODS]),
            quote(f"{cases.display(ref)} status.capacity.storage", size or "unknown"),
        ),
        next_checks=(f"describe persistentvolumeclaim {ref.name} -n {ref.namespace}",),
        severity=min(losses, key=lambda item: item.rank),
    )


# ---- credentials


def _credentials_refused(complaint: _Complaint) -> Iterator[Case]:
    container, snapshot = complaint.container, complaint.snapshot
    for line in complaint.matching(_AUTH, anywhere=True):
        used = list(_credentials(container))
        called = _called(snapshot, container.pod, line)
        # Who only runs without being ready and calls nobody may be the one who refuses others.
        if called is None and (container.is_running or not used):
            continue
        asked = _server_credentials(snapshot, called) if called is not None else []
        who = cases.display(called) if called is not None else "what it calls"
        said = loglines.without_time(line)
        yield Case(
            CREDENTIALS_REFUSED,
            container.pod,
            what=f"{who} refuses the credentials of container {container.name}: {clean(said, limit=160)}",
            evidence=(
                complaint.quote(line),
                *(item for _, item in used[:5]),
                *(item for _, item in asked[:3]),
            ),
            key=container.name,
            others=tuple(dict.fromkeys((*(ref for ref, _ in (*used, *asked) if ref), *([called] if called else [])))),
        )
        return


def _credentials(container: Container) -> Iterator[tuple[ResourceRef | None, Evidence]]:
    """Yield where the variables of a container that look like credentials come from; never what they hold."""
    own = objects.namespace(container.pod)
    source = f"container {container.name}"
    for item in objects.mappings(container.spec, "env"):
        name = objects.text(item, "name")
        for kind, field in (("Secret", "secretKeyRef"), ("ConfigMap", "configMapKeyRef")):
            reference = objects.mapping(item, "valueFrom", field)
            holder = objects.text(reference, "name")
            if is_name(holder) and (kind == "Secret" or _CREDENTIAL.search(name)):
                ref = ResourceRef(kind=kind, namespace=own, name=holder)
                words = f"from {cases.display(ref)}, key {objects.text(reference, 'key')}"
                yield ref, quote(cases.pod_source(container.pod, f"{source} variable {name}"), words)
        if "value" in item and _CREDENTIAL.search(name):
            yield None, quote(cases.pod_source(container.pod, f"{source} variable {name}"), "a value of its own")
    for item in objects.mappings(container.spec, "envFrom"):
        holder = objects.text(item, "secretRef", "name")
        if is_name(holder):
            ref = ResourceRef(kind="Secret", namespace=own, name=holder)
            yield ref, quote(cases.pod_source(container.pod, f"{source} envFrom"), f"all of {cases.display(ref)}")


def _called(snapshot: Snapshot, pod: KubeObject, line: str) -> ResourceRef | None:
    """Return the Service that refuses: of those that the pod is told of, the one whose name the line is most like."""
    told = dict.fromkeys(address.service for address in addresses.addresses_of(snapshot, pod))
    known = [ref for ref in told if snapshot.find(ref) is not None and not _is_behind(snapshot, ref, pod)]
    said = set(_PARTS.findall(f"{line} {snapshot.workload_of(pod).name}".lower()))
    alike = {ref: len(said.intersection(_PARTS.findall(ref.name))) for ref in known}
    best = [ref for ref in known if alike[ref] == max(alike.values())]
    return best[0] if len(best) == 1 else None


def _is_behind(snapshot: Snapshot, service: ResourceRef, pod: KubeObject) -> bool:
    selector = objects.mapping(snapshot.find(service), "spec", "selector")
    return objects.namespace(pod) == service.namespace and selector.items() <= objects.labels(pod).items()


def _server_credentials(snapshot: Snapshot, service: ResourceRef) -> list[tuple[ResourceRef | None, Evidence]]:
    """Say from where the program behind a Service has its own."""
    pods = snapshot.select_pods(service.namespace, objects.mapping(snapshot.find(service), "spec", "selector"))
    return [item for pod in pods[:1] for each in containers.containers_of(pod) for item in _credentials(each)]


_RULES: tuple[Callable[[_Complaint], Iterator[Case]], ...] = (
    _port_taken,
    _read_only,
    _file_missing,
    _not_permitted,
    _credentials_refused,
)

ANALYZERS: tuple[Analyzer, ...] = (program_complaints,)
