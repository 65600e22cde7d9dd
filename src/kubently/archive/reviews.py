"""What the caller may do, answered for the one user of an archive: read everything but Secrets, write nothing."""

from __future__ import annotations

from typing import Any

import msgspec

from kubently.archive import answers, asked, catalog, format
from kubently.kube import objects, protobuf

USER = "archive:viewer"
GROUPS = ("system:authenticated",)
_READ_SUBRESOURCES = ("log", "status")
_DISCOVERY = (
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/healthz",
    "/livez",
    "/openapi",
    "/openapi/*",
    "/readyz",
    "/version",
)


def as_review(archive: format.Archive, resource: catalog.Resource, request: asked.Asked) -> answers.Answer:
    """Answer a posted self review.

    Raises RefusedError if the body is not one.
    """
    review = _parse(resource, request)
    spec = objects.mapping(review, "spec")
    match resource.kind:
        case "SelfSubjectAccessReview":
            status: dict[str, Any] = _access(spec)
        case "SelfSubjectRulesReview":
            status, spec = _rules(spec), {}
        case _:
            status, spec = {"userInfo": {"username": USER, "groups": GROUPS}}, {}
    created = {"creationTimestamp": archive.captured_at.strftime("%Y-%m-%dT%H:%M:%SZ")}
    metadata = created if resource.kind == "SelfSubjectReview" else {}
    body = {
        "kind": resource.kind,
        "apiVersion": resource.api_version,
        "metadata": metadata,
        **({} if resource.kind == "SelfSubjectReview" else {"spec": spec}),
        "status": status,
    }
    return answers.Answer(201, (answers.encode(body, pretty=request.pretty),))


def _parse(resource: catalog.Resource, request: asked.Asked) -> objects.KubeObject:
    problem = f"the object provided is unrecognized (must be of type {resource.kind})"
    try:
        review = _decode(request)
    except (ValueError, RecursionError) as error:
        raise answers.bad_request(f"{problem}: {error}") from None
    if not isinstance(review, dict) or objects.kind(review) not in ("", resource.kind):
        raise answers.bad_request(problem)
    return review


def _decode(request: asked.Asked) -> object:
    """Return the body's object; msgspec's DecodeError is a ValueError."""
    if request.headers.get("content-type", "").startswith(protobuf.CONTENT_TYPE):
        return protobuf.decode_review(request.body)
    return msgspec.json.decode(request.body)


def _access(spec: objects.KubeObject) -> dict[str, Any]:
    attributes = objects.mapping(spec, "resourceAttributes")
    path = objects.mapping(spec, "nonResourceAttributes")
    if bool(attributes) == bool(path):
        message = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise answers.invalid(
            "SelfSubjectAccessReview.authorization.k8s.io",
            "",
            [("spec.resourceAttributes", "FieldValueInvalid", f"Invalid value: null: {message}")],
        )
    allowed = _may_get(path) if path else _may(attributes)
    return {"allowed": True} if allowed else {"allowed": False, "reason": "an archived cluster is only read"}


def _may(attributes: objects.KubeObject) -> bool:
    verb, group, plural, subresource = (
        objects.text(attributes, field) for field in ("verb", "group", "resource", "subresource")
    )
    if verb == "create" and not subresource:
        return any((group, plural) == (item.group, item.plural) for item in catalog.REVIEWS)
    if verb not in catalog.READ or plural == "*" or group == "*":
        return False
    if subresource:
        return verb == "get" and subresource in _READ_SUBRESOURCES and plural != "secrets"
    return (group, plural) != ("", "secrets")


def _may_get(attributes: objects.KubeObject) -> bool:
    path, verb = objects.text(attributes, "path"), objects.text(attributes, "verb")
    allowed = any(path == item or (item.endswith("*") and path.startswith(item[:-1])) for item in _DISCOVERY)
    return verb == "get" and allowed


def _rules(spec: objects.KubeObject) -> dict[str, Any]:
    if not objects.text(spec, "namespace"):
        raise answers.bad_request("no namespace on request")
    groups: dict[str, list[str]] = {}
    for item in catalog.BUILTIN:
        if item.qualified != "secrets":
            names = (item.plural, *(f"{item.plural}/{sub.name}" for sub in item.subresources))
            groups.setdefault(item.group, []).extend(names)
    read = [{"verbs": catalog.READ, "apiGroups": [group], "resources": names} for group, names in groups.items()]
    create = [{"verbs": ["create"], "apiGroups": [item.group], "resources": [item.plural]} for item in catalog.REVIEWS]
    return {
        "resourceRules": [*create, *read],
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": _DISCOVERY}],
        "incomplete": False,
    }
