"""What was read from a cluster, indexed for analyzers.

A snapshot is a value: analyzers ask it, nothing changes it. Indexes are built when first asked for. Objects that no
apiserver could have stored (not a mapping, no usable name) are left out, so that analyzers meet only objects with a
name, a namespace and a kind; everything below that may still have any shape.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from kubently.analyzers.events import Event, parse_event
from kubently.analyzers.resources import EVENTS, PODS, RESOURCES, WORKLOADS, Resource, resource_of
from kubently.analyzers.writes import Writes
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Blind, ResourceRef

T = TypeVar("T")


class _LabelIndex:
    """Finds objects by labels without looking at every one: a big namespace has thousands of pods and Services."""

    def __init__(self, labelled: Iterable[tuple[KubeObject, Mapping[str, str]]]) -> None:
        self._entries: dict[tuple[str, str, str], list[tuple[KubeObject, Mapping[str, str]]]] = {}
        for member, labels in labelled:
            for key, value in labels.items():
                self._entries.setdefault((objects.namespace(member), key, value), []).append((member, labels))

    def select(self, namespace: str, wanted: object) -> list[KubeObject]:
        """Return the objects of a namespace that carry all pairs of *wanted*; an empty map selects none."""
        pairs = objects.string_map({"wanted": wanted}, "wanted").items()
        candidates = (self._entries.get((namespace, key, value), []) for key, value in pairs)
        rarest = min(candidates, key=len, default=[])
        return [member for member, labels in rarest if all(labels.get(key) == value for key, value in pairs)]


class LogKey(NamedTuple):
    """Whose log: *previous* is the container's run before the current one."""

    namespace: str
    pod: str
    container: str
    previous: bool


