"""Containers that cannot be made because a ConfigMap, a Secret or a key of one is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kubently.analyzers import cases, containers, settings
from kubently.analyzers.base import GRACE, Analyzer, Condition, analyzer, clean, quote
from kubently.analyzers.cases import Case
from kubently.analyzers.containers import Container
from kubently.analyzers.resources import CONFIG_MAPS, PODS
from kubently.analyzers.snapshot import Snapshot
from kubently.kube import objects
from kubently.kube.objects import KubeObject
from kubently.schema.findings import Evidence, Finding, ResourceRef, Severity

CONFIG_MISSING = Condition(
    "pod/config-missing",
    Severity.OUTAGE,
    "A container or volume needs a ConfigMap, a Secret or a key in one that does not exist.",
    "Create what is missing, correct the name in the workload, or mark the reference as optional.",
)
CONTAINER_REFUSED = Condition(
    "pod/container-refused",
    Severity.OUTAGE,
    "The kubelet refuses to make the container, for example because it must not run as root.",
    "Read the quoted reason; security context, image user and volume paths are the usual places.",
)
CONDITIONS = (CONFIG_MISSING, CONTAINER_REFUSED)

_NON_ROOT = "runAsNonRoot"


@dataclass(frozen=True, slots=True)
class Missing:
    """What a message says is missing."""

    kind: str
    """ConfigMap or Secret."""
    name: str
    """Empty where the message does not say it."""
    key: str
    """Empty if the whole object is missing."""

    def __str__(self) -> str:
        whole = f'{self.kind} "{self.name}"' if self.name else f"a {self.kind}"
        return f'key "{self.key}" of {whole}' if self.key else whole


_KINDS = {"configmap": "ConfigMap", "secret": "Secret"}
_OBJECT = re.compile(r"\b(configmap|secret)s? \"([^\"\s]{1,253})\" not found", re.IGNORECASE)
_ENV_KEY = re.compile(r"couldn't find key (\S{1,253}) in (configmap|secret) \S{0,253}/(\S{1,253})", re.IGNORECASE)
_VOLUME_KEY = re.compile(
    r"volume \"([^\"]{1,253})\" : (configmap|secret) references non-existent (?:config|secret) key: (\S{1,253})",
    re.IGNORECASE,
)


def parse_missing(message: str, pod: KubeObject) -> Missing | None:
    """Read the kubelet's sentence about a missing ConfigMap, Secret or key; None if it is about something else."""
    if match := _OBJECT.search(message):
        return Missing(_KINDS[match.group(1).lower()], match.group(2), "")
    if match := _ENV_KEY.search(message):
        return Missing(_KINDS[match.group(2).lower()], match.group(3), match.group(1))
    if match := _VOLUME_KEY.search(message):
        kind = _KINDS[match.group(2).lower()]
        return Missing(kind, _volume_source(pod, match.group(1), kind), match.group(3))
    return None


def _volume_source(pod: KubeObject, volume_name: str, kind: str) -> str:
    for volume in objects.mappings(pod, "spec", "volumes"):
        if objects.text(volume, "name") == volume_name:
            field = "name" if kind == "ConfigMap" else "secretName"
            return objects.text(volume, kind[0].lower() + kind[1:], field)
    return ""


@analyzer("pod-config", needs=(*cases.NEEDS, CONFIG_MAPS), conditions=CONDITIONS)
def pod_config(snapshot: Snapshot) -> Iterator[Finding]:
    """Name the configuration that pods wait for."""
    yield from cases.findings(snapshot, _cases(snapshot))


def _cases(snapshot: Snapshot) -> Iterator[Case]:
    for pod in snapshot.members(PODS):
        if containers.is_finished(pod) or containers.is_young(snapshot, pod, seconds=GRACE.total_seconds()):
            continue
        yield from _container_cases(snapshot, pod)
        yield from _mount_cases(snapshot, pod)


