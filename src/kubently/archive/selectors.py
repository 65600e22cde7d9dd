"""Field selectors, and both selectors of a list request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kubently.archive import answers, catalog
from kubently.kube import objects

_METADATA = ("metadata.name", "metadata.namespace")
_EVENT_FIELDS = (
    *_METADATA,
    *(
        f"involvedObject.{field}"
        for field in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    ),
    "reason",
    "reportingComponent",
    "source",
    "type",
)
_FIELDS: dict[str, tuple[str, ...]] = {
    "events": _EVENT_FIELDS,
    "events.events.k8s.io": tuple(
        field.replace("involvedObject", "regarding").replace("reportingComponent", "reportingController")
        for field in _EVENT_FIELDS
    ),
    "jobs.batch": (*_METADATA, "status.successful"),
    "namespaces": ("metadata.name", "status.phase"),
    "nodes": ("metadata.name", "spec.unschedulable"),
    "pods": (
        *_METADATA,
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
    ),
    "replicationcontrollers": (*_METADATA, "status.replicas"),
    "certificatesigningrequests.certificates.k8s.io": ("metadata.name", "spec.signerName"),
    "secrets": (*_METADATA, "type"),
    "services": (*_METADATA, "spec.clusterIP", "spec.type"),
}
"""What a fieldSelector may name; types that are not here know only name and namespace."""


@dataclass(frozen=True, slots=True)
class _Term:
    field: str
    value: str
    equal: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """Both selectors of one request."""

    labels: objects.Selector
    fields: tuple[_Term, ...]

    @property
    def selects_everything(self) -> bool:
        """Whether neither selector is given."""
        return self.labels.selects_everything and not self.fields

    def matches(self, item: objects.KubeObject) -> bool:
        """Say whether an object meets both."""
        if not self.labels.matches(objects.labels(item)):
            return False
        return all((_field(item, term.field) == term.value) == term.equal for term in self.fields)


def parse(resource: catalog.Resource, label_selector: str, field_selector: str) -> Selection:
    """Read the selectors of a list or watch.

    Raises RefusedError (400) for bad syntax and for fields that this type cannot be selected by.
    """
    try:
        labels = objects.parse_selector(label_selector)
    except ValueError as error:
        raise answers.bad_request(f"unable to parse requirement: {error}") from None
    fields = tuple(_terms(field_selector))
    for term in fields:
        _check_field(resource, term.field)
    return Selection(labels, fields)


def _check_field(resource: catalog.Resource, field: str) -> None:
    known = _FIELDS.get(resource.qualified)
    if resource.custom and field in (*_METADATA, *resource.selectable_fields):
        return
    if known is None and not resource.custom:
        if field in _METADATA:
            return
        only = '"metadata.name", "metadata.namespace"'
        raise answers.bad_request(f'"{field}" is not a known field selector: only {only}')
    if resource.qualified == "jobs.batch" and field not in _FIELDS["jobs.batch"]:
        raise answers.bad_request(f'field label "{field}" not supported for Job')
    if known is None or field not in known:
        raise answers.bad_request(f"field label not supported: {field}")


def _terms(selector: str) -> Iterator[_Term]:
    for part in _split(selector):
        for operator in ("!=", "==", "="):
            field, found, value = part.partition(operator)
            if found:
                yield _Term(field, _unescape(value, selector), equal=operator != "!=")
                break
        else:
            raise answers.bad_request(f"invalid selector: '{selector}'; can't understand '{part}'")


def _split(selector: str) -> Iterator[str]:
    """Split at commas that no backslash precedes."""
    part, escaped = "", False
    for character in selector:
        if character == "," and not escaped:
            if part:
                yield part
            part = ""
        else:
            part += character
        escaped = character == "\\" and not escaped
    if part:
        yield part


def _unescape(value: str, selector: str) -> str:
    result, escaped = "", False
    for character in value:
        if escaped and character not in "\\,=":
            raise answers.bad_request(f"invalid selector: '{selector}'; invalid escape sequence")
        if escaped or character != "\\":
            result += character
        escaped = character == "\\" and not escaped
    return result


# ---- values of fields

_COMPUTED: dict[str, Callable[[objects.KubeObject], str]] = {
    "spec.unschedulable": lambda item: _bool(objects.flag(item, "spec", "unschedulable")),
    "spec.hostNetwork": lambda item: _bool(objects.flag(item, "spec", "hostNetwork")),
    "status.replicas": lambda item: str(objects.integer(item, "status", "replicas")),
    "status.successful": lambda item: str(objects.integer(item, "status", "succeeded")),
    "reportingComponent": lambda item: objects.text(item, "reportingComponent"),
    "source": lambda item: (
        objects.text(item, "source", "component")
        or objects.text(item, "reportingComponent")
        or objects.text(item, "deprecatedSource", "component")
        or objects.text(item, "reportingController")
    ),
}


def _bool(value: bool) -> str:  # noqa: FBT001  # one value, one text
    return "true" if value else "false"


def _field(item: objects.KubeObject, field: str) -> str:
    computed = _COMPUTED.get(field)
    if computed is not None:
        return computed(item)
    value = objects.at(item, *field.split("."))
    if isinstance(value, bool):
        return _bool(value)
    return value if isinstance(value, str) else "" if value is None else str(value)