@dataclass(frozen=True)
class Snapshot:
    """Objects of one cluster at one instant, with the logs that matter and a record of what could not be read."""

    resources: Mapping[Resource, Sequence[KubeObject]]
    """The objects that were read; a resource that was not read is not a key."""
    read_at: datetime
    """The cluster's own clock when reading began."""
    logs: Mapping[LogKey, str] = field(default_factory=dict)
    """Tails of logs."""
    blind: tuple[Blind, ...] = ()
    """What could not be read, or not in full."""
    namespaces: frozenset[str] | None = None
    """The only namespaces that were read, or None for all."""
    whole_in: Mapping[Resource, frozenset[str]] = field(default_factory=dict)
    """Resources that are known not to be whole, with the namespaces of which everything was read."""

    @classmethod
    def of(
        cls,
        members: Iterable[object],
        *,
        read_at: datetime,
        logs: Mapping[LogKey, str] | None = None,
        blind: Iterable[Blind] = (),
        namespaces: Iterable[str] | None = None,
        extra: Iterable[Resource] = (),
    ) -> Snapshot:
        """Make a snapshot from loose objects, as an archive holds them.

        Every known resource counts as read except those that *blind* names; kinds that no analyzer reads are dropped,
        unless *extra* names them.
        """
        others = {(item.group, item.kind): item for item in extra}
        gaps = tuple(blind)
        unread = {gap.resource for gap in gaps}
        found: dict[Resource, list[KubeObject]] = {item: [] for item in RESOURCES if str(item) not in unread}
        for member in members:
            kind = (objects.group(member), objects.kind(member))
            resource = resource_of(*kind) or others.get(kind)
            if resource is not None and isinstance(member, Mapping):
                found.setdefault(resource, []).append(member)
        return cls(found, read_at, logs or {}, gaps, None if namespaces is None else frozenset(namespaces))

    def with_logs(self, logs: Mapping[LogKey, str], blind: Iterable[Blind]) -> Snapshot:
        """Return the same with other logs, and another record of what could not be read."""
        other = replace(self, logs=logs, blind=tuple(blind))
        # What is known of the objects need not be worked out again.
        other.__dict__.update({name: self.__dict__[name] for name in _OF_OBJECTS if name in self.__dict__})
        return other

    # ---- objects

    def members(self, resource: Resource, namespace: str | None = None) -> Sequence[KubeObject]:
        """Return the objects of a resource, of one namespace or of all."""
        if namespace is None:
            return self._lists.get(resource, ())
        return self._by_namespace.get((resource, namespace), ())

    def get(self, resource: Resource, namespace: str, name: str) -> KubeObject | None:
        """Return one object by name; None means only that it was not read, see `is_complete`."""
        return self._by_name.get((resource, namespace if resource.is_namespaced else "", name))

    def find(self, ref: ResourceRef) -> KubeObject | None:
        """Return the object that *ref* names, if it was read."""
        resource = resource_of(ref.group, ref.kind)
        return self.get(resource, ref.namespace, ref.name) if resource else None

    def by_uid(self, uid: str) -> KubeObject | None:
        """Return the object with this uid, if it was read."""
        return self._by_uid.get(uid)

    def workload_of(self, pod: KubeObject) -> ResourceRef:
        """Return what a person would change to change this pod: its Deployment, CronJob, ..., or the pod itself."""
        return self._workloads.get((objects.namespace(pod), objects.name(pod))) or objects.ref(pod)

    def root_of(self, member: KubeObject) -> ResourceRef:
        """Return the workload that stands above a ReplicaSet or Job, or the object itself."""
        return _climb(self, member, objects.ref(member), _CLIMBED_FROM)

    def pods_of(self, workload: ResourceRef) -> Sequence[KubeObject]:
        """Return the pods of which *workload* is the `workload_of`."""
        return self._pods_of.get(workload, ())

    def select_pods(self, namespace: str, labels: object) -> Sequence[KubeObject]:
        """Return the pods of a namespace that carry all pairs of a plain label map; an empty map selects none."""
        return self._pods_by_label.select(namespace, labels)

    def select_workloads(self, namespace: str, labels: object) -> Sequence[KubeObject]:
        """Return the workloads of a namespace whose pods get all pairs of a label map; an empty map gives none."""
        return self._workloads_by_label.select(namespace, labels)

    def is_complete(self, resource: Resource, namespace: str | None = None) -> bool:
        """Say whether an object that is not here does not exist: the resource was read, in full, there."""
        if resource in self.resources and resource in self.whole_in:
            return namespace in self.whole_in[resource]
        if resource not in self.resources or str(resource) in self._gaps:
            return False
        return self.namespaces is None or not resource.is_namespaced or namespace in self.namespaces

    # ---- events, logs, time

    def events(self, subject: KubeObject, *reasons: str) -> Sequence[Event]:
        """Return the events about an object, newest first, of the given reasons or of all."""
        return self.events_about(objects.ref(subject), *reasons, uid=objects.uid(subject))

    def events_about(self, ref: ResourceRef, *reasons: str, uid: str = "") -> Sequence[Event]:
        """Return the events about a named object, newest first; *uid* leaves out those about a namesake before it."""
        return [
            event
            for event in self._events.get((ref.kind, ref.namespace, ref.name), ())
            if (not reasons or event.reason in reasons) and (not uid or event.uid in ("", uid))
        ]

    def all_events(self, *reasons: str) -> Sequence[Event]:
        """Return the events of the given reasons about any object, also one that is gone, newest first."""
        found = [event for events in self._events.values() for event in events if event.reason in reasons]
        return sorted(found, key=lambda event: event.last_at or _LONG_AGO, reverse=True)

    def logs_like(self, pod: KubeObject, container: str) -> Sequence[LogKey]:
        """Return the logs there are of a container: of this pod, or else of others of its workload.

        Logs are read of one pod for each workload and container; its siblings usually fail alike.
        """
        candidates = self._logs_of.get((self.workload_of(pod), container), ())
        own = [key for key in candidates if (key.namespace, key.pod) == (objects.namespace(pod), objects.name(pod))]
        return own or candidates

    def age(self, instant: datetime | None) -> timedelta:
        """Return how long ago something was by the cluster's clock; unknown or future instants give zero."""
        if instant is None:
            return timedelta()
        return max(self.read_at - instant, timedelta())

    def written_no_earlier_than(self, member: KubeObject) -> datetime | None:
        """Return an instant before which *member*, of a built-in resource, cannot have been written last, if known."""
        return self._writes.no_earlier_than(member)

    # ---- indexes

    def once(self, key: Hashable, work: Callable[[], T]) -> T:
        """Return what *work* finds in this snapshot under *key*, which is worked out the first time only."""
        if key not in self._done:
            self._done[key] = work()
        found: T = self._done[key]
        return found

    @cached_property
    def _done(self) -> dict[Hashable, Any]:
        return {}

    @cached_property
    def _writes(self) -> Writes:
        built_in = (resource for resource in self._lists if "." not in resource.group and resource is not EVENTS)
        return Writes((member for item in built_in for member in self._lists[item]), until=self.read_at)

    @cached_property
    def _gaps(self) -> frozenset[str]:
        return frozenset(gap.resource for gap in self.blind)

    @cached_property
    def _lists(self) -> dict[Resource, tuple[KubeObject, ...]]:
        return {
            resource: tuple(_typed(member, resource) for member in members if _is_sound(member, resource))
            for resource, members in self.resources.items()
        }

    @cached_property
    def _by_name(self) -> dict[tuple[Resource, str, str], KubeObject]:
        return {
            (resource, objects.namespace(member), objects.name(member)): member
            for resource, members in self._lists.items()
            for member in members
        }

    @cached_property
    def _by_namespace(self) -> dict[tuple[Resource, str], list[KubeObject]]:
        index: dict[tuple[Resource, str], list[KubeObject]] = {}
        for resource, members in self._lists.items():
            for member in members:
                index.setdefault((resource, objects.namespace(member)), []).append(member)
        return index

    @cached_property
    def _by_uid(self) -> dict[str, KubeObject]:
        return {
            objects.uid(member): member for members in self._lists.values() for member in members if objects.uid(member)
        }

    @cached_property
    def _pods_by_label(self) -> _LabelIndex:
        return _LabelIndex((pod, objects.labels(pod)) for pod in self.members(PODS))

    @cached_property
    def _workloads_by_label(self) -> _LabelIndex:
        members = (member for resource in WORKLOADS for member in self.members(resource))
        return _LabelIndex((member, objects.pod_labels(member)) for member in members)

    @cached_property
    def _workloads(self) -> dict[tuple[str, str], ResourceRef]:
        return {
            (objects.namespace(pod), objects.name(pod)): _climb(self, pod, objects.ref(pod), _CLIMBED_FROM)
            for pod in self.members(PODS)
        }

    @cached_property
    def _logs_of(self) -> dict[tuple[ResourceRef, str], list[LogKey]]:
        index: dict[tuple[ResourceRef, str], list[LogKey]] = {}
        for key in self.logs:
            pod = self.get(PODS, key.namespace, key.pod)
            if pod is not None:
                index.setdefault((self.workload_of(pod), key.container), []).append(key)
        return index

    @cached_property
    def _pods_of(self) -> dict[ResourceRef, list[KubeObject]]:
        index: dict[ResourceRef, list[KubeObject]] = {}
        for pod in self.members(PODS):
            index.setdefault(self.workload_of(pod), []).append(pod)
        return index

    @cached_property
    def _events(self) -> dict[tuple[str, str, str], list[Event]]:
        index: dict[tuple[str, str, str], list[Event]] = {}
        for member in self.members(EVENTS):
            event = parse_event(member)
            index.setdefault((event.kind, event.namespace, event.name), []).append(event)
        for events in index.values():
            events.sort(key=lambda event: event.last_at or _LONG_AGO, reverse=True)
        return index


