"""Self reviews: what Kubernetes says that its caller may do, and what Kubently's policy leaves of it.

``kubectl auth can-i`` asks the API server about the executor's rights, which are wider than the person's. What the
policy refuses is answered with no, whatever the cluster says; for the rest the cluster's word counts. The objects are
those of authorization.k8s.io/v1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from kubently.errors import InvalidRequestError
from kubently.kube import objects, paths, policy, protobuf
from kubently.kube._scopes import is_cluster_scoped

API_VERSION = "authorization.k8s.io/v1"
ACCESS = "selfsubjectaccessreviews"
RULES = "selfsubjectrulesreviews"
_KINDS = {ACCESS: "SelfSubjectAccessReview", RULES: "SelfSubjectRulesReview"}

_VERBS = frozenset({"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"})
_READS = ("get", "list", "watch")

Limits = policy.Narrowing | policy.Limits


def parse(body: bytes, content_type: str, resource: str) -> dict[str, Any]:
    """Return the review that is posted to *resource*, from JSON or Kubernetes' Protobuf. Raises InvalidRequestError."""
    try:
        review = protobuf.decode_review(body) if content_type.startswith(protobuf.CONTENT_TYPE) else json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"the review cannot be read: {error}", hint="send it as JSON") from error
    if not isinstance(review, dict) or objects.kind(review) not in ("", _KINDS[resource]):
        raise InvalidRequestError(f"the body is no {_KINDS[resource]}")
    return review


# ---- may I do this?


def access_review(request: paths.ApiRequest) -> dict[str, Any]:
    """Return the SelfSubjectAccessReview that asks about *request*."""
    attributes = {
        "verb": request.verb,
        "group": request.group,
        "version": request.version,
        "resource": request.resource,
        "subresource": request.subresource,
        "namespace": request.namespace,
        "name": request.name,
    }
    about_path = {"nonResourceAttributes": {"verb": request.verb, "path": request.path}}
    spec = {"resourceAttributes": attributes} if request.is_resource_request else about_path
    return {"kind": _KINDS[ACCESS], "apiVersion": API_VERSION, "spec": spec}


def access_denial(review: Mapping[str, Any], rules: policy.Policy, limits: Limits) -> policy.Deny | None:
    """Return why the policy refuses what a SelfSubjectAccessReview asks about; None: the cluster answers."""
    attributes = objects.mapping(review, "spec", "resourceAttributes")
    non_resource = objects.mapping(review, "spec", "nonResourceAttributes")
    verb = objects.text(attributes or non_resource, "verb")
    if verb not in _VERBS:
        return policy.Deny("default", "Kubently is read-only: of verbs get, list and watch are served")
    for request in _asked(attributes, non_resource, verb):
        decision = policy.decide(request, rules, limits)
        if isinstance(decision, policy.Deny):
            return decision
    return None


def denied_answer(review: Mapping[str, Any], deny: policy.Deny) -> dict[str, Any]:
    """Return the review as the API server would give it back, answered with no."""
    return {
        "kind": _KINDS[ACCESS],
        "apiVersion": API_VERSION,
        "metadata": {},
        "spec": objects.mapping(review, "spec"),
        "status": {"allowed": False, "reason": f"Kubently: {deny}"},
    }


def _asked(attributes: Mapping[str, Any], non_resource: Mapping[str, Any], verb: str) -> Iterator[paths.ApiRequest]:
    """Yield the requests that must all be allowed: whoever asks about all resources asks about Secrets too."""
    if non_resource and not attributes:
        yield _path_request(verb, objects.text(non_resource, "path"))
        return
    resources = [objects.text(attributes, "resource")]
    if resources == ["*"] and objects.text(attributes, "group") in ("", "*"):
        resources.append("secrets")
    for resource in resources:
        yield _resource_request(
            verb,
            "" if resource == "secrets" else objects.text(attributes, "group"),
            resource,
            subresource=objects.text(attributes, "subresource"),
            namespace=objects.text(attributes, "namespace"),
            name=objects.text(attributes, "name"),
        )


def _resource_request(
    verb: str, group: str, resource: str, *, subresource: str, namespace: str, name: str
) -> paths.ApiRequest:
    request = paths.ApiRequest(
        verb=cast("paths.Verb", verb),
        is_resource_request=True,
        group=group,
        version="v1",
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
    )
    # kubectl names its own namespace for resources too that have none; a Namespace object is in that of its name.
    if resource == "namespaces":
        return replace(request, namespace=name)
    has_none = is_cluster_scoped(request) or (group, resource) in paths.SELF_REVIEWS
    return replace(request, namespace="") if has_none else request


