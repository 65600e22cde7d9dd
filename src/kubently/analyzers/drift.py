"""What runs is not what stands in the cluster any more, or soon cannot be written: stale settings, old API versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from kubently.analyzers import cases, containers, controllers
from kubently.analyzers.base import Analyzer, Condition, analyzer, finding, quote
from kubently.analyzers.resources import (
    CONFIG_MAPS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    FLOW_SCHEMAS,
    HORIZONTAL_POD_AUTOSCALERS,
    INGRESSES,
    MUTATING_WEBHOOKS,
    NETWORK_POLICIES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    ROLE_BINDINGS,
    ROLES,
    STATEFUL_SETS,
    STORAGE_CLASSES,
    VALIDATING_WEBHOOKS,
)
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Confidence, Finding, Severity

CONFIG_STALE = Condition(
    "workload/config-stale",
    Severity.RISK,
    "A ConfigMap was changed after the pods read it into variables or by subPath: they keep the old values.",
    "Restart the pods when the new values are wanted.",
    confidence=Confidence.LIKELY,
)
DEPRECATED_API = Condition(
    "workload/deprecated-api",
    Severity.HYGIENE,
    "Somebody still writes the object in an API version that newer servers do not have.",
    "Change the manifest, chart or program to the version that is served today.",
)

# API group and version -> the Kubernetes version that does not serve it any more; from Kubernetes' own deprecation
# guide (kubernetes.io/docs/reference/using-api/deprecation-guide).
_REMOVED: Mapping[str, str] = {
    "extensions/v1beta1": "1.22",
    "apps/v1beta1": "1.16",
    "apps/v1beta2": "1.16",
    "networking.k8s.io/v1beta1": "1.22",
    "rbac.authorization.k8s.io/v1beta1": "1.22",
    "rbac.authorization.k8s.io/v1alpha1": "1.22",
    "admissionregistration.k8s.io/v1beta1": "1.22",
    "storage.k8s.io/v1beta1": "1.27",
    "batch/v1beta1": "1.25",
    "policy/v1beta1": "1.25",
    "autoscaling/v2beta1": "1.25",
    "autoscaling/v2beta2": "1.26",
    "flowcontrol.apiserver.k8s.io/v1beta1": "1.26",
    "flowcontrol.apiserver.k8s.io/v1beta2": "1.29",
    "flowcontrol.apiserver.k8s.io/v1beta3": "1.32",
}
_WRITTEN = (
    DEPLOYMENTS,
    STATEFUL_SETS,
    DAEMON_SETS,
    CRON_JOBS,
    INGRESSES,
    NETWORK_POLICIES,
    HORIZONTAL_POD_AUTOSCALERS,
    POD_DISRUPTION_BUDGETS,
    VALIDATING_WEBHOOKS,
    MUTATING_WEBHOOKS,
    STORAGE_CLASSES,
    ROLES,
    ROLE_BINDINGS,
    FLOW_SCHEMAS,
)


@analyzer("stale-configuration", needs=(*cases.NEEDS, CONFIG_MAPS), conditions=(CONFIG_STALE,))
def stale_configuration(snapshot: Snapshot) -> Iterator[Finding]:
    """Report pods that are older than the ConfigMaps they were started with."""
    told: set[tuple[object, str]] = set()
    for pod in snapshot.members(PODS):
        if containers.is_finished(pod) or not containers.is_ready(pod):
            continue
        for name in dict.fromkeys(_read_once(pod)):
            config = snapshot.get(CONFIG_MAPS, objects.namespace(pod), name)
            workload = snapshot.workload_of(pod)
            if config is None or (workload, name) in told or workload.kind in ("Job", "CronJob"):
                continue
            changed, started = controllers.changed_at(config), _started(pod)
            if changed is not None and started is not None and changed > started:
                told.add((workload, name))
                yield _stale(snapshot, pod, config, changed, started)


def _read_once(pod: KubeObject) -> Iterator[str]:
    """Names of ConfigMaps whose values a kubelet does not bring up to date in a running container."""
    mounted = {
        objects.text(volume, "name"): objects.text(volume, "configMap", "name")
        for volume in objects.mappings(pod, "spec", "volumes")
    }
    for container in objects.containers(pod):
        yield from (objects.text(source, "configMapRef", "name") for source in objects.mappings(container, "envFrom"))
        for item in objects.mappings(container, "env"):
            yield objects.text(item, "valueFrom", "configMapKeyRef", "name")
        for mount in objects.mappings(container, "volumeMounts"):
            if objects.text(mount, "subPath") or objects.text(mount, "subPathExpr"):
                yield mounted.get(objects.text(mount, "name"), "")


def _started(pod: KubeObject) -> datetime | None:
    """When the container that started first did: the kubelet reads variables at each start."""
    starts = [container.running_since for container in containers.containers_of(pod) if not container.is_init]
    return min((start for start in starts if start is not None), default=None)


def _stale(snapshot: Snapshot, pod: KubeObject, config: KubeObject, changed: datetime, started: datetime) -> Finding:
    workload, ref = snapshot.workload_of(pod), objects.ref(config)
    return finding(
        CONFIG_STALE,
        title=f"{cases.display(workload)} runs with values that {cases.display(ref)} had before it was changed",
        objects=(workload, ref),
        evidence=(
            quote(f"{cases.display(ref)} metadata.managedFields", f"changed {changed.isoformat()}"),
            quote(cases.pod_source(pod, "status.containerStatuses"), f"running since {started.isoformat()}"),
        ),
        next_checks=(f"get configmap {ref.name} -n {ref.namespace} -o yaml",),
        key=ref.name,
    )


@analyzer("api-versions", needs=(*_WRITTEN, REPLICA_SETS), conditions=(DEPRECATED_API,))
def api_versions(snapshot: Snapshot) -> Iterator[Finding]:
    """Report objects whose last writer used a version that is gone in newer servers."""
    for resource in _WRITTEN:
        for member in snapshot.members(resource):
            entries = objects.mappings(member, "metadata", "managedFields")
            old = next((entry for entry in entries if objects.text(entry, "apiVersion") in _REMOVED), None)
            if old is not None:
                yield _deprecated(member, objects.text(old, "apiVersion"), objects.text(old, "manager"))


def _deprecated(member: KubeObject, version: str, manager: str) -> Finding:
    ref = objects.ref(member)
    return finding(
        DEPRECATED_API,
        title=f"{cases.display(ref)} was written as {version}, which Kubernetes {_REMOVED[version]} does not have",
        objects=(ref,),
        evidence=(quote(f"{cases.display(ref)} metadata.managedFields", f"{manager or 'somebody'} used {version}"),),
        next_checks=(f"get {ref.kind.lower()} {ref.name}" + (f" -n {ref.namespace}" if ref.namespace else ""),),
    )


ANALYZERS: tuple[Analyzer, ...] = (stale_configuration, api_versions)
