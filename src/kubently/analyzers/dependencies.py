"""What failing pods wait for: Services that their logs say they cannot reach, and behind which no pod is ready.

A log is taken at its word only together with the cluster's: a line that speaks of a connection that failed, and a
Service that nothing serves, named by that line or, where the line names none, by a variable of the container.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from kubently.analyzers import addresses, containers, evidence
from kubently.analyzers.base import quote
from kubently.analyzers.resources import PODS, SERVICES
from kubently.analyzers.snapshot import LogKey, Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Evidence, ResourceRef

SUFFERING = frozenset(
    {
        "pod/crash-loop",
        "pod/init-waits",
        "pod/liveness-kills",
        "pod/readiness-fails",
        "pod/startup-kills",
        "job/failed",
    }
)
"""Conditions that a Service which does not answer may bring about in those who call it."""

_INTERCHANGEABLE = ("ReplicaSet", "ReplicationController", "DaemonSet", "Job", "Node")
"""Kinds of owners whose pods have no name that lasts."""
_READ_CHARS = 64_000
_LINE = 2000
TROUBLE = re.compile(
    r"refused|ECONN|ETIMEDOUT|EHOSTUNREACH|ENOTFOUND|EAI_AGAIN|unreachable|unavailable|timed? ?out|no route to host|"
    r"no such host|not (?:be )?resolved?|name resolution|Name or service not known|UnknownHost|bad address|getaddrinfo|"
    r"(?:can ?not|can't|could not|couldn't|unable to|fail(?:ed|ure)? to|failed) (?:\w+ ){0,2}(?:connect|reach|resolve|"
    r"dial|be established)|connection (?:\w+ ){0,3}(?:reset|failed|closed|error)|server running on host|waiting for|"
    r"no address associated|no (?:reachable|available|healthy) (?:\w+ )?(?:servers?|hosts?|brokers?|nodes?|upstreams?)|"
    r"no address available|ServerSelection",
    re.IGNORECASE,
)
# What clients of several servers say if some of them are missing.
_QUORUM = re.compile(
    r"NOT_ENOUGH_REPLICAS|NotEnoughReplicas|LEADER_NOT_AVAILABLE|LeaderNotAvailable|NoReplicaOnline|no leader|"
    r"(?:no|without|lost) (?:a )?quorum|NotPrimaryNoSecondaryOk|NoPrimary|CLUSTERDOWN|not enough (?:in-sync )?replicas|"
    r"Unavailable shards|NoShardAvailable|cannot achieve consistency|UnavailableException",
    re.IGNORECASE,
)
# A host as a log writes it: 10.96.0.12:5432, db.shop.svc, amqp://queue, host "db", lookup db on ..., db:5432.
_WORD = re.compile(r"(?<![\w.-])[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?", re.IGNORECASE)
_BEFORE_HOST = re.compile(
    r"(?:://|@|\b(?:host|name|lookup|address|for|to|on|server|resolved?|ENOTFOUND|EAI_AGAIN|UnknownHostException)"
    r"[ =:]{1,3}[\"'`]?)$",
    re.IGNORECASE,
)
_BEFORE_CHARS = 30
_AFTER_HOST = re.compile(r":[0-9]{1,5}\b(?!:[0-9])")
_URL = re.compile(r"://[^/\s]|[\w.-]@[\w-]")


class Dependencies:
    """The Services of one snapshot that nothing serves, or that are suspect, and who says that they are missed."""

    def __init__(self, snapshot: Snapshot, suspects: Iterable[ResourceRef] = ()) -> None:
        self._snapshot = snapshot
        self._by_name = {(ref.namespace, ref.name): ref for ref in suspects}
        self._by_address: dict[str, ResourceRef] = {}
        self._members = _members_down(snapshot)
        for service in snapshot.members(SERVICES):
            ref = objects.ref(service)
            if (ref.namespace, ref.name) not in self._by_name and not _is_unserved(snapshot, service):
                continue
            self._by_name[ref.namespace, ref.name] = ref
            known = objects.text(service, "spec", "clusterIP"), *objects.strings(service, "spec", "clusterIPs")
            self._by_address |= {address: ref for address in known if address not in ("", "None")}

    def complaints(self) -> dict[ResourceRef, dict[ResourceRef, Evidence]]:
        """Return for each Service the workloads whose logs name it as what cannot be reached, with the newest line."""
        said: dict[ResourceRef, dict[ResourceRef, Evidence]] = {}
        for key in self._snapshot.logs if self._by_name else ():
            pod = self._snapshot.get(PODS, key.namespace, key.pod)
            if pod is None:
                continue
            workload = self._snapshot.workload_of(pod)
            for line in _lines(self._snapshot.logs[key]):
                for ref in self._named(line, key.namespace) if TROUBLE.search(line) else ():
                    if not self._is_behind(ref, [pod]):
                        said.setdefault(ref, {})[workload] = quote(evidence.log_source(key), line)
        return said

    def missed_by(self, workload: ResourceRef) -> tuple[ResourceRef, ...]:
        """Return the Services that pods of *workload* fail for, as far as their words tell."""
        if not self._by_name and not self._members:
            return ()
        pods = [pod for pod in self._snapshot.pods_of(workload) if not containers.is_ready(pod)]
        found = dict.fromkeys((*self._said(pods), *self._awaited(pods)))
        return tuple(ref for ref in found if not self._is_behind(ref, pods))

    def _is_behind(self, service: ResourceRef, pods: Sequence[KubeObject]) -> bool:
        """Say whether the Service is unserved because of these pods themselves."""
        selector = objects.mapping(self._snapshot.find(service), "spec", "selector")
        return bool(selector) and any(
            objects.namespace(pod) == service.namespace and selector.items() <= objects.labels(pod).items()
            for pod in pods
        )

    def _said(self, pods: Sequence[KubeObject]) -> Iterator[ResourceRef]:
        """The Services that logs name, or else variables where a log names nobody."""
        failing = [(pod, container) for pod in pods for container in containers.containers_of(pod)]
        keys = dict.fromkeys(key for pod, container in failing for key in self._snapshot.logs_like(pod, container.name))
        for key in keys:
            troubles = [line for line in _lines(self._snapshot.logs[key]) if TROUBLE.search(line)]
            for line in troubles:
                yield from self._named(line, key.namespace)
            if not all(map(_names_somebody, troubles)):
                yield from self._configured(key)
            if any(map(_QUORUM.search, _lines(self._snapshot.logs[key]))):
                yield from self._thinned_out(key)

    def _named(self, line: str, own: str) -> Iterator[ResourceRef]:
        for word in _WORD.finditer(line):
            host = word[0].lower()
            ref = self._by_address.get(host) or self._resolve(host, own)
            if ref is not None and (host in self._by_address or _is_host(line, word)):
                yield ref

    def _configured(self, key: LogKey) -> Iterator[ResourceRef]:
        pod = self._snapshot.get(PODS, key.namespace, key.pod)
        for address in addresses.addresses_of(self._snapshot, pod or {}):
            if (address.service.namespace, address.service.name) in self._by_name:
                yield address.service

    def _thinned_out(self, key: LogKey) -> Iterator[ResourceRef]:
        """The Services that a pod is told of and that have lost some of their members."""
        pod = self._snapshot.get(PODS, key.namespace, key.pod)
        for address in addresses.addresses_of(self._snapshot, pod or {}):
            ref = address.service
            selector = objects.at(self._snapshot.find(ref), "spec", "selector")
            behind = self._snapshot.select_pods(ref.namespace, selector)
            if any((ref.namespace, objects.name(member)) in self._members for member in behind):
                yield ref

    def _awaited(self, pods: Sequence[KubeObject]) -> Iterator[ResourceRef]:
        """The Services that the commands of working init containers name."""
        commands = {
            (objects.namespace(pod), *objects.strings(item.spec, "command"), *objects.strings(item.spec, "args"))
            for pod in pods
            for item in containers.containers_of(pod)
            if item.is_working_init
        }
        for own, *words in sorted(commands):
            for word in _WORD.finditer(" ".join(words)[:_READ_CHARS]):
                ref = self._resolve(word[0].lower(), own)
                if ref is not None:
                    yield ref

    def _resolve(self, host: str, own: str) -> ResourceRef | None:
        """Find the Service as the cluster's DNS would for a pod of namespace *own*; also by a pod behind it."""
        labels = host.split(".")
        for name, rest in ((labels[0], labels[1:]), (labels[1] if len(labels) > 1 else "", labels[2:])):
            namespace, tail = (rest[0], rest[1:]) if rest else (own, [])
            if (namespace, name) in self._by_name and (not tail or tail[0] == "svc"):
                return self._by_name[namespace, name]
        return self._governing(labels, own)

    def _governing(self, labels: Sequence[str], own: str) -> ResourceRef | None:
        """The Service in the name of a member that is down: db-2.db, db-2.db.shop.svc."""
        namespace = labels[2] if len(labels) > 2 else own
        if len(labels) < 2 or (namespace, labels[0]) not in self._members:
            return None
        ref = ResourceRef(kind=SERVICES.kind, namespace=namespace, name=labels[1])
        return ref if self._snapshot.find(ref) is not None else None