_OF_OBJECTS = (
    "_by_name",
    "_by_namespace",
    "_by_uid",
    "_events",
    "_lists",
    "_pods_by_label",
    "_pods_of",
    "_workloads",
    "_workloads_by_label",
    "_writes",
)
"""The indexes in which there is nothing of logs."""
_LONG_AGO = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


_CLIMBED_FROM = ("Pod", "ReplicaSet", "Job")
"""Kinds that stand for their controller. A StatefulSet that an operator's object owns is still what a person knows."""


def _climb(snapshot: Snapshot, member: KubeObject, ref: ResourceRef, climbed_from: tuple[str, ...]) -> ResourceRef:
    """Follow controllers upwards; each kind is climbed from once, so that a circle of owners ends."""
    owner = objects.controller(member)
    # Static pods are controlled by their Node, which is not what a person would change.
    if ref.kind not in climbed_from or owner is None or owner.kind == "Node" or not _is_plain(owner):
        return ref
    above = ResourceRef(group=owner.group, kind=owner.kind, namespace=ref.namespace, name=owner.name)
    rest = tuple(kind for kind in climbed_from if kind != ref.kind)
    return _climb(snapshot, snapshot.find(above) or {}, above, rest)


def _is_plain(owner: objects.OwnerReference) -> bool:
    return is_name(owner.name) and is_name(owner.kind) and (not owner.group or is_name(owner.group))


def _is_sound(member: object, resource: Resource) -> bool:
    """Say whether the object has a name, and a namespace if its resource has."""
    namespace = objects.namespace(member)
    return is_name(objects.name(member)) and (is_name(namespace) if resource.is_namespaced else not namespace)


def is_name(words: str) -> bool:
    """Say whether *words* can name an object and be shown as they are: no name in Kubernetes is other than ASCII."""
    return bool(words) and words.isascii() and words.isprintable()


def _typed(member: KubeObject, resource: Resource) -> KubeObject:
    """Give *member* the kind and apiVersion that members of a list come without, and events those of the core."""
    if objects.kind(member) == resource.kind and objects.text(member, "apiVersion") == resource.api_version:
        return member
    return {**member, "kind": resource.kind, "apiVersion": resource.api_version}