def _path_request(verb: str, path: str) -> paths.ApiRequest:
    return paths.ApiRequest(verb=cast("paths.Verb", verb), is_resource_request=False, path=path)


# ---- what may I do?

_NOTE = "Kubently serves reads alone"
_NO_SECRETS = "without Secrets"
_LIMITED = "within the limits of your key"


def restrict_rules(answer: Mapping[str, Any], namespace: str, rules: policy.Policy, limits: Limits) -> dict[str, Any]:
    """Return a SelfSubjectRulesReview's answer without what the policy refuses.

    A rule for all resources stays one where the policy lets in all but some; the answer is then marked incomplete and
    says what it leaves out, since rules can only add up.
    """
    status = objects.mapping(answer, "status")
    kept = [
        {**rule, **part}
        for rule in objects.mappings(status, "resourceRules")
        for part in _kept_parts(rule, namespace, rules, limits)
    ]
    notes = [_NOTE]
    if rules.secrets == "none":
        notes.append(_NO_SECRETS)
    if limits != policy.UNLIMITED or rules.narrowing != policy.UNLIMITED:
        notes.append(_LIMITED)
    errors = [text for text in (objects.text(status, "evaluationError"), ", ".join(notes)) if text]
    return {
        **answer,
        "status": {
            "resourceRules": kept,
            "nonResourceRules": [*_kept_paths(objects.mappings(status, "nonResourceRules"))],
            "incomplete": True,
            "evaluationError": "; ".join(errors),
        },
    }


def _kept_parts(
    rule: Mapping[str, Any], namespace: str, rules: policy.Policy, limits: Limits
) -> Iterator[dict[str, Any]]:
    """Yield a rule's allowed verbs and resources, one part for each group and set of verbs."""
    granted = objects.strings(rule, "verbs")
    names = objects.strings(rule, "resourceNames") or [""]
    parts: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for group, resource in _candidates(rule, limits):
        verbs = tuple(
            verb
            for verb in (*_READS, "create")
            if (verb in granted or "*" in granted)
            and any(_is_allowed(verb, group, resource, namespace, name, rules, limits) for name in names)
        )
        if verbs:
            parts.setdefault((group, verbs), []).append(resource)
    for (group, verbs), resources in parts.items():
        yield {"verbs": verbs, "apiGroups": [group], "resources": resources}


def _candidates(rule: Mapping[str, Any], limits: Limits) -> Iterator[tuple[str, str]]:
    """Yield the groups and resources of a rule, and of a rule for all resources also those that the limits name."""
    resources = objects.strings(rule, "resources")
    for group in objects.strings(rule, "apiGroups"):
        for resource in resources:
            yield group, resource
        if "*" in resources:
            for entry in sorted(limits.named_resources - {"*"}):
                qualified, slash, subresource = entry.partition("/")
                plural, dot, own_group = qualified.partition(".")
                if not dot or group in ("*", own_group):
                    # Of all subresources only the log of core's pods is read by a group's name.
                    any_group = "" if subresource == "log" and group == "*" else group
                    yield own_group if dot else any_group, plural + slash + subresource


def _is_allowed(
    verb: str, group: str, resource: str, namespace: str, name: str, rules: policy.Policy, limits: Limits
) -> bool:
    plural, _, subresource = resource.partition("/")
    subresource = "" if subresource == "*" else subresource
    request = _resource_request(verb, group, plural, subresource=subresource, namespace=namespace, name=name)
    return isinstance(policy.decide(request, rules, limits), policy.Allow)


def _kept_paths(found: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for rule in found:
        if not {"get", "*"}.intersection(objects.strings(rule, "verbs")):
            continue
        urls = [url for pattern in objects.strings(rule, "nonResourceURLs") for url in _kept_urls(pattern)]
        if urls:
            yield {"verbs": ["get"], "nonResourceURLs": urls}


def _kept_urls(pattern: str) -> Sequence[str]:
    if pattern == "*":
        return policy.READABLE_PATHS
    allowed = policy.decide(_path_request("get", pattern))
    return [pattern] if isinstance(allowed, policy.Allow) else []