def _members_down(snapshot: Snapshot) -> frozenset[tuple[str, str]]:
    """The pods that are not ready and that clients know one by one, by namespace and name: as of StatefulSets."""
    return frozenset(
        (objects.namespace(pod), objects.name(pod))
        for pod in snapshot.members(PODS)
        if (owner := objects.controller(pod)) is not None and owner.kind not in _INTERCHANGEABLE
        if not containers.is_ready(pod)
    )


def _lines(log: str) -> list[str]:
    return [line[:_LINE] for line in log[-_READ_CHARS:].splitlines()]


def _names_somebody(line: str) -> bool:
    """Say whether a line surely names a host, be it one of the cluster's or not; the time of day has colons, too."""
    words = (word for word in _WORD.finditer(line) if not word[0].isdigit())
    return _URL.search(line) is not None or any(_AFTER_HOST.match(line, word.end()) for word in words)


def _is_host(line: str, word: re.Match[str]) -> bool:
    """Say whether a word of a line is surely meant as a host: many Services are called as things are."""
    before = line[max(word.start() - _BEFORE_CHARS, 0) : word.start()]
    return ".svc" in word[0].lower() or bool(_AFTER_HOST.match(line, word.end()) or _BEFORE_HOST.search(before))


def _is_unserved(snapshot: Snapshot, service: KubeObject) -> bool:
    """Say whether a Service finds its pods by labels and none of them is ready."""
    selector = objects.mapping(service, "spec", "selector")
    if not selector or objects.text(service, "spec", "type") == "ExternalName":
        return False
    return not any(map(containers.is_ready, snapshot.select_pods(objects.namespace(service), selector)))