def _container_cases(snapshot: Snapshot, pod: KubeObject) -> Iterator[Case]:
    for container in containers.containers_of(pod):
        if container.waiting_reason not in ("CreateContainerConfigError", "CreateContainerError"):
            continue
        source = cases.pod_source(pod, f"{container.path}.state.waiting")
        evidence = quote(source, f"{container.waiting_reason}: {container.waiting_message}")
        missing = parse_missing(container.waiting_message, pod)
        if missing is not None:
            yield _missing_case(snapshot, pod, missing, f"container {container.name}", evidence)
            continue
        added = _added_on_admission(snapshot, container) if _NON_ROOT in container.waiting_message else None
        why = "; its template does not ask for that: it was added on admission" if added else ""
        yield Case(
            CONTAINER_REFUSED,
            pod,
            what=f"container {container.name} cannot be made: {clean(container.waiting_message, limit=160)}{why}",
            evidence=(evidence, added) if added else (evidence,),
            key=container.name,
            next_checks=("get mutatingwebhookconfigurations",) if added else (),
        )


def _added_on_admission(snapshot: Snapshot, container: Container) -> Evidence | None:
    """Return what shows that a pod must not run as root although its template does not say so."""
    owner = objects.controller(container.pod)
    above = snapshot.by_uid(owner.uid) if owner is not None and owner.uid else None
    template = objects.container(above, container.name) if above is not None else None
    if above is None or template is None or _must_not_be_root(objects.pod_spec(above)) or _must_not_be_root(template):
        return None
    ref = objects.ref(above)
    return quote(f"{cases.display(ref)} spec.template", f"no {_NON_ROOT}; a webhook or policy added it to the pod")


def _must_not_be_root(spec: KubeObject) -> bool:
    return objects.flag(spec, "securityContext", _NON_ROOT)


def _mount_cases(snapshot: Snapshot, pod: KubeObject) -> Iterator[Case]:
    """Read mount failures of a pod none of whose containers ever ran; the newest word about each object counts."""
    if any(container.is_running or container.last_termination for container in containers.containers_of(pod)):
        return
    seen: set[Missing] = set()
    for event in snapshot.events(pod, "FailedMount"):
        missing = parse_missing(event.message, pod)
        if missing is not None and missing not in seen and not _has_come(snapshot, pod, missing):
            seen.add(missing)
            evidence = quote(cases.event_source(objects.ref(pod), event.reason), event.message)
            yield _missing_case(snapshot, pod, missing, "a volume", evidence)


def _has_come(snapshot: Snapshot, pod: KubeObject, missing: Missing) -> bool:
    """Say whether what an old event misses exists by now; only for ConfigMaps can that be known."""
    if missing.kind != "ConfigMap":
        return False
    config_map = snapshot.get(CONFIG_MAPS, objects.namespace(pod), missing.name)
    return config_map is not None and (not missing.key or missing.key in settings.keys_of(config_map))


def _missing_case(snapshot: Snapshot, pod: KubeObject, missing: Missing, who: str, evidence: Evidence) -> Case:
    namespace = objects.namespace(pod)
    others: tuple[ResourceRef, ...] = ()
    if missing.name:
        others = (ResourceRef(kind=missing.kind, namespace=namespace, name=clean(missing.name)),)
    plural = f"{missing.kind.lower()}s"
    return Case(
        CONFIG_MISSING,
        pod,
        what=f"{who} needs {missing}, which does not exist",
        evidence=(evidence, *_keys_evidence(snapshot, namespace, missing)),
        key=str(missing),
        others=others,
        next_checks=(f"get {plural} -n {namespace}", f"describe pod {objects.name(pod)} -n {namespace}"),
    )


def _keys_evidence(snapshot: Snapshot, namespace: str, missing: Missing) -> Iterator[Evidence]:
    """Show what does exist: the keys of the ConfigMap, or the ConfigMaps of the namespace."""
    if missing.kind != "ConfigMap":
        return
    config_map = snapshot.get(CONFIG_MAPS, namespace, missing.name)
    if config_map is not None:
        keys = ", ".join(sorted(settings.keys_of(config_map))) or "none"
        yield quote(f"configmap {namespace}/{missing.name}", f"keys: {keys}")
    elif snapshot.is_complete(CONFIG_MAPS, namespace):
        names = ", ".join(sorted(objects.name(member) for member in snapshot.members(CONFIG_MAPS, namespace))) or "none"
        yield quote(f"configmaps in namespace {namespace}", names)


ANALYZERS: tuple[Analyzer, ...] = (pod_config,)
