"""Nodes, namespaces, events, configuration, access rules and the control plane's own objects as rows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypeGuard

from kubently.archive import cells, events
from kubently.archive.cells import AGE, NAME, NONE, UNKNOWN, Cell, Column, Layout
from kubently.kube import objects


def _name_and_age(item: objects.KubeObject, now: datetime) -> list[Cell]:
    return [objects.name(item), cells.age(item, now)]


def _namespace(item: objects.KubeObject, now: datetime) -> list[Cell]:
    return [objects.name(item), objects.text(item, "status", "phase"), cells.age(item, now)]


def _config_map(item: objects.KubeObject, now: datetime) -> list[Cell]:
    keys = len(objects.mapping(item, "data")) + len(objects.mapping(item, "binaryData"))
    return [objects.name(item), keys, cells.age(item, now)]


# ---- nodes

_ROLE_PREFIX = "node-role.kubernetes.io/"


def _node(item: objects.KubeObject, now: datetime) -> list[Cell]:
    info = objects.mapping(item, "status", "nodeInfo")
    architecture = objects.text(info, "architecture")
    kernel = objects.text(info, "kernelVersion") or UNKNOWN
    return [
        objects.name(item),
        _node_status(item),
        _roles(item) or NONE,
        cells.age(item, now),
        objects.text(info, "kubeletVersion"),
        _address(item, "InternalIP"),
        _address(item, "ExternalIP"),
        objects.text(info, "osImage") or UNKNOWN,
        f"{kernel} ({architecture})" if architecture else kernel,
        objects.text(info, "containerRuntimeVersion") or UNKNOWN,
    ]


def _node_status(item: objects.KubeObject) -> str:
    ready = objects.condition(item, "Ready")
    status = "Unknown" if ready is None else "Ready" if ready.is_true else "NotReady"
    return f"{status},SchedulingDisabled" if objects.flag(item, "spec", "unschedulable") else status


def _roles(item: objects.KubeObject) -> str:
    labels = objects.labels(item)
    roles = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)}
    roles.add(labels.get("kubernetes.io/role", ""))
    return ",".join(sorted(roles - {""}))


def _address(item: objects.KubeObject, address_type: str) -> str:
    for address in objects.mappings(item, "status", "addresses"):
        if objects.text(address, "type") == address_type:
            return objects.text(address, "address")
    return NONE


# ---- events


def _event(item: objects.KubeObject, now: datetime) -> list[Cell]:
    event = events.core(item)
    first_at = objects.instant(event, "firstTimestamp") or objects.instant(event, "eventTime")
    last_at = objects.instant(event, "lastTimestamp") or first_at
    count = objects.integer(event, "count") or 1
    if objects.mapping(event, "series"):
        last_at = objects.instant(event, "series", "lastObservedTime")
        count = objects.integer(event, "series", "count")
    involved = objects.mapping(event, "involvedObject")
    kind, name = objects.kind(involved).lower(), objects.text(involved, "name")
    return [
        cells.since(last_at, now),
        objects.text(event, "type"),
        objects.text(event, "reason"),
        f"{kind}/{name}" if name else kind,
        objects.text(involved, "fieldPath"),
        _event_source(event),
        objects.text(event, "message").strip(),
        cells.since(first_at, now),
        count,
        objects.name(event),
    ]


def _event_source(event: objects.KubeObject) -> str:
    component = objects.text(event, "source", "component") or objects.text(event, "reportingComponent")
    instance = objects.text(event, "source", "host") or objects.text(event, "reportingInstance")
    return f"{component}, {instance}" if instance else component


# ---- quotas


def _quota(item: objects.KubeObject, now: datetime) -> list[Cell]:
    used = objects.mapping(item, "status", "used")
    requests, limits = list[str](), list[str]()
    for resource, hard in sorted(objects.mapping(item, "status", "hard").items()):
        column = limits if resource.startswith("limits.") else requests
        column.append(f"{resource}: {cells.plain(used.get(resource), '0')}/{cells.plain(hard)}")
    return [objects.name(item), ", ".join(requests), ", ".join(limits), cells.age(item, now)]


# ---- access


def _created(item: objects.KubeObject, now: datetime) -> list[Cell]:
    return [objects.name(item), objects.text(item, "metadata", "creationTimestamp")]


def _binding(item: objects.KubeObject, now: datetime) -> list[Cell]:
    subjects = objects.mappings(item, "subjects")
    accounts = [
        f"{objects.text(subject, 'namespace')}/{objects.text(subject, 'name')}"
        for subject in subjects
        if objects.kind(subject) == "ServiceAccount"
    ]
    return [
        objects.name(item),
        f"{objects.text(item, 'roleRef', 'kind')}/{objects.text(item, 'roleRef', 'name')}",
        cells.age(item, now),
        _subjects(subjects, "User"),
        _subjects(subjects, "Group"),
        ", ".join(accounts),
    ]


def _subjects(subjects: list[objects.KubeObject], kind: str) -> str:
    return ", ".join(objects.text(subject, "name") for subject in subjects if objects.kind(subject) == kind)


# ---- the control plane's own


def _lease(item: objects.KubeObject, now: datetime) -> list[Cell]:
    return [objects.name(item), objects.text(item, "spec", "holderIdentity"), cells.age(item, now)]


def _priority_class(item: objects.KubeObject, now: datetime) -> list[Cell]:
    return [
        objects.name(item),
        objects.integer(item, "value"),
        objects.flag(item, "globalDefault"),
        cells.age(item, now),
        objects.text(item, "preemptionPolicy"),
    ]


def _runtime_class(item: objects.KubeObject, now: datetime) -> list[Cell]:
    return [objects.name(item), objects.text(item, "handler"), cells.age(item, now)]


def _webhooks(item: objects.KubeObject, now: datetime) -> list[Cell]:
    return [objects.name(item), len(objects.mappings(item, "webhooks")), cells.age(item, now)]


def _api_service(item: objects.KubeObject, now: datetime) -> list[Cell]:
    service = objects.mapping(item, "spec", "service")
    name = f"{objects.text(service, 'namespace')}/{objects.text(service, 'name')}" if service else "Local"
    return [objects.name(item), name, _availability(item), cells.age(item, now)]


def _availability(item: objects.KubeObject) -> str:
    found = objects.condition(item, "Available")
    if found is None:
        return UNKNOWN
    return found.status if found.is_true else f"{found.status} ({found.reason})"


def _signing_request(item: objects.KubeObject, now: datetime) -> list[Cell]:
    spec = objects.mapping(item, "spec")
    seconds = objects.at(spec, "expirationSeconds")
    return [
        objects.name(item),
        cells.age(item, now),
        objects.text(spec, "signerName") or NONE,
        objects.text(spec, "username"),
        cells.human_duration(timedelta(seconds=seconds)) if _is_int32(seconds) else NONE,
        _signing_state(item),
    ]


def _is_int32(value: object) -> TypeGuard[int]:
    return type(value) is int and abs(value) < 2**31


def _signing_state(item: objects.KubeObject) -> str:
    types = [found.type for found in objects.conditions(item)]
    state = next((name for name in ("Denied", "Approved") if name in types), "Pending")
    failed = ",Failed" if "Failed" in types else ""
    issued = ",Issued" if objects.text(item, "status", "certificate") else ""
    return f"{state}{failed}{issued}"


def _flow_schema(item: objects.KubeObject, now: datetime) -> list[Cell]:
    dangling = objects.condition(item, "Dangling")
    return [
        objects.name(item),
        objects.text(item, "spec", "priorityLevelConfiguration", "name"),
        objects.integer(item, "spec", "matchingPrecedence"),
        objects.text(item, "spec", "distinguisherMethod", "type") or NONE,
        cells.age(item, now),
        "?" if dangling is None else dangling.status,
    ]


def _priority_level(item: objects.KubeObject, now: datetime) -> list[Cell]:
    limited = objects.mapping(item, "spec", "limited")
    queuing = objects.mapping(limited, "limitResponse", "queuing")
    return [
        objects.name(item),
        objects.text(item, "spec", "type"),
        objects.integer(limited, "nominalConcurrencyShares") if limited else NONE,
        *(objects.integer(queuing, field) if queuing else NONE for field in ("queues", "handSize", "queueLengthLimit")),
        cells.age(item, now),
    ]


def _columns(*names: str) -> tuple[Column, ...]:
    return (NAME, *map(Column, names), AGE)


_SUBJECTS = tuple(Column(name, wide=True) for name in ("Users", "Groups", "ServiceAccounts"))
_CREATED = (NAME, Column("Created At", "date"))
_WEBHOOKS = (NAME, Column("Webhooks", "integer"), AGE)

_NODE_COLUMNS = (
    *_columns("Status", "Roles"),
    Column("Version"),
    *(
        Column(name, wide=True)
        for name in ("Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime")
    ),
)
_EVENT_COLUMNS = (
    *map(Column, ("Last Seen", "Type", "Reason", "Object")),
    Column("Subobject", wide=True),
    Column("Source", wide=True),
    Column("Message"),
    Column("First Seen", wide=True),
    Column("Count", wide=True),
    Column("Name", format="name", wide=True),
)
_PRIORITY_CLASS_COLUMNS = (
    NAME,
    Column("Value", "integer"),
    Column("Global-Default", "boolean"),
    AGE,
    Column("PreemptionPolicy"),
)
_SIGNING_COLUMNS = (NAME, AGE, *map(Column, ("SignerName", "Requestor", "RequestedDuration", "Condition")))
_FLOW_COLUMNS = (*_columns("PriorityLevel", "MatchingPrecedence", "DistinguisherMethod"), Column("MissingPL"))
_LEVEL_COLUMNS = _columns("Type", "NominalConcurrencyShares", "Queues", "HandSize", "QueueLengthLimit")

_RBAC = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
_FLOW = "flowcontrol.apiserver.k8s.io"

LAYOUTS = (
    Layout("", "namespaces", _columns("Status"), _namespace),
    Layout("", "nodes", _NODE_COLUMNS, _node),
    Layout("", "events", _EVENT_COLUMNS, _event),
    Layout("events.k8s.io", "events", _EVENT_COLUMNS, _event),
    Layout("", "configmaps", _columns("Data"), _config_map),
    Layout("", "serviceaccounts", _columns(), _name_and_age),
    Layout("", "resourcequotas", _columns("Request", "Limit"), _quota),
    Layout("", "limitranges", _CREATED, _created),
    Layout(_RBAC, "roles", _CREATED, _created),
    Layout(_RBAC, "clusterroles", _CREATED, _created),
    Layout(_RBAC, "rolebindings", (*_columns("Role"), *_SUBJECTS), _binding),
    Layout(_RBAC, "clusterrolebindings", (*_columns("Role"), *_SUBJECTS), _binding),
    Layout(_ADMISSION, "validatingwebhookconfigurations", _WEBHOOKS, _webhooks),
    Layout(_ADMISSION, "mutatingwebhookconfigurations", _WEBHOOKS, _webhooks),
    Layout("apiextensions.k8s.io", "customresourcedefinitions", _CREATED, _created),
    Layout("apiregistration.k8s.io", "apiservices", _columns("Service", "Available"), _api_service),
    Layout("scheduling.k8s.io", "priorityclasses", _PRIORITY_CLASS_COLUMNS, _priority_class),
    Layout("coordination.k8s.io", "leases", _columns("Holder"), _lease),
    Layout("node.k8s.io", "runtimeclasses", _columns("Handler"), _runtime_class),
    Layout("certificates.k8s.io", "certificatesigningrequests", _SIGNING_COLUMNS, _signing_request),
    Layout(_FLOW, "flowschemas", _FLOW_COLUMNS, _flow_schema),
    Layout(_FLOW, "prioritylevelconfigurations", _LEVEL_COLUMNS, _priority_level),
)
