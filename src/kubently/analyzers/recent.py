"""What people changed lately, and which of it a pod has to do with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from kubently.analyzers import changes, relations
from kubently.analyzers.resources import (
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    INGRESSES,
    JOBS,
    NETWORK_POLICIES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SECRETS,
    SERVICES,
    STATEFUL_SETS,
)
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Evidence, ResourceRef

NEEDS = (
    CONFIG_MAPS,
    SECRETS,
    DEPLOYMENTS,
    STATEFUL_SETS,
    DAEMON_SETS,
    SERVICES,
    INGRESSES,
    NETWORK_POLICIES,
    PERSISTENT_VOLUME_CLAIMS,
    JOBS,
)
SKEW = timedelta(seconds=60)
"""By how much what somebody says may seem to come before its cause."""
_SETTLED = timedelta(days=1)
"""In a younger namespace everything is a change."""


@dataclass(frozen=True, slots=True)
class Recent:
    """The last change of an object."""

    ref: ResourceRef
    at: datetime
    told: Evidence

    @property
    def is_setting(self) -> bool:
        """Whether it is what workloads read, which is changed before their pods are made anew."""
        return self.ref.kind in (CONFIG_MAPS.kind, SECRETS.kind)


def changed(snapshot: Snapshot) -> dict[str, dict[ResourceRef, Recent]]:
    """Return what people changed lately, by namespace; namespaces in which that is nothing, or all, are left out."""
    return snapshot.once("changed", partial(_changed, snapshot))


def _changed(snapshot: Snapshot) -> dict[str, dict[ResourceRef, Recent]]:
    found: dict[str, dict[ResourceRef, Recent]] = {}
    for resource in NEEDS:
        for member in snapshot.members(resource):
            if objects.controller(member) is not None:
                continue
            ref = objects.ref(member)
            told = changes.lately(snapshot, ref)
            if told is not None:
                found.setdefault(ref.namespace, {})[ref] = Recent(ref, *told)
    settled = {namespace: members for namespace, members in found.items() if _is_settled(snapshot, namespace)}
    used = {namespace: _used(snapshot, namespace, members) for namespace, members in settled.items()}
    return {namespace: members for namespace, members in sorted(used.items()) if members}


def _used(snapshot: Snapshot, namespace: str, found: dict[ResourceRef, Recent]) -> dict[ResourceRef, Recent]:
    """Leave out ConfigMaps and Secrets that no pod reads."""
    if not any(change.is_setting for change in found.values()):
        return found
    read = {ref for pod in snapshot.members(PODS, namespace) for ref in changes.named_by(pod)}
    return {ref: change for ref, change in found.items() if not change.is_setting or ref in read}


def parts_of(snapshot: Snapshot, pod: KubeObject) -> Sequence[ResourceRef]:
    """Return a pod's workload, what it reads and mounts, and the policies that hold for it."""
    claims = (
        ResourceRef(kind=PERSISTENT_VOLUME_CLAIMS.kind, namespace=objects.namespace(pod), name=name)
        for name in relations.claims_of(pod)
    )
    policies = (objects.ref(policy) for policy in relations.policies_of(snapshot, pod))
    return [snapshot.workload_of(pod), *changes.named_by(pod), *claims, *policies]


def _is_settled(snapshot: Snapshot, namespace: str) -> bool:
    members = (member for resource in (DEPLOYMENTS, STATEFUL_SETS) for member in snapshot.members(resource, namespace))
    return any(snapshot.age(objects.created_at(member)) > _SETTLED for member in members)
